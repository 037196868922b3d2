"""Whatever breaks in a capture process or its source is noticed in time and told by its name; the process is gone."""

import os
import signal
import socket
import struct
import sys
from pathlib import Path

import pytest
import trio
import trio.testing

from capture.material import Failing, a_command
from capture.workers import ENOUGH_S, HASTY, MOUNT, PATIENT, is_gone, stand_in, working
from interhuman2mqtt.cameras.recording import WorkerRecording
from interhuman2mqtt.cameras.stall_detector import Timeouts
from interhuman2mqtt.cameras.worker import start_worker
from interhuman2mqtt.capture import framing, ipc
from interhuman2mqtt.errors import Outage, Reason
from support.netproxy import network
from support.processes import PATIENCE_S
from support.rtp import Jumps
from support.rtsp import rtsp_server


async def test_a_worker_that_is_killed() -> None:
    """Its death is `capture_crashed`, with the signal's name; it is reaped."""
    async with Failing() as outages, working(a_command()) as worker:
        process = worker._process.pid
        os.kill(process, signal.SIGKILL)
        await trio.sleep_forever()
    assert [(type(o), o.reason, o.detail) for o in outages] == [
        (Outage, Reason.CAPTURE_CRASHED, "the capture process ended by SIGKILL")
    ]
    assert is_gone(process)


async def test_a_pull_under_way_hears_of_the_death() -> None:
    """Whoever waits for a chunk does not wait for ever."""
    heard: list[Outage] = []

    async def wait(recording: WorkerRecording) -> None:
        try:
            await recording.next_chunk()
        except Outage as outage:
            heard.append(outage)

    async with trio.open_nursery() as nursery, Failing(), working(a_command()) as worker:
        recording = worker.record("continuous", 600.0, None)
        nursery.start_soon(wait, recording)
        await trio.testing.wait_all_tasks_blocked()
        os.kill(worker._process.pid, signal.SIGKILL)
        await trio.sleep_forever()
    assert [outage.reason for outage in heard] == [Reason.CAPTURE_CRASHED]


async def test_a_worker_that_stands_still() -> None:
    """A process that is stopped says nothing: `stalled`, and it is gone after."""
    async with Failing() as outages, working(a_command(), PATIENT._replace(silence=1.2)) as worker:
        process = worker._process.pid
        os.kill(process, signal.SIGSTOP)
        await trio.sleep_forever()
    assert [(o.reason, o.detail) for o in outages] == [(Reason.STALLED, "the capture process does not answer")]
    assert is_gone(process)


async def test_a_source_that_hangs_while_it_is_opened() -> None:
    """A host that accepts and says nothing is given up after the time that opening may take."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        command = a_command(f"rtsp://127.0.0.1:{silent.getsockname()[1]}/cam")
        began = trio.current_time()
        async with Failing() as outages, start_worker(command, PATIENT._replace(open=2.0)) as worker:
            process = worker._process.pid
            with trio.fail_after(PATIENCE_S):
                await worker.wait_open()
    assert [outage.reason for outage in outages] == [Reason.OPEN_TIMEOUT]
    assert trio.current_time() - began >= 2.0
    assert is_gone(process)


async def test_a_device_that_blocks_in_open(tmp_path: Path) -> None:
    """A driver that does not come back from open, here a pipe that nobody writes to, is given up after that time."""
    os.mkfifo(tmp_path / "device")
    with trio.fail_after(ENOUGH_S):
        async with Failing() as outages, start_worker(a_command(tmp_path / "device"), Timeouts(open=2.0)) as worker:
            process = worker._process.pid
            await worker.wait_open()
    assert [outage.reason for outage in outages] == [Reason.OPEN_TIMEOUT]
    assert is_gone(process)


async def test_a_worker_that_crashes_in_native_code() -> None:
    """The daemon lives, and names the signal."""
    async with Failing() as outages, working(a_command()) as worker:
        os.kill(worker._process.pid, signal.SIGSEGV)
        await trio.sleep_forever()
    assert [(o.reason, o.detail) for o in outages] == [(Reason.CAPTURE_CRASHED, "the capture process ended by SIGSEGV")]


async def test_a_worker_that_needs_long_to_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before its first pulse the time for opening counts: a small box that boots starts its processes slowly."""
    monkeypatch.setattr(sys, "executable", str(stand_in(tmp_path, b"")))
    async with Failing() as outages, start_worker(a_command(), Timeouts(open=1.0, silence=0.1)) as worker:
        await worker.wait_open()
    assert [outage.reason for outage in outages] == [Reason.OPEN_TIMEOUT]


async def test_a_camera_that_freezes() -> None:
    """Its connection stands, and nothing comes: `stalled`."""
    async with rtsp_server(MOUNT) as server:
        async with Failing() as outages, working(a_command(server.url("/cam")), HASTY) as worker:
            await worker.record("continuous", 1.0, None).next_chunk()
            server.freeze()
            await trio.sleep_forever()
        server.thaw()
    assert [outage.reason for outage in outages] == [Reason.STALLED]


