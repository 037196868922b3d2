"""Requests, one after the other: who waits for whom, how fast, and what a bug costs."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from structlog.testing import capture_logs
from trio.testing import MockClock, wait_all_tasks_blocked

from interhuman2mqtt.control.dispatcher import BURST, EVERY_S, LOG_EVERY_S, SLOW_MAX, CommandError, RequestDispatcher
from interhuman2mqtt.control.inbox import Inbox
from interhuman2mqtt.control.parser import RequestParser
from interhuman2mqtt.control.requests import ForgetRequest, Level, PauseSet
from interhuman2mqtt.publish.message import Message
from interhuman2mqtt.publish.mqtt.types import IncomingMessage
from interhuman2mqtt.supervisor import BugBudget

TREE = "interhuman/lobby-1"
Do = Callable[[], Awaitable[Any]]


class RecordingHandler:
    """Notes what is asked of it, and does it as `doing` says."""

    def __init__(self) -> None:
        self.asked: list[tuple[object, ...]] = []
        self.doing: dict[str, Do] = {}

    async def _note(self, what: str, *about: object) -> Any:
        self.asked.append((what, *about))
        return await self.doing[what]() if what in self.doing else {"did": what}

    async def pause(self, camera: str | None, *, by_command: bool = False) -> Any:  # noqa: ARG002 - of the protocol
        return await self._note("pause", camera)

    async def resume(self, camera: str | None) -> Any:
        return await self._note("resume", camera)

    async def set_pause(self, level: PauseSet) -> Any:
        return await self._note("set_pause", level)

    async def restart(self, camera: str | None) -> Any:
        return await self._note("restart", camera)

    async def snapshot(self, camera: str | None, *, retain: bool) -> Any:
        return await self._note("snapshot", camera, retain)

    async def forget(self, request: ForgetRequest) -> Any:
        return await self._note("forget", request.camera)

    async def reload(self) -> Any:
        return await self._note("reload")

    async def log_level(self, level: Level) -> Any:
        return await self._note("log_level", level)


class DispatcherBench:
    """A dispatcher, with all that it answered."""

    cameras = ("front", "back")

    def __init__(self, bugs: int = 0) -> None:
        self.inbox = Inbox()
        self.handler = RecordingHandler()
        self.answers: list[Message] = []
        self.births = 0
        self.requests = RequestDispatcher(
            self.inbox,
            RequestParser("interhuman", "lobby-1", birth="homeassistant/status"),
            running=self,
            handler=self.handler,
            publisher=self,
            home_assistant=self,
            bugs=BugBudget(bugs),
        )

    def ask(self, command: str, retained: bool = False, **fields: object) -> None:  # noqa: FBT001, FBT002 - as on the wire
        """A request comes."""
        payload = json.dumps(fields).encode()
        self.inbox.put(IncomingMessage(f"{TREE}/bridge/request/{command}", payload, retained))

    def publish(self, message: Message) -> None:
        self.answers.append(message)

    def handle_birth(self) -> None:
        self.births += 1

    def level(self, camera: str, word: str, *, retained: bool = False) -> None:
        """A level comes."""
        self.inbox.put(IncomingMessage(f"{TREE}/{camera}/pause/set", word.encode(), retained))

    @property
    def replies(self) -> list[dict[str, Any]]:
        """The answers."""
        return [json.loads(answer.payload) for answer in self.answers]


@asynccontextmanager
async def dispatching(bench: DispatcherBench) -> AsyncIterator[None]:
    """Handle the requests while the block runs."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.requests.run)
        yield
        nursery.cancel_scope.cancel()


async def hang() -> None:
    """Do it for ever."""
    await trio.sleep_forever()


async def break_down() -> None:
    """Meet a bug."""
    await trio.lowlevel.checkpoint()
    raise ZeroDivisionError("a bug")


