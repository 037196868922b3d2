"""The gap ledgers of a box, through restarts of the daemon and of the machine."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import structlog
from trio.testing import MockClock

from interhuman2mqtt.cameras import coverage as module
from interhuman2mqtt.cameras.coverage import SAVE_S, Coverage, Signal
from interhuman2mqtt.cameras.ledger import AudioGap, Gap
from interhuman2mqtt.cameras.standing import Standing
from interhuman2mqtt.errors import Reason
from interhuman2mqtt.events import CameraStatus, MediaChunk

EPOCH = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
CAPTURE = object()


def at(seconds: float) -> datetime:
    return EPOCH + timedelta(seconds=seconds)


class Life:
    """One life of the daemon, as far as it is about coverage."""

    def __init__(self, folder: Path, seconds: float, *cameras: str) -> None:
        self.seconds = seconds
        self.told: list[tuple[str, Gap | AudioGap]] = []
        self.active: dict[str, tuple[Signal, ...]] = {}
        self.coverage = Coverage(
            folder / "coverage.json",
            lambda camera, gap: self.told.append((camera, gap)),
            lambda: self.active,
            lambda: at(self.seconds),
        )
        self.left = self.coverage.resume(dict.fromkeys(cameras or ("front",)))
        for camera in cameras or ("front",):
            self.coverage.ledger(camera)

    def delivers(self, start: float, end: float, camera: str = "front") -> None:
        """Media of a camera arrives at the cloud."""
        self.coverage.because(camera, None)
        chunk = MediaChunk(
            payload=b"",
            media_start=start,
            media_end=end,
            start_at=at(start),
            last=False,
            source_start=start,
            source_end=end,
        )
        self.coverage.delivered(camera, CAPTURE, chunk)
        self.seconds = end


async def test_a_stop_is_told_at_the_next_start(tmp_path: Path) -> None:
    """The time between an orderly stop and the next start is a gap, told at once, with its reason."""
    first = Life(tmp_path, 0)
    first.delivers(0, 10)
    first.coverage.because("front", Reason.STOPPED)
    await first.coverage.save()
    second = Life(tmp_path, 70)
    assert second.told == [("front", Gap(at(10), at(70), Reason.STOPPED))]
    assert second.left == {}


@pytest.mark.parametrize(("machine", "reason"), [("same", Reason.CRASHED), ("rebooted", Reason.POWER_CUT)])
async def test_a_crash_and_a_power_cut(
    machine: str, reason: Reason, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a farewell it was a crash, or a power cut where the machine has been started anew."""
    boot = tmp_path / "boot_id"
    boot.write_text("same\n")
    monkeypatch.setattr(module, "BOOT", boot)
    first = Life(tmp_path, 0)
    first.delivers(0, 10)
    first.active = {"front": (Signal("stress", "s1"),)}
    await first.coverage.save()
    boot.write_text(f"{machine}\n")
    second = Life(tmp_path, 70)
    assert second.told == [("front", Gap(at(10), at(70), reason))]
    assert second.left == {"front": (Signal("stress", "s1"),)}


async def test_when_the_last_media_left_is_remembered(tmp_path: Path) -> None:
    """A camera that is paused through a restart still tells when the last byte of it left the box."""
    first = Life(tmp_path, 0)
    first.delivers(0, 10)
    first.coverage.ledger("front").sent_at = at(11)
    await first.coverage.save()
    ledger = Life(tmp_path, 70).coverage.ledger("front")
    told: list[CameraStatus] = []
    Standing("front", told.append, ledger)
    assert told[0].last_media_at == at(11)


async def test_what_was_wrong_before_a_crash(tmp_path: Path) -> None:
    """What had been known before the crash is told with its own reason."""
    first = Life(tmp_path, 0)
    first.delivers(0, 10)
    first.seconds = 12
    first.coverage.because("front", Reason.UNREACHABLE)
    first.seconds = 30
    await first.coverage.save()
    second = Life(tmp_path, 70)
    assert second.told == [
        ("front", Gap(at(10), at(30), Reason.UNREACHABLE)),
        ("front", Gap(at(30), at(70), Reason.CRASHED)),
    ]


async def test_a_camera_that_was_removed(tmp_path: Path) -> None:
    """Nobody waits for a camera that is no longer there, and one that is new has no past."""
    first = Life(tmp_path, 0, "front", "back")
    first.delivers(0, 10, "back")
    await first.coverage.save()
    second = Life(tmp_path, 70, "front", "new")
    assert {camera for camera, _ in second.told} == {"front"}
    second.coverage.forget("new")
    await second.coverage.save()
    assert {camera for camera, _ in Life(tmp_path, 80, "front", "new").told} == {"front"}


def test_what_a_removed_camera_still_owes(tmp_path: Path) -> None:
    """A camera that is removed while it lags behind leaves a gap up to its removal, with the reason."""
    life = Life(tmp_path, 0)
    life.delivers(0, 10)
    life.seconds = 50
    life.coverage.because("front", Reason.STOPPED)
    life.seconds = 51
    life.coverage.forget("front")
    assert life.told == [("front", Gap(at(10), at(51), Reason.STOPPED))]
    life.coverage.forget("front")
    assert len(life.told) == 1


async def test_it_is_written_while_things_change_and_only_then(tmp_path: Path, autojump_clock: MockClock) -> None:
    """A camera that stands still costs no write."""
    life = Life(tmp_path, 0)
    await life.coverage.save()
    before = (tmp_path / "coverage.json").stat().st_ino
    await life.coverage.save()
    assert (tmp_path / "coverage.json").stat().st_ino == before
    life.delivers(0, 2)
    await life.coverage.save()
    assert Life(tmp_path, 9).told[0][1].start_at == at(2)
    assert SAVE_S <= 10  # what the README says of a gap's beginning after a crash


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b'{"saved_at": 7}', b"[" * 100_000, b'{"cameras": {}}'])
async def test_a_damaged_file(content: bytes, tmp_path: Path) -> None:
    """A file that makes no sense is set aside and said; the cameras begin anew."""
    file = tmp_path / "coverage.json"
    file.write_bytes(content)
    with structlog.testing.capture_logs() as lines:
        life = Life(tmp_path, 0)
    assert [line["event"] for line in lines] == ["coverage is lost"]
    assert (tmp_path / "coverage.json.damaged").read_bytes() == content
    assert life.told == []
    await life.coverage.save()
    assert file.exists()


async def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """What cannot be written is said once, and written as soon as it can be."""
    life = Life(tmp_path / "file", 0)
    (tmp_path / "file").write_text("in the way")
    with structlog.testing.capture_logs() as lines:
        for n in range(5):
            life.delivers(n, n + 1)
            await life.coverage.save()
    assert [line["event"] for line in lines if line["log_level"] == "error"] == ["coverage cannot be written"]
    (tmp_path / "file").unlink()
    await life.coverage.save()
    assert (tmp_path / "file" / "coverage.json").exists()


def test_what_is_told_to_health(tmp_path: Path) -> None:
    """Live time is what was delivered and what was missing; the lag is from its end to now (here: still to come)."""
    life = Life(tmp_path, 0)
    life.delivers(0, 10)
    life.coverage.because("front", Reason.PAUSED)
    later = MediaChunk(payload=b"", media_start=0, media_end=2, start_at=at(30), last=False, source_end=2)
    life.coverage.delivered("front", object(), later)
    told = life.coverage.told("front")
    assert told == {"live_seconds": 32.0, "delivered_seconds": 12.0, "gap_seconds": 20.0, "lag_seconds": -22.0}
