"""A camera whose capture fails again and again leaves nothing behind, and never has two processes."""

import gc
import os
import signal
import sys
import threading
from pathlib import Path
from typing import NamedTuple

import pytest
import trio

from cameras.helpers import RecordingPublisher, a_camera, a_context
from interhuman2mqtt import __version__
from interhuman2mqtt.cameras import capture_task, worker, worker_process
from interhuman2mqtt.cameras.camera import Camera
from interhuman2mqtt.cameras.stall_detector import Timeouts
from interhuman2mqtt.cameras.worker import CaptureProcess
from interhuman2mqtt.capture import framing, ipc
from interhuman2mqtt.errors import Reason
from support.processes import children

NOWHERE = "ws://localhost:1/v2/stream/analyze"
OPENED = ipc.Opened(description="h264", video="h264", audio=None, video_copied=True, audio_copied=True)
FAILED = ipc.Failed(reason=Reason.SOURCE_ENDED, detail="it ended", refused=False)
PULSE = ipc.WorkerHeartbeat(video_packets=1, audio_packets=0, audio_expected=False, ring_s=0, ring_bytes=0, repairs={})
PROGRAM = """#!/bin/sh
cd {folder}
turn=$(cat turn); echo $((turn + 1)) >turn
case $((turn % 6)) in
0) exit 1;;
1) echo "what is no frame at all"; exec sleep 60;;
2) cat hello opened failed; exec cat >/dev/null;;
3) cat hello opened; kill -SEGV $$;;
4) cat hello opened pulse; kill -STOP $$;;
5) echo "some last words" >&2; exit 70;;
esac
"""


def a_breaking_worker(folder: Path) -> Path:
    """A program that stands in for a worker, and ends each time in another way."""
    (folder / "turn").write_text("0")
    frames: list[tuple[str, ipc.Frame]] = [
        ("hello", ipc.Hello(version=__version__)),
        ("opened", OPENED),
        ("failed", FAILED),
        ("pulse", PULSE),
    ]
    for name, frame in frames:
        (folder / name).write_bytes(framing.pack(frame))
    program = folder / "worker"
    program.write_text(PROGRAM.format(folder=folder))
    program.chmod(0o755)
    return program


class Held(NamedTuple):
    """What this process holds."""

    descriptors: int
    children: int
    tasks: int
    workers: int


def held() -> Held:
    gc.collect()
    return Held(
        len(list(Path("/proc/self/fd").iterdir())),
        len(children(os.getpid())),
        trio.lowlevel.current_statistics().tasks_living,
        sum(isinstance(thing, CaptureProcess) for thing in gc.get_objects()),
    )


async def capture(times: int) -> RecordingPublisher:
    """A camera that is stopped when its capture was started so often."""
    published = RecordingPublisher()
    async with trio.open_nursery() as nursery:
        context = a_context(NOWHERE, published, timeouts=Timeouts(open=5.0, stall=5.0, silence=0.1))
        camera = Camera(a_camera(), context)
        nursery.start_soon(camera.run)
        while camera.counters.captures < times:
            assert camera.counters.children <= 1
            await trio.sleep(0.01)
        camera.stop()
    assert camera.counters.children == 0
    return published


async def test_nothing_is_left_of_two_hundred_restarts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No zombie, no descriptor, no task, no thread, no memory of a worker, in whatever way each of them ended."""
    monkeypatch.setenv("API_KEY", "ih_live_key")
    monkeypatch.setattr(sys, "executable", str(a_breaking_worker(tmp_path)))
    monkeypatch.setattr(worker, "WATCH_S", 0.05)
    monkeypatch.setattr(worker_process, "LEAVE_S", 0.05)
    monkeypatch.setattr(worker, "LAST_WORDS_S", 0.1)
    monkeypatch.setattr(capture_task, "LAST_MEDIA_S", 0.05)
    with trio.fail_after(120):
        await capture(12)
        before, threads = held(), threading.active_count()
        published = await capture(200)
    assert held() == before
    assert threading.active_count() <= threads + 2  # trio keeps a few for a while
    reasons = {status.reason for status in published.statuses if status.state == "offline"}
    assert reasons == {Reason.CAPTURE_CRASHED, Reason.SOURCE_ENDED, Reason.STALLED}


async def test_a_process_that_cannot_be_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """While one is left in its driver no second one is started; it is counted, and told what to do."""
    monkeypatch.setenv("API_KEY", "ih_live_key")
    published = RecordingPublisher()
    async with trio.open_nursery() as nursery:
        camera = Camera(a_camera(), a_context(NOWHERE, published, timeouts=Timeouts(silence=1.0)))
        before = children(os.getpid())
        nursery.start_soon(camera.run)
        await published.wait(lambda: camera.status.current.source)
        [process] = set(children(os.getpid())) - set(before)
        monkeypatch.setattr(worker, "REAP_S", 0.01)  # it is left before it is killed
        os.kill(process, signal.SIGSTOP)
        await published.wait(lambda: "cannot be killed" in (camera.status.current.detail or ""))
        assert camera.status.current.reason is Reason.STALLED
        assert (camera.counters.children, camera.counters.captures) == (1, 1)
        assert set(children(os.getpid())) - set(before) == {process}
        monkeypatch.undo()
        monkeypatch.setenv("API_KEY", "ih_live_key")
        os.kill(process, signal.SIGKILL)
        await published.wait(lambda: camera.counters.captures == 2 and camera.counters.children == 1)
        await trio.sleep(0.5)
        camera.stop()
    assert process not in children(os.getpid())
