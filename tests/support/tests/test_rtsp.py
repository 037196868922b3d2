"""The test camera behaves as the tests believe."""

import math
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import av
import pytest
import trio
from av.error import FFmpegError

from support.clips import Clip, frame_number
from support.rtsp import MOUNTS, SERVER, SYSTEM_PYTHON, Login, Transport, rtsp_server
from support.tracks import tracks

QUICK = Clip(seconds=8, size=(160, 96))


class Arrival(NamedTuple):
    """One frame as a client gets it."""

    at: float
    pts: float
    number: int | None


def watch(url: str, count: int, transport: str = "tcp") -> list[Arrival]:
    """Open a stream and decode some frames."""
    options = {"rtsp_transport": transport, "analyzeduration": "200000"}
    with av.open(url, "r", options=options, timeout=10) as camera:
        return [arrival for arrival, _ in zip(arrivals(camera), range(count), strict=False)]


def arrivals(camera: av.container.InputContainer) -> Iterator[Arrival]:
    came: dict[int | None, float] = {}
    for packet in camera.demux(video=0):
        came[packet.pts] = time.time()
        for frame in packet.decode():
            yield Arrival(came.get(frame.pts, time.time()), frame.time or 0.0, frame_number(frame))


@pytest.mark.parametrize("mount", [mount for mount, clip in MOUNTS.items() if clip.video])
async def test_a_client_gets_every_frame_from_the_first(mount: str) -> None:
    """Each mount with a picture plays its clip from frame 0, none missing."""
    async with rtsp_server({mount: MOUNTS[mount]}) as server:
        frames = await trio.to_thread.run_sync(watch, server.url(mount), 20)
    assert [frame.number for frame in frames] == list(range(20))


@pytest.mark.parametrize(
    ("clip", "held_back"),
    [
        (QUICK._replace(video="mjpeg", audio=None), 0),
        (QUICK, 1),  # FFmpeg's parser gives a picture of H.264 away when it sees the next begin
    ],
)
async def test_the_log_says_when_a_frame_was_captured(clip: Clip, held_back: int) -> None:
    """A frame arrives within a moment of the instant that the log gives, and the timestamps agree with the log."""
    async with rtsp_server({"/cam": clip}) as server:
        frames = await trio.to_thread.run_sync(watch, server.url("/cam"), 45)
        captured = [server.captured_at("/cam", frame.number or 0) for frame in frames]
    lags = [frame.at - at for frame, at in zip(frames, captured, strict=True)]
    assert 0 < min(lags) < held_back / clip.fps + 0.05
    since = [at - captured[0] for at in captured]
    assert [frame.pts - frames[0].pts for frame in frames] == pytest.approx(since, abs=0.005)


async def test_the_clip_begins_again() -> None:
    """After the last frame comes the first, with the clock running on and the log counting on."""
    clip = QUICK._replace(seconds=1, audio=None)
    async with rtsp_server({"/cam": clip}) as server:
        frames = await trio.to_thread.run_sync(watch, server.url("/cam"), 40)
        assert server.captured_at("/cam", 39) - server.captured_at("/cam", 0) == pytest.approx(39 / clip.fps)
        with pytest.raises(KeyError):
            server.captured_at("/cam", 10_000)
    assert [frame.number for frame in frames] == [n % clip.frames for n in range(40)]
    assert frames[39].pts - frames[0].pts == pytest.approx(39 / clip.fps, abs=0.005)


@pytest.mark.parametrize("auth", ["basic", "digest"])
async def test_only_the_right_password_opens(auth: str) -> None:
    """Without or with a wrong password the server refuses, with the right one it plays, whatever characters it has."""
    login = Login("viewer", "p@ss:w/ö?#[]", "basic" if auth == "basic" else "digest")
    async with rtsp_server({"/cam": QUICK}, login=login) as server:
        for who in ("", "viewer:wrong@"):
            with pytest.raises(FFmpegError, match="401"):
                await trio.to_thread.run_sync(watch, server.url("/cam").replace("//", f"//{who}"), 1)
        right = "viewer:p%40ss%3Aw%2F%C3%B6%3F%23%5B%5D@"
        assert await trio.to_thread.run_sync(watch, server.url("/cam").replace("//", f"//{right}"), 1)


