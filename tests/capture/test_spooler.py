"""The spool: every GOP that leaves the ring undelivered is in exactly one file, whatever the disk does."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import trio

from capture.material import SMALL, Captured, a_command, captured, numbers
from capture.workers import working
from interhuman2mqtt.cameras import worker_process
from interhuman2mqtt.cameras.stall_detector import AudioStall
from interhuman2mqtt.capture import ipc, spooler
from interhuman2mqtt.capture.ring import Gop
from interhuman2mqtt.capture.spooler import LEAST_S, Spooler
from interhuman2mqtt.runtime.clock import read_clocks
from interhuman2mqtt.runtime.state_dir import boot_id
from interhuman2mqtt.simulator.settings import Uploads
from interhuman2mqtt.simulator.upload_media import check
from support.clips import Clip, opened

CLIP = Clip(size=(192, 108), fps=10, gop=5, seconds=64)
"""128 GOPs of half a second."""
B_FRAMES = SMALL._replace(b_frames=2)
PATIENCE_S = 20.0


def start_ms(path: Path) -> int:
    """When a segment begins, on BOOTTIME."""
    return int(path.stem.split("-")[1])


def length_ms(path: Path) -> int:
    """How long it says that it is."""
    return int(path.stem.split("-")[3])


class Spool(NamedTuple):
    """A spooler that writes, and what it gets."""

    folder: Path
    spooler: Spooler
    changed: threading.Condition
    whole: Captured
    asleep: list[float]
    """For how long the machine was suspended; the last counts."""

    @property
    def gops(self) -> list[Gop]:
        ring = self.whole.ring
        return [ring.gop(serial) for serial in range(ring.first, ring.complete_end)]

    def evict(self, gops: list[Gop]) -> None:
        """Each leaves the ring, no faster than the disk takes them."""
        for gop in gops:
            with self.changed:
                self.spooler.evicted(gop, gop.end_s)
            self.settle()

    def settle(self) -> None:
        """Until all is written that is to be written."""
        with self.changed:
            idle = lambda: not (self.spooler._queue or self.spooler._is_writing)  # noqa: E731
            assert self.changed.wait_for(idle, PATIENCE_S)

    def turn(self, folder: Path | None) -> None:
        """What the daemon commands."""
        with self.changed:
            command = ipc.Spool(folder=None if folder is None else str(folder))
            self.spooler.handle(command, self.gops[-1].end_s)

    def delivered(self, start_s: float, end_s: float) -> None:
        with self.changed:
            self.spooler.delivered(start_s, end_s)
        self.settle()

    def files(self) -> list[Path]:
        """The segments, oldest first."""
        return sorted(self.folder.glob("*.mp4"), key=start_ms)

    def frames(self) -> list[list[int | None]]:
        """The numbers of the frames of each."""
        return [numbers(path.read_bytes()) for path in self.files()]

    def lost(self) -> list[str]:
        return [report.detail for report in self.spooler.reports if isinstance(report, ipc.SpoolLost)]


@contextmanager
def spooling(folder: Path, clip: Clip = CLIP, segment_s: float = 10.0, **changes: Any) -> Iterator[Spool]:
    """A spooler that is on; `changes` are the source's."""
    whole, changed = captured(clip, **changes), threading.Condition()
    asleep = [0.0]
    made = Spooler(lambda: whole.tracks, whole.anchor, changed, segment_s, lambda: asleep[-1])
    threading.Thread(target=made.run, daemon=True).start()
    spool = Spool(folder, made, changed, whole, asleep)
    spool.turn(folder)
    yield spool


def test_each_gop_is_in_one_segment(tmp_path: Path) -> None:
    """Cut by length, each segment 3 s at least, all together every frame once and in order, dated by their names."""
    with spooling(tmp_path) as spool:
        spool.evict(spool.gops[:90])  # 45 s
        spool.turn(None)
        spool.settle()
        assert [len(frames) for frames in spool.frames()] == [100, 100, 100, 100, 50]
        assert [number for frames in spool.frames() for number in frames] == list(range(450))
        clocks, files = read_clocks(), spool.files()
        zero_ms = (spool.whole.anchor.seconds + clocks.boottime - clocks.monotonic) * 1000
        assert [start_ms(path) - zero_ms for path in files] == pytest.approx(
            [0, 10_000, 20_000, 30_000, 40_000], abs=30
        )
        assert list(map(length_ms, files)) == pytest.approx([10_000] * 4 + [5_000], abs=30)
        walls = [int(path.stem.split("-")[2][:-1]) for path in files]
        uptime_ms = (clocks.realtime - clocks.boottime) * 1000
        assert [wall - start_ms(path) for wall, path in zip(walls, files, strict=True)] == pytest.approx(
            [uptime_ms] * 5, abs=30
        )
        assert {path.name.split("-")[0] for path in files} == {boot_id()[:8]}
        assert spool.lost() == []


