"""Each fault of a camera is noticed in time, reported by its reason and recovered from; no neighbour feels it."""

import os
import shutil
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import NamedTuple

import pytest
import trio

from integration import oracle
from integration.helpers import Box, Json, Peers, box, run_peers
from interhuman2mqtt.cameras.stall_detector import NOTICE_S, OPENINGS, SILENT_WORKER_S, STALL_S
from support.clips import Clip
from support.netproxy import Network, network
from support.rtp import Jumps
from support.rtsp import MOUNTS, RtspServer, rtsp_server

MOUNT = {"/cam": MOUNTS["/h264-aac"]}
RATES = {0: 90_000, 2: MOUNTS["/h264-aac"].rate}
OPEN_TIMEOUT_S = 8
SLACK_S = 60.0
"""For what a busy machine takes to publish what it has noticed."""
QUIET_S = 6.0
CHUNK_S = 1.0


class Broken(NamedTuple):
    """The camera that things happen to, and how to reach it."""

    server: RtspServer
    net: Network
    jumps: Jumps
    file: Path
    daemon: Box

    def worker(self) -> int:
        """The process that captures its file."""
        return next(pid for pid in self.daemon.workers() if self.file in open_files(pid))

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to that process."""
        os.kill(self.worker(), number)


def open_files(pid: int) -> Iterator[Path]:
    """What a process has open; nothing of one that has ended meanwhile."""
    with suppress(OSError):
        for link in list(Path(f"/proc/{pid}/fd").iterdir()):
            with suppress(OSError):  # it has just been closed
                yield link.readlink()


Act = Callable[[Broken], Awaitable[None] | None]


class Fault(NamedTuple):
    """What happens, how it ends, and what is said meanwhile."""

    happens: Act
    ends: Act | None
    """None: it passes by itself."""
    reasons: frozenset[str]
    within: float = 0.0
    source: str = "net"
    """`net`: through the network; `file`: a film."""


async def start_with(camera: Broken, clip: Clip) -> None:
    """The server is there again, and serves something else."""
    camera.server.serve({"/cam": clip})
    await camera.server.start()


def block_in_open(camera: Broken) -> None:
    """A device whose driver does not come back from open: here a pipe that nobody writes to."""
    worker = camera.worker()
    camera.file.unlink()
    os.mkfifo(camera.file)
    os.kill(worker, signal.SIGKILL)


def open_again(camera: Broken) -> None:
    """It is a film again."""
    camera.file.unlink()
    shutil.copy(MOUNTS["/h264-aac"].path(), camera.file)


GONE = frozenset({"source_ended", "unreachable"})
STALLED = frozenset({"stalled"})
CRASHED = frozenset({"capture_crashed"})
STALL = STALL_S + NOTICE_S
SMALLER = Clip(size=(256, 144), fps=10, gop=10)
FAULTS = {
    "server stopped": Fault(lambda c: c.server.stop(), lambda c: c.server.start(), GONE),
    "another size": Fault(lambda c: c.server.stop(), lambda c: start_with(c, SMALLER), GONE),
    "other codecs": Fault(lambda c: c.server.stop(), lambda c: start_with(c, MOUNTS["/h265-aac"]), GONE),
    "cable pulled": Fault(lambda c: c.net.cut(), lambda c: c.net.mend(), STALLED, STALL),
    "frozen": Fault(lambda c: c.server.freeze(), lambda c: c.server.thaw(), STALLED, STALL),
    "audio only": Fault(
        lambda c: c.server.mute("video"), lambda c: c.server.unmute("video"), frozenset({"video_stalled"}), STALL
    ),
    "worker killed": Fault(lambda c: c.signal(signal.SIGKILL), None, CRASHED, source="file"),
    "worker crashed": Fault(lambda c: c.signal(signal.SIGSEGV), None, CRASHED, source="file"),
    "worker stopped": Fault(
        lambda c: c.signal(signal.SIGSTOP), None, STALLED, SILENT_WORKER_S + NOTICE_S, source="file"
    ),
    "blocks in open": Fault(block_in_open, open_again, CRASHED, source="file"),
}
SAMPLE = {"server stopped", "other codecs", "frozen", "audio only", "worker killed", "blocks in open"}
"""One of each kind; the others are `full`."""


async def do(act: Act | None, camera: Broken) -> None:
    """Let something happen."""
    if act is not None and (doing := act(camera)) is not None:
        await doing


class Scene(NamedTuple):
    """A running box with two cameras, one of which is to be broken."""

    peers: Peers
    daemon: Box
    broken: Broken


@asynccontextmanager
async def scene(folder: Path, source: str) -> AsyncIterator[Scene]:
    """Both cameras stream when the block begins; when it ends the daemon has been stopped in good order."""
    film = folder / "broken.mp4"
    shutil.copy(MOUNTS["/h264-aac"].path(), film)
    async with AsyncExitStack() as stack:
        healthy = await stack.enter_async_context(rtsp_server(MOUNT))
        server = await stack.enter_async_context(rtsp_server(MOUNT))
        net = await stack.enter_async_context(network(to=server.port))
        jumps = Jumps(RATES)
        net.alter = jumps.connection
        peers = await stack.enter_async_context(run_peers(folder))
        url = f"file:{film}" if source == "file" else server.url("/cam", net.port)
        cameras: dict[str, Json] = {
            "healthy": {"source": healthy.url("/cam")},
            "broken": {"source": url, "open_timeout": OPEN_TIMEOUT_S},
        }
        daemon = await stack.enter_async_context(box(folder, peers.config(cameras)))
        await peers.wait_status("healthy", "streaming")
        await peers.wait_status("broken", "streaming")
        yield Scene(peers, daemon, Broken(server, net, jumps, film, daemon))
        assert await daemon.stop() == 0


def assert_undisturbed(peers: Peers, since: float) -> None:
    """The healthy camera lost no frame, and its chunks came as evenly after `since` as before."""
    [ready] = peers.events("healthy", "session.ready")
    [opened] = peers.cloud.happened("opened", request_id=ready["session"])
    numbers = [frame.number for frame in oracle.frames_of(peers.cloud, opened["session"])]
    assert numbers == list(range(len(numbers)))
    at = [chunk["monotonic"] for chunk in peers.cloud.happened("chunk", session=opened["session"])]
    quiet = [after - before for before, after in pairwise(at) if after < since]
    busy = [after - before for before, after in pairwise(at) if after >= since]
    assert len(quiet) >= 3
    assert len(busy) >= 3
    # at first it catches up with what was captured while the session was opened
    assert median(busy) < max(median(quiet), CHUNK_S) * 1.2
    assert max(busy) < max(quiet) * 2 + CHUNK_S
    assert [state for state, _ in peers.states("healthy")] == ["connecting", "streaming", "stopped"]
    assert peers.events("healthy", "coverage.dropped") == []


@pytest.mark.parametrize(
    "name", [name if name in SAMPLE else pytest.param(name, marks=pytest.mark.full) for name in FAULTS]
)
async def test_a_fault(tmp_path: Path, name: str) -> None:
    """It is noticed within the time that `stalls` states, told with its reason, and the camera streams again."""
    fault = FAULTS[name]
    async with scene(tmp_path, fault.source) as (peers, _, broken):
        await trio.sleep(QUIET_S)
        since = time.monotonic()
        began = peers.statuses("broken")[-1]
        await do(fault.happens, broken)
        told = await peers.wait_latest("broken", lambda s: s["state"] == "offline", fault.within + SLACK_S)
        assert told["reason"] in fault.reasons
        assert told["detail"]
        assert told["session"] is None
        if name == "blocks in open":
            within = OPENINGS * OPEN_TIMEOUT_S + NOTICE_S + SLACK_S
            await peers.wait_latest("broken", lambda s: s["reason"] == "open_timeout", within)
        await do(fault.ends, broken)
        back = await peers.wait_latest("broken", lambda s: s["state"] == "streaming", 60)
        assert (back["reason"], back["attempts"]) == (None, 0)
        assert back["session"] != began["session"]
        await peers.cloud.wait_happened("decoded", request_id=back["session"])
        await trio.sleep(3 * CHUNK_S)
    assert_undisturbed(peers, since)
    if name in {"another size", "other codecs"}:
        assert back["source"] != began["source"]


async def test_a_camera_that_is_muted(tmp_path: Path) -> None:
    """Its session goes on with silence; status and `coverage.degraded` say so, and that the audio is back."""
    async with scene(tmp_path, "rtsp") as (peers, _, broken):
        began = peers.statuses("broken")[-1]
        await broken.server.mute("audio")
        told = await peers.wait_latest("broken", lambda s: s["audio_missing"] is not None, STALL + SLACK_S)
        assert told["audio_missing"]["reason"] == "audio_stalled"
        await broken.server.unmute("audio")
        back = await peers.wait_latest("broken", lambda s: s["audio_missing"] is None, SLACK_S)
        for status in (told, back):
            assert (status["state"], status["session"]) == ("streaming", began["session"])
    begun, ended = peers.events("broken", "coverage.degraded")
    for event in (begun, ended):
        assert (event["data"]["track"], event["data"]["reason"], event["synthetic"]) == ("audio", "audio_stalled", True)
    assert (begun["end_at"], begun["data"]["seconds"]) == (None, None)
    assert ended["start_at"] == begun["start_at"] == told["audio_missing"]["since"]
    assert ended["data"]["seconds"] >= STALL_S
    assert {gap["data"]["reason"] for gap in peers.events("broken", "coverage.gap")} <= {"starting", "stopped"}


async def test_times_that_jump_both_ways(tmp_path: Path) -> None:
    """A camera whose clock jumps by minutes goes on in the same session, with every frame, in real time."""
    async with scene(tmp_path, "net") as (peers, daemon, broken):
        await trio.sleep(QUIET_S)
        since = time.monotonic()
        for seconds in (30.0, -90.0, 300.0):
            broken.jumps.by(seconds)
            await trio.sleep(3)
        rules = {rule for line in daemon.log for rule in line.get("rules", []) if line.get("camera") == "broken"}
        assert {"jump_ahead", "jump_back"} <= rules
    [ready] = peers.events("broken", "session.ready")
    [opened] = peers.cloud.happened("opened", request_id=ready["session"])
    frames = oracle.frames_of(peers.cloud, opened["session"])
    assert [frame.number for frame in frames] == list(range(len(frames)))
    assert frames[-1].media - frames[0].media == pytest.approx((len(frames) - 1) / 15, abs=1.0)
    assert_undisturbed(peers, since)