async def test_each_is_obeyed_in_order_and_answered(autojump_clock: MockClock) -> None:
    """Requests are handed to the handler, in the order in which they came, and answered with what came of them."""
    bench = DispatcherBench()
    bench.ask("pause", camera="front")
    bench.ask("resume", transaction=2)
    bench.ask("log_level", level="debug")
    bench.ask("snapshot")
    bench.ask("nonsense")
    async with dispatching(bench):
        await trio.sleep(10)
    assert bench.handler.asked[:3] == [("pause", "front"), ("resume", None), ("log_level", "debug")]
    assert bench.handler.asked[3:] == [("snapshot", None, False)]
    assert [(answer["status"], answer["data"], answer["error"]) for answer in bench.replies] == [
        ("ok", {"did": "pause"}, None),
        ("ok", {"did": "resume"}, None),
        ("ok", {"did": "log_level"}, None),
        ("ok", {"did": "snapshot"}, None),
        ("error", None, 'there is no request "nonsense"'),
    ]
    assert bench.replies[1]["transaction"] == 2
    assert bench.requests.counts == {"obeyed": 4, "refused": 1, "dropped": 0}


async def test_what_takes_long_keeps_nobody_waiting(autojump_clock: MockClock) -> None:
    """A pause is handled while restarts go on; of these only so many at once, and the next is told to come back."""
    bench = DispatcherBench()
    bench.handler.doing["restart"] = hang
    for _ in range(SLOW_MAX + 1):
        bench.ask("restart", camera="front")  # all alike
    bench.ask("pause")
    async with dispatching(bench):
        await trio.sleep(10)
        assert len(bench.handler.asked) == SLOW_MAX + 1
        refusal, paused = bench.replies
    assert "under way" in refusal["error"]
    assert paused["data"] == {"did": "pause"}


async def test_a_restart_makes_room_when_it_is_done(autojump_clock: MockClock) -> None:
    """More restarts than may go on at once are all handled, one after the other."""
    bench = DispatcherBench()
    async with dispatching(bench):
        for _ in range(3 * SLOW_MAX):
            bench.ask("restart")
            await trio.sleep(1)
    assert [answer["status"] for answer in bench.replies] == ["ok"] * 3 * SLOW_MAX


async def test_the_pace_is_bounded(autojump_clock: MockClock) -> None:
    """A burst is handled at once, what comes after it at a steady pace, good requests and bad ones alike."""
    bench = DispatcherBench()
    for n in range(BURST + 20):
        bench.ask("pause" if n % 2 else "nonsense")
    async with dispatching(bench):
        await wait_all_tasks_blocked()
        assert len(bench.replies) == BURST
        await trio.sleep(10 * EVERY_S + EVERY_S / 2)
        assert len(bench.replies) == BURST + 10
        await trio.sleep(1000)
        assert len(bench.replies) == BURST + 20


async def test_levels_are_not_held_back(autojump_clock: MockClock) -> None:
    """A level that comes in a flood of requests is handled within two of them."""
    bench = DispatcherBench()
    async with dispatching(bench):
        for _ in range(BURST + 50):
            bench.ask("nonsense")
        await wait_all_tasks_blocked()
        before = len(bench.replies)
        bench.level("front", "ON")
        await trio.sleep(2 * EVERY_S)
        assert bench.handler.asked == [("set_pause", PauseSet("front", on=True, retained=False))]
        assert len(bench.replies) <= before + 2


async def test_levels_are_obeyed_and_not_answered(autojump_clock: MockClock) -> None:
    """ON and OFF reach the handler with the retained flag; a failure is an error in the log."""

    async def fail() -> None:
        await trio.lowlevel.checkpoint()
        raise CommandError("the disk is full")

    bench = DispatcherBench()
    with capture_logs() as logs:
        async with dispatching(bench):
            bench.level("front", "OFF", retained=True)
            await trio.sleep(1)
            bench.handler.doing["set_pause"] = fail
            bench.level("back", "ON")
            await trio.sleep(1)
    assert bench.handler.asked == [
        ("set_pause", PauseSet("front", on=False, retained=True)),
        ("set_pause", PauseSet("back", on=True, retained=False)),
    ]
    assert bench.answers == []
    assert [(line["camera"], line["detail"]) for line in logs if line["log_level"] == "error"] == [
        ("back", "the disk is full")
    ]
    assert bench.requests.counts["refused"] == 1


