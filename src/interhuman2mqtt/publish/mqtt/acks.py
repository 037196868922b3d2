"""Handles the broker's answer to a message: done, dropped by a rule, parked, or tried again in a moment."""

from collections.abc import Mapping
from typing import Protocol

import structlog
import trio

from interhuman2mqtt.publish.message import LOG_EVERY_S, DropReason, DropReporter, Message, MessageKind
from interhuman2mqtt.publish.mqtt.throttle import Throttle
from interhuman2mqtt.publish.mqtt.types import Ack
from interhuman2mqtt.publish.outbox import parked
from interhuman2mqtt.publish.outbox.queue import OutboxQueue
from interhuman2mqtt.publish.outbox.rows import Row
from interhuman2mqtt.runtime.log import RateLimitedLogger

TOO_LARGE = 0x95
HOPELESS = frozenset({0x90, TOO_LARGE, 0x99})
"""Topic name invalid, packet too large, payload format invalid: no later attempt will go better.

Any other code of failure in PUBACK (MQTT 5, 3.4.2.1) is about what the broker allows at the moment.
"""
QUOTA = frozenset({0x91, 0x97})
"""Packet identifier in use, quota exceeded: about all that we send, and over in a moment."""
UNCLEAR = frozenset({0x80, 0x83})
"""Unspecified error, implementation specific error: likely the same, but some brokers mean the topic."""
UNCLEAR_S = 10.0
"""Seconds between two attempts beyond which an unclear code is taken to mean the topic."""

log = structlog.get_logger(__name__)


def drop_reason(ack: Ack) -> DropReason:
    """Return the rule by which a hopeless message goes."""
    return DropReason.TOO_LARGE if ack.code == TOO_LARGE else DropReason.BROKER_REFUSED


def refusal(ack: Ack) -> str:
    """Return the broker's words in a sentence."""
    return f"the broker refused it: {ack.text} (code {ack.code:#04x})"


class AckCounter(Protocol):
    """Counts what the broker has."""

    def count(self, message: Message, age: float) -> None:
        """Count a message that was accepted `age` seconds ago."""


class AckHandler:
    """Applies the broker's answers to the outbox.

    Args:
        newest: The newest message of each retained topic: an older one need not be repeated.
        drops: Takes the messages that the broker will never take.
        acked: Counts those that it has.
    """

    def __init__(
        self, outbox: OutboxQueue, newest: Mapping[str, Message], drops: DropReporter, acked: AckCounter
    ) -> None:
        self.throttle = Throttle()
        self.again: dict[str, None] = {}
        """Topics of retained messages without a row that are to be published once more, in this order."""
        self._outbox = outbox
        self._newest = newest
        self._drops = drops
        self._acked = acked
        self._log_limit = RateLimitedLogger(log, LOG_EVERY_S, trio.current_time)

    def handle_row(self, row: Row, message: Message, ack: Ack) -> None:
        """Handle the answer to a row of the outbox, which was sent as `message`."""
        if not ack.refused:
            self.throttle.accepted()
            self._acked.count(message, self._outbox.age(row))
            if self._outbox.done(row):
                log.info("the broker takes it again", topic=message.topic)
        elif self._passes(message, ack):
            self._outbox.put_back(row)
        elif ack.code in HOPELESS or message.kind is MessageKind.ANSWER:
            self._outbox.drop(row, drop_reason(ack), refusal(ack))
        elif self._outbox.park(row) and (count := self._log_limit.count("parked")):
            again_in = self._outbox.parked.retry_delay(message.topic)
            log.warning("topics parked", count=count, topic=message.topic, again_in=again_in, detail=refusal(ack))

    def handle_state(self, message: Message, ack: Ack) -> None:
        """Handle the answer to a retained message that was sent without a row."""
        if not ack.refused:
            self._outbox.acknowledge_state(message)
        elif self._passes(message, ack):
            self.again[message.topic] = None
        elif ack.code in HOPELESS:
            self.drop_state(message, drop_reason(ack), refusal(ack))
        elif self._newest.get(message.topic) is message:
            self._outbox.put(message)  # as a row, which is parked when it is refused too

    def drop_state(self, message: Message, reason: DropReason, detail: str) -> None:
        """Drop a retained message by a rule."""
        self._outbox.withdraw(message)
        self._drops.report(message, reason, detail)

    def quarantine(self, row: Row) -> None:
        """Quarantine a row that seems to break the connection."""
        if self._outbox.quarantine(row):
            _log_quarantine(row.message)

    def quarantine_state(self, message: Message) -> None:
        """Quarantine a retained message that seems to break the connection and has no row: it gets one."""
        if self._outbox.quarantine_state(message):
            _log_quarantine(message)

    def _passes(self, message: Message, ack: Ack) -> bool:
        """Decide whether a refusal is about the moment and not about the message; then all of them wait for a while."""
        is_about_topic = self._outbox.parked.has_topic(message.topic) or self.throttle.delay > UNCLEAR_S
        if ack.code not in QUOTA and (ack.code not in UNCLEAR or is_about_topic):
            return False
        self.throttle.refused()
        if count := self._log_limit.count("throttled"):
            again_in = self.throttle.delay
            log.warning("throttled", count=count, topic=message.topic, again_in=again_in, detail=refusal(ack))
        return True


def _log_quarantine(message: Message) -> None:
    detail = "one connection after the other was lost when it was sent: it is tried again alone, and all others go on"
    again_in = parked.QUARANTINE.first
    log.warning("quarantined", topic=message.topic, bytes=len(message.payload), again_in=again_in, detail=detail)
