"""What happens to a message that cannot be delivered: a rule with a name, counted, logged and told. Never silence."""

from collections import Counter
from collections.abc import Callable, Mapping
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
    """The broker answered it with a reason code that no later attempt can change, such as `topic name invalid`."""
    DAMAGED = "damaged"
    """It stood in the outbox's file and could not be read any more."""


class OnLoss(Protocol):
    """Is told of every message that is dropped, with one sentence for people."""

    def __call__(self, message: Message | None, loss: Loss, detail: str, /) -> None:
        """A message was dropped; None where nobody knows any more what it said."""


class Quiet:
    """Lets one line a minute of each kind into the log, with the number of those that it stands for."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.counts: Counter[str] = Counter()
        self._clock = clock
        self._logged: dict[str, tuple[float, int]] = {}

    def count(self, kind: str) -> int:
        """One more of a kind; how many a line stands for that is logged now, and 0 where none should be."""
        self.counts[kind] += 1
        now, total = self._clock(), self.counts[kind]
        last, logged = self._logged.get(kind, (-QUIET, 0))
        if now - last < QUIET:
            return 0
        self._logged[kind] = (now, total)
        return total - logged


class Losses:
    """Counts the messages dropped and logs them: the first at once, then once a minute with their number.

    Args:
        on_loss: Told of each message too, so that a loss can be published as an event.
    """

    def __init__(self, on_loss: OnLoss | None = None, clock: Callable[[], float] = trio.current_time) -> None:
        self._on_loss = on_loss
        self._quiet = Quiet(clock)

    @property
    def counts(self) -> Mapping[str, int]:
        """Messages dropped, by the rule's name."""
        return self._quiet.counts

    def report(self, message: Message | None, loss: Loss, detail: str, /) -> None:
        """A message was dropped; None where nobody knows any more what it said."""
        if count := self._quiet.count(loss.value):
            total = self.counts[loss.value]
            topic = None if message is None else message.topic
            log.warning("messages dropped", rule=loss.value, count=count, total=total, topic=topic, detail=detail)
        if self._on_loss is not None:
            self._on_loss(message, loss, detail)
