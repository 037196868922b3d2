"""The gap ledgers of a box, through restarts of the daemon and of the machine, and whatever the wall clock shows."""

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import structlog
from msgspec import UNSET
from trio.testing import MockClock

from cameras.helpers import RecordingPublisher
from interhuman2mqtt.backfill.spools import Spools
from interhuman2mqtt.cameras.coverage import SAVE_S, Coverage, DatedGap
from interhuman2mqtt.cameras.coverage_file import FORMAT, STAMP
from interhuman2mqtt.cameras.gap_events import CameraEvents
from interhuman2mqtt.cameras.gaps import AudioGap
from interhuman2mqtt.cameras.status import StatusTracker
from interhuman2mqtt.errors import Reason
from interhuman2mqtt.events import ActiveSignal, Clock, MediaChunk
from interhuman2mqtt.runtime import format_versions
from support.clocks import NOON, Clocks

DAY_S = 86400.0
CAPTURE = object()


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def dated(start: float, end: float, reason: Reason) -> DatedGap:
    """A gap that began so long after noon."""
    return DatedGap(at(start), at(end), reason, end - start)


class Life:
    """One life of the daemon, as far as it is about coverage.

    Args:
        folder: Where it keeps the file.
        clocks: Of the machine; a life begins with what they show.
    """

    def __init__(self, folder: Path, clocks: Clocks, *cameras: str) -> None:
        self.clocks = clocks
        self.published: list[tuple[str, DatedGap]] = []
        self.coverage = Coverage(
            folder / "coverage.json",
            self,
            clocks.box_clock(),
        )
        self.left = self.coverage.resume(dict.fromkeys(cameras or ("front",)))
        for camera in cameras or ("front",):
            self.coverage.tracker(camera)

    def publish_gap(self, camera: str, gap: DatedGap | AudioGap) -> None:
        """Note a gap."""
        assert isinstance(gap, DatedGap)
        self.published.append((camera, gap))

    def delivers(self, seconds: float, camera: str = "front") -> None:
        """So much media of a camera arrives at the cloud, as it is captured."""
        self.coverage.set_reason(camera, None)
        start = self.clocks.monotonic
        self.clocks.run(seconds)
        chunk = MediaChunk(
            payload=b"",
            media_start=start,
            media_end=start + seconds,
            captured_from=start,
            last=False,
            source_start=start,
            source_end=start + seconds,
        )
        self.coverage.delivered(camera, CAPTURE, chunk)


async def test_a_stop_is_told_at_the_next_start(tmp_path: Path) -> None:
    """The time between an orderly stop and the next start is a gap, reported at once, with its reason."""
    clocks = Clocks()
    first = Life(tmp_path, clocks)
    first.delivers(10)
    first.coverage.set_reason("front", Reason.STOPPED)
    await first.coverage.save()
    clocks.run(60)
    second = Life(tmp_path, clocks)
    assert second.published == [("front", dated(10, 70, Reason.STOPPED))]
    assert second.left == {}


async def test_a_crash_and_a_power_cut(tmp_path: Path) -> None:
    """Without a farewell it was a crash, or a power cut where the machine has been started anew."""
    clocks = Clocks()
    first = Life(tmp_path, clocks)
    first.delivers(10)
    await first.coverage.save()
    clocks.run(60)
    second = Life(tmp_path, clocks)
    assert second.published == [("front", dated(10, 70, Reason.CRASHED))]
    await second.coverage.save()
    clocks.reboot(30)
    third = Life(tmp_path, clocks)
    assert third.published == [("front", dated(70, 100, Reason.POWER_CUT))]
    assert third.coverage.seconds("front") == {
        "live_seconds": 30,
        "delivered_seconds": 0,
        "gap_seconds": 30,
        "lag_seconds": 0,
    }


STEPS = pytest.mark.parametrize(
    "by", [20 * DAY_S, 3600.0, -3600.0, -57 * 365 * DAY_S], ids=["20 d", "1 h", "-1 h", "-57 y"]
)


@STEPS
async def test_a_clock_that_is_set_before_a_crash(by: float, tmp_path: Path) -> None:
    """Within one boot the gap of a crash is exact, whatever was done to the wall clock in a life or between two."""
    clocks = Clocks()
    first = Life(tmp_path, clocks)
    first.delivers(10)
    clocks.step(by)
    first.delivers(10)
    assert first.published == []
    assert first.coverage.seconds("front") == {
        "live_seconds": 20,
        "delivered_seconds": 20,
        "gap_seconds": 0,
        "lag_seconds": 0,
    }
    await first.coverage.save()
    clocks.run(20)
    clocks.step(-2 * by)
    clocks.run(20)
    second = Life(tmp_path, clocks)
    assert second.published == [("front", dated(20 - by, 60 - by, Reason.CRASHED))]


