"""What is dropped is counted and logged, and does not flood the log."""

from structlog.testing import capture_logs

from interhuman2mqtt.publish.message import LOG_EVERY_S, DropLog, DropReason
from publish.helpers import an_event_message

MESSAGE = an_event_message("front", 1)


def test_each_loss_is_counted() -> None:
    """Every message dropped raises its rule's count by one."""
    losses = DropLog(clock=lambda: 0.0)
    for _ in range(3):
        losses.report(MESSAGE, DropReason.TOO_LARGE, "why")
    losses.report(MESSAGE, DropReason.OUTBOX_FULL, "full")
    assert losses.counts == {DropReason.TOO_LARGE: 3, DropReason.OUTBOX_FULL: 1}


def test_the_log_has_the_first_and_then_one_line_a_minute() -> None:
    """Of a thousand losses by one rule within a minute one line is logged; the next minute's line counts the rest."""
    now = 0.0
    losses = DropLog(clock=lambda: now)
    with capture_logs() as logs:
        for _ in range(1000):
            losses.report(MESSAGE, DropReason.BROKER_REFUSED, "not authorized")
        now = LOG_EVERY_S
        losses.report(MESSAGE, DropReason.BROKER_REFUSED, "not authorized")
    assert [(line["count"], line["total"]) for line in logs] == [(1, 1), (1000, 1001)]
    assert logs[0]["rule"] == "broker_refused"
    assert (logs[0]["topic"], logs[0]["detail"]) == (MESSAGE.topic, "not authorized")


def test_a_loss_of_nobody_knows_what() -> None:
    """A message that cannot even be read any more is counted and logged without a topic."""
    losses = DropLog(clock=lambda: 0.0)
    with capture_logs() as logs:
        losses.report(None, DropReason.DAMAGED, "row 7 is unreadable")
    assert losses.counts == {"damaged": 1}
    assert (logs[0]["rule"], logs[0]["topic"]) == ("damaged", None)
