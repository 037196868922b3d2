"""Requests, one after the other: who waits for whom, how fast, and what a bug costs."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import trio
from structlog.testing import capture_logs
from trio.testing import MockClock, wait_all_tasks_blocked

from interhuman2mqtt.control.dispatcher import BURST, EVERY_S, LOG_EVERY_S, SLOW_MAX, CommandError, RequestDispatcher
from interhuman2mqtt.control.inbox import Inbox
from interhuman2mqtt.control.parser import RequestParser
from interhuman2mqtt.control.requests import Level, PauseSet
from interhuman2mqtt.publish.mqtt.types import IncomingMessage
from interhuman2mqtt.supervisor import BugBudget

if TYPE_CHECKING:
    from interhuman2mqtt.publish.message import Message

TREE = "interhuman/lobby-1"
Do = Callable[[], Awaitable[Any]]


class Obedient:
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

    async def reload(self) -> Any:
        return await self._note("reload")

    async def log_level(self, level: Level) -> Any:
        return await self._note("log_level", level)


class Desk:
    """Requests at work, with all that they answered."""

    def __init__(self, bugs: int = 0) -> None:
        self.inbox = Inbox()
        self.obedient = Obedient()
        self.answers: list[Message] = []
        self.births = 0
        self.requests = RequestDispatcher(
            self.inbox,
            RequestParser("interhuman", "lobby-1", birth="homeassistant/status"),
            cameras=lambda: ["front", "back"],
            obeys=self.obedient,
            publish=self.answers.append,
            born=self._born,
            bugs=BugBudget(bugs),
        )

    def ask(self, command: str, retained: bool = False, **fields: object) -> None:  # noqa: FBT001, FBT002 - as on the wire
        """A request comes."""
        payload = json.dumps(fields).encode()
        self.inbox.put(IncomingMessage(f"{TREE}/bridge/request/{command}", payload, retained))

    def _born(self) -> None:
        self.births += 1

    def level(self, camera: str, word: str, *, retained: bool = False) -> None:
        """A level comes."""
        self.inbox.put(IncomingMessage(f"{TREE}/{camera}/pause/set", word.encode(), retained))

    @property
    def said(self) -> list[dict[str, Any]]:
        """The answers."""
        return [json.loads(answer.payload) for answer in self.answers]


@asynccontextmanager
async def at_work(desk: Desk) -> AsyncIterator[None]:
    """The requests are obeyed while the block runs."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(desk.requests.run)
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
    """Requests are handed to who obeys, in the order in which they came, and answered with what came of them."""
    desk = Desk()
    desk.ask("pause", camera="front")
    desk.ask("resume", transaction=2)
    desk.ask("log_level", level="debug")
    desk.ask("snapshot")
    desk.ask("nonsense")
    async with at_work(desk):
        await trio.sleep(10)
    assert desk.obedient.asked[:3] == [("pause", "front"), ("resume", None), ("log_level", "debug")]
    assert desk.obedient.asked[3:] == [("snapshot", None, False)]
    assert [(answer["status"], answer["data"], answer["error"]) for answer in desk.said] == [
        ("ok", {"did": "pause"}, None),
        ("ok", {"did": "resume"}, None),
        ("ok", {"did": "log_level"}, None),
        ("ok", {"did": "snapshot"}, None),
        ("error", None, 'there is no request "nonsense"'),
    ]
    assert desk.said[1]["transaction"] == 2
    assert desk.requests.counts == {"obeyed": 4, "refused": 1, "dropped": 0}


async def test_what_takes_long_keeps_nobody_waiting(autojump_clock: MockClock) -> None:
    """A pause is obeyed while restarts go on; of these only so many at once, and the next is told to come back."""
    desk = Desk()
    desk.obedient.doing["restart"] = hang
    for _ in range(SLOW_MAX + 1):
        desk.ask("restart", camera="front")  # all alike
    desk.ask("pause")
    async with at_work(desk):
        await trio.sleep(10)
        assert len(desk.obedient.asked) == SLOW_MAX + 1
        refusal, paused = desk.said
    assert "under way" in refusal["error"]
    assert paused["data"] == {"did": "pause"}


async def test_a_restart_makes_room_when_it_is_done(autojump_clock: MockClock) -> None:
    """More restarts than may go on at once are all obeyed, one after the other."""
    desk = Desk()
    async with at_work(desk):
        for _ in range(3 * SLOW_MAX):
            desk.ask("restart")
            await trio.sleep(1)
    assert [answer["status"] for answer in desk.said] == ["ok"] * 3 * SLOW_MAX


async def test_the_pace_is_bounded(autojump_clock: MockClock) -> None:
    """A burst is obeyed at once, what comes after it at a steady pace, good requests and bad ones alike."""
    desk = Desk()
    for n in range(BURST + 20):
        desk.ask("pause" if n % 2 else "nonsense")
    async with at_work(desk):
        await wait_all_tasks_blocked()
        assert len(desk.said) == BURST
        await trio.sleep(10 * EVERY_S + EVERY_S / 2)
        assert len(desk.said) == BURST + 10
        await trio.sleep(1000)
        assert len(desk.said) == BURST + 20