async def test_a_box_without_a_battery(tmp_path: Path) -> None:
    """After a boot the gap is reported once the clock is right, with its length and dates, and not before."""
    clocks = Clocks()
    first = Life(tmp_path, clocks)
    first.delivers(10)
    await first.coverage.save()
    clocks.reboot(0, datetime(1970, 1, 1, 0, 1, tzinfo=UTC), synced=False)
    second = Life(tmp_path, clocks)
    second.delivers(50)
    second.coverage.settle_owed()
    assert second.published == []
    clocks.step((at(3660) - datetime(1970, 1, 1, 0, 1, 50, tzinfo=UTC)).total_seconds())
    second.coverage.settle_owed()
    assert second.published == []
    clocks.synced = True
    second.coverage.settle_owed()
    assert second.published == [("front", dated(10, 3610, Reason.POWER_CUT))]
    second.delivers(10)
    assert second.coverage.seconds("front") == {
        "live_seconds": 3660,
        "delivered_seconds": 60,
        "gap_seconds": 3600,
        "lag_seconds": 0,
    }
    await second.coverage.save()
    assert Life(tmp_path, clocks).published == []


async def test_a_clock_that_never_gets_right(tmp_path: Path) -> None:
    """After ten minutes without a clock the gap is reported without a length, and no event claims to know its dates."""
    clocks = Clocks()
    first = Life(tmp_path, clocks)
    first.delivers(10)
    await first.coverage.save()
    clocks.reboot(0, datetime(1970, 1, 1, tzinfo=UTC), synced=False)
    second = Life(tmp_path, clocks)
    clocks.run(599)
    second.coverage.settle_owed()
    await second.coverage.save()
    assert second.published == []
    third = Life(tmp_path, clocks)  # which crashed meanwhile, and has not forgotten
    clocks.run(1)
    third.coverage.settle_owed()
    unknown = DatedGap(at(10), None, Reason.POWER_CUT, None)
    assert [gap for _, gap in third.published if gap.seconds is None] == [unknown]
    spools = Spools(tmp_path, clocks.box_clock())
    event = CameraEvents("lobby-1", "life", clocks.box_clock(), RecordingPublisher(), spools).gap("front", unknown)
    assert (event.start_at, event.end_at, event.ranges_at, event.clock) == (at(10), None, UNSET, Clock.UNKNOWN)
    assert event.data == {"reason": "power_cut", "seconds": None}


def test_events_are_numbered_by_camera(tmp_path: Path) -> None:
    """No number of a camera is left out for another's event: a subscriber takes that for one that was lost."""
    clocks = Clocks()
    events = CameraEvents("b", "life", clocks.box_clock(), RecordingPublisher(), Spools(tmp_path, clocks.box_clock()))
    gap = DatedGap(at(10), None, Reason.POWER_CUT, None)
    ids = [events.gap(camera, gap).id for camera in ("front", "door", "front")]
    assert ids == ["b/front/life/1", "b/door/life/1", "b/front/life/2"]


async def test_an_earlier_clock_that_was_not_right(tmp_path: Path) -> None:
    """What a boot left whose clock was never right has no length and no date, and nobody waits for one."""
    clocks = Clocks(datetime(1970, 1, 1, tzinfo=UTC), synced=False)
    first = Life(tmp_path, clocks)
    first.delivers(10)
    first.coverage.set_reason("front", Reason.STOPPED)
    await first.coverage.save()
    clocks.reboot(0, NOON)
    assert Life(tmp_path, clocks).published == [("front", DatedGap(None, None, Reason.STOPPED, None))]


async def test_two_boots_without_a_clock(tmp_path: Path) -> None:
    """What nobody could date before the machine was started once more is reported without a length, and once."""
    clocks = Clocks()
    first = Life(tmp_path, clocks)
    first.delivers(10)
    await first.coverage.save()
    clocks.reboot(0, datetime(1970, 1, 1, tzinfo=UTC), synced=False)
    await Life(tmp_path, clocks).coverage.save()
    clocks.reboot(0, datetime(1970, 1, 1, tzinfo=UTC), synced=False)
    third = Life(tmp_path, clocks)
    await third.coverage.save()
    assert third.published == [
        ("front", DatedGap(at(10), None, Reason.POWER_CUT, None)),
        ("front", DatedGap(None, None, Reason.POWER_CUT, None)),
    ]
    assert Life(tmp_path, clocks).published == []


