"""What a copied camera costs: `python tests/bench/cost.py [SECONDS]`.

One RTSP camera, 1080p30 at 3 Mbit/s with AAC, read by the daemon (worker, session and MQTT) and, in the same seconds,
by `ffmpeg -c copy` into fragmented MP4. CPU is what the kernel counted for the processes themselves; memory is the
worker's proportional set size, less the bytes that its ring holds.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

import trio

sys.path.insert(0, str(Path(__file__).parents[1]))

from rig.mosquitto import mosquitto, subscribed
from rig.processes import start_process
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


def children(pid: int) -> list[int]:
    """Its child processes."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


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
