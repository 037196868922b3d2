"""Requests through a real Mosquitto: what reaches the inbox, whatever the broker, the line and other clients do."""

import json
import math
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.lowlevel
from paho.mqtt.exception import MQTTException
from structlog.testing import capture_logs
from trio.testing import MockClock

from interhuman2mqtt.control.inbox import REQUESTS_MAX, Inbox
from interhuman2mqtt.control.parser import RequestParser
from interhuman2mqtt.control.requests import Accepted, Rejected, done
from interhuman2mqtt.errors import Outage, Reason
from interhuman2mqtt.publish.mqtt import subscriber
from interhuman2mqtt.publish.mqtt.paho_client import packet_identifier
from interhuman2mqtt.publish.mqtt.subscriber import Subscriber
from interhuman2mqtt.publish.mqtt.types import PAYLOAD_MAX, Ack, IncomingMessage
from publish.helpers import Bench, OnSubscribe, an_event_message, listen, peer, running, small_broker, until
from support.mosquitto import Broker, PublishingClient, mosquitto, publishing_client, subscribed
from support.netproxy import network
from support.processes import PATIENCE_S

TREE = "interhuman/lobby-1"
RELOAD = f"{TREE}/bridge/request/reload"
LEVEL = f"{TREE}/front/pause/set"
READER = RequestParser("interhuman", "lobby-1")
VERSIONS = pytest.mark.parametrize("protocol", ["5", "3.1.1"])
(PLUGIN,) = Path("/usr/lib").glob("*/mosquitto_dynamic_security.so")
DENYING = {
    "defaultACLAccess": {"publishClientSend": True, "publishClientReceive": True, "subscribe": True},
    "anonymousGroup": "all",
    "groups": [{"groupname": "all", "roles": [{"rolename": "all"}]}],
    "roles": [
        {
            "rolename": "all",
            "acls": [{"acltype": "subscribeLiteral", "topic": f"{TREE}/bridge/request/+", "priority": 1}],
        }
    ],
}
"""Mosquitto's dynamic security: everybody may do everything but subscribe to requests; its ACL file cannot say that."""


class RequestReceiver:
    """A publisher that receives requests, and handles none."""

    def __init__(self, url: str, **mqtt: Any) -> None:
        self.inbox = Inbox()
        self.subscription = Subscriber(READER.filters, self.inbox.put)
        self.bench = Bench(url, mqtt=mqtt, subscriber=self.subscription)

    async def next(self, within: float = PATIENCE_S) -> IncomingMessage:
        """What comes next."""
        with trio.fail_after(within):
            return await self.inbox.wait_next()

    async def answer(self, count: int) -> None:
        """Read and answer requests."""
        for _ in range(count):
            reading = READER.read(await self.next(), ["front"])
            assert isinstance(reading, Accepted | Rejected)
            self.bench.publisher.publish(done(reading.reply) if isinstance(reading, Accepted) else reading.answer)


@asynccontextmanager
async def receiving(
    broker: Broker, receiver: RequestReceiver | None = None, **mqtt: Any
) -> AsyncIterator[tuple[RequestReceiver, PublishingClient]]:
    """A publisher that has subscribed, and somebody who sends requests."""
    receiver = receiver or RequestReceiver(broker.url, **mqtt)
    async with publishing_client(broker) as publisher, running(receiver.bench):
        await until(lambda: all(s.due == math.inf or s.trouble for s in receiver.subscription._filters))
        yield receiver, publisher


async def lose(receiver: RequestReceiver, broker: Broker) -> None:
    """A connection that subscribes, and is lost with the broker."""
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def kill() -> None:
            await broker.wait_log("Sending SUBACK to interhuman-lobby-1")
            await broker.kill()

        with pytest.raises(Outage):
            await receiver.bench.publisher.run_connection()


@VERSIONS
async def test_requests_are_heard(tmp_path: Path, protocol: str) -> None:
    """A request and a level arrive as they were sent, not as retained, by each version of MQTT."""
    async with mosquitto(tmp_path) as broker, receiving(broker, protocol=protocol) as (receiver, publisher):
        await publisher.publish(RELOAD, '{"transaction": 1}')
        assert await receiver.next() == IncomingMessage(RELOAD, b'{"transaction": 1}')
        await publisher.publish(LEVEL, "ON", retain=True)
        assert await receiver.next() == IncomingMessage(LEVEL, b"ON")


