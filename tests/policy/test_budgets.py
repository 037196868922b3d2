"""Budgets: counted before it leaves, kept through crashes, and in doubt spent."""

import errno
import json
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import structlog
import trio
from hypothesis import given
from hypothesis import strategies as st

from interhuman2mqtt.errors import Outage, Reason
from interhuman2mqtt.policy.budgets import Budgets
from interhuman2mqtt.policy.meter import RETRY_S, SLICE_S
from interhuman2mqtt.runtime.blocking import Blocking
from policy.helpers import NOON, InlineBlocking, Result, Wall, opened
from support.processes import PATIENCE_S

BROKEN = OSError(errno.EROFS, "Read-only file system", "/state/budget.json")


@pytest.fixture
def wall() -> Wall:
    return Wall()


@pytest.fixture
def disk() -> InlineBlocking:
    return InlineBlocking()


class Counting(Blocking):
    """A real thread, and how often it was used."""

    calls = 0

    async def run(self, call: Callable[[], Result]) -> Result:
        """What the call returns."""
        self.calls += 1
        return await super().run(call)


def kept(state: Path, wall: Wall) -> dict[str, float]:
    """What the disk says of the day."""
    return dict(json.loads((state / "budget.json").read_text())["days"].get(wall.at.date().isoformat(), {}))


async def refused(budgets: Budgets, camera: str = "front", seconds: float = 2.0) -> str:
    """The sentence with which a chunk is refused."""
    with pytest.raises(Outage) as caught:
        await budgets.charge(camera, seconds)
    assert caught.value.reason is Reason.OVER_BUDGET
    assert caught.value.detail == budgets.why(camera)
    return caught.value.detail


async def test_it_is_on_the_disk_before_it_leaves(tmp_path: Path, wall: Wall, disk: InlineBlocking) -> None:
    """Whenever a chunk is handed out, the disk says at least so much, of the camera and of the box."""
    budgets = await opened(tmp_path, wall, disk, box=1000.0, front=600.0)
    for chunk in range(1, 100):
        await budgets.charge("front", 2.0)
        assert kept(tmp_path, wall)["front"] >= 2.0 * chunk
        assert kept(tmp_path, wall)["all"] >= 2.0 * chunk
    assert kept(tmp_path, wall)["front"] <= 198 + SLICE_S


async def test_the_disk_is_spared(tmp_path: Path, wall: Wall, disk: InlineBlocking) -> None:
    """Twenty cameras that stream for a minute write some times, not once for each chunk of each camera."""
    cameras = {f"c{n}": 3600.0 for n in range(20)}
    budgets = await opened(tmp_path, wall, disk, **cameras)
    disk.calls = 0
    for _ in range(30):
        for camera in cameras:
            await budgets.charge(camera, 2.0)
    assert disk.calls <= 30


async def test_side_by_side(tmp_path: Path, wall: Wall) -> None:
    """Cameras that are charged at the same moment wait for one write, not each for its own."""
    disk = Counting(5.0)
    cameras = {f"c{n}": 3600.0 for n in range(20)}
    budgets = await opened(tmp_path, wall, disk, **cameras)
    disk.calls = 0
    async with trio.open_nursery() as nursery:
        for camera in cameras:
            nursery.start_soon(budgets.charge, camera, 2.0)
    assert disk.calls <= 3
    assert all(kept(tmp_path, wall)[camera] >= 2.0 for camera in cameras)


async def test_enforced(tmp_path: Path, wall: Wall, disk: InlineBlocking) -> None:
    """Not a second more than the budget is handed out, and what is too short for a chunk is given up."""
    budgets = await opened(tmp_path, wall, disk, front=9.0)
    for _ in range(4):
        await budgets.charge("front", 2.0)
    assert budgets.why("front") is None
    assert await refused(budgets) == "its budget of 9s for 2026-11-24 is spent: it streams again on the next day"
    await refused(budgets, seconds=0.5)
    assert budgets.as_health()["cameras"]["front"] == {"used": 9.0, "per_day": 9.0, "warned": True}
    wall.turn(days=1)
    await budgets.charge("front", 2.0)


