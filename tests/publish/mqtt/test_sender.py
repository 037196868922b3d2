"""The publisher: order, accounting, farewells, and what is left when it is cancelled."""

import gc
import json
import signal
import sys
import threading
from collections import defaultdict
from functools import partial
from pathlib import Path

import pytest
import trio

from interhuman2mqtt.errors import Outage
from interhuman2mqtt.publish.topics import LATE_S
from publish.helpers import Bench, a_state_message, an_event_message, cable, login, running, until
from support.mosquitto import Received, mosquitto, subscribed
from support.processes import running as process_running

STATE = "interhuman/lobby-1/bridge/state"

PUBLISHER = """
import sys, trio
from interhuman2mqtt import config
from interhuman2mqtt.publish.message import DropLog
from interhuman2mqtt.publish.outbox.queue import OutboxQueue
from interhuman2mqtt.publish.mqtt.sender import OutboxSender
from interhuman2mqtt.publish.service import BrokerStats
mqtt = config.Mqtt(url=sys.argv[1], client_id="interhuman-lobby-1")
drops = DropLog()

class Printer:
    def broker_changed(self, state):
        print(state.phase.value, flush=True)

publisher = OutboxSender(
    mqtt, box="lobby-1", boot_id="boot-1", outbox=OutboxQueue(config.Outbox(), drops),
    drops=drops, acked=BrokerStats(), observer=Printer(),
)
trio.run(publisher.run_connection)
"""


def words(messages: list[Received]) -> list[str]:
    """What `bridge/state` said."""
    return [json.loads(message.payload)["state"] for message in messages if message.topic == STATE]


async def test_a_killed_process_leaves_its_will(tmp_path: Path) -> None:
    """After kill -9 the broker says `offline` in the name of this boot, retained."""
    async with mosquitto(tmp_path) as broker:
        command = [sys.executable, "-c", PUBLISHER, broker.url]
        async with subscribed(broker) as subscriber, process_running(command) as process:
            await process.wait_line(lambda line: line == "online")
            process.process.send_signal(signal.SIGKILL)
            await subscriber.wait_for(lambda seen: words(seen) == ["online", "offline"])
        async with subscribed(broker) as later:
            will = await later.wait_topic(STATE)
    assert will.retained
    assert json.loads(will.payload) == {"state": "offline", "boot_id": "boot-1", "since": None}


async def test_a_clean_stop_leaves_no_will(tmp_path: Path) -> None:
    """After a clean stop the last retained word is `stopped`, and the broker has been told to forget the will."""
    async with mosquitto(tmp_path) as broker, subscribed(broker) as subscriber:
        bench = Bench(broker.url)
        await bench.run_and_stop()
        await broker.wait_log("Received DISCONNECT from interhuman-lobby-1")
        await broker.wait_log("Client interhuman-lobby-1 disconnected.")
        await Bench(broker.url, mqtt={"base_topic": "other"}).run_and_stop()
        await subscriber.wait_topic("other/lobby-1/bridge/state")
    assert words(subscriber.messages) == ["online", "stopped"]


async def test_what_is_retained_is_said_once_more(tmp_path: Path) -> None:
    """When asked to, all that is retained comes once more, some topics first, and nothing of what was cleared."""
    async with mosquitto(tmp_path) as broker, subscribed(broker) as subscriber:
        bench = Bench(broker.url)
        for name in ("a", "b", "c"):
            bench.publisher.publish(a_state_message(name, "1"))
        bench.publisher.publish(a_state_message("b", ""))
        async with running(bench):
            await subscriber.wait_for(lambda seen: words(seen) == ["online"])
            before = len(subscriber.messages)
            bench.publisher.repeat({"interhuman/lobby-1/c"})
            bench.publisher.publish(an_event_message("front", 1))
            await subscriber.wait_topic("event/x")
        said = [(message.topic.rpartition("/")[2], message.payload) for message in subscriber.messages[before:]]
        assert said[:2] == [("c", b"1"), ("a", b"1")]
        assert said[2][0] == "x"  # and no farewell before it


