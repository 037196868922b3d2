"""A small box: a quarter of a core and 256 MiB, by the kernel's own limits; how many cameras, and what gives way first.

The limits are those of control groups, version 1; where this machine has none for us it is left out.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import trio

from bench.kernel import family
from bench.many import CHUNK_S, cameras
from rig.rtsp import FULL_HD_MOUNT, rtsp_server

QUARTER_US, PERIOD_US = 25_000, 100_000
MEMORY = 256 << 20
COUNTS = (1, 2, 4, 6, 8, 12)
V1_CPU, V1_MEMORY = Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup/memory")


class Small(NamedTuple):
    """So many cameras on a small box."""

    cameras: int
    streaming: int
    """Of them, those that sent a chunk in the last ten seconds."""
    late: float
    """Seconds by which the latest chunk was later than the first of its camera."""
    restarts: int
    """Capture processes that came in the place of others."""


async def small_box(folder: Path, seconds: float) -> list[Small]:
    """Until the cameras are more than it can hold; empty where this machine has no limits for us."""
    if not may_limit():
        return []
    found: list[Small] = []
    async with rtsp_server(FULL_HD_MOUNT, log_every=1_000_000) as camera:
        for count in COUNTS:
            here = folder / f"small-{count}"
            here.mkdir()
            async with cameras(here, camera, count) as (ours, cloud):
                with limited(family(ours.process.pid)):
                    before, skip = set(family(ours.process.pid)), len(cloud.chunks())
                    await trio.sleep(seconds)
                    chunks = cloud.chunks()[skip:]
                    after = set(family(ours.process.pid))
            arrivals: dict[int, list[float]] = {}
            for chunk in chunks:
                arrivals.setdefault(chunk["session"], []).append(chunk["at"])
            newest = max((chunk["at"] for chunk in chunks), default=0.0)
            streaming = sum(times[-1] > newest - 10 for times in arrivals.values())
            late = max(
                (times[-1] - times[0] - (len(times) - 1) * CHUNK_S for times in arrivals.values()), default=seconds
            )
            found.append(Small(count, streaming, late, len(after - before)))
            if late > CHUNK_S or streaming < count:
                break
    return found


def may_limit() -> bool:
    """Whether the kernel's limits can be set here."""
    return os.geteuid() == 0 and (V1_CPU / "cpu.cfs_quota_us").exists() and V1_MEMORY.exists()


@contextmanager
def limited(pids: list[int]) -> Iterator[None]:
    """A quarter of a core and 256 MiB for these processes together, and for those that they start."""
    cpu, memory = V1_CPU / f"bench-{os.getpid()}", V1_MEMORY / f"bench-{os.getpid()}"
    try:
        cpu.mkdir()
        memory.mkdir()
        (cpu / "cpu.cfs_period_us").write_text(str(PERIOD_US))
        (cpu / "cpu.cfs_quota_us").write_text(str(QUARTER_US))
        (memory / "memory.limit_in_bytes").write_text(str(MEMORY))
        for group in (memory, cpu):
            for pid in pids:
                (group / "cgroup.procs").write_text(str(pid))
        yield
    finally:
        for group in (cpu, memory):
            _dissolve(group)


def _dissolve(group: Path) -> None:
    if group.exists():
        for pid in (group / "cgroup.procs").read_text().split():
            (group.parent / "cgroup.procs").write_text(pid)
        group.rmdir()