async def test_the_box(tmp_path: Path, wall: Wall, disk: InlineBlocking) -> None:
    """The budget of the box is that of all its cameras together, those without one of their own included."""
    budgets = await opened(tmp_path, wall, disk, box=10.0, front=100.0)
    for camera in ("front", "back", "front", "back", "back"):
        await budgets.charge(camera, 2.0)
    sentence = "the box's budget of 10s for 2026-11-24 is spent: it streams again on the next day"
    assert await refused(budgets) == await refused(budgets, "back") == sentence
    assert budgets.as_health() == {
        "day": "2026-11-24",
        "box": {"used": 10.0, "per_day": 10.0, "warned": True},
        "cameras": {
            "back": {"used": 6.0, "per_day": None, "warned": False},
            "front": {"used": 4.0, "per_day": 100.0, "warned": False},
        },
        "warnings": 1,
        "trouble": None,
    }


async def test_without_a_budget_nothing_is_written(tmp_path: Path, wall: Wall, disk: InlineBlocking) -> None:
    """A camera without a budget is counted, and stopped by nothing that happens to the disk."""
    budgets = await opened(tmp_path, wall, disk)
    disk.calls, disk.error = 0, BROKEN
    await budgets.charge("front", 2.0)
    assert (budgets.is_budgeted("front"), budgets.why("front"), disk.calls) == (False, None, 0)
    assert budgets.as_health()["cameras"]["front"]["used"] == 2.0


async def test_warned_of_once_a_day(tmp_path: Path, wall: Wall, disk: InlineBlocking) -> None:
    """At four fifths of a budget one line is logged, and counted; the next day again."""
    budgets = await opened(tmp_path, wall, disk, box=20.0, front=10.0)
    with structlog.testing.capture_logs() as lines:
        for _ in range(3):
            await budgets.charge("front", 2.0)
        assert lines == []
        for camera in ("front", "front", *["back"] * 5):
            await budgets.charge(camera, 2.0)
        assert [(line["of"], line["used"], line["per_day"]) for line in lines] == [
            ("front", "8s", "10s"),
            ("the box", "16s", "20s"),
        ]
        wall.turn(days=1)
        for _ in range(5):
            await budgets.charge("front", 2.0)
    assert budgets.warnings == len(lines) == 3


async def test_an_orderly_end_writes_what_was_used(tmp_path: Path, wall: Wall, disk: InlineBlocking) -> None:
    """What was written ahead is given back, and the next life goes on from there."""
    budgets = await opened(tmp_path, wall, disk, box=100.0, front=100.0)
    await budgets.charge("front", 2.0)
    await budgets.meter.close()
    assert kept(tmp_path, wall) == {"front": 2.0, "all": 2.0}
    again = await opened(tmp_path, wall, disk, front=100.0)
    assert again.as_health()["cameras"]["front"]["used"] == 2.0


async def test_a_crash_loop(tmp_path: Path, wall: Wall, disk: InlineBlocking) -> None:
    """A daemon that crashes after each chunk streams less than its budget, and comes to its end."""
    handed_out = 0.0
    budgets = await opened(tmp_path, wall, disk, front=300.0)
    while budgets.why("front") is None:
        await budgets.charge("front", 2.0)
        handed_out += 2.0
        budgets = await opened(tmp_path, wall, disk, front=300.0)
    assert 0 < handed_out <= 300
    assert "is spent" in await refused(budgets)