async def test_we_subscribe_after_online(tmp_path: Path) -> None:
    """The subscription is asked for when all retained state and `online` are out."""
    async with mosquitto(tmp_path) as broker, receiving(broker):
        ours = [line for line in broker.log if "from interhuman-lobby-1" in line]
    assert "bridge/state" in ours[-3]
    assert all("SUBSCRIBE" in line for line in ours[-2:])


async def test_response_topic_and_correlation_data(tmp_path: Path) -> None:
    """By MQTT 5 the answer goes where the request says, with its correlation data, QoS 1, not retained."""
    async with (
        mosquitto(tmp_path) as broker,
        subscribed(broker, "tools/#") as tool,
        receiving(broker) as (receiver, publisher),
    ):
        await publisher.publish(RELOAD, "", ResponseTopic="tools/7", CorrelationData=b"\x00\xff7")
        await receiver.answer(1)
        answer = await tool.wait_topic("tools/7")
    assert json.loads(answer.payload) == {"status": "ok", "error": None, "data": None}
    assert (answer.qos, answer.retained, answer.properties["CorrelationData"]) == (1, False, "00ff37")
    assert answer.properties["ContentType"] == "application/json"


@VERSIONS
async def test_answers_by_default(tmp_path: Path, protocol: str) -> None:
    """Without a response topic the answer is on bridge/response/<command>, by each version."""
    async with (
        mosquitto(tmp_path) as broker,
        subscribed(broker, f"{TREE}/bridge/response/#") as tool,
        receiving(broker, protocol=protocol) as (receiver, publisher),
    ):
        await publisher.publish(RELOAD, '{"transaction": "a"}')
        await receiver.answer(1)
        answer = await tool.wait_topic("bridge/response/reload")
    assert json.loads(answer.payload)["transaction"] == "a"


async def test_after_an_outage_of_the_broker(tmp_path: Path) -> None:
    """After a restart of the broker requests are received again, and levels retained meanwhile, marked as such."""
    async with mosquitto(tmp_path) as broker:
        receiver = RequestReceiver(broker.url)
        await lose(receiver, broker)
        await broker.start()
        async with publishing_client(broker) as early:
            await early.publish(LEVEL, "ON", retain=True)
            await early.publish(RELOAD, "{}", retain=True)
        async with receiving(broker, receiver) as (_, publisher):
            came = {incoming.topic: incoming for incoming in (await receiver.next(), await receiver.next())}
            assert came == {
                LEVEL: IncomingMessage(LEVEL, b"ON", retained=True),
                RELOAD: IncomingMessage(RELOAD, b"{}", retained=True),
            }
            await publisher.publish(RELOAD)
            assert await receiver.next() == IncomingMessage(RELOAD, b"")


@VERSIONS
async def test_a_large_request(tmp_path: Path, protocol: str) -> None:
    """A payload that is too large is answered, not kept, and neighbours are heard."""
    async with (
        mosquitto(tmp_path) as broker,
        subscribed(broker, f"{TREE}/bridge/response/#") as tool,
        receiving(broker, protocol=protocol) as (receiver, publisher),
    ):
        await publisher.publish(RELOAD, b" " * (PAYLOAD_MAX + 1))
        await publisher.publish(RELOAD, b" " * PAYLOAD_MAX)
        await receiver.answer(2)
        await tool.wait_for(lambda seen: len(seen) == 2)
    refusal, answer = (json.loads(payload) for payload in tool.payloads("reload"))
    assert (refusal["status"], answer["status"]) == ("error", "ok")
    assert "65536 bytes" in refusal["error"]


async def test_a_huge_request_stays_at_the_broker(tmp_path: Path) -> None:
    """By MQTT 5 the broker is told the largest packet that we take, and keeps what is larger."""
    async with mosquitto(tmp_path) as broker, receiving(broker) as (receiver, publisher):
        await publisher.publish(RELOAD, b" " * 300_000)
        await publisher.publish(RELOAD, "{}")
        assert await receiver.next() == IncomingMessage(RELOAD, b"{}")


