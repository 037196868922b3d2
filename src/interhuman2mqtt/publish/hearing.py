"""The receiving half of a connection: subscriptions, and what comes by them."""

from collections.abc import Callable, Sequence

import paho.mqtt.client as paho
import structlog
import trio
from paho.mqtt.enums import MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from interhuman2mqtt.publish.broker import Ack
from interhuman2mqtt.publish.client import Client
from interhuman2mqtt.publish.inbox import PAYLOAD_MAX, Incoming
from interhuman2mqtt.publish.losses import Quiet

Take = Callable[[Incoming], None]
"""Is handed each message that comes; must neither wait nor fail."""
log = structlog.get_logger(__name__)
NO_ANSWER = Ack(0x80, "its answer has a code too few")


class Hearing:
    """Subscribes on one client, and hands on what comes."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._take: Take | None = None
        self._longest = PAYLOAD_MAX
        self._answers: dict[int | None, list[Ack] | None] = {}
        """Of those subscriptions whose answer somebody waits for."""
        self._answered = trio.Event()
        self._quiet = Quiet(trio.current_time)
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
            self._take(Incoming(topic=name, payload=None, retained=retained))

    def _on_unreadable(self) -> None:
        if self._take is not None:
            self._take(Incoming(topic="", payload=None))


def reason_string(properties: Properties | None) -> str:
    """The broker's own words for people, in MQTT 5; else nothing."""
    return str(getattr(properties, "ReasonString", ""))


def _incoming(message: paho.MQTTMessage, longest: int) -> Incoming:
    try:
        topic = message.topic
    except UnicodeDecodeError:
        topic = ""
    correlation = getattr(message.properties, "CorrelationData", None)
    return Incoming(
        topic=topic,
        payload=bytes(message.payload) if len(message.payload) <= longest else None,
        retained=message.retain,
        response_topic=getattr(message.properties, "ResponseTopic", None),
        correlation=None if correlation is None else bytes(correlation),
    )