def test_a_file_of_version_0_1(tmp_path: Path) -> None:
    """A file that knows the wall clock alone is read as it was meant, in its boot and in the next one."""
    content = (
        '{"saved_at":"2026-11-22T12:00:30Z","machine":"boot-1","cameras":{"front":{"until":"2026-11-22T12:00:10Z",'
        '"causes":[["2026-11-22T12:00:12Z","unreachable"]],"active":[{"type":"stress","session":"s1"}],'
        '"sent_at":"2026-11-22T12:00:11Z"}}}'
    )
    for boot, reason in ((1, Reason.CRASHED), (2, Reason.POWER_CUT)):
        clocks = Clocks(at(-1000))
        clocks.boot = boot
        clocks.run(1070)
        (tmp_path / "coverage.json").write_text(content)
        life = Life(tmp_path, clocks)
        assert life.published == [("front", dated(10, 30, Reason.UNREACHABLE)), ("front", dated(30, 70, reason))]
        assert life.left == {"front": (ActiveSignal("stress", "s1"),)}
        assert life.coverage.tracker("front").sent_before == at(11)


async def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    """The file says when people were looked at: it is ours alone, whatever the umask."""
    before = os.umask(0)
    try:
        await Life(tmp_path, Clocks()).coverage.save()
    finally:
        os.umask(before)
    assert (tmp_path / "coverage.json").stat().st_mode & 0o777 == 0o600


async def test_when_the_last_media_left_is_remembered(tmp_path: Path) -> None:
    """A camera that is paused through a restart still tells when the last byte of it left the box."""
    clocks = Clocks()
    first = Life(tmp_path, clocks)
    first.delivers(10)
    first.coverage.tracker("front").sent = 11
    await first.coverage.save()
    clocks.run(60)
    assert last_media(Life(tmp_path, clocks)) == at(11)
    clocks.reboot(0, datetime(1970, 1, 1, tzinfo=UTC), synced=False)
    second = Life(tmp_path, clocks)
    clocks.step(1e9)
    assert last_media(second) == at(11)


def last_media(life: Life) -> datetime | None:
    """When the last media of the camera left, by its status."""
    published = RecordingPublisher()
    StatusTracker("front", published, life.coverage.tracker("front"), life.clocks.box_clock())
    return published.statuses[0].last_media_at


async def test_what_was_wrong_before_a_crash(tmp_path: Path) -> None:
    """What had been known before the crash is reported with its own reason."""
    clocks = Clocks()
    first = Life(tmp_path, clocks)
    first.delivers(10)
    clocks.run(2)
    first.coverage.set_reason("front", Reason.UNREACHABLE)
    clocks.run(18)
    await first.coverage.save()
    clocks.run(40)
    assert Life(tmp_path, clocks).published == [
        ("front", dated(10, 30, Reason.UNREACHABLE)),
        ("front", dated(30, 70, Reason.CRASHED)),
    ]


def down(clocks: Clocks) -> None:
    clocks.run(60)


def cut(clocks: Clocks) -> None:
    clocks.reboot(60)


def cut_without_a_battery(clocks: Clocks) -> None:
    clocks.reboot(60, NOON, synced=False)


@pytest.mark.parametrize(
    ("reason", "pass_by", "last"),
    [
        (Reason.STOPPED, down, dated(10, 70, Reason.STOPPED)),
        (None, down, dated(10, 70, Reason.CRASHED)),
        (None, cut, dated(10, 70, Reason.POWER_CUT)),
        (None, cut_without_a_battery, DatedGap(at(10), None, Reason.POWER_CUT, None)),
    ],
)
async def test_a_camera_that_is_removed_while_nothing_runs(
    reason: Reason | None, pass_by: Callable[[Clocks], None], last: DatedGap, tmp_path: Path
) -> None:
    """The next start tells its last gap, up to then, once, and nobody waits for it; one that is new has no past."""
    clocks = Clocks()
    first = Life(tmp_path, clocks, "front", "back")
    first.delivers(10, "back")
    first.coverage.set_reason("back", reason)
    await first.coverage.save()
    pass_by(clocks)
    second = Life(tmp_path, clocks, "front", "new")
    assert [gap for camera, gap in second.published if camera == "back"] == [last]
    second.coverage.forget("new")
    await second.coverage.save()
    clocks.run(10)
    assert {camera for camera, _ in Life(tmp_path, clocks, "front", "new").published} == {"front"}


