"""A snapshot is the newest frame that the ring holds, whole, and never wider than asked for."""

import os
import signal
import time

import pytest
import trio
import trio.testing

from capture.material import SMALL, Captured, a_command, captured
from capture.workers import ENOUGH_S, PATIENT, film, pull, working
from interhuman2mqtt.cameras.snapshot import SnapshotError, SnapshotImage
from interhuman2mqtt.cameras.worker import CaptureProcess, start_worker
from interhuman2mqtt.capture import ipc, snapshot
from interhuman2mqtt.capture.capture_thread import Capture
from support.clips import Clip, frame_numbers


def number_of(jpeg: bytes) -> int | None:
    """The number that the frame shows."""
    [(_, number)] = frame_numbers(jpeg)
    return number


def seen(whole: Captured, width_max: int = 1280) -> tuple[ipc.Snapshot, bytes]:
    """The snapshot of a ring that was filled before, as a worker's thread takes it."""
    capture = Capture(a_command())
    capture.ring, capture.tracks, capture.anchor = whole.ring, whole.tracks, whole.anchor
    return snapshot.SnapshotTaker(capture).take(ipc.TakeSnapshot(number=7, width_max=width_max))


@pytest.mark.parametrize("clip", [SMALL, SMALL._replace(b_frames=2), SMALL._replace(seconds=3, gop=45)])
def test_it_is_the_newest(clip: Clip) -> None:
    """Of a group of pictures that still grows, the one that is shown last, whatever order they came in."""
    told, jpeg = seen(captured(clip))
    assert number_of(jpeg) == clip.frames - 1
    assert (told.number, told.size, told.error) == (7, (192, 108), None)
    assert told.taken_s == pytest.approx((clip.frames - 1) / 15, abs=0.2)


def test_where_we_encode_too() -> None:
    """The encoded track is decoded again: one way for all sources."""
    _, jpeg = seen(captured(SMALL, video="h264"))
    assert number_of(jpeg) == SMALL.frames - 1


def test_its_width_is_bounded() -> None:
    """A frame that is wider becomes smaller in its own proportion, one that is not stays as it is."""
    whole = captured(SMALL)
    assert seen(whole, width_max=100)[0].size == (100, 56)
    assert seen(whole, width_max=192)[0].size == (192, 108)


def test_it_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the time for it is over the newest frame so far is given: here the first of its group."""
    monkeypatch.setattr(snapshot, "DECODE_S", 0.0)
    _, jpeg = seen(captured(SMALL))
    assert number_of(jpeg) == SMALL.frames - SMALL.gop


def test_there_is_none_yet() -> None:
    """Before the first key frame the answer says so."""
    told, jpeg = seen(Captured())
    assert (jpeg, told.error) == (b"", "no key frame has come yet")


def test_broken_pictures_are_no_crash() -> None:
    """A group of which nothing can be decoded is reported in a sentence."""
    whole = captured(SMALL)
    gop = whole.ring.newest_gop()
    assert gop is not None
    gop.video = [packet._replace(data=b"\x00\x00\x00\x02\x09\x10") for packet in gop.video]
    told, jpeg = seen(whole)
    assert jpeg == b""
    assert told.error == "none of the newest frames could be decoded"


async def test_a_worker_goes_on_meanwhile() -> None:
    """A worker that is asked for frames gives each, of this moment, and misses no frame of its recording."""
    async with working(a_command(SMALL.path())) as worker:
        recording = worker.record("continuous", 1.0, 0.0)
        chunks = await pull(recording, 2)
        shots: list[SnapshotImage] = []
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(take, shots, worker)
        chunks += await pull(recording, 1)
    for shot in shots:
        assert abs(shot.taken_at.timestamp() - time.time()) < 10
        assert (number_of(shot.jpeg) or 0) >= 29
    numbers = [number for _, number in frame_numbers(film(chunks))]
    assert numbers == list(range(len(numbers)))


async def take(shots: list[SnapshotImage], worker: CaptureProcess) -> None:
    shots.append(await worker.snapshot())


async def test_a_worker_that_goes_leaves_nobody_waiting() -> None:
    """Who waits for a frame of a process that is dismissed hears so."""
    with trio.fail_after(ENOUGH_S):
        async with start_worker(a_command("test:"), PATIENT) as worker:
            await worker.wait_open()
            os.kill(worker.pid, signal.SIGSTOP)  # lest it answers before
            async with trio.open_nursery() as nursery:
                nursery.start_soon(fails, worker)
                await trio.testing.wait_all_tasks_blocked()
                worker.dismiss()


async def fails(worker: CaptureProcess) -> None:
    with pytest.raises(SnapshotError, match="ended"):
        await worker.snapshot()
