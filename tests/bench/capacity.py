"""What a box holds: what one camera more of each kind takes, and how many of it fit on so many cores.

Measured are one and three cameras of a kind, daemon, TLS and events included; the difference is two cameras. A USB
camera is played from a film of what it would send, so that what the kernel's USB takes is not in it.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple

import trio

from bench.copying import RARELY
from bench.kernel import cpu_seconds, family, pss_bytes
from bench.scene import configuration, daemon, pouring, quiet_broker
from support.rtsp import FULL_HD_MOUNT, rtsp_server

FEW, MORE = 1, 3
SETTLE_S = 12
CORES = {"a quarter core": 0.25, "one core": 1.0, "two cores": 2.0}
LOAD = 0.7
"""Of the cores: the rest is for starts, bursts, and all else that a box does."""
FILM_S = 8


class Capacity(NamedTuple):
    """One kind of camera."""

    kind: str
    cpu: float
    """Of a core, in percent, for each further camera."""
    memory: float
    """MB for each further camera, its ring of 10 s included."""
    fixed: float
    """Of a core, in percent: what the daemon takes by itself."""

    def cameras(self, cores: float) -> int:
        """How many cores hold, by their CPU time."""
        return max(int((100 * LOAD * cores - self.fixed) / self.cpu), 0)

    def row(self) -> str:
        """The kind as a row in Markdown."""
        held = " | ".join(str(self.cameras(cores)) for cores in CORES.values())
        return f"| {self.kind} | {self.cpu:.2g} % | {self.memory:.0f} MB | {held} |"


def table(found: list[Capacity]) -> list[str]:
    """All kinds in Markdown, and how they were found."""
    return [
        f"What a box holds, of cores like this machine's, {LOAD:.0%} of them used. {FEW} and {MORE} were measured;",
        "how many fit follows from their CPU time, and is less where memory is short.",
        "",
        f"| camera | CPU of a further one | memory of a further one | {' | '.join(CORES)} |",
        "|---|---|---|" + "---|" * len(CORES),
        *(each.row() for each in found),
    ]


async def capacity(folder: Path, seconds: float, runs: int) -> list[Capacity]:
    """Each kind of camera."""
    kinds: dict[str, tuple[list[str], dict[str, object]]] = {
        "USB, MJPEG 720p30, encoded": (["-r", "30", "-c:v", "mjpeg", "-q:v", "4", "-pix_fmt", "yuvj422p"], {"fps": 30}),
        "USB, raw 720p15, encoded": (["-r", "15", "-c:v", "rawvideo", "-pix_fmt", "yuyv422"], {"fps": 15}),
    }
    async with rtsp_server(FULL_HD_MOUNT, log_every=RARELY) as camera:
        source: dict[str, object] = {"source": camera.url("/full-hd")}
        found = [await _measured(folder / "copied", "RTSP, H.264 1080p30, copied", source, seconds, runs)]
    for number, (kind, (encoding, keys)) in enumerate(kinds.items()):
        film = await _film(folder / f"{number}.avi", encoding)
        keys["source"] = f"file:{film}"
        found.append(await _measured(folder / f"kind-{number}", kind, keys, seconds, runs))
    return found


async def _film(path: Path, encoding: list[str]) -> Path:
    """What a camera of 720p sends, some seconds of it."""
    picture = ["-f", "lavfi", "-i", "testsrc2=size=1280x720:rate=30", "-t", str(FILM_S)]
    await trio.run_process(["ffmpeg", "-v", "error", *picture, *encoding, "-y", str(path)])
    return path


async def _measured(folder: Path, kind: str, camera: dict[str, object], seconds: float, runs: int) -> Capacity:
    cpu: dict[int, float] = {}
    memory: dict[int, float] = {}
    for count in (FEW, MORE):
        here = folder / str(count)
        here.mkdir(parents=True)
        async with _running(here, camera, count) as pids:
            used = []
            for _ in range(runs):
                before = cpu_seconds(pids)
                await trio.sleep(seconds)
                used.append(100 * (cpu_seconds(pids) - before) / seconds)
            cpu[count], memory[count] = median(used), pss_bytes(pids) / 1e6
    further = (cpu[MORE] - cpu[FEW]) / (MORE - FEW)
    return Capacity(kind, further, (memory[MORE] - memory[FEW]) / (MORE - FEW), max(cpu[FEW] - FEW * further, 0.0))


@asynccontextmanager
async def _running(folder: Path, camera: dict[str, object], count: int) -> AsyncIterator[list[int]]:
    """The processes of a daemon with so many of a camera, all of which stream."""
    async with quiet_broker(folder) as broker, pouring(folder, "--rate", "1", "--events", "100000", tls=True) as cloud:
        wanted = {f"cam{n}": dict(camera) for n in range(count)}
        config = configuration(folder, cloud, broker, wanted, defaults={"buffer": "10s"})
        async with daemon(folder, config) as process:
            await cloud.wait_chunks(lambda chunks: len({chunk["session"] for chunk in chunks}) >= count)
            await trio.sleep(SETTLE_S)
            yield family(process.process.pid)