@pytest.mark.parametrize("clip", [SMALL, B_FRAMES], ids=["plain", "b-frames"])
def test_a_segment_is_an_ordinary_file(tmp_path: Path, clip: Clip) -> None:
    """Its head tells its length, its video begins with a key frame, and its audio is there; only we may read it."""
    with spooling(tmp_path, clip) as spool:
        spool.evict(spool.gops)
        spool.turn(None)
        spool.settle()
        [path] = spool.files()
        assert path.stat().st_mode & 0o777 == 0o600
        assert numbers(path.read_bytes()) == list(range(clip.frames))
        with opened(path) as file:
            assert file.duration is not None
            assert file.duration / 1e6 == pytest.approx(8.0, abs=0.2)
            assert next(iter(file.demux(video=0))).is_keyframe
            assert file.streams.audio[0].duration is not None


@pytest.mark.parametrize("audio", ["auto", "opus", "pcm"])
def test_audio_alone(tmp_path: Path, audio: str) -> None:
    """What a GOP is to video, a second is to audio: each in one file, which the endpoint takes, without any video."""
    with spooling(tmp_path, audio_only=True, audio=audio) as spool:
        spool.evict(spool.gops[:23])
        spool.turn(None)
        spool.settle()
        assert sum(map(length_ms, spool.files())) == pytest.approx(23_000, abs=100)
        for path in spool.files():
            found = check(path.read_bytes(), "inter-2-audio", Uploads())
            assert found.duration == pytest.approx(length_ms(path) / 1000, abs=0.1)
            with opened(path) as file:
                assert [stream.type for stream in file.streams] == ["audio"]


def test_what_was_delivered_is_not_spooled(tmp_path: Path) -> None:
    """Neither what the cloud had before it left the ring, nor what the pong came for afterwards."""
    with spooling(tmp_path) as spool:
        gops = spool.gops
        spool.delivered(0.0, gops[9].end_s)
        spool.evict(gops[:30])
        spool.delivered(gops[20].start_s, gops[25].end_s)  # a pong that came late
        spool.evict(gops[30:50])
        spool.delivered(gops[60].start_s, gops[62].end_s)  # the cloud is back
        assert spool.frames() == [list(range(50, 100)), list(range(130, 250))]


def test_what_is_missing_ends_a_segment(tmp_path: Path) -> None:
    """Each file is one stretch of time: across what was delivered in between, none goes on."""
    with spooling(tmp_path) as spool:
        spool.evict(spool.gops[:10])
        spool.evict(spool.gops[14:24])
        spool.turn(None)
        spool.settle()
        assert spool.frames() == [list(range(50)), list(range(70, 120))]


def test_a_new_format_ends_a_segment(tmp_path: Path) -> None:
    """What leaves the ring of one epoch is never in one file with the next."""
    with spooling(tmp_path, SMALL) as spool:
        spool.whole.read(SMALL._replace(size=(320, 180)).path())
        spool.whole.ring.close()
        spool.evict(spool.gops)
        spool.turn(None)
        spool.settle()
        assert spool.frames() == [list(range(120)), list(range(120))]
        sizes = []
        for path in spool.files():
            with opened(path) as file:
                sizes.append(file.streams.video[0].width)
        assert sizes == [192, 320]


def test_what_the_endpoint_would_not_take(tmp_path: Path) -> None:
    """What is shorter than 3 s is dropped and reported; a remainder never is, as so much is kept back."""
    with spooling(tmp_path) as spool:
        spool.evict(spool.gops[:5])
        spool.turn(None)
        assert spool.lost() == ["shorter than the 3 s that the upload endpoint takes"]
        for count in range(20, 28):
            spool.turn(tmp_path)
            spool.evict(spool.gops[40:][:count])
            spool.turn(None)
            spool.settle()
        assert len(spool.lost()) == 1
        assert min(map(length_ms, spool.files())) >= LEAST_S * 1000