async def test_a_camera_that_is_removed_between_two_lives_without_a_clock(tmp_path: Path) -> None:
    """What an earlier boot left of it, and the life before this one could not date, is reported without a length."""
    clocks = Clocks()
    first = Life(tmp_path, clocks, "front", "back")
    first.delivers(10, "back")
    await first.coverage.save()
    cut_without_a_battery(clocks)
    await Life(tmp_path, clocks, "front", "back").coverage.save()
    down(clocks)
    third = Life(tmp_path, clocks, "front")
    assert [(gap.seconds, gap.reason) for camera, gap in third.published if camera == "back"] == [
        (60.0, Reason.CRASHED),
        (None, Reason.POWER_CUT),
    ]
    clocks.synced = True
    third.coverage.settle_owed()
    assert [camera for camera, _ in third.published].count("back") == 2


def test_what_a_removed_camera_still_owes(tmp_path: Path) -> None:
    """A camera that is removed while it lags behind leaves a gap up to its removal, with the reason."""
    clocks = Clocks()
    life = Life(tmp_path, clocks)
    life.delivers(10)
    clocks.run(40)
    life.coverage.set_reason("front", Reason.STOPPED)
    clocks.run(1)
    life.coverage.forget("front")
    assert life.published == [("front", dated(10, 51, Reason.STOPPED))]
    life.coverage.forget("front")
    assert len(life.published) == 1


async def test_a_camera_that_is_removed_before_the_clock_is_right(tmp_path: Path) -> None:
    """What an earlier boot left of it is reported when it goes, without a length."""
    clocks = Clocks()
    first = Life(tmp_path, clocks)
    first.delivers(10)
    await first.coverage.save()
    clocks.reboot(0, NOON, synced=False)
    second = Life(tmp_path, clocks)
    clocks.run(5)
    second.coverage.forget("front")
    assert second.published[0] == ("front", DatedGap(at(10), None, Reason.POWER_CUT, None))
    clocks.synced = True
    second.coverage.settle_owed()
    assert len(second.published) == 2


async def test_it_is_written_while_things_change_and_only_then(tmp_path: Path, autojump_clock: MockClock) -> None:
    """A camera that stands still costs no write."""
    clocks = Clocks()
    life = Life(tmp_path, clocks)
    await life.coverage.save()
    before = (tmp_path / "coverage.json").stat().st_ino
    await life.coverage.save()
    assert (tmp_path / "coverage.json").stat().st_ino == before
    life.delivers(2)
    await life.coverage.save()
    clocks.run(7)
    assert Life(tmp_path, clocks).published[0][1].start_at == at(2)
    assert SAVE_S <= 10  # what the README says of a gap's beginning after a crash


def newer(file: Path, at_s: float) -> Path:
    """Set a file aside as an older version than the present one does, so many seconds after noon."""
    return format_versions.set_aside(file, FORMAT, f"{at(at_s):{STAMP}}")


def test_a_file_of_a_newer_version(tmp_path: Path) -> None:
    """It is set aside whole, and the cameras begin anew."""
    content = b'{"schema": 3, "shape": "another"}'
    (tmp_path / "coverage.json").write_bytes(content)
    with structlog.testing.capture_logs() as lines:
        assert Life(tmp_path, Clocks()).published == []
    assert [line["event"] for line in lines] == ["coverage of a newer version"]
    [moved] = tmp_path.iterdir()
    assert (moved.name.split("-")[0], moved.read_bytes()) == ("coverage.json.newer", content)


