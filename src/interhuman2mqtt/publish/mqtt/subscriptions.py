"""Subscriptions of one connection, and the messages that come by them."""

from collections.abc import Callable, Sequence

import paho.mqtt.client as paho
import structlog
import trio
from paho.mqtt.enums import MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from interhuman2mqtt.publish.message import LOG_EVERY_S
from interhuman2mqtt.publish.mqtt.paho_client import PahoClient, reason_string
from interhuman2mqtt.publish.mqtt.types import PAYLOAD_MAX, Ack, IncomingMessage
from interhuman2mqtt.runtime.log import RateLimitedLogger
from interhuman2mqtt.runtime.notifier import Notifier

OnMessage = Callable[[IncomingMessage], None]
"""Called with each message that comes; must neither wait nor fail."""
NO_ANSWER = Ack(0x80, "its answer has a code too few")

log = structlog.get_logger(__name__)


class Subscriptions:
    """Subscribes on one client, and passes on the messages that come."""

    def __init__(self, client: PahoClient) -> None:
        self._client = client
        self._receiver: OnMessage | None = None
        self._payload_max = PAYLOAD_MAX
        self._answers: dict[int | None, list[Ack] | None] = {}
        """Of those subscriptions whose answer somebody waits for."""
        self._answered = Notifier()
        self._log_limit = RateLimitedLogger(log, LOG_EVERY_S, trio.current_time)
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_unreadable = self._on_unreadable
        client.on_oversized = self._on_oversized

    async def subscribe(
        self, filters: Sequence[str], on_message: OnMessage, payload_max: int = PAYLOAD_MAX
    ) -> list[Ack]:
        """Subscribe to topic filters, with QoS 1; return the broker's answer to each once SUBACK is there.

        A payload of more than `payload_max` bytes is not kept. What is retained on them comes too, marked as such.
        """
        self._receiver, self._payload_max = on_message, payload_max
        if self._client.protocol == MQTTProtocolVersion.MQTTv5:
            _, mid = self._client.subscribe([(topic, SubscribeOptions(qos=1)) for topic in filters])
        else:
            _, mid = self._client.subscribe([(topic, 1) for topic in filters])
        self._answers[mid] = None
        try:
            while (answers := self._answers[mid]) is None:  # for ever where the connection is gone: its end cancels us
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
        if self._receiver is not None:
            self._receiver(_incoming(message, self._payload_max))

    def _on_oversized(self, topic: bytes, size: int, retained: bool) -> None:  # noqa: FBT001 - as MQTT says it
        name = topic.decode(errors="replace")
        if count := self._log_limit.count("oversized"):
            log.warning("a message is too large for us, and was not read", topic=name, bytes=size, count=count)
        if self._receiver is not None:
            self._receiver(IncomingMessage(topic=name, payload=None, retained=retained))

    def _on_unreadable(self) -> None:
        if self._receiver is not None:
            self._receiver(IncomingMessage(topic="", payload=None))


def _incoming(message: paho.MQTTMessage, payload_max: int) -> IncomingMessage:
    try:
        topic = message.topic
    except UnicodeDecodeError:
        topic = ""
    correlation = getattr(message.properties, "CorrelationData", None)
    return IncomingMessage(
        topic=topic,
        payload=bytes(message.payload) if len(message.payload) <= payload_max else None,
        retained=message.retain,
        response_topic=getattr(message.properties, "ResponseTopic", None),
        correlation=None if correlation is None else bytes(correlation),
    )
