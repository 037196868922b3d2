"""What one copied camera costs: 1080p30 at 3 Mbit/s with AAC over RTSP, worker, session, TLS and MQTT included."""

import sys
from pathlib import Path

import trio

from bench.figures import Figure
from bench.kernel import cpu_seconds, family, pss_bytes
from bench.scene import FRAGMENTS, configuration, daemon, pouring, quiet_broker
from rig.processes import running
from rig.rtsp import FULL_HD_MOUNT, rtsp_server

BUFFER_S = 10
WARM_UP_S = 15
RARELY = 1_000_000


async def copied_camera(folder: Path, seconds: float, runs: int) -> list[Figure]:
    """Ours, FFmpeg and the naive script, side by side in the same seconds."""
    async with (
        rtsp_server(FULL_HD_MOUNT, log_every=RARELY) as camera,
        quiet_broker(folder) as broker,
        pouring(folder, "--rate", "1", "--events", "100000", tls=True) as cloud,
    ):
        source = camera.url("/full-hd")
        defaults = {"buffer": f"{BUFFER_S}s"}
        config = configuration(folder, cloud, broker, {"hall": {"source": source}}, defaults=defaults)
        copy = [
            "ffmpeg",
            "-v",
            "error",
            "-rtsp_transport",
            "tcp",
            "-i",
            source,
            "-c",
            "copy",
            *FRAGMENTS,
            "-y",
            "/dev/null",
        ]
        naive = [sys.executable, "-m", "bench.naive", source, cloud.url, str(cloud.ca_file), str(broker.port)]
        async with daemon(folder, config) as ours, running(copy) as ffmpeg, running(naive) as script:
            await cloud.wait_chunks(lambda chunks: len({chunk["session"] for chunk in chunks}) == 2)
            await trio.sleep(WARM_UP_S)
            groups = {
                "ours": family(ours.process.pid),
                "ffmpeg": [ffmpeg.process.pid],
                "naive": family(script.process.pid),
            }
            used: dict[str, list[float]] = {name: [] for name in groups}
            for _ in range(runs):
                before = {name: cpu_seconds(pids) for name, pids in groups.items()}
                await trio.sleep(seconds)
                for name, pids in groups.items():
                    used[name].append(100 * (cpu_seconds(pids) - before[name]) / seconds)
            memory = {name: pss_bytes(pids) / 1e6 for name, pids in groups.items()}
            mine = [chunk["size"] for chunk in cloud.chunks() if chunk["session"] == _ours(cloud.chunks())]
    ring = sum(mine[-10:]) / 20 * BUFFER_S / 1e6
    what = "CPU of a copied camera, 1080p30 at 3 Mbit/s"
    ours_cpu = tuple(used["ours"])
    return [
        Figure(what, "% of a core", ours_cpu, "`ffmpeg -c copy`", tuple(used["ffmpeg"]), 2.5),
        Figure("the same", "% of a core", ours_cpu, "naive script", tuple(used["naive"]), 0.05),
        Figure(
            "memory of one camera and the whole daemon",
            "MB",
            (memory["ours"],),
            "naive script",
            (memory["naive"],),
            0.5,
        ),
        Figure(f"the same beyond the ring ({ring:.1f} MB)", "MB", (memory["ours"] - ring,), "", (), 25),
    ]


def _ours(chunks: list[dict[str, int]]) -> int:
    """The session whose chunks are the larger ones: what is copied has six times the bits."""
    largest = max(chunks, key=lambda chunk: chunk["size"])
    return largest["session"]