async def test_cancelling_is_no_clean_stop(tmp_path: Path) -> None:
    """A publisher that is cancelled leaves its will, so that nobody believes it alive."""
    async with mosquitto(tmp_path) as broker, subscribed(broker) as subscriber:
        bench = Bench(broker.url)
        async with running(bench):
            await subscriber.wait_topic(STATE)
        await subscriber.wait_for(lambda seen: words(seen) == ["online", "offline"])


async def test_every_event_arrives_in_order_over_a_line_that_breaks(tmp_path: Path) -> None:
    """Over a line cut twenty times each event arrives, first arrivals in order per camera, and nothing is left."""
    total = 600
    slow = ["max_inflight_messages 5"]
    async with mosquitto(tmp_path, lines=slow) as broker, subscribed(broker) as subscriber, cable(broker) as way:
        bench, cut_amid = Bench(way.url, mqtt={"protocol": "5"}), 0
        for n in range(total):
            bench.publisher.publish(an_event_message(("front", "back", "side")[n % 3], n))
        for cut in range(20):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_run_until_lost, bench)
                await subscriber.wait_for(partial(_at_least, len(subscriber.messages) + cut * 7 % 20))
                cut_amid += bench.outbox.depth.rows > 0
                await until(lambda: way.plugged)
                way.cut()
        await bench.run_and_stop()
        await subscriber.wait_for(lambda seen: words(seen)[-1:] == ["stopped"])
    first: dict[str, list[int]] = defaultdict(list)
    for message in subscriber.messages:
        if message.topic != STATE:
            event = json.loads(message.payload)
            if event["n"] not in first[event["camera"]]:
                first[event["camera"]].append(event["n"])
    assert cut_amid >= 10
    assert sum(map(len, first.values())) == total
    assert all(numbers == sorted(numbers) for numbers in first.values())
    assert bench.outbox.depth.rows == 0
    assert bench.dropped == []


def _at_least(number: int, seen: list[Received]) -> bool:
    return len(seen) >= number


async def _run_until_lost(bench: Bench) -> None:
    with pytest.raises(Outage):
        await bench.publisher.run_connection()


async def test_what_was_acknowledged_is_not_sent_again(tmp_path: Path) -> None:
    """Events that the broker has are not repeated by the next connection; state is."""
    async with mosquitto(tmp_path) as broker, subscribed(broker) as subscriber:
        bench = Bench(broker.url)
        for n in range(50):
            bench.publisher.publish(an_event_message("front", n))
        bench.publisher.publish(a_state_message("front/status", "{}"))
        async with running(bench):
            await until(lambda: bench.outbox.depth.rows == 0)
        await bench.run_and_stop()
        await subscriber.wait_for(lambda seen: words(seen)[-1:] == ["stopped"])
    assert len(subscriber.payloads("event/x")) == 50
    assert len(subscriber.payloads("front/status")) == 2


async def test_online_comes_after_the_newest_state_and_old_state_never_after_it(tmp_path: Path) -> None:
    """A state that changed while there was no broker is published once, in its newest form, before `online`."""
    async with mosquitto(tmp_path) as broker, subscribed(broker) as subscriber:
        bench = Bench(broker.url)
        bench.publisher.publish(an_event_message("front", 1))
        for n in range(5):
            bench.publisher.publish(a_state_message("front/status", str(n)))
        await bench.run_and_stop()
        await subscriber.wait_for(lambda seen: words(seen)[-1:] == ["stopped"])
    assert [message.payload for message in subscriber.messages if message.topic.endswith("status")] == [b"4"]
    assert [message.topic for message in subscriber.messages][:2] == ["interhuman/lobby-1/front/status", STATE]


async def test_an_event_that_waited_is_late_and_expires_sooner(tmp_path: Path) -> None:
    """An event that waited longer than 30 s says so, and has only the rest of its time to live."""
    async with mosquitto(tmp_path) as broker, subscribed(broker) as subscriber:
        bench = Bench(broker.url)
        bench.publisher.publish(an_event_message("front", 1))
        bench.now = LATE_S + 1.5
        bench.publisher.publish(an_event_message("front", 2))
        bench.publisher.publish(a_state_message("front/state/last_event", '{"late":false}'))
        await bench.run_and_stop()
        await subscriber.wait_for(lambda seen: words(seen)[-1:] == ["stopped"])
    late, fresh = (message for message in subscriber.messages if message.topic.endswith("event/x"))
    assert (json.loads(late.payload)["late"], json.loads(fresh.payload)["late"]) == (True, False)
    assert (late.properties["MessageExpiryInterval"], fresh.properties["MessageExpiryInterval"]) == (3569, 3600)
    assert subscriber.payloads("last_event") == [b'{"late":false}']