async def test_a_disk_that_cannot_be_written(
    tmp_path: Path, wall: Wall, disk: InlineBlocking, autojump_clock: trio.abc.Clock
) -> None:
    """Budgeted cameras stop, with a sentence that says why, until it can be written again."""
    budgets = await opened(tmp_path, wall, disk, front=3600.0)
    told: list[str | None] = []
    budgets.on_change(lambda: told.append(budgets.why("front")))
    disk.error = BROKEN
    sentence = "what is streamed cannot be counted: /state/budget.json cannot be written: Read-only file system"
    assert await refused(budgets) == sentence
    assert sentence in told
    async with trio.open_nursery() as nursery:
        nursery.start_soon(budgets.meter.run)
        await trio.sleep(3 * RETRY_S)
        assert (budgets.why("front") or "").endswith("Read-only file system")
        disk.error = None
        await trio.sleep(2 * RETRY_S)
        assert budgets.why("front") is None
        assert told[-1:] == [None]
        await budgets.charge("front", 2.0)
        nursery.cancel_scope.cancel()


async def test_it_cannot_be_written_from_the_start(tmp_path: Path, wall: Wall) -> None:
    """That it cannot be counted is known before anything streams."""
    (tmp_path / "budget.json.new").mkdir()  # where the draft would be
    budgets = await opened(tmp_path, wall, Blocking(5.0), front=3600.0)
    assert (budgets.why("front") or "").endswith("/budget.json.new cannot be written: Is a directory")


async def test_it_cannot_be_read(tmp_path: Path, wall: Wall, disk: InlineBlocking) -> None:
    """A file that cannot be read is not taken for an empty one."""
    (tmp_path / "budget.json").mkdir()
    budgets = await opened(tmp_path, wall, disk, front=3600.0)
    assert (budgets.why("front") or "").endswith("/budget.json cannot be read: Is a directory")


