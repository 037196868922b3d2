"""A small box: a quarter of a core and 256 MiB, by the kernel's own limits; how many cameras, and what gives way first.

The limits are those of control groups, version 1; where this machine has none for us it is left out.
"""

import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import trio

from bench.kernel import family
from bench.many import CHUNK_S
from bench.scene import Json, configuration, daemon, pouring, quiet_broker
from support.rtsp import FULL_HD_MOUNT, RtspServer, rtsp_server

QUARTER_US, PERIOD_US = 25_000, 100_000
MEMORY = 256 << 20
COUNTS = (4, 8, 12)
START_S, START_EACH_S = 10, 4
"""Each process needs more than a second of CPU to start, which takes four times as long here."""
V1_CPU, V1_MEMORY = Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup/memory")


class Small(NamedTuple):
    """So many cameras on a small box."""

    cameras: int
    streaming: int
    """Of them, those that sent a chunk in the last ten seconds."""
    late: float
    """Seconds by which the latest chunk was later than the first of its session."""
    restarts: int
    """Capture processes that came in the place of others."""
    is_up: bool
    """Whether the daemon itself is the one that was started."""


async def small_box(folder: Path, seconds: float) -> list[Small]:
    """Until the cameras are more than it can hold; empty where this machine has no limits for us."""
    if not may_limit():
        return []
    found: list[Small] = []
    async with rtsp_server(FULL_HD_MOUNT, log_every=1_000_000) as camera:
        for count in COUNTS:
            here = folder / f"small-{count}"
            here.mkdir()
            found.append(await _observe(here, camera, count, seconds))
            if found[-1].late > CHUNK_S or found[-1].streaming < count:
                break
    return found


async def _observe(folder: Path, camera: RtspServer, count: int, seconds: float) -> Small:
    wanted: dict[str, Json] = {f"cam{n}": {"source": camera.url("/full-hd")} for n in range(count)}
    async with limits() as groups, quiet_broker(folder) as broker, pouring(folder, tls=True) as cloud:
        config = configuration(folder, cloud, broker, wanted, defaults={"buffer": "10s"})
        async with daemon(folder, config, ("bench.boxed", *map(str, groups))) as ours:
            await trio.sleep(START_S + START_EACH_S * count)
            before, skip = set(family(ours.process.pid)), len(cloud.chunks())
            await trio.sleep(seconds)
            chunks, after = cloud.chunks()[skip:], set(family(ours.process.pid))
            is_up = ours.process.returncode is None
            end = max((chunk["at"] for chunk in cloud.chunks()), default=0.0)
    arrivals: dict[int, list[float]] = {}
    for chunk in chunks:
        arrivals.setdefault(chunk["session"], []).append(chunk["at"])
    streaming = sum(times[-1] > end - 10 for times in arrivals.values())
    late = max((times[-1] - times[0] - (len(times) - 1) * CHUNK_S for times in arrivals.values()), default=seconds)
    return Small(count, streaming, late, len(after - before), is_up)


def may_limit() -> bool:
    """Whether the kernel's limits can be set here."""
    return os.geteuid() == 0 and (V1_CPU / "cpu.cfs_quota_us").exists() and V1_MEMORY.exists()


@asynccontextmanager
async def limits() -> AsyncIterator[tuple[Path, Path]]:
    """Groups of a quarter of a core and of 256 MiB, for who enters them and what that starts."""
    cpu, memory = V1_CPU / f"bench-{os.getpid()}", V1_MEMORY / f"bench-{os.getpid()}"
    try:
        cpu.mkdir()
        memory.mkdir()
        (cpu / "cpu.cfs_period_us").write_text(str(PERIOD_US))
        (cpu / "cpu.cfs_quota_us").write_text(str(QUARTER_US))
        (memory / "memory.limit_in_bytes").write_text(str(MEMORY))
        yield cpu, memory
    finally:
        with trio.move_on_after(30, shield=True):
            for group in (cpu, memory):
                await trio.to_thread.run_sync(_dissolve, group, abandon_on_cancel=True)


def _dissolve(group: Path) -> None:
    while group.exists():
        try:
            group.rmdir()
        except OSError:  # the last ones are still on their way out
            time.sleep(0.1)