async def test_what_is_ignored_is_told_once(autojump_clock: MockClock) -> None:
    """Retained requests and oddities are counted; the log has the first at once and then one line a minute."""
    bench = DispatcherBench()
    with capture_logs() as logs:
        async with dispatching(bench):
            for _ in range(5):
                bench.ask("restart", retained=True)
                await trio.sleep(1)
            bench.level("frunt", "ON")
            bench.level("front", "")
            await trio.sleep(LOG_EVERY_S)
            bench.ask("restart", retained=True)
            await trio.sleep(1)
    assert bench.handler.asked == []
    assert bench.answers == []
    assert [(line["why"], line["count"]) for line in logs] == [("retained", 1), ("odd", 1), ("retained", 5)]
    assert {name: bench.requests.counts[name] for name in ("retained", "odd", "cleared")} == {
        "retained": 6,
        "odd": 1,
        "cleared": 1,
    }


async def test_births_of_home_assistant(autojump_clock: MockClock) -> None:
    """A birth is passed on, is neither a request nor an oddity, and its end is nothing."""
    bench = DispatcherBench()
    for word in (b"online", b"offline", b"online"):
        bench.inbox.put(IncomingMessage("homeassistant/status", word))
    with capture_logs() as logs:
        async with dispatching(bench):
            await trio.sleep(1)
    assert (bench.births, bench.answers, logs) == (2, [], [])
    assert bench.requests.counts == {"obeyed": 0, "refused": 0, "dropped": 0}


async def test_a_bug_costs_its_own_request(autojump_clock: MockClock) -> None:
    """Within the budget a bug is logged with its traceback and answered, and others go on, also those under way."""
    bench = DispatcherBench(bugs=2)
    bench.handler.doing |= {"pause": break_down, "reload": break_down}
    done = trio.Event()
    bench.handler.doing["restart"] = done.wait
    with capture_logs() as logs:
        async with dispatching(bench):
            for command in ("restart", "reload", "pause", "resume"):
                bench.ask(command)
            await trio.sleep(1)
            done.set()
            await trio.sleep(1)
    assert sorted(answer["status"] for answer in bench.replies) == ["error", "error", "ok", "ok"]
    assert [line["exc_info"] for line in logs if line["event"] == "bug"] == [True, True]


@pytest.mark.parametrize("command", ["pause", "reload"])
async def test_a_bug_beyond_the_budget_ends_everything(command: str, autojump_clock: MockClock) -> None:
    """Above the budget the bug is raised, as everywhere."""
    bench = DispatcherBench(bugs=0)
    bench.handler.doing[command] = break_down
    bench.ask(command)
    with pytest.RaisesGroup(ZeroDivisionError):
        await bench.requests.run()


async def test_a_request_is_logged_by_its_name(autojump_clock: MockClock) -> None:
    """The log has the transaction that a request came with, such as that of a room's page, without its controls."""
    bench = DispatcherBench()
    bench.ask("pause", camera="front", transaction="room-1a2b3c4d-9f\u009b31m")
    with capture_logs() as logs:
        async with dispatching(bench):
            await trio.sleep(1)
    assert [line["transaction"] for line in logs if line["event"] == "request"] == ["room-1a2b3c4d-9f\ufffd31m"]


async def test_no_word_of_a_request_is_logged_as_it_is(autojump_clock: MockClock) -> None:
    """Control characters, and words of any length, do not get into the log."""
    bench = DispatcherBench()
    bench.ask("\x1b[31mred" * 2000)
    bench.ask("pause", camera="\x1b[31m\nforged" + "x" * 5000)
    bench.level("\x1b[31m" + "y" * 2000, "ON")
    with capture_logs() as logs:
        async with dispatching(bench):
            await trio.sleep(1)
    assert len(logs) == 3
    for line in logs:
        for value in line.values():
            assert str(value).isprintable()
            assert len(str(value)) < 300
