"""What a copied camera costs: `python tests/bench/cost.py [SECONDS]`.

One RTSP camera, 1080p30 at 3 Mbit/s with AAC, read by the daemon (worker, session and MQTT) and, in the same seconds,
by `ffmpeg -c copy` into fragmented MP4. CPU is what the kernel counted for the processes themselves; memory is the
worker's proportional set size, less the bytes that its ring holds.
"""

import os
import sys
import tempfile
from pathlib import Path

import trio

sys.path.insert(0, str(Path(__file__).parents[1]))

from rig.mosquitto import mosquitto, subscribed
from rig.processes import children, running
from rig.rtsp import FULL_HD_MOUNT, rtsp_server

WARM_UP_S = 10
TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def pss_bytes(pid: int) -> int:
    """The process's proportional set size."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def configuration(source: str, cloud: str, broker: int) -> str:
    """One camera, everything else by default."""
    return f"""
[box]
id = "bench"
[interhuman]
url = "{cloud}"
api_key = {{ env = "INTERHUMAN_API_KEY" }}
[mqtt]
url = "mqtt://127.0.0.1:{broker}"
[cameras.hall]
source = "{source}"
"""


async def measure(seconds: float, folder: Path) -> None:
    """Print the figures of one run."""
    async with rtsp_server(FULL_HD_MOUNT) as camera, mosquitto(folder) as broker:
        simulate = [sys.executable, "-m", "interhuman2mqtt.simulator", "--listen", "127.0.0.1:0"]
        source = camera.url("/full-hd")
        async with running(simulate) as cloud, subscribed(broker) as seen:
            line = await cloud.wait_line(lambda text: "url=" in text)
            config = folder / "interhuman2mqtt.toml"
            config.write_text(configuration(source, line.rpartition("url=")[2].strip(), broker.port))
            run = [sys.executable, "-m", "interhuman2mqtt", "run", "--config", str(config)]
            copy = ["ffmpeg", "-v", "error", "-rtsp_transport", "tcp", "-i", source, "-c", "copy", "-f", "mp4"]
            copy += ["-movflags", "frag_keyframe+empty_moov+default_base_moof", "-y", "/dev/null"]
            async with running(run, {**os.environ, "INTERHUMAN_API_KEY": "bench"}) as daemon, running(copy) as ffmpeg:
                await seen.wait_for(lambda all_: any(b'"streaming"' in m.payload for m in all_), within=30)
                await trio.sleep(WARM_UP_S)
                parts = {"daemon": daemon.process.pid, "ffmpeg -c copy": ffmpeg.process.pid}
                parts["worker"] = children(daemon.process.pid)[0]
                before = {name: cpu_seconds(pid) for name, pid in parts.items()}
                await trio.sleep(seconds)
                used = {name: cpu_seconds(pid) - before[name] for name, pid in parts.items()}
                print_figures(used, {name: pss_bytes(pid) for name, pid in parts.items()}, seconds)


def print_figures(used: dict[str, float], memory: dict[str, int], seconds: float) -> None:
    """The table, and the ratio."""
    for name, cpu in used.items():
        print(f"{name:<15} {100 * cpu / seconds:6.2f} % of a core  {memory[name] / 1e6:6.1f} MB proportional")
    ours = used["daemon"] + used["worker"]
    print(f"worker and daemon together: {ours / used['ffmpeg -c copy']:.2f} times ffmpeg -c copy")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        trio.run(measure, float(sys.argv[1]) if len(sys.argv) > 1 else 60.0, Path(temporary))