def test_large_segments_are_cut_by_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No file is larger than what fits, however long a segment may be."""
    monkeypatch.setattr(spooler, "SEGMENT_BYTES", 40_000)
    monkeypatch.setattr(spooler, "GROWING_BYTES", 60_000)
    with spooling(tmp_path, segment_s=1000.0) as spool:
        spool.evict(spool.gops)
        spool.turn(None)
        spool.settle()
        assert [number for frames in spool.frames() for number in frames] == list(range(640))
        assert len(spool.files()) > 2
        assert max(path.stat().st_size for path in spool.files()) < 60_000


def test_another_folder_forgets(tmp_path: Path) -> None:
    """What was gathered, waits, or is still in the ring is in no file, old folder or new."""
    with spooling(tmp_path) as spool:
        spool.evict(spool.gops[:15])
        (tmp_path / "new").mkdir()
        spool.turn(tmp_path / "new")
        spool.evict(spool.gops[15:40])  # they were in the ring
        spool.turn(None)
        spool.settle()
        assert list(tmp_path.rglob("*.mp4")) == []


def test_a_full_disk_costs_segments_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that takes only a part is seen; what was begun is removed, the loss reported, the next one written."""
    write = os.write
    room = 20_000

    def short(descriptor: int, data: memoryview) -> int:
        nonlocal room
        if room == 0:
            raise OSError(28, "No space left on device")
        taken = write(descriptor, data[:room])
        room -= taken
        return taken

    with spooling(tmp_path) as spool:
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", short)
            spool.evict(spool.gops[:40])
        assert list(tmp_path.iterdir()) == []
        assert spool.lost() == [f"{tmp_path}: No space left on device"]
        spool.evict(spool.gops[40:60])
        assert len(spool.files()) == 1


def test_a_slow_disk_is_waited_for_by_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one segment is written and one waits, the next are dropped and reported, at once."""
    writing, written = threading.Event(), threading.Event()

    def slow(_: int) -> None:
        writing.set()
        written.wait(PATIENCE_S)

    monkeypatch.setattr(os, "fsync", slow)
    with spooling(tmp_path) as spool:
        for number, gop in enumerate(spool.gops[:110]):
            with spool.changed:
                spool.spooler.evicted(gop, gop.end_s)
            if number == 30:
                writing.wait(PATIENCE_S)
        assert spool.lost() == ["the disk is too slow: the segments before it are still being written"] * 3
        written.set()
        spool.settle()
        assert spool.frames() == [list(range(100)), list(range(100, 200))]


def test_a_disk_that_is_nearly_full_is_left_to_the_live_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a segment would leave less than what the outbox may need, it is not begun."""
    monkeypatch.setattr(spooler, "FREE_MIN", 1 << 60)
    with spooling(tmp_path) as spool:
        spool.evict(spool.gops[:30])
        assert list(tmp_path.iterdir()) == []
        assert len(spool.lost()) == 1
        assert "would be left on the disk" in spool.lost()[0]


def test_what_was_captured_before_the_machine_slept_is_forgotten(tmp_path: Path) -> None:
    """Neither what was gathered nor what was in the ring is spooled: nobody could say when it was."""
    with spooling(tmp_path) as spool:
        spool.evict(spool.gops[:10])
        spool.asleep.append(3600.0)
        with spool.changed:
            spool.spooler.evicted(spool.gops[10], spool.gops[39].end_s)
        spool.evict(spool.gops[11:60])
        spool.turn(None)
        spool.settle()
        assert spool.frames() == [list(range(200, 300))]


class FrameCounter:
    """Waits until a worker has captured so many frames."""

    def __init__(self, frames: int) -> None:
        self.there = trio.Event()
        self._frames = frames

    def heartbeat(self, _before: ipc.WorkerHeartbeat | None, now: ipc.WorkerHeartbeat) -> None:
        if now.video_packets >= self._frames:
            self.there.set()

    def opened(self, description: str) -> None: ...

    def other_version(self, version: str) -> None: ...

    def audio_missing(self, stall: AudioStall | None) -> None: ...

    def spooled(self, report: ipc.Spooled | ipc.SpoolLost) -> None: ...


@pytest.mark.full
async def test_a_worker_that_is_asked_to_leave_writes_what_it_gathered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A live source on a small ring: after stdin closed all that has left the ring is in whole files, without a gap."""
    command = a_command("test:", size=(320, 180), fps=10, buffer_s=1.0, may_spool=True)
    monkeypatch.setattr(worker_process, "LEAVE_S", 10.0)  # a busy machine kills it otherwise, which loses it
    counter = FrameCounter(80)
    async with working(command, listener=counter) as worker:
        worker.send_nowait(ipc.Spool(folder=str(tmp_path)))
        await counter.there.wait()
    names = sorted((start_ms(path), length_ms(path)) for path in files_in(tmp_path))
    assert sum(length for _, length in names) > 3000
    ends = [start + length for start, length in names][:-1]
    assert ends == pytest.approx([start for start, _ in names][1:], abs=1)


def files_in(folder: Path) -> list[Path]:
    """All files of a folder, whole or not, all of which must be whole."""
    paths = list(folder.iterdir())
    assert {path.suffix for path in paths} <= {".mp4"}
    return paths