@pytest.mark.parametrize(("offered", "asked", "works"), [("tcp", "udp", False), ("udp", "udp", True)])
async def test_transports(offered: Transport, asked: str, works: bool) -> None:  # noqa: FBT001
    """A server of one transport refuses the other."""
    async with rtsp_server({"/cam": QUICK}, transport=offered) as server:
        if works:
            assert await trio.to_thread.run_sync(watch, server.url("/cam"), 1, asked)
        else:
            with pytest.raises(FFmpegError):
                await trio.to_thread.run_sync(watch, server.url("/cam"), 1, asked)


async def test_stop_and_start_keep_the_port() -> None:
    """A stopped server refuses connections; started again it serves on the same port, and the log runs on."""
    async with rtsp_server({"/cam": QUICK}) as server:
        port = server.port
        await server.stop()
        with pytest.raises(OSError, match="connect"):
            await trio.open_tcp_stream("127.0.0.1", port)
        await server.start()
        assert server.port == port
        await trio.to_thread.run_sync(watch, server.url("/cam"), 1)
        assert (await server.wait_for(lambda line: line["event"] == "play"))["mount"] == "/cam"
        assert (await server.wait_for(lambda line: line["event"] == "end"))["mount"] == "/cam"


async def test_frozen_server_says_nothing() -> None:
    """A frozen server takes connections and does not answer, until it is thawed."""
    async with rtsp_server({"/cam": QUICK}) as server:
        server.freeze()
        stream = await trio.open_tcp_stream("127.0.0.1", server.port)
        async with stream:
            await stream.send_all(f"OPTIONS {server.url('/cam')} RTSP/1.0\r\nCSeq: 1\r\n\r\n".encode())
            with trio.move_on_after(0.3) as waited:
                await stream.receive_some()
            assert waited.cancelled_caught
            server.thaw()
            assert b"200 OK" in bytes(await stream.receive_some())


async def test_a_live_camera_that_hung_shows_the_time() -> None:
    """A camera that hangs after it was asked for a stream, and before that begins, shows what is to be seen then."""
    clip, live = QUICK._replace(gop=30), 2.0
    async with rtsp_server({"/cam": clip}, transport="tcp", live=live) as server, trio.open_nursery() as nursery:
        await trio.sleep(live + 0.05 - time.time() % live)
        nursery.start_soon(in_thread, watch, server.url("/cam"), 1)
        await server.wait_for(lambda line: line["event"] == "wait")
        server.freeze()
        await trio.sleep(2 * live)
        thawed_at = time.time()
        server.thaw()
        first = await server.wait_for(lambda line: line["event"] == "frame")
        assert abs(math.remainder(first["at"] - first["frame"] / clip.fps, clip.seconds)) < 0.005
        assert first["at"] > thawed_at - live


async def in_thread(work: Callable[[str, int], object], url: str, count: int) -> None:
    await trio.to_thread.run_sync(work, url, count)


async def test_a_muted_track_is_not_sent() -> None:
    """While the audio is muted only pictures come, and audio comes again afterwards."""
    async with rtsp_server({"/cam": QUICK}) as server:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(in_thread, watch, server.url("/cam"), 40)
            await server.wait_for(lambda line: line["event"] == "frame" and line["frame"] == 5)
            await server.mute("video")
            muted_at = time.time()
            await trio.sleep(0.5)
            await server.unmute("video")
        between = [line for line in server.sent if line["event"] == "frame" and muted_at < line["at"] < muted_at + 0.4]
    assert between == []


def test_the_server_ends_with_its_stdin() -> None:
    """No test can leave a server behind: it ends when its stdin does."""
    command = [SYSTEM_PYTHON, str(SERVER), f"--mount=/cam={tracks(QUICK)}"]
    assert subprocess.run(command, input=b"", stdout=subprocess.DEVNULL, timeout=20, check=False).returncode == 0
