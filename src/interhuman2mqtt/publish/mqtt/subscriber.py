"""Keeps us subscribed at the broker, on one connection after the other, and says where it does not let us.

Subscribing never costs the publishing. There are brokers that answer a subscription which they do not allow by closing
the connection, and lines that break at any moment; from here both look the same. So each topic filter is asked for by
itself, the most important one first, and has a back-off of its own: what costs the connection is asked for less and
less often, and the others are subscribed to all the same. One SUBACK is enough to forget it all.

The receiving half of a connection: subscriptions, and what comes by them.
"""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import paho.mqtt.client as paho
import structlog
import trio
from paho.mqtt.enums import MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from interhuman2mqtt.control.inbox import PAYLOAD_MAX, IncomingMessage
from interhuman2mqtt.publish.message import RateLimitedLogger
from interhuman2mqtt.publish.mqtt.paho_client import PahoClient
from interhuman2mqtt.publish.mqtt.types import Ack

if TYPE_CHECKING:
    from interhuman2mqtt.publish.mqtt.connection import BrokerConnection

Take = Callable[[IncomingMessage], None]
"""Is handed each message that comes; must neither wait nor fail."""
log = structlog.get_logger(__name__)
NO_ANSWER = Ack(0x80, "its answer has a code too few")


class Subscriptions:
    """Subscribes on one client, and hands on what comes."""

    def __init__(self, client: PahoClient) -> None:
        self._client = client
        self._take: Take | None = None
        self._longest = PAYLOAD_MAX
        self._answers: dict[int | None, list[Ack] | None] = {}
        """Of those subscriptions whose answer somebody waits for."""
        self._answered = trio.Event()
        self._quiet = RateLimitedLogger(trio.current_time)
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_unreadable = self._on_unreadable
        client.on_oversized = self._on_oversized

    async def subscribe(self, filters: Sequence[str], take: Take, longest: int = PAYLOAD_MAX) -> list[Ack]:
        """Subscribe to topic filters, with QoS 1; returns the broker's answer to each once SUBACK is there.

        Of a payload of more than `longest` bytes nothing is kept. What is retained by them comes too, marked as such.
        Whether an answer is a refusal, its `refused` says.
        """
        self._take, self._longest = take, longest
        if self._client.protocol == MQTTProtocolVersion.MQTTv5:
            _, mid = self._client.subscribe([(topic, SubscribeOptions(qos=1)) for topic in filters])
        else:
            _, mid = self._client.subscribe([(topic, 1) for topic in filters])
        self._answers[mid] = None
        try:
            while (answers := self._answers[mid]) is None:  # for ever where the connection is gone: its end cancels us
                self._answered = trio.Event()
                await self._answered.wait()
            return [*answers, *[NO_ANSWER] * len(filters)][: len(filters)]
        finally:
            del self._answers[mid]

    def _on_subscribe(
        self, _c: object, _u: object, mid: int, codes: list[ReasonCode], properties: Properties | None
    ) -> None:
        if mid not in self._answers:
            return  # it came too late
        text = reason_string(properties)
        self._answers[mid] = [Ack(code.value, text or str(code)) for code in codes]
        self._answered.set()

    def _on_message(self, _c: object, _u: object, message: paho.MQTTMessage) -> None:
        if self._take is not None:
            self._take(_incoming(message, self._longest))

    def _on_oversized(self, topic: bytes, size: int, retained: bool) -> None:  # noqa: FBT001 - as MQTT says it
        name = topic.decode(errors="replace")
        if count := self._quiet.count("oversized"):
            log.warning("a message is too large for us, and was not read", topic=name, bytes=size, count=count)
        if self._take is not None:
            self._take(IncomingMessage(topic=name, payload=None, retained=retained))

    def _on_unreadable(self) -> None:
        if self._take is not None:
            self._take(IncomingMessage(topic="", payload=None))


def reason_string(properties: Properties | None) -> str:
    """The broker's own words for people, in MQTT 5; else nothing."""
    return str(getattr(properties, "ReasonString", ""))


def _incoming(message: paho.MQTTMessage, longest: int) -> IncomingMessage:
    try:
        topic = message.topic
    except UnicodeDecodeError:
        topic = ""
    correlation = getattr(message.properties, "CorrelationData", None)
    return IncomingMessage(
        topic=topic,
        payload=bytes(message.payload) if len(message.payload) <= longest else None,
        retained=message.retain,
        response_topic=getattr(message.properties, "ResponseTopic", None),
        correlation=None if correlation is None else bytes(correlation),
    )


FIRST_S = 5.0
"""Seconds from an attempt that failed to the next one on the same connection; doubled each time."""
LONGEST_S = 60.0
"""Seconds between two attempts at most, while the broker refuses or does not answer."""
ENDED_LONGEST_S = 600.0
"""The same while each attempt ends the connection, which costs the publishing too."""
PATIENCE = 2
"""Connections in a row that may end before the SUBACK until the next one waits: the first may have been the line."""
RETAINED_S = 5.0
"""Seconds for the broker to send again what it retains."""
AT_ONCE = 10
"""Topics that are asked for together: fewer than any broker has unacknowledged messages under way."""
FIRST_ROUND_S = 2.0
"""Seconds for which publishing waits for the subscriptions of a new connection."""
ANSWER_S = 30.0
"""Seconds that the broker may take to answer."""

