"""Who may stream: told in time, to whom it concerns, and not before it is known."""

import errno
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from interhuman2mqtt import config
from interhuman2mqtt.errors import Outage, Reason
from interhuman2mqtt.policy import policy as module
from interhuman2mqtt.policy.budgets import Budgets
from interhuman2mqtt.policy.decision import ALLOWED
from interhuman2mqtt.policy.meter import Meter
from interhuman2mqtt.policy.pauses import ALL, PauseOrigin, Pauses
from interhuman2mqtt.policy.policy import LOOK_S, UNSEEN_S, Permit, Policy, for_box
from interhuman2mqtt.runtime.blocking import Blocking
from interhuman2mqtt.runtime.watchdog import Heartbeats
from policy.helpers import NOON, InlineBlocking, Wall
from support.disks import read_only
from support.processes import PATIENCE_S


def permit(policy: Policy, camera: str = "front", **keys: Any) -> Permit:
    return Permit(config.CameraConfig(id=camera, name=camera, source="test:", **keys), policy)


def reason(permit: Permit) -> Reason | None:
    assert permit.verdict is not None
    return permit.verdict.reason


@asynccontextmanager
async def looking(
    state: Path, wall: Wall | None = None, blocking: Blocking | None = None, box: float | None = None
) -> AsyncIterator[Policy]:
    """A policy that runs."""
    wall = wall or Wall()
    budgets = Budgets(Meter(state, UTC, now=wall, blocking=InlineBlocking()), box)
    policy = Policy(Pauses(state), budgets, UTC, now=wall, blocking=blocking or InlineBlocking())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(policy.run)
        yield policy
        nursery.cancel_scope.cancel()


