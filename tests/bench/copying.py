"""What one copied camera costs: 1080p30 at 3 Mbit/s with AAC over RTSP, worker, session, TLS and MQTT included."""

import sys
from pathlib import Path

import trio

from bench.figures import Figure
from bench.kernel import cpu_seconds, family, pss_bytes
from bench.scene import FRAGMENTS, configuration, daemon, pouring, quiet_broker
from support.processes import running
from support.rtsp import FULL_HD_MOUNT, rtsp_server

BUFFER_S = 10
WARM_UP_S = 15
RARELY = 1_000_000


async def copied_camera(folder: Path, seconds: float, runs: int) -> tuple[list[Figure], float]:
    """Ours, FFmpeg and the naive script, side by side in the same seconds; and the memory of the script, in MB."""
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
            memory = pss_bytes(groups["naive"]) / 1e6
    what = "CPU of a copied camera, 1080p30 at 3 Mbit/s"
    ours_cpu = tuple(used["ours"])
    return [
        Figure(what, "% of a core", ours_cpu, "`ffmpeg -c copy`", tuple(used["ffmpeg"]), 1.5),
        Figure("the same", "% of a core", ours_cpu, "naive script", tuple(used["naive"]), 0.05),
    ], memory