async def test_a_cable_that_is_pulled() -> None:
    """No byte moves and nobody is told: `stalled`."""
    async with rtsp_server(MOUNT) as server, network(to=server.port) as net:
        command = a_command(server.url("/cam", net.port))
        async with Failing() as outages, working(command, HASTY) as worker:
            await worker.record("continuous", 1.0, None).next_chunk()
            net.cut()
            await trio.sleep_forever()
    assert [outage.reason for outage in outages] == [Reason.STALLED]


async def test_a_picture_that_stops() -> None:
    """Audio that goes on does not hide its end."""
    async with rtsp_server(MOUNT) as server, Failing() as outages, working(a_command(server.url("/cam")), HASTY):
        await server.mute("video")
        await trio.sleep_forever()
    assert [outage.reason for outage in outages] == [Reason.VIDEO_STALLED]


RUBBISH = {
    "length": struct.pack(">II", 1 << 31, 0),
    "json": struct.pack(">II", 3, 0) + b"{{{",
    "kind": struct.pack(">II", 17, 0) + b'{"type": "never"}',
    "reason": struct.pack(">II", 70, 0)
    + b'{"type": "failed", "reason": "never", "detail": "", "refused": false}'.ljust(70),
}


async def test_a_camera_that_comes_back_with_sound_alone() -> None:
    """An attempt that announces video and brings none has failed, as soon as video would have stalled."""
    async with rtsp_server(MOUNT) as server, network(to=server.port) as net:
        jumps = Jumps({})
        jumps.muted = {0, 1}
        net.alter = jumps.connection
        command = a_command(server.url("/cam", net.port))
        async with Failing() as outages, working(command, HASTY):
            await trio.sleep_forever()
        jumps.muted.clear()
        async with working(command, HASTY) as worker:
            await worker.record("continuous", 1.0, None).next_chunk()
    # which of the two depends on whether FFmpeg opens it before it gives up looking for the picture's size
    assert len(outages) == 1
    assert outages[0].reason in {Reason.VIDEO_STALLED, Reason.INVALID_MEDIA}


@pytest.mark.parametrize("rubbish", RUBBISH.values(), ids=RUBBISH)
async def test_rubbish_on_the_pipe(rubbish: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is no frame means that the worker is broken."""
    monkeypatch.setattr(sys, "executable", str(stand_in(tmp_path, rubbish)))
    with trio.fail_after(ENOUGH_S):
        async with Failing() as outages, start_worker(a_command(), PATIENT):
            await trio.sleep_forever()
    assert [outage.reason for outage in outages] == [Reason.CAPTURE_CRASHED]
    assert "rubbish" in outages[0].detail


@pytest.mark.parametrize(
    ("first", "version"),
    [
        (framing.pack(ipc.Hello(version="9.8.7")), "is of 9.8.7"),
        (struct.pack(">II", 46, 0) + b'{"type":"hello","version":"0.3.0","news":true}', "is of 0.3.0"),
        (struct.pack(">II", 38, 0) + b'{"type":"heartbeat","video_packets":1}', "is of an unknown version"),
    ],
    ids=["another", "newer", "0.1.0"],
)
async def test_a_worker_of_another_version(
    first: bytes, version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None of its frames is taken for what it may not mean, whatever else it sends."""
    opened = framing.pack(ipc.Opened(description="x", video="h264", audio=None, video_copied=True, audio_copied=True))
    monkeypatch.setattr(sys, "executable", str(stand_in(tmp_path, first + opened, hello=b"")))
    with trio.fail_after(ENOUGH_S):
        async with Failing() as outages, start_worker(a_command(), PATIENT) as worker:
            await trio.sleep_forever()
    assert worker.opened is None
    assert [outage.reason for outage in outages] == [Reason.CAPTURE_CRASHED]
    assert version in outages[0].detail


async def test_a_worker_that_cannot_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not a bug of the daemon, but an outage of this camera."""
    monkeypatch.setattr(sys, "executable", "/does/not/exist")
    with pytest.raises(Outage, match="no capture process could be started") as none:
        async with start_worker(a_command()):
            pass
    assert none.value.reason is Reason.CAPTURE_CRASHED


async def test_a_worker_that_ends_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits for the source hears that there is nobody any more."""
    monkeypatch.setattr(sys, "executable", str(stand_in(tmp_path, b"", then="false")))
    async with Failing() as outages, start_worker(a_command(), PATIENT) as worker:
        await worker.wait_open()
    assert {(o.reason, o.detail) for o in outages} == {
        (Reason.CAPTURE_CRASHED, "the capture process ended with status 1")
    }


async def test_a_worker_that_takes_no_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The queue to it is bounded: when it is full the worker is taken to hang."""
    monkeypatch.setattr(sys, "executable", str(stand_in(tmp_path, b"")))
    with trio.fail_after(ENOUGH_S):
        async with Failing() as outages, start_worker(a_command(), PATIENT) as worker:
            for number in range(100_000):
                worker.send_nowait(ipc.Finish(recording=number))
                if number % 50 == 0:
                    await trio.testing.wait_all_tasks_blocked(0.001)
    assert [(o.reason, o.detail) for o in outages] == [(Reason.STALLED, "the capture process does not take commands")]
