"""A broker that has no room for the moment: all waits for seconds, in order, and nothing is parked or forgotten."""

from collections.abc import Callable

import pytest
import trio
from trio.testing import MockClock

from interhuman2mqtt.publish.mqtt import acks, throttle
from interhuman2mqtt.publish.mqtt.throttle import ONE_AT_A_TIME_S, Throttle
from publish.helpers import Bench, Script, a_state_message, an_event_message, answer, peer, running, until

WELCOME_5 = bytes.fromhex("20 03 00 00 00")
IMPLEMENTATION_SPECIFIC, NOT_AUTHORIZED, QUOTA_EXCEEDED = 0x83, 0x87, 0x97
STATE = "interhuman/lobby-1/bridge/state"


class Peer:
    """A broker of MQTT 5 that answers each PUBLISH by its topic and by how many came before it."""

    def __init__(self, code: Callable[[str, int], int]) -> None:
        self.taken: list[tuple[str, bytes]] = []
        self.came = 0
        self.script: Script = answer(WELCOME_5, then=self._serve)
        self._code = code

    @property
    def topics(self) -> list[str]:
        """Where it took something, in the order in which it did."""
        return [topic.removeprefix("interhuman/lobby-1/") for topic, _ in self.taken]

    async def _serve(self, stream: trio.SocketStream) -> None:
        rest = b""
        async for data in stream:
            rest += data
            while len(rest) > 3 and len(rest) >= 3 + (size := rest[1] & 0x7F | rest[2] << 7):
                await stream.send_all(self._answer(rest[3 : 3 + size]))
                rest = rest[3 + size :]

    def _answer(self, body: bytes) -> bytes:
        end = 2 + int.from_bytes(body[:2])
        topic, mid = body[2:end].decode(), body[end : end + 2]
        code = self._code(topic, self.came)
        self.came += 1
        if code == 0:
            self.taken.append((topic, body[-200:]))
        return b"\x40\x03" + mid + bytes([code])


def states_and_events(bench: Bench) -> list[str]:
    """What is published, by the ends of the topics, in the order in which it is to arrive at last."""
    for n in range(3):
        bench.publisher.publish(a_state_message(f"cam{n}/status", "x" * 200))
    for n in range(5):
        bench.publisher.publish(an_event_message(f"cam{n % 3}", n, b"x" * 200))
    return [*(f"cam{n}/status" for n in range(3)), "bridge/state", *(f"cam{n % 3}/event/x" for n in range(5))]


async def test_a_quota_that_is_spent_for_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """While all is answered by `quota exceeded` it waits; then states, `online` and events arrive, in order."""
    monkeypatch.setattr(throttle, "FIRST_S", 0.001)
    monkeypatch.setattr(acks, "UNCLEAR_S", 0.0)
    broker = Peer(lambda _, before: QUOTA_EXCEEDED if before < 12 else 0)
    async with peer(broker.script) as url:
        bench = Bench(url, mqtt={"protocol": "5"})
        wanted = states_and_events(bench)
        async with running(bench):
            await until(lambda: bench.outbox.depth.rows == 0)
    assert broker.topics == wanted
    assert (bench.dropped, bench.outbox.depth.parked) == ([], 0)


@pytest.mark.parametrize("code", [QUOTA_EXCEEDED, NOT_AUTHORIZED])
async def test_online_that_is_refused_is_said_again(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """`online` that was refused, by a quota or by an ACL for a moment, is said again on the same connection, once."""
    monkeypatch.setattr(throttle, "FIRST_S", 0.001)
    refused: list[str] = []

    def once(topic: str, _: int) -> int:
        if topic != STATE or refused:
            return 0
        refused.append(topic)
        return code

    broker = Peer(once)
    async with peer(broker.script) as url:
        bench = Bench(url, mqtt={"protocol": "5"})
        states_and_events(bench)
        async with running(bench):
            await until(lambda: len(broker.taken) >= 8)
            bench.now += 10.0
            bench.publisher.publish(an_event_message("cam1", 9, b"x" * 200))
            await until(lambda: "bridge/state" in broker.topics and bench.outbox.depth.rows == 0)
    assert broker.topics.count("bridge/state") == 1
    assert bench.dropped == []


async def test_an_unclear_code_that_means_one_topic(monkeypatch: pytest.MonkeyPatch) -> None:
    """An implementation specific error for one topic alone holds the others up for a while, once, and parks it."""
    monkeypatch.setattr(throttle, "FIRST_S", 0.001)
    monkeypatch.setattr(acks, "UNCLEAR_S", 0.01)
    broker = Peer(lambda topic, _: IMPLEMENTATION_SPECIFIC if "cam1/event" in topic else 0)
    async with peer(broker.script) as url:
        bench = Bench(url, mqtt={"protocol": "5"})
        wanted = states_and_events(bench)
        async with running(bench):
            await until(lambda: bench.outbox.depth.rows == bench.outbox.depth.parked == 2)
            asked = broker.came
            bench.now += 10.0
            bench.publisher.publish(an_event_message("cam0", 9, b"x" * 200))
            await until(lambda: broker.topics.count("cam0/event/x") == 3)
            assert broker.came <= asked + 2
    assert broker.topics[:-1] == [topic for topic in wanted if topic != "cam1/event/x"]
    assert bench.dropped == []


async def test_how_long_it_waits(autojump_clock: MockClock) -> None:
    """1 s, doubled to a minute; one that is taken forgets the pause, and a minute without refusal the care."""
    throttle = Throttle()
    assert trio.current_time() >= throttle.active_until
    pauses = []
    for _ in range(8):
        began = trio.current_time()
        throttle.refused()
        throttle.refused()  # of the same flight
        await throttle.wait()
        pauses.append(trio.current_time() - began)
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]
    throttle.accepted()
    throttle.refused()
    assert (throttle.delay, throttle.active_until) == (1.0, trio.current_time() + ONE_AT_A_TIME_S)
