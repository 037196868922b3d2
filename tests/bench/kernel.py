"""What the kernel counted for a process: its time and its memory."""

import os
from collections.abc import Iterable
from pathlib import Path

from support.processes import children

TICKS = os.sysconf("SC_CLK_TCK")


def family(pid: int) -> list[int]:
    """A process and its children."""
    return [pid, *children(pid)]


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system time of some processes so far."""
    return sum(_cpu_seconds(pid) for pid in pids)


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def pss_bytes(pids: Iterable[int]) -> int:
    """Their proportional set size: what several share counts for each in part."""
    return sum(_pss_bytes(pid) for pid in pids)


def _pss_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
