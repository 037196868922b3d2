"""What many cameras cost, and how many two cores hold beside the server that plays them."""

import json
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import trio

from bench.copying import RARELY
from bench.figures import Figure
from bench.kernel import cpu_seconds, family, pss_bytes
from bench.scene import FRAGMENTS, Cloud, configuration, daemon, pouring, quiet_broker
from support.processes import ChildProcess, running
from support.rtsp import FULL_HD_MOUNT, RtspServer, rtsp_server

COUNTS = (1, 10, 20, 40)
CHUNK_S = 2.0
LATE_S = CHUNK_S
"""No chunk may be late by more than one."""
SETTLE_S = 15
RING_MB = 4.0
"""Ten seconds of 3.2 Mbit/s, video and audio."""


class Point(NamedTuple):
    """So many cameras."""

    cameras: int
    cpu: float
    """Of a core, in percent: daemon and workers."""
    memory: float
    """MB, proportional, of all of them, their rings included."""
    late: float
    """Seconds by which the latest chunk was later than the first of its camera."""
    peer_cpu: float
    peer_late: float


class Holds(NamedTuple):
    """The longest steps of a task, in seconds."""

    cpu: float
    task: str
    """Whose step that was."""
    clock: float


async def many_cameras(folder: Path, seconds: float, naive_mb: float) -> tuple[list[Figure], list[Point]]:
    """The figures, and the points of the plot.

    Args:
        folder: For what the daemons keep.
        seconds: For each number of cameras.
        naive_mb: Memory of the naive script, for one camera.
    """
    points = []
    blocked = folder / "blocked.json"
    async with rtsp_server(FULL_HD_MOUNT, log_every=RARELY) as camera:
        for count in COUNTS:
            here = folder / str(count)
            here.mkdir()
            async with cameras(here, camera, count) as (ours, cloud):
                cpu, memory, late = await _observe(ours, cloud, seconds)
            async with copies(camera, count) as peers:
                peer_cpu, peer_late = await _observe_peers(peers, seconds / 2)
            points.append(Point(count, cpu, memory, late, peer_cpu, peer_late))
        watched = folder / "watched"
        watched.mkdir()
        async with cameras(watched, camera, COUNTS[-1], ("bench.blocked", str(blocked))):
            await trio.sleep(SETTLE_S + 5)
            blocked.unlink(missing_ok=True)
            await trio.sleep(20)
        holds = Holds(*json.loads(blocked.read_text()))
    return _figures(points, holds, naive_mb), points


@asynccontextmanager
async def cameras(
    folder: Path, camera: RtspServer, count: int, start: tuple[str, ...] = ("interhuman2mqtt",)
) -> AsyncIterator[tuple[ChildProcess, Cloud]]:
    """The daemon with so many cameras, all of which stream."""
    async with quiet_broker(folder) as broker, pouring(folder, tls=True) as cloud:
        wanted = {f"cam{n}": {"source": camera.url("/full-hd")} for n in range(count)}
        config = configuration(folder, cloud, broker, wanted, defaults={"buffer": "10s"})
        async with daemon(folder, config, start) as process:
            await cloud.wait_chunks(lambda chunks: len({chunk["session"] for chunk in chunks}) >= count, within=120)
            yield process, cloud


@asynccontextmanager
async def copies(camera: RtspServer, count: int) -> AsyncIterator[list[ChildProcess]]:
    """So many FFmpegs."""
    command = ["ffmpeg", "-v", "error", "-progress", "pipe:1", "-rtsp_transport", "tcp", "-i", camera.url("/full-hd")]
    command += ["-c", "copy", *FRAGMENTS, "-y", "/dev/null"]
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(running(command)) for _ in range(count)]


async def many_starts(folder: Path, count: int) -> list[Figure]:
    """So many cameras, from the start of `run` until all stream; and FFmpegs, until each has written media."""
    async with rtsp_server(FULL_HD_MOUNT, log_every=RARELY) as camera:
        began = trio.current_time()
        async with cameras(folder, camera, count):
            ours = trio.current_time() - began - CHUNK_S
        began = trio.current_time()
        async with copies(camera, count) as peers:
            with trio.fail_after(120):
                while not all(map(_out_time, peers)):  # noqa: ASYNC110 - lines of other processes
                    await trio.sleep(0.05)
            theirs = trio.current_time() - began
    what = f"start of {count} cameras until all stream, beyond the chunk's own length"
    return [Figure(what, "s", (ours,), f"{count} `ffmpeg -c copy`", (theirs,), 1.5)]


async def _observe(ours: ChildProcess, cloud: Cloud, seconds: float) -> tuple[float, float, float]:
    await trio.sleep(SETTLE_S)
    pids, skip = family(ours.process.pid), len(cloud.chunks())
    before = cpu_seconds(pids)
    await trio.sleep(seconds)
    cpu = 100 * (cpu_seconds(pids) - before) / seconds
    arrivals = defaultdict(list)
    for chunk in cloud.chunks()[skip:]:
        arrivals[chunk["session"]].append(chunk["at"])
    late = max(max(at - times[0] - n * CHUNK_S for n, at in enumerate(times)) for times in arrivals.values())
    return cpu, pss_bytes(pids) / 1e6, late


async def _observe_peers(peers: list[ChildProcess], seconds: float) -> tuple[float, float]:
    await trio.sleep(SETTLE_S)
    pids = [peer.process.pid for peer in peers]
    before, began, reached = cpu_seconds(pids), trio.current_time(), [_out_time(peer) for peer in peers]
    await trio.sleep(seconds)
    lasted = trio.current_time() - began
    cpu = 100 * (cpu_seconds(pids) - before) / lasted
    return cpu, max(lasted - (_out_time(peer) - at) for peer, at in zip(peers, reached, strict=True))


def _out_time(peer: ChildProcess) -> float:
    said = [line for line in peer.lines if line.startswith("out_time_us=") and not line.endswith("N/A")]
    return int(said[-1].partition("=")[2]) / 1e6 if said else 0.0


def _figures(points: list[Point], holds: Holds, naive_mb: float) -> list[Figure]:
    held = max((point.cameras for point in points if point.late <= LATE_S), default=0)
    peers_held = max((point.cameras for point in points if point.peer_late <= LATE_S), default=0)
    first, last = points[0], points[-1]
    ratio = tuple(point.cpu for point in points)
    peers = tuple(point.peer_cpu for point in points)
    share = (last.memory - first.memory) / (last.cameras - first.cameras)
    step = f"longest step of the event loop, {last.cameras} cameras"
    return [
        Figure(
            "cameras held on this machine", "cameras", (held,), "`ffmpeg -c copy`", (peers_held,), 0.5, is_rate=True
        ),
        Figure(f"CPU of 1, 10, 20, {last.cameras} cameras", "% of a core", ratio, "`ffmpeg -c copy`", peers, 1.5),
        Figure(
            f"CPU of a camera among {last.cameras}, by that of one alone",
            "% of a core",
            (last.cpu / last.cameras,),
            "one alone",
            (first.cpu / first.cameras,),
            1.2,
        ),
        Figure(
            "memory of a further camera, its ring of 10 s included", "MB", (share,), "naive script", (naive_mb,), 0.5
        ),
        Figure(f"the same beyond the ring ({RING_MB:g} MB)", "MB", (share - RING_MB,), "", (), 12),
        Figure(f"{step}, CPU ({holds.task})", "ms", (1000 * holds.cpu,), "", (), 20),
        Figure(f"{step}, by the clock, waiting for a core included", "ms", (1000 * holds.clock,), "", (), 20),
    ]