async def test_levels_are_not_held_back(autojump_clock: MockClock) -> None:
    """A level that comes in a flood of requests is obeyed within two of them."""
    desk = Desk()
    async with at_work(desk):
        for _ in range(BURST + 50):
            desk.ask("nonsense")
        await wait_all_tasks_blocked()
        before = len(desk.said)
        desk.level("front", "ON")
        await trio.sleep(2 * EVERY_S)
        assert desk.obedient.asked == [("set_pause", PauseSet("front", on=True, retained=False))]
        assert len(desk.said) <= before + 2


async def test_levels_are_obeyed_and_not_answered(autojump_clock: MockClock) -> None:
    """ON and OFF reach who obeys with the retained flag; a failure is an error in the log."""

    async def fail() -> None:
        await trio.lowlevel.checkpoint()
        raise CommandError("the disk is full")

    desk = Desk()
    with capture_logs() as logs:
        async with at_work(desk):
            desk.level("front", "OFF", retained=True)
            await trio.sleep(1)
            desk.obedient.doing["set_pause"] = fail
            desk.level("back", "ON")
            await trio.sleep(1)
    assert desk.obedient.asked == [
        ("set_pause", PauseSet("front", on=False, retained=True)),
        ("set_pause", PauseSet("back", on=True, retained=False)),
    ]
    assert desk.answers == []
    assert [(line["camera"], line["detail"]) for line in logs if line["log_level"] == "error"] == [
        ("back", "the disk is full")
    ]
    assert desk.requests.counts["refused"] == 1


async def test_what_is_ignored_is_told_once(autojump_clock: MockClock) -> None:
    """Retained requests and oddities are counted; the log has the first at once and then one line a minute."""
    desk = Desk()
    with capture_logs() as logs:
        async with at_work(desk):
            for _ in range(5):
                desk.ask("restart", retained=True)
                await trio.sleep(1)
            desk.level("frunt", "ON")
            desk.level("front", "")
            await trio.sleep(LOG_EVERY_S)
            desk.ask("restart", retained=True)
            await trio.sleep(1)
    assert desk.obedient.asked == []
    assert desk.answers == []
    assert [(line["why"], line["count"]) for line in logs] == [("retained", 1), ("odd", 1), ("retained", 5)]
    assert {name: desk.requests.counts[name] for name in ("retained", "odd", "cleared")} == {
        "retained": 6,
        "odd": 1,
        "cleared": 1,
    }


async def test_births_of_home_assistant(autojump_clock: MockClock) -> None:
    """A birth is told on, is neither a request nor an oddity, and its end is nothing."""
    desk = Desk()
    for word in (b"online", b"offline", b"online"):
        desk.inbox.put(IncomingMessage("homeassistant/status", word))
    with capture_logs() as logs:
        async with at_work(desk):
            await trio.sleep(1)
    assert (desk.births, desk.answers, logs) == (2, [], [])
    assert desk.requests.counts == {"obeyed": 0, "refused": 0, "dropped": 0}


async def test_a_bug_costs_its_own_request(autojump_clock: MockClock) -> None:
    """Within the budget a bug is logged with its traceback and answered, and others go on, also those under way."""
    desk = Desk(bugs=2)
    desk.obedient.doing |= {"pause": break_down, "reload": break_down}
    done = trio.Event()
    desk.obedient.doing["restart"] = done.wait
    with capture_logs() as logs:
        async with at_work(desk):
            for command in ("restart", "reload", "pause", "resume"):
                desk.ask(command)
            await trio.sleep(1)
            done.set()
            await trio.sleep(1)
    assert sorted(answer["status"] for answer in desk.said) == ["error", "error", "ok", "ok"]
    assert [line["exc_info"] for line in logs if line["event"] == "bug"] == [True, True]


@pytest.mark.parametrize("command", ["pause", "reload"])
async def test_a_bug_beyond_the_budget_ends_everything(command: str, autojump_clock: MockClock) -> None:
    """Above the budget the bug is raised, as everywhere."""
    desk = Desk(bugs=0)
    desk.obedient.doing[command] = break_down
    desk.ask(command)
    with pytest.RaisesGroup(ZeroDivisionError):
        await desk.requests.run()


async def test_no_word_of_a_request_is_logged_as_it_is(autojump_clock: MockClock) -> None:
    """Control characters, and words of any length, do not get into the log."""
    desk = Desk()
    desk.ask("\x1b[31mred" * 2000)
    desk.ask("pause", camera="\x1b[31m\nforged" + "x" * 5000)
    desk.level("\x1b[31m" + "y" * 2000, "ON")
    with capture_logs() as logs:
        async with at_work(desk):
            await trio.sleep(1)
    assert len(logs) == 3
    for line in logs:
        for value in line.values():
            assert str(value).isprintable()
            assert len(str(value)) < 300