async def test_a_stop_while_online_ends_the_connection(tmp_path: Path) -> None:
    """`stop` wakes a publisher that waits for something to do, and `run_connection` returns."""
    async with mosquitto(tmp_path) as broker:
        bench = Bench(broker.url)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(bench.publisher.run_connection)
            await until(lambda: "online" in bench.phases)
            bench.publisher.stop(5)
            bench.publisher.publish(an_event_message("front", 1))
            bench.publisher.publish(a_state_message("front/status", "{}"))
            nursery.cancel_scope.deadline = trio.current_time() + 5
    assert bench.outbox.depth.rows == 0
    assert bench.phases[-1] == "stopped"


async def test_a_drain_that_takes_too_long_is_cut_short(tmp_path: Path) -> None:
    """With no time left to drain, `stopped` and DISCONNECT go out all the same; the outbox keeps what is left."""
    async with mosquitto(tmp_path) as broker, subscribed(broker) as subscriber:
        bench = Bench(broker.url)
        for n in range(5000):
            bench.publisher.publish(an_event_message("front", n))
        await bench.run_and_stop(0.0)
        await subscriber.wait_for(lambda seen: words(seen)[-1:] == ["stopped"])
        await broker.wait_log("Received DISCONNECT from interhuman-lobby-1")
    assert bench.outbox.depth.rows > 0


class Footprint:
    """What a process holds: tasks, descriptors, and threads at work."""

    def __init__(self) -> None:
        self.tasks = trio.lowlevel.current_statistics().tasks_living
        self.files = self.open_files()

    @staticmethod
    def open_files() -> int:
        gc.collect()
        return len(list(Path("/proc/self/fd").iterdir()))

    async def assert_unchanged(self) -> None:
        """Nothing was left behind; an abandoned thread may first come to its end."""
        limiter = trio.to_thread.current_default_thread_limiter()
        await until(lambda: limiter.borrowed_tokens == 0)
        await until(lambda: self.open_files() == self.files)
        assert trio.lowlevel.current_statistics().tasks_living == self.tasks
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("paho")]


class CancelAtStep(trio.abc.Instrument):
    """Cancels a scope when the tasks have made so many steps."""

    def __init__(self, scope: trio.CancelScope, steps: int) -> None:
        self._scope = scope
        self._left = steps

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        del task
        self._left -= 1
        if self._left == 0:
            self._scope.cancel()


async def test_cancelled_anywhere_nothing_is_left_behind(tmp_path: Path) -> None:
    """Cancelled at any of its steps, a connection leaves no task, thread or descriptor, and loses no message."""
    async with mosquitto(tmp_path) as broker:
        await Bench(broker.url).run_and_stop()  # the first thread brings descriptors of its own
        await until(lambda: trio.to_thread.current_default_thread_limiter().borrowed_tokens == 0)
        before = Footprint()
        finished = 0
        for steps in range(1, 80):
            bench = Bench(broker.url)
            bench.publisher.publish(an_event_message("front", steps))
            bench.publisher.stop(5)
            with trio.CancelScope() as scope:
                instrument = CancelAtStep(scope, steps)
                trio.lowlevel.add_instrument(instrument)
                try:
                    await bench.publisher.run_connection()
                finally:
                    trio.lowlevel.remove_instrument(instrument)
            finished += not scope.cancelled_caught
            assert bench.outbox.depth.rows <= 1
        await before.assert_unchanged()
    assert 0 < finished < 79


async def test_lost_connections_leave_nothing_behind(tmp_path: Path) -> None:
    """After twenty connections that were lost, refused or came to nothing, all is as before."""
    async with mosquitto(tmp_path, users={"edge": "right"}) as broker:
        bench = Bench(broker.url, mqtt=login(tmp_path, "wrong"))
        with pytest.raises(Outage):
            await bench.publisher.run_connection()
        before = Footprint()
        for _ in range(20):
            with pytest.raises(Outage):
                await bench.publisher.run_connection()
        await before.assert_unchanged()
