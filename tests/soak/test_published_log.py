"""The log remembers what was published and acknowledged, and notices what must not be."""

from typing import Any

import msgspec

from soak.mqttwire import Publish
from soak.published_log import PublishedLog, digest
from soak.spans import Span


def message(n: int, type_: str = "signal.detected", session: str | None = "s1", **more: Any) -> Publish:
    event = {"id": f"lobby-1/hall/{session or 'boot'}/{n}", "camera": "hall", "type": type_, "session": session}
    event |= {"start_at": None, "data": {"signal_type": "hesitation"}} | more
    return Publish(f"interhuman/lobby-1/hall/event/{type_}", msgspec.json.encode(event), 1, retain=False, number=n)


def opened() -> tuple[PublishedLog, list[str]]:
    acked: list[str] = []
    return PublishedLog(acked.append), acked


def test_an_event_is_counted_once() -> None:
    """An event that comes again with `late`, on another connection, is one event, acknowledged when it first was."""
    log, acked = opened()
    log.on_publish(10.0, 1, message(1))
    log.on_publish(50.0, 2, message(1, late=True))
    log.on_puback(51.0, message(1, late=True))
    log.on_puback(52.0, message(1, late=True))
    row = log.scopes["s1"].rows[1]
    assert (row.first_at, row.acked_at, row.copies) == (10.0, 51.0, 2)
    assert acked == ["lobby-1/hall/s1/1"]
    assert (log.counts["events"], log.counts["repeats"], log.violations) == (1, 1, [])


def test_a_repeat_on_the_same_connection() -> None:
    """Nothing is published twice on one connection."""
    log, _ = opened()
    log.on_publish(10.0, 1, message(1))
    log.on_publish(11.0, 1, message(1))
    assert log.violations == ["lobby-1/hall/s1/1 was published twice on one connection to the broker"]


def test_a_repeat_after_a_quota() -> None:
    """What the broker had no room for comes again on the same connection, once for each time that it was refused."""
    log, acked = opened()
    for at in 10.0, 12.0:
        log.on_publish(at, 1, message(1))
        log.on_quota_exceeded(message(1))
    assert acked == []
    log.on_publish(14.0, 1, message(1))
    log.on_puback(14.0, message(1))
    assert (log.violations, acked) == ([], ["lobby-1/hall/s1/1"])
    log.on_publish(15.0, 1, message(1))
    assert len(log.violations) == 1


def test_a_repeat_with_another_content() -> None:
    """The same id stands for the same event."""
    log, _ = opened()
    log.on_publish(10.0, 1, message(1))
    log.on_publish(11.0, 2, message(1, data={"signal_type": "interest"}))
    assert log.violations == ["lobby-1/hall/s1/1 was published again with another content"]


def test_gaps() -> None:
    """A gap is taken with each of its ranges once the broker has it, and one without an end is wrong."""
    log, _ = opened()
    ranges = [{"start_at": "1970-01-01T00:00:10Z", "end_at": "1970-01-01T00:00:14Z"}]
    gap = message(1, "coverage.gap", None, ranges_at=ranges, data={"reason": "stalled", "seconds": 4.0})
    log.on_publish(20.0, 1, gap)
    assert log.gaps == []
    log.on_puback(20.0, gap)
    assert [(one.camera, one.span, one.reason) for one in log.gaps] == [("hall", Span(10.0, 14.0), "stalled")]
    log.on_publish(21.0, 1, message(2, "coverage.gap", None, ranges_at=[{"start_at": None, "end_at": None}]))
    log.on_puback(21.0, message(2, "coverage.gap", None, ranges_at=[{"start_at": None, "end_at": None}]))
    assert len(log.violations) == 1


def test_rubbish() -> None:
    """What is no event on an event's topic is noticed."""
    log, _ = opened()
    log.on_publish(1.0, 1, Publish("interhuman/lobby-1/hall/event/x", b"{", 1, retain=False, number=1))
    assert len(log.violations) == 1


def test_the_daemons_dates() -> None:
    """A session's media begins where the daemon's date of an event and its place in the media say."""
    log, _ = opened()
    data = {"signal_type": "hesitation", "start": 4.5}
    log.on_publish(1.0, 1, message(1, start_at="1970-01-01T00:01:04.5Z", data=data))
    assert log.scopes["s1"].zero_at == 60.0


def test_digests() -> None:
    """Two JSON values have one digest where they differ in the order of keys only."""
    assert digest({"a": 1, "b": [1.5, None]}) == digest({"b": [1.5, None], "a": 1}) != digest({"a": 1, "b": [1.5]})


def test_a_clock_that_was_set() -> None:
    """Dates are put right by what the clock was ahead when the event was made, which it must have shown."""
    log = PublishedLog(lambda _: None, {3610.0: 3600.0}.get)
    ranges = [{"start_at": "1970-01-01T01:00:05Z", "end_at": "1970-01-01T01:00:09Z"}]
    gap = message(
        1, "coverage.gap", None, received_at="1970-01-01T01:00:10Z", ranges_at=ranges, data={"reason": "stalled"}
    )
    log.on_publish(10.0, 1, gap)
    log.on_puback(10.0, gap)
    assert [one.span for one in log.gaps] == [Span(5.0, 9.0)]
    assert log.violations == []
    never = "1970-01-01T00:00:09Z"
    log.on_publish(20.0, 1, message(2, received_at=never, start_at=never, data={"start": 1.0}))
    assert len(log.violations) == 1


def test_signals_until_they_end() -> None:
    """A signal is remembered from when the broker got it until it got its end, whoever published that."""
    log, _ = opened()
    end = message(2, "signal.ended", synthetic=True)
    for part in (message(1), end):
        log.on_publish(10.0, 1, part)
    log.on_puback(11.0, message(1))
    assert log.signals == {("s1", "hesitation"): 11.0}
    log.on_puback(12.0, end)
    assert log.signals == {}