async def test_nothing_is_known_at_first(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    """Until the folder was read there is no verdict, and who waits for one waits."""
    policy = Policy(Pauses(tmp_path), Budgets(Meter(tmp_path, UTC), None), UTC)
    with permit(policy) as front:
        assert front.verdict is None
        with trio.move_on_after(60) as waiting:
            await front.wait_other(None)
        assert waiting.cancelled_caught
        policy.see(policy.pauses.read())  # whose folder nobody made
        assert (await front.wait_other(None)).reason is Reason.PAUSED


async def test_a_pause_is_told_within_a_second(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    """To the camera that it concerns, and its end too; the folder was made at the start."""
    async with looking(tmp_path) as policy:
        with permit(policy) as front, permit(policy, "back") as back:
            assert await front.wait_other(None) == ALLOWED
            policy.pauses.pause("front", PauseOrigin.COMMAND)
            with trio.fail_after(1):
                assert (await front.wait_refused()).reason is Reason.PAUSED
                await front.wait_paused()
            assert back.verdict == ALLOWED
            policy.pauses.resume("front")
            with trio.fail_after(1):
                assert await front.wait_other(front.verdict) == ALLOWED


async def test_a_folder_that_does_not_change_is_hardly_read(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    """It is read where something changed, and now and then; schedules are kept all the same."""
    wall, disk = Wall(), InlineBlocking()
    async with looking(tmp_path, wall, disk) as policy:
        with permit(policy, schedule=("00:00-12:01",)) as front:
            assert await front.wait_other(None) == ALLOWED
            before = disk.calls
            await trio.sleep(60)
            assert disk.calls - before <= 60 / UNSEEN_S + 1
            wall.turn(seconds=120)
            with trio.fail_after(1):
                assert (await front.wait_refused()).reason is Reason.OUT_OF_SCHEDULE


async def test_who_looks_now_need_not_wait(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    """A request that has paused a camera is handled in the same moment."""
    async with looking(tmp_path) as policy:
        with permit(policy) as front:
            await front.wait_other(None)
            policy.pauses.pause(None, PauseOrigin.REQUEST)
            await policy.look()
            assert reason(front) is Reason.PAUSED


async def test_a_pause_that_cannot_be_written(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    """It holds at once and for as long as the daemon lives, is reported, written as soon as it can be, and lifted."""
    async with looking(tmp_path) as policy:
        with permit(policy) as front:
            await front.wait_other(None)
            with read_only(tmp_path):
                for camera in ("front", None):
                    outcome = await policy.pause(camera, PauseOrigin.PAUSE_SET)
                    assert outcome.changed == (camera or ALL,)
                    assert "Read-only" in outcome.sentence
                assert reason(front) is Reason.PAUSED
                await trio.sleep(10)
                assert reason(front) is Reason.PAUSED
                assert (await policy.resume(None)).changed == ("front", ALL)
                assert front.verdict == ALLOWED
                await policy.pause("front", PauseOrigin.PAUSE_SET)
            await trio.sleep(2 * LOOK_S)
            assert [*Pauses(tmp_path).read().pauses] == ["front"]
            assert (await policy.resume("front", only_level=True)).changed == ("front",)
            assert front.verdict == ALLOWED


async def test_a_pause_does_not_wait_for_the_disk(tmp_path: Path) -> None:
    """It holds before the disk has answered, and when that takes too long."""
    answer = threading.Event()
    async with looking(tmp_path, blocking=Blocking(0.3)) as policy:
        with permit(policy) as front:
            await front.wait_other(None)
            policy.pauses.pause = lambda *_: answer.wait(30) and None  # type: ignore[method-assign,assignment]
            async with trio.open_nursery() as nursery:
                nursery.start_soon(policy.pause, "front", PauseOrigin.REQUEST)
                await trio.testing.wait_all_tasks_blocked()
                assert reason(front) is Reason.PAUSED
            answer.set()
            assert reason(front) is Reason.PAUSED


async def test_doubt_after_a_start(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    """Where pauses may have been lost all are paused, until the folder can be written or somebody resumes them."""
    (tmp_path / "paused").mkdir()
    with read_only(tmp_path):
        for resumed in (True, False):
            async with looking(tmp_path) as policy:
                with permit(policy) as front:
                    assert "nobody knows whether a pause from before was lost" in (
                        (await front.wait_refused()).detail or ""
                    )
                    assert (await policy.resume("front")).in_force == (ALL,)
                    if resumed:
                        assert (await policy.resume(None)).changed == (ALL,)
                        await trio.sleep(10)
                        assert front.verdict == ALLOWED
    async with looking(tmp_path) as policy:
        with permit(policy) as front:
            assert await front.wait_other(None) == ALLOWED


async def test_a_folder_that_is_lost(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    """While the folder cannot be read all are paused, and when it is back they are not."""
    async with looking(tmp_path) as policy:
        with permit(policy) as front:
            await front.wait_other(None)
            policy.pauses.folder.rename(tmp_path / "elsewhere")
            policy.pauses.folder.touch()
            assert "cannot be read: Not a directory" in ((await front.wait_refused()).detail or "")
            policy.pauses.folder.unlink()
            policy.pauses.folder.mkdir()
            await trio.sleep(2 * LOOK_S)
            assert front.verdict == ALLOWED


async def test_a_folder_that_cannot_be_made(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    """Where there is no state to be kept, all are paused from the start."""
    (tmp_path / "file").touch()
    async with looking(tmp_path / "file") as policy:
        with permit(policy) as front:
            assert (await front.wait_refused()).reason is Reason.PAUSED


async def test_a_folder_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A read that does not end is a doubt, and stops nothing else; no thread is added to the one that hangs."""
    answer = threading.Event()
    async with looking(tmp_path, blocking=Blocking(0.3)) as policy:
        with permit(policy) as front:
            await front.wait_other(None)
            before = threading.active_count()
            monkeypatch.setattr(policy.pauses, "read", lambda: answer.wait(30) and Pauses(tmp_path).read())
            with trio.fail_after(PATIENCE_S):
                assert "no answer within 0.3 s" in ((await front.wait_refused()).detail or "")
                await trio.sleep(1)
                assert threading.active_count() <= before + 1
                answer.set()
                assert await front.wait_other(front.verdict) == ALLOWED


async def test_the_hours(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    """A camera with a schedule is told when its hours begin and end."""
    wall = Wall()
    async with looking(tmp_path, wall) as policy:
        with permit(policy, schedule=("Tue 12:30-13:00",)) as front:
            assert (await front.wait_other(None)).reason is Reason.OUT_OF_SCHEDULE
            wall.turn(minutes=30)
            await trio.sleep(2 * LOOK_S)
            assert front.verdict == ALLOWED
            wall.turn(minutes=30)
            await trio.sleep(2 * LOOK_S)
            assert reason(front) is Reason.OUT_OF_SCHEDULE


async def test_the_clock_is_set(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    """A budgeted camera waits for the clock, and begins once it is right."""
    wall = Wall(datetime(1970, 1, 1, tzinfo=UTC))
    async with looking(tmp_path, wall) as policy:
        with permit(policy, budget=config.Budget(per_day=60.0)) as front:
            assert (await front.wait_other(None)).reason is Reason.CLOCK_UNSET
            wall.at = NOON
            await trio.sleep(10)
            assert front.verdict == ALLOWED


async def test_a_budget_is_told_at_once(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    """The chunk that no longer fits ends the permit of all whom the budget concerns, and the next day gives it back."""
    wall = Wall()
    async with looking(tmp_path, wall, box=5.0) as policy:
        with permit(policy) as front, permit(policy, "back") as back:
            await front.wait_other(None)
            await policy.budgets.charge("front", 4.0)
            with pytest.raises(Outage):
                await policy.budgets.charge("front", 4.0)
            assert reason(front) is reason(back) is Reason.OVER_BUDGET
            wall.turn(days=1)
            await trio.sleep(2 * LOOK_S)
            assert front.verdict == back.verdict == ALLOWED


async def test_a_camera_that_is_gone(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    """It is told nothing any more, and its budget is nobody's."""
    async with looking(tmp_path) as policy:
        with permit(policy, budget=config.Budget(per_day=60.0)) as front:
            await front.wait_other(None)
            assert policy.budgets.is_budgeted("front")
        policy.pauses.pause("front", PauseOrigin.COMMAND)
        await trio.sleep(2 * LOOK_S)
        assert front.verdict == ALLOWED
        assert not policy.budgets.is_budgeted("front")


async def test_nobody_is_woken_for_nothing(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    """The same verdict again is no news."""
    async with looking(tmp_path) as policy:
        with permit(policy, schedule=("Mon 08:00-09:00",)) as front:
            first = await front.wait_other(None)
            with trio.move_on_after(600) as waiting:
                await front.wait_other(first)
            assert waiting.cancelled_caught


async def test_what_cannot_be_made_at_the_start(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    """A disk that answers with errors at the start pauses all, and ends nothing."""
    blocking = InlineBlocking()
    blocking.error = OSError(errno.EIO, "Input/output error")
    async with looking(tmp_path, blocking=blocking) as policy:
        with permit(policy) as front:
            assert "Input/output error" in ((await front.wait_refused()).detail or "")
            blocking.error = None
            policy.pauses.prepare()
            await trio.sleep(2 * LOOK_S)
            assert front.verdict == ALLOWED


async def test_of_a_box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the configuration says of the box holds: its time zone, and its budget for all cameras."""
    monkeypatch.setattr(module, "utc_now", Wall())
    box = config.Box(id="lobby-1", timezone="Europe/Copenhagen", budget=config.Budget(per_day=60.0))
    policy = for_box(box, tmp_path, Heartbeats().of("policy"))
    assert policy._zone == ZoneInfo("Europe/Copenhagen")
    assert policy.budgets.is_budgeted("front")
    assert policy.pauses.folder == tmp_path / "paused"
    await wait_all_tasks_blocked()
    bare = for_box(config.Box(id="lobby-1"), tmp_path, Heartbeats().of("policy"))
    assert (bare._zone, bare.budgets.is_budgeted("front")) == (None, False)
