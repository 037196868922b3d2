"""States that change many times a second: how often they are recorder."""

from functools import partial
from pathlib import Path
from typing import Any

import trio
from msgspec import structs

from interhuman2mqtt.publish.message import Message
from interhuman2mqtt.publish.publisher import INTERVAL_S, TopicThrottle
from publish.helpers import Bench, a_state_message
from support.mosquitto import mosquitto, subscribed

TOPIC = "front/state/signals"


def a_busy_state(value: str) -> Message:
    """One that may change many times a second."""
    return structs.replace(a_state_message(TOPIC, value), throttled=True)


class Recorder:
    """Messages that went out, and when."""

    def __init__(self) -> None:
        self.all: list[tuple[float, str]] = []
        self.throttle = TopicThrottle(self)
        self._began = trio.current_time()

    def put(self, message: Message) -> None:
        self.all.append((round(trio.current_time() - self._began, 6), message.payload.decode()))

    def publish(self, *values: str) -> None:
        """Of the same topic."""
        for value in values:
            self.throttle.put(a_busy_state(value))


async def test_of_a_burst_the_first_and_the_last_are_told(autojump_clock: Any) -> None:
    """The first goes out at once, and the newest after the rest; those in between do not."""
    recorder = Recorder()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(recorder.throttle.run)
        recorder.publish("1", "2", "3")
        await trio.sleep(1)
        recorder.publish("4")
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    assert recorder.all == [(0, "1"), (INTERVAL_S, "3"), (1, "4")]


async def test_never_more_often_than_the_rest(autojump_clock: Any) -> None:
    """A thousand changes in a second are eleven messages, the last of them the newest."""
    recorder = Recorder()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(recorder.throttle.run)
        for n in range(1000):
            recorder.publish(str(n))
            await trio.sleep(0.001)
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    assert len(recorder.all) == 11
    assert recorder.all[-1][1] == "999"


async def test_other_states_are_told_at_once(autojump_clock: Any) -> None:
    """One that is not throttled does not wait, and what was held of its topic is overtaken."""
    recorder = Recorder()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(recorder.throttle.run)
        recorder.publish("1", "2")
        recorder.throttle.put(a_state_message(TOPIC, ""))
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    assert recorder.all == [(0, "1"), (0, "")]


async def test_what_is_held_without_a_connection_is_told_by_the_next(tmp_path: Path) -> None:
    """The newest state is all that the broker is told, up to the farewell."""
    async with mosquitto(tmp_path) as broker, subscribed(broker) as subscriber:
        bench = Bench(broker.url)
        for value in "1", "2", "3":
            bench.publisher.publish(a_busy_state(value))
        await bench.run_and_stop()
        await subscriber.wait_for(lambda seen: any(b"stopped" in message.payload for message in seen))
        values = [message.payload for message in subscriber.messages if message.topic.endswith(TOPIC)]
    assert values == [b"3"]


async def test_a_stop_tells_what_is_held(tmp_path: Path) -> None:
    """What was held when the end came goes out before it."""
    async with mosquitto(tmp_path) as broker, subscribed(broker) as subscriber:
        bench = Bench(broker.url)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(bench.publisher.run_connection)
            await subscriber.wait_for(lambda seen: any(b"online" in message.payload for message in seen))
            for value in "1", "2":
                bench.publisher.publish(a_busy_state(value))
            bench.publisher.stop(5)
        await subscriber.wait_for(partial(_ended_with, b"2"))


def _ended_with(payload: bytes, seen: list[Any]) -> bool:
    values = [message.payload for message in seen if message.topic.endswith(TOPIC)]
    return values[-1:] == [payload]