@pytest.mark.parametrize("boots", [0, 1])
async def test_the_time_before_a_downgrade_is_a_gap_after_the_upgrade(tmp_path: Path, boots: int) -> None:
    """Between the newer version and the older one that could not read its file nothing was analysed: once it is."""
    clocks = Clocks()
    before = Life(tmp_path, clocks)
    before.delivers(10)
    before.coverage.set_reason("front", Reason.STOPPED)
    await before.coverage.save()
    clocks.run(20)
    newer(tmp_path / "coverage.json", 30)
    older = Life(tmp_path / "older", clocks)
    older.delivers(40)
    older.coverage.set_reason("front", Reason.STOPPED)
    await older.coverage.save()
    (tmp_path / "older" / "coverage.json").rename(tmp_path / "coverage.json")
    clocks.run(10)
    for _ in range(boots):
        clocks.reboot(0)
    after = Life(tmp_path, clocks)
    expected = [("front", dated(70, 80, Reason.STOPPED)), ("front", dated(10, 30, Reason.STOPPED))]
    assert after.published == expected
    await after.coverage.save()
    assert Life(tmp_path, clocks).published == []


async def test_a_clock_that_does_not_lead_to_what_was_set_aside(tmp_path: Path) -> None:
    """Where the boots between were never dated, the gap before the downgrade has a beginning and no length."""
    clocks = Clocks()
    before = Life(tmp_path, clocks)
    before.delivers(10)
    await before.coverage.save()
    newer(tmp_path / "coverage.json", 30)
    clocks.reboot(0, datetime(1970, 1, 1, tzinfo=UTC), synced=False)
    assert Life(tmp_path, clocks).published == [("front", DatedGap(at(10), None, Reason.POWER_CUT, None))]
    assert [file.name for file in tmp_path.iterdir()] == []  # noqa: ASYNC240 - a folder in memory


def test_what_was_set_aside_is_damaged(tmp_path: Path) -> None:
    """It is quarantined and reported, and costs nothing else."""
    (tmp_path / "coverage.json").write_text("{}")
    newer(tmp_path / "coverage.json", 0)
    (tmp_path / "coverage.json").write_text('{"schema": 2}')
    newer(tmp_path / "coverage.json", 1)
    with structlog.testing.capture_logs() as lines:
        assert Life(tmp_path, Clocks()).published == []
    assert [line["event"] for line in lines] == ["coverage of a newer version is lost"] * 2
    assert all(".damaged-" in file.name for file in tmp_path.iterdir())


DAMAGED = [
    b"",
    b"{",
    b"\xff",
    b'{"saved_at": 7}',
    b"[" * 100_000,
    b'{"more": ' + b"[" * 100_000,
    b'{"cameras": {}}',
    b'{"schema": "3"}',
    b'{"schema": 2, "saved": {"wall": 1e18, "synced": true, "boot": "b", "uptime": 1}}',
    b'{"schema": 2, "saved": {"wall": 1, "synced": true, "boot": "b", "uptime": 0}, "cameras": {"f": {"until": 1e18}}}',
]


@pytest.mark.parametrize("content", DAMAGED)
async def test_a_damaged_file(content: bytes, tmp_path: Path) -> None:
    """A file that makes no sense is quarantined and reported; the cameras begin anew."""
    file = tmp_path / "coverage.json"
    file.write_bytes(content)
    with structlog.testing.capture_logs() as lines:
        life = Life(tmp_path, Clocks())
    assert [line["event"] for line in lines] == ["coverage is lost"]
    [moved] = tmp_path.glob("coverage.json.damaged-*Z")  # noqa: ASYNC240 - a folder in memory
    assert moved.read_bytes() == content
    assert life.published == []
    await life.coverage.save()
    assert file.exists()


async def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """What cannot be written is said once, and written as soon as it can be."""
    life = Life(tmp_path / "file", Clocks())
    (tmp_path / "file").write_text("in the way")
    with structlog.testing.capture_logs() as lines:
        for _ in range(5):
            life.delivers(1)
            await life.coverage.save()
    assert [line["event"] for line in lines if line["log_level"] == "error"] == ["coverage cannot be written"]
    (tmp_path / "file").unlink()
    await life.coverage.save()
    assert (tmp_path / "file" / "coverage.json").exists()


def test_what_is_told_to_health(tmp_path: Path) -> None:
    """Live time is what was delivered and what was missing; the lag is from its end to now (here: still to come)."""
    life = Life(tmp_path, Clocks())
    life.delivers(10)
    life.coverage.set_reason("front", Reason.PAUSED)
    later = MediaChunk(payload=b"", media_start=0, media_end=2, captured_from=30, last=False, source_end=2)
    life.coverage.delivered("front", object(), later)
    published = life.coverage.seconds("front")
    assert published == {"live_seconds": 32.0, "delivered_seconds": 12.0, "gap_seconds": 20.0, "lag_seconds": -22.0}