async def test_a_monster_that_is_retained(tmp_path: Path) -> None:
    """By MQTT 3.1.1 the broker sends whatever is retained: it is let pass, told, and the connection hears the next."""
    async with mosquitto(tmp_path) as broker:
        async with publishing_client(broker) as early:
            await early.publish(LEVEL, b"O" * 3_000_000, retain=True)
        with capture_logs() as logs:
            async with receiving(broker, protocol="3.1.1") as (receiver, publisher):
                assert await receiver.next() == IncomingMessage(LEVEL, None, retained=True)
                await publisher.publish(RELOAD)
                assert await receiver.next() == IncomingMessage(RELOAD, b"")
                await publisher.publish(LEVEL, "ON", retain=True)
                assert await receiver.next() == IncomingMessage(LEVEL, b"ON")
                assert receiver.bench.phases == ["connecting", "online"]
                await until(lambda: sum("Received PUBACK from interhuman-lobby-1" in line for line in broker.log) == 3)
    assert [line["bytes"] for line in logs if "too large" in line["event"]] == [3_000_000 + 2 + len(LEVEL) + 2]


def publish_of(size: int) -> bytes:
    """The head of a PUBLISH of MQTT 3.1.1 at QoS 1 with so many bytes of payload, identifier 7."""
    rest = 2 + len(RELOAD) + 2 + size
    length = bytes(rest >> 7 * n & 0x7F | (0x80 if rest >> 7 * (n + 1) else 0) for n in range(4) if rest >> 7 * n)
    return b"\x32" + length + len(RELOAD).to_bytes(2) + RELOAD.encode() + b"\x00\x07"


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_what_a_monster_costs(protocol: str) -> None:
    """A message of 40 MB costs less than a megabyte, whatever the broker had been asked for, and is acknowledged."""
    acknowledged = bytearray()
    size, piece = 40_000_000, bytes(64 << 10)

    async def send(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(b"\x20\x02\x00\x00" if protocol == "3.1.1" else b"\x20\x03\x00\x00\x00")
        await stream.send_all(publish_of(size))
        for _ in range(size // len(piece)):
            await stream.send_all(piece)
        await stream.send_all(bytes(size % len(piece)))
        async for data in stream:
            acknowledged.extend(data)

    async with peer(send) as url:
        receiver = RequestReceiver(url, protocol=protocol)
        tracemalloc.start()
        try:
            async with running(receiver.bench):
                await until(lambda: b"\x40\x02\x00\x07" in acknowledged)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 1_000_000


async def test_a_monster_of_another_kind() -> None:
    """Nothing but a message may be large: a SUBACK of a megabyte ends the connection at its head, with a sentence."""

    async def send(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(b"\x20\x02\x00\x00\x90\x80\x80\x40" + bytes(1000))
        await listen(stream)

    async with peer(send) as url:
        with pytest.raises(Outage, match=r"sent 1048576 bytes in a packet of type 9, and we take 262144"):
            await RequestReceiver(url, protocol="3.1.1").bench.publisher.run_connection()


@pytest.mark.parametrize("retain", [False, True])
async def test_a_message_that_paho_cannot_read(tmp_path: Path, retain: bool) -> None:  # noqa: FBT001 - pytest's own way
    """U+FEFF in a property, which MQTT allows, costs that message alone: the connection stays and hears the next."""
    async with mosquitto(tmp_path) as broker:
        async with publishing_client(broker) as early:
            await early.publish(LEVEL, "ON", retain=retain, UserProperty=("a", "\ufeff"))
        async with receiving(broker) as (receiver, publisher):
            if not retain:
                await publisher.publish(LEVEL, "ON", UserProperty=("a", "\ufeff"))
            assert await receiver.next() == IncomingMessage("", None)
            await publisher.publish(RELOAD)
            assert await receiver.next() == IncomingMessage(RELOAD, b"")
            await broker.wait_log("Received PUBACK from interhuman-lobby-1 (Mid: 2")
        assert receiver.bench.phases == ["connecting", "online"]
        assert sum("Received PUBACK from interhuman-lobby-1" in line for line in broker.log) == 2


@pytest.mark.parametrize(
    ("command", "packet", "identifier"),
    [
        (0x30, b"", None),
        (0x32, b"\x00\x01t\x00\x07rest", 7),
        (0x33, b"\x00\x00\x12\x34", 0x1234),
    ],
)
def test_the_identifier_of_a_publish(command: int, packet: bytes, identifier: int | None) -> None:
    """It follows the topic, and there is none at QoS 0."""
    assert packet_identifier(command, packet) == identifier


@pytest.mark.parametrize("packet", [b"", b"\x00", b"\x00\x01t\x00", b"\xff\xfft"])
def test_a_publish_without_an_identifier(packet: bytes) -> None:
    """A packet that ends before it is none of MQTT's."""
    with pytest.raises(MQTTException, match="too short"):
        packet_identifier(0x32, packet)


async def test_a_flood_of_requests(tmp_path: Path) -> None:
    """Of 10,000 requests that nobody reads a few wait, and 500 events arrive meanwhile, in order."""
    async with (
        mosquitto(tmp_path, lines=["max_queued_messages 0"]) as broker,
        subscribed(broker, f"{TREE}/front/#") as tool,
        receiving(broker) as (receiver, publisher),
    ):
        sent = [publisher.publish_nowait(RELOAD, str(n)) for n in range(10_000)]
        for n in range(500):
            receiver.bench.publisher.publish(an_event_message("front", n))
            await trio.lowlevel.checkpoint()
        await tool.wait_for(lambda seen: len(seen) == 500, 60)
        await trio.to_thread.run_sync(sent[-1].wait_for_publish, 60)
        await until(lambda: receiver.inbox.dropped == 10_000 - REQUESTS_MAX, 60)
        assert [(await receiver.next()).payload for _ in range(REQUESTS_MAX)] == [
            str(n).encode() for n in range(REQUESTS_MAX)
        ]
    assert tool.payloads("event/x") == [an_event_message("front", n).payload for n in range(500)]
    assert receiver.bench.phases == ["connecting", "online"]


@VERSIONS
async def test_a_subscription_that_the_broker_denies(tmp_path: Path, protocol: str) -> None:
    """A denied subscription is reported in the log and in the broker's state; levels arrive, and publishing goes on."""
    rules = tmp_path / "rules.json"
    rules.write_text(json.dumps(DENYING))
    lines = [f"plugin {PLUGIN}", f"plugin_opt_config_file {rules}"]
    with capture_logs() as logs:
        async with (
            mosquitto(tmp_path, lines=lines) as broker,
            subscribed(broker, f"{TREE}/front/#") as tool,
            receiving(broker, protocol=protocol) as (receiver, publisher),
        ):
            await until(lambda: len(receiver.bench.states) == 3)
            receiver.bench.publisher.publish(an_event_message("front", 1))
            await tool.wait_topic("event/x")
            await publisher.publish(RELOAD)
            await publisher.publish(LEVEL, "ON")
            assert await receiver.next() == IncomingMessage(LEVEL, b"ON")
    assert receiver.bench.phases == ["connecting", "online", "online"]
    detail = receiver.bench.states[-1].detail or ""
    assert f"MQTT {protocol}; {TREE}/bridge/request/+ is not subscribed to: the broker refused" in detail
    assert "mqtt.requests" in detail
    assert [line["detail"] in detail for line in logs if line["event"] == "topics are not subscribed to"] == [True]


def suback(*codes: int) -> OnSubscribe:
    """The answer to a SUBSCRIBE."""
    return lambda identifier, _: bytes([0x90, 2 + len(codes)]) + identifier + bytes(codes)


async def test_a_line_that_breaks_at_each_subscription(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that breaks again and again between SUBSCRIBE and SUBACK: on the next one a retained pause arrives."""
    monkeypatch.setattr(subscriber, "FIRST_S", 0.01)
    breaks = 3

    def cut(connection: int, way: str, data: bytes) -> None:
        if way == "up" and data[:1] == b"\x82" and connection <= breaks:
            net.reset()

    async with mosquitto(tmp_path) as broker, network(broker.port, cut) as net:
        async with publishing_client(broker) as early:
            await early.publish(LEVEL, "ON", retain=True)
        receiver = RequestReceiver(f"mqtt://127.0.0.1:{net.port}")
        for _ in range(breaks):
            with pytest.raises(Outage):
                await receiver.bench.publisher.run_connection()
        async with running(receiver.bench):
            assert await receiver.next() == IncomingMessage(LEVEL, b"ON", retained=True)
            await until(lambda: receiver.subscription.trouble is None)
    assert "in a row ended when we subscribed" in repr(receiver.bench.states)


async def test_a_broker_that_hangs_up_on_a_subscription() -> None:
    """Who closes at one SUBSCRIBE is asked for the others all the same, published to, and after SUBACK forgiven."""
    asked: list[str] = []

    def hang_up(identifier: bytes, topic: str) -> bytes | None:
        asked.append(topic)
        return None if "request" in topic else suback(1)(identifier, topic)

    broker = small_broker(hang_up)
    async with peer(broker, broker, broker, small_broker(suback(1))) as url:
        receiver = RequestReceiver(url, protocol="3.1.1")
        for _ in range(subscriber.LOST_IN_A_ROW):
            with pytest.raises(Outage):
                await receiver.bench.publisher.run_connection()
        async with running(receiver.bench):
            await until(lambda: "in a row ended when we subscribed" in (receiver.bench.states[-1].detail or ""))
            receiver.bench.publisher.publish(an_event_message("front", 1))
            await until(lambda: receiver.bench.outbox.depth.rows == 0)
            await until(lambda: len(asked) == 2 * subscriber.LOST_IN_A_ROW + 1)
        assert asked == [*READER.filters * subscriber.LOST_IN_A_ROW, READER.filters[0]]
        assert READER.filters[0] not in (receiver.subscription.trouble or "")
        receiver.subscription._filters[1]._not_before = 0.0  # as if its pause were over
        async with running(receiver.bench):
            await until(
                lambda: receiver.bench.states[-1].detail and "subscribed" not in receiver.bench.states[-1].detail
            )
            await until(lambda: receiver.subscription.trouble is None)


@pytest.mark.parametrize("answer", [lambda *_: b"", suback()])
async def test_a_broker_that_does_not_answer_a_subscription(
    monkeypatch: pytest.MonkeyPatch, answer: OnSubscribe
) -> None:
    """A SUBACK that does not come, or has nothing in it, is reported, and publishing goes on."""
    monkeypatch.setattr(subscriber, "ANSWER_S", 0.1)
    async with peer(small_broker(answer)) as url:
        receiver = RequestReceiver(url, protocol="3.1.1")
        async with running(receiver.bench):
            await until(lambda: "is not subscribed to" in repr(receiver.bench.states))
            receiver.bench.publisher.publish(an_event_message("front", 1))
            await until(lambda: receiver.bench.outbox.depth.rows == 0)


class Stub:
    """A connection whose broker answers each SUBSCRIBE by the next of these; None: it ends instead."""

    def __init__(self, answers: list[int | None]) -> None:
        self.lost: Outage | None = None
        self.subscriptions = self
        self.asked_at: list[float] = []
        self._answers = answers
        self._ends = trio.CancelScope()

    async def subscribe(self, _filters: list[str], _take: object) -> list[Ack]:
        """As a connection does."""
        await trio.lowlevel.checkpoint()
        self.asked_at.append(trio.current_time())
        code = self._answers.pop(0)
        if code is None:
            self.lost = Outage(Reason.BROKER_LOST, "")
            self._ends.cancel()
            await trio.sleep_forever()
        return [Ack(code or 0, "")]

    async def run(self, subscription: Subscriber, seconds: float) -> list[float]:
        """Until it ends, or for so long; returns when it was asked."""
        began = trio.current_time()
        with trio.move_on_after(seconds) as self._ends:
            await subscription.run(self, lambda: None)  # type: ignore[arg-type]
        return [at - began for at in self.asked_at]


async def test_how_often_we_subscribe(autojump_clock: MockClock) -> None:
    """Again after 5 s, doubling to a minute, on one connection; to ten minutes only where that ends connections."""
    subscription = Subscriber(["a"], lambda _: None)
    assert await Stub([0x87] * 7).run(subscription, 190) == [0, 5, 15, 35, 75, 135]
    assert await Stub([0]).run(subscription, 3600) == [0]
    assert subscription.trouble is None
    for _ in range(2):
        assert await Stub([None]).run(subscription, 3600) == [0]
    for pause in 5, 10, 20, 40, 80, 160, 320, 600, 600:
        assert await Stub([None]).run(subscription, 3600) == [pause]
    assert await Stub([0]).run(subscription, 3600) == [600]
    assert await Stub([None]).run(subscription, 3600) == [0]
