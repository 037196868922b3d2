"""What it costs to encode a camera that gives raw pictures, 720p30, against FFmpeg with the same settings."""

from pathlib import Path

import trio

from bench.figures import Figure
from bench.kernel import cpu_seconds, family
from bench.scene import FRAGMENTS, configuration, daemon, pouring, quiet_broker
from support.processes import running

PICTURE = "testsrc2=size=1280x720:rate=30,format=yuv420p"
SOUND = "sine=frequency=440:beep_factor=4:sample_rate=48000"
BITRATE = "2M"
SETTLE_S = 8


async def encoded_camera(folder: Path, seconds: float, runs: int) -> list[Figure]:
    """Both make their own test picture, encode it with x264 veryfast, and the audio as AAC."""
    camera = {"source": "test:", "size": "1280x720", "fps": 30, "video_bitrate": BITRATE}
    command = ["ffmpeg", "-v", "error", "-re", "-f", "lavfi", "-i", PICTURE, "-re", "-f", "lavfi", "-i", SOUND]
    command += ["-c:v", "libx264", "-preset", "veryfast", "-tune", "zerolatency", "-g", "30", "-sc_threshold", "0"]
    command += ["-b:v", BITRATE, "-maxrate", BITRATE, "-bufsize", "4M", "-c:a", "aac", *FRAGMENTS, "-y", "/dev/null"]
    ours, theirs = [], []
    async with quiet_broker(folder) as broker, pouring(folder, tls=True) as cloud:
        config = configuration(folder, cloud, broker, {"hall": camera})
        async with daemon(folder, config) as process, running(command) as ffmpeg:
            await cloud.wait_chunks(lambda chunks: len(chunks) >= 1)
            await trio.sleep(SETTLE_S)
            for _ in range(runs):
                pids = family(process.process.pid), [ffmpeg.process.pid]
                before = [cpu_seconds(each) for each in pids]
                await trio.sleep(seconds)
                used = [100 * (cpu_seconds(each) - was) / seconds for each, was in zip(pids, before, strict=True)]
                ours.append(used[0])
                theirs.append(used[1])
    what = "CPU of a raw camera, 720p30, encoded"
    return [Figure(what, "% of a core", tuple(ours), "`ffmpeg -preset veryfast`", tuple(theirs), 1.1)]
