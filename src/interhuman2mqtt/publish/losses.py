"""What happens to a message that cannot be delivered: a rule with a name, counted, logged and told. Never silence."""

from collections import Counter
from collections.abc import Callable
from enum import StrEnum
from typing import Protocol

import structlog
import trio

from interhuman2mqtt.publish.message import Message

QUIET = 60.0
"""Seconds between two log lines about the same rule."""

log = structlog.get_logger()


class Loss(StrEnum):
    """By which rule a message was dropped: the same word on `bridge/health`, in metrics and in logs."""

    OUTBOX_FULL = "outbox_full"
    """The outbox had reached `outbox.max_size`: the oldest waiting message went."""
    OUTBOX_AGE = "outbox_age"
    """It had waited longer than `outbox.max_age`."""
    TOO_LARGE = "too_large"
    """The broker takes no packet of this size."""
    BROKER_REFUSED = "broker_refused"
    """The broker answered it with a reason code of failure, such as `not authorized`."""


class OnLoss(Protocol):
    """Is told of every message that is dropped, with one sentence for people."""

    def __call__(self, message: Message, loss: Loss, detail: str, /) -> None:
        """A message was dropped."""


class Losses:
    """Counts the messages dropped and logs them: the first at once, then once a minute with their number.

    Args:
        on_loss: Told of each message too, so that a loss can be published as an event.
    """

    def __init__(self, on_loss: OnLoss | None = None, clock: Callable[[], float] = trio.current_time) -> None:
        self.counts: Counter[Loss] = Counter()
        self._on_loss = on_loss
        self._clock = clock
        self._logged: dict[Loss, tuple[float, int]] = {}

    def report(self, message: Message, loss: Loss, detail: str, /) -> None:
        """A message was dropped."""
        self.counts[loss] += 1
        self._log(message, loss, detail)
        if self._on_loss is not None:
            self._on_loss(message, loss, detail)

    def _log(self, message: Message, loss: Loss, detail: str) -> None:
        now = self._clock()
        last, logged = self._logged.get(loss, (-QUIET, 0))
        if now - last < QUIET:
            return
        total = self.counts[loss]
        self._logged[loss] = (now, total)
        log.warning(
            "messages dropped", rule=loss.value, count=total - logged, total=total, topic=message.topic, detail=detail
        )