async def test_a_disk_that_hangs(tmp_path: Path, wall: Wall, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that does not answer counts as one that cannot be written, and blocks nobody else."""
    budgets = await opened(tmp_path, wall, Blocking(0.2), front=3600.0)
    answer = threading.Event()
    monkeypatch.setattr(budgets.meter._file, "save", lambda _: answer.wait(30))
    try:
        with trio.fail_after(PATIENCE_S):
            assert (await refused(budgets)).endswith("budget.json cannot be written: no answer within 0.2 s")
    finally:
        answer.set()


DAMAGES = [
    *(b"", b"{", b"null", b'{"schema":1,"day":"2026-11-24","days":{"2026-11-24":{"front":-1}}}', b"\xff" * 999),
    b'{"more":' + b"[" * 100_000,
]


@pytest.mark.parametrize("content", DAMAGES, ids=["empty", "half", "null", "negative", "rubbish", "deep"])
async def test_a_damaged_file(content: bytes, tmp_path: Path, wall: Wall, disk: InlineBlocking) -> None:
    """It is quarantined and the day counts as spent, through restarts, until the next day."""
    (tmp_path / "budget.json").write_bytes(content)
    aside = tmp_path / "budget.json.damaged-2026-11-24"
    budgets = await opened(tmp_path, wall, disk, front=3600.0)
    for _ in range(2):
        assert aside.read_bytes() == content
        assert await refused(budgets) == (
            f"{aside} could not be read, so today counts as spent, until tomorrow or until that is moved away"
        )
        budgets = await opened(tmp_path, wall, disk, front=3600.0)
    wall.turn(days=1)
    await budgets.meter.open()
    await budgets.charge("front", 2.0)
    assert aside.exists()


async def test_somebody_removes_the_damaged_file(
    tmp_path: Path, wall: Wall, disk: InlineBlocking, autojump_clock: trio.abc.Clock
) -> None:
    """A person who removes it has decided that the day begins anew, and need not restart anything."""
    (tmp_path / "budget.json").write_bytes(b"{")
    budgets = await opened(tmp_path, wall, disk, front=3600.0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(budgets.meter.run)
        await trio.sleep(2 * RETRY_S)
        assert budgets.why("front")
        (tmp_path / "budget.json.damaged-2026-11-24").unlink()
        await trio.sleep(2 * RETRY_S)
        assert budgets.why("front") is None
        nursery.cancel_scope.cancel()


async def test_a_downgrade_and_the_upgrade_after_it(tmp_path: Path, wall: Wall, disk: InlineBlocking) -> None:
    """A file of a newer version is set aside whole, the day counts as spent, and the upgrade counts both together."""
    file = tmp_path / "budget.json"
    budgets = await opened(tmp_path, wall, disk, front=3600.0)
    await budgets.charge("front", 50.0)
    await budgets.meter.close()
    newer = file.read_bytes().replace(b'"schema":1', b'"schema":2,"by_hour":{}')
    file.write_bytes(newer)
    budgets = await opened(tmp_path, wall, disk, front=3600.0)
    aside = tmp_path / "budget.json.newer-2-2026-11-24"
    assert aside.read_bytes() == newer
    assert await refused(budgets) == (
        f"{aside} could not be read, so today counts as spent, until tomorrow or until that is moved away"
    )
    wall.turn(days=1)
    await budgets.meter.open()
    await budgets.charge("front", 2.0)
    await budgets.meter.close()
    aside.unlink()
    (tmp_path / "budget.json.newer-1-2026-11-24").write_bytes(newer.replace(b'"schema":2,"by_hour":{}', b'"schema":1'))
    budgets = await opened(tmp_path, wall, disk, front=3600.0)
    assert budgets.meter.usage.used("front") == 2.0
    assert budgets.meter.usage.turn(wall().date() - timedelta(days=1)).used("front") == 52.0
    assert [found.name for found in tmp_path.iterdir()] == ["budget.json"]  # noqa: ASYNC240 - a folder in memory


async def test_what_was_set_aside_is_damaged(tmp_path: Path, wall: Wall, disk: InlineBlocking) -> None:
    """It is quarantined, and the day counts as spent."""
    (tmp_path / "budget.json.newer-1-2026-11-20").write_bytes(b'{"schema": 1}')
    budgets = await opened(tmp_path, wall, disk, front=3600.0)
    assert "budget.json.newer-1-2026-11-20.damaged-2026-11-24 could not be read" in await refused(budgets)


async def test_a_clock_that_is_unset(tmp_path: Path, disk: InlineBlocking, autojump_clock: trio.abc.Clock) -> None:
    """While it is, nothing is read or written, so that the day of 1970 takes nothing from the real one's account."""
    wall = Wall()
    budgets = await opened(tmp_path, wall, disk, front=100.0)
    await budgets.charge("front", 50.0)
    await budgets.meter.close()
    unset = Wall(datetime(1970, 1, 1, tzinfo=UTC))
    disk.calls = 0
    budgets = await opened(tmp_path, unset, disk, front=100.0)
    assert (budgets.why("front") or "").endswith("was not read yet")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(budgets.meter.run)
        await trio.sleep(2 * RETRY_S)
        assert disk.calls == 0
        unset.at = wall.at
        await trio.sleep(2 * RETRY_S)
        assert budgets.why("front") is None
        assert budgets.as_health()["cameras"]["front"]["used"] == 50.0
        nursery.cancel_scope.cancel()


async def test_midnight(tmp_path: Path, disk: InlineBlocking) -> None:
    """A day is the box's local one; the new one is on the disk before anything of it leaves."""
    wall = Wall(datetime(2026, 11, 24, 23, 59, 59, tzinfo=UTC))
    budgets = await opened(tmp_path, wall, disk, front=10.0)
    for _ in range(5):
        await budgets.charge("front", 2.0)
    await refused(budgets)
    wall.turn(seconds=1)
    await budgets.charge("front", 2.0)
    assert kept(tmp_path, wall)["front"] >= 2.0
    wall.set(seconds=-2)
    await refused(budgets)


async def test_a_clock_that_is_set_to_another_day(tmp_path: Path, wall: Wall, disk: InlineBlocking) -> None:
    """Setting the clock neither gives a budget anew nor spends another day's: what was used goes with it, and back."""
    budgets = await opened(tmp_path, wall, disk, front=100.0)
    await budgets.charge("front", 60.0)
    for days in (20, -20, -1, 1):
        wall.set(days=days)
        assert budgets.as_health()["cameras"]["front"]["used"] == 60.0
        await refused(budgets, seconds=50.0)
        budgets.limit("front", 100.0)
        budgets.meter.count(budgets.meter.usage.put({"front": 60.0}))  # what was too short for a chunk was given up
    await budgets.charge("front", 30.0)
    wall.turn(days=1)
    assert budgets.as_health()["cameras"]["front"]["used"] == 0.0
    await budgets.charge("front", 90.0)


async def test_a_box_without_a_battery(tmp_path: Path, wall: Wall, disk: InlineBlocking) -> None:
    """What it streams on the day on which it was switched off, until NTP comes, counts for today, and for no other."""
    budgets = await opened(tmp_path, wall, disk, front=100.0)
    await budgets.charge("front", 40.0)
    await budgets.meter.close()
    wall.boottime = 0.0
    budgets = await opened(tmp_path, wall, disk, front=100.0)
    await budgets.charge("front", 50.0)
    wall.turn(seconds=30)
    wall.set(days=3)
    assert budgets.as_health()["cameras"]["front"]["used"] == 50.0
    assert budgets.meter.usage.days[NOON.date()]["front"] == 40.0


Step = tuple[str, Any]
steps = st.lists(
    st.one_of(
        st.tuples(st.just("charge"), st.tuples(st.sampled_from(["front", "back"]), st.floats(0.1, 30.0))),
        st.tuples(st.just("crash"), st.none()),
        st.tuples(st.just("stop"), st.none()),
        st.tuples(st.just("disk"), st.booleans()),
        st.tuples(st.just("turn"), st.sampled_from([1, 24])),
        st.tuples(st.just("set"), st.sampled_from([-25, -24, -1, 1, 24])),
    ),
    max_size=40,
)


@given(steps)
def test_no_day_gets_more_than_its_budget(steps: list[Step]) -> None:
    """Whatever crashes, fails or steps, a day is not exceeded, and the disk never says less than was handed out."""
    with TemporaryDirectory() as folder:
        trio.run(_live, Path(folder), iter(steps))


class Handed:
    """What was handed out, by the day on which that was as the clock is set now; a crash lets each keep its day."""

    def __init__(self, wall: Wall) -> None:
        self._wall = wall
        self._charges: list[tuple[float, str, float]] = []
        self._kept: dict[tuple[date, str], float] = defaultdict(float)

    def out(self, camera: str, seconds: float) -> None:
        """A chunk of a camera."""
        self._charges.append((self._wall.boottime, camera, seconds))

    def crash(self) -> None:
        """Nothing of it moves any more."""
        for at, camera, seconds in self._charges:
            self._kept[self._day(at), camera] += seconds
            self._kept[self._day(at), "all"] += seconds
        self._charges = []

    def today(self, account: str) -> float:
        """Seconds of the present day."""
        today = self._wall.at.date()
        lately = sum(s for at, who, s in self._charges if account in (who, "all") and self._day(at) == today)
        return self._kept[today, account] + lately

    def _day(self, at: float) -> date:
        return (self._wall.at - timedelta(seconds=self._wall.boottime - at)).date()


async def _live(state: Path, steps: Iterator[Step]) -> None:
    wall, disk = Wall(), InlineBlocking()
    limits = {"front": 60.0, "all": 90.0}
    handed = Handed(wall)
    budgets = await opened(state, wall, disk, box=90.0, front=60.0)
    for what, value in steps:
        match what:
            case "charge":
                try:
                    await budgets.charge(*value)
                except Outage:
                    continue
                handed.out(*value)
                for account in limits.keys() & {value[0], "all"}:
                    assert handed.today(account) <= limits[account] + 1e-6
                    assert kept(state, wall)[account] >= handed.today(account) - 1e-6
            case "crash" | "stop":
                if what == "stop":
                    await budgets.meter.close()
                handed.crash()
                budgets = await opened(state, wall, disk, box=90.0, front=60.0)
            case "disk":
                disk.error = None if value else BROKEN
                await budgets.meter.open()
            case "turn":
                wall.turn(hours=value)
            case "set":
                wall.set(hours=value)