_REMEDY = "allow it to subscribe in the broker's ACL, or switch off what needs it: mqtt.requests, mqtt.discovery"


class Subscriber:
    """Subscribes to topic filters on each connection anew, and again where that fails.

    Args:
        filters: Topic filters, the most important one first.
        take: Is handed what comes by them; must neither wait nor fail.
    """

    def __init__(self, filters: Sequence[str], take: Take) -> None:
        self.trouble: str | None = None
        """What we are not subscribed to and why, in one sentence; None where it is all as it should be."""
        self._subscriptions = [_Subscription(topic) for topic in filters]
        self._take = take
        self._connection: BrokerConnection | None = None
        self._asked_all = trio.Event()
        self._asking = trio.Lock()  # one SUBSCRIBE at a time, so that each waiter sees its own SUBACK

    async def run(self, connection: "BrokerConnection", on_change: Callable[[], None]) -> None:
        """Keep subscribed until the connection ends; `on_change` is called whenever `trouble` is another one."""
        for subscription in self._subscriptions:
            subscription.connected(trio.current_time())
        self._connection = connection
        try:
            while True:
                self._report(on_change)
                next_one = min(self._subscriptions, key=lambda subscription: subscription.due)
                await trio.sleep_until(next_one.due)
                async with self._asking:
                    await next_one.ask(connection, self._take)
                if all(subscription.due > trio.current_time() for subscription in self._subscriptions):
                    self._asked_all.set()
        finally:
            self._connection = None
            self._asked_all = trio.Event()

    async def wait_asked(self) -> None:
        """Wait until each filter was asked for on this connection, be it in vain; `FIRST_ROUND_S` at most.

        Whoever gets an answer of ours may ask again at once, and what is asked before we are subscribed is lost: so
        nothing but `online` goes out before.
        """
        with trio.move_on_after(FIRST_ROUND_S):
            await self._asked_all.wait()

    async def receive_retained(self, topics: Sequence[str]) -> bool:
        """Have the broker send once more what it retains on some of our topics; returns once all of that was taken.

        Returns False where that cannot be known: there is no connection, it ended, or we may not subscribe.
        """
        if self._connection is None or self.trouble is not None:
            return False
        with trio.move_on_after(RETAINED_S):
            async with self._asking:
                for first in range(0, len(topics), AT_ONCE):
                    # The second SUBACK comes after what the first SUBSCRIBE made the broker send.
                    for _ in range(2):
                        await self._connection.hearing.subscribe(topics[first : first + AT_ONCE], self._take)
            return True
        return False

    def _report(self, on_change: Callable[[], None]) -> None:
        troubles = [s.trouble for s in self._subscriptions if s.trouble is not None]
        trouble = "; ".join(troubles) or None
        if trouble == self.trouble:
            return
        self.trouble = trouble
        if trouble is None:
            log.info("subscribed to all topics")
        else:
            log.warning("topics are not subscribed to", detail=trouble)
        on_change()


class _Subscription:
    """One topic filter, and how it went with it."""

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self.trouble: str | None = None
        self.due = -math.inf
        """When to ask for it, on trio's clock; infinite once we are subscribed."""
        self._not_before = -math.inf
        self._endings = 0
        self._failures = 0

    def connected(self, now: float) -> None:
        """There is a new connection, on which we are subscribed to nothing."""
        self._failures = 0
        self.due = max(now, self._not_before)

    async def ask(self, connection: "BrokerConnection", take: Take) -> None:
        """Subscribe on this connection, once."""
        try:
            with trio.move_on_after(ANSWER_S):
                [ack] = await connection.hearing.subscribe([self.topic], take)
                self._endings, self._not_before = 0, -math.inf
                if ack.refused:
                    self._failed(f"the broker refused ({ack.text}, code {ack.code:#04x}): {_REMEDY}")
                else:
                    self.trouble, self.due = None, math.inf
                return
        finally:
            if connection.lost is not None:
                self._ended_connection()
        self._failed(f"the broker did not answer our subscription within {ANSWER_S:g} s")

    def _failed(self, why: str) -> None:
        self.trouble = f"{self.topic} is not subscribed to: {why}"
        self.due = trio.current_time() + _pause(self._failures, LONGEST_S)
        self._failures += 1

    def _ended_connection(self) -> None:
        self._endings += 1
        if self._endings >= PATIENCE:
            self.trouble = (
                f"{self.topic} is not subscribed to: {self._endings} connections in a row ended when we subscribed to "
                f"it: {_REMEDY}"
            )
            self._not_before = trio.current_time() + _pause(self._endings - PATIENCE, ENDED_LONGEST_S)


def _pause(failures: int, longest: float) -> float:
    return min(FIRST_S * 2.0 ** min(failures, 30), longest)
