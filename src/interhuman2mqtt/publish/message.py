"""Messages on their way to the broker, and the rules by which one is dropped: counted and logged, never silent."""

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Protocol

import structlog
import trio
from msgspec import Struct

from interhuman2mqtt.events import ActiveSignal
from interhuman2mqtt.runtime.log import RateLimitedLogger


class MessageKind(StrEnum):
    """Ways in which a message waits for the broker."""

    EVENT = "event"
    """Keeps its place in the order, outlives the daemon, and is repeated until the broker has it."""
    STATE = "state"
    """Gives way to a newer one of its topic; each start publishes all of them anew."""
    ANSWER = "answer"
    """To a request: keeps its place among the events, does not outlive the daemon, and is not repeated once the
    connection that it was sent through is lost."""


class Message(Struct, frozen=True, kw_only=True):
    """One MQTT message, QoS 1, with everything about it that goes to the broker."""

    topic: str
    payload: bytes
    """JSON, or a JPEG; empty where a retained topic is to be cleared."""
    kind: MessageKind
    retain: bool
    camera: str | None = None
    """It keeps its order among those of this camera; None: among the bridge's own."""
    expiry: int | None = None
    """Seconds after which nobody needs it any more (MQTT 5, 3.3.2.3.3); None: never."""
    properties: tuple[tuple[str, str], ...] = ()
    """MQTT 5 user properties."""
    content_type: str = "application/json"
    """MQTT 5 content type; what is neither JSON nor other text is published as bytes of no known format."""
    correlation: bytes | None = None
    """MQTT 5 correlation data: of an answer, the request's."""
    throttled: bool = False
    """A state that may change many times a second; it is published less often (`publisher.TopicThrottle`)."""
    active: tuple[ActiveSignal, ...] | None = None
    """The signals of its camera that are active from then on, so that a later life can end them; None: as before."""


LOG_EVERY_S = 60.0
"""Seconds between two log lines about the same rule."""

log = structlog.get_logger()


class DropReason(StrEnum):
    """Rules by which a message is dropped: the same word on `bridge/health`, in metrics and in logs."""

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


class DropReporter(Protocol):
    """Takes every message that is dropped, with one sentence for people."""

    def report(self, message: Message | None, reason: DropReason, detail: str, /) -> None:
        """Report a message that was dropped; None where its content is lost."""


class DropLog:
    """Counts the messages dropped, and logs them: the first at once, then once a minute with their number."""

    def __init__(self, clock: Callable[[], float] = trio.current_time) -> None:
        self._log_limit = RateLimitedLogger(log, LOG_EVERY_S, clock)

    @property
    def counts(self) -> Mapping[str, int]:
        """Messages dropped, by the rule's name."""
        return self._log_limit.counts

    def report(self, message: Message | None, reason: DropReason, detail: str, /) -> None:
        """Count and log a message that was dropped; None where its content is lost."""
        if count := self._log_limit.count(reason.value):
            total = self.counts[reason.value]
            topic = None if message is None else message.topic
            log.warning("messages dropped", rule=reason.value, count=count, total=total, topic=topic, detail=detail)
