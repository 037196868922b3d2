"""What the processes of the daemon hold, by /proc."""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from soak.oracle import Sample
from support.processes import children

CAPTURE = b"interhuman2mqtt.capture"
LEFTOVER_LOOKS = 7
"""Looks in a row at which a leftover may be seen: a worker that was stopped ends only when it goes on."""


class ProcessMonitor:
    """Looks at the daemon and its workers, again and again.

    Args:
        mark: What is in the environment of these processes, and of no others.
    """

    def __init__(self, mark: str) -> None:
        self.samples: list[Sample] = []
        self.violations: list[str] = []
        self._mark = mark
        self._seen: Counter[int] = Counter()

    def check_leftovers(self, daemon: int | None) -> None:
        """Note the zombies, and the workers without a daemon, that are still there after `LEFTOVER_LOOKS` looks."""
        left = dict.fromkeys(orphans(self._mark, daemon), "capture process without its daemon")
        left |= {} if daemon is None else dict.fromkeys(zombies(daemon), "zombie")
        self._seen = Counter({pid: self._seen[pid] + 1 for pid in left})
        for pid, times in self._seen.items():
            if times == LEFTOVER_LOOKS:
                self.violations.append(f"process {pid} is a {left[pid]} at {LEFTOVER_LOOKS} looks in a row")

    def check_stopped(self) -> None:
        """Note the workers that are there after the daemon has ended for good."""
        left = orphans(self._mark, None)
        self.violations += [f"capture process {pid} is left after the daemon has ended" for pid in left]

    def add_samples(self, daemon: int) -> None:
        """Of the daemon, and of each of its workers."""
        found = [sample(daemon, "daemon"), *(sample(pid, "worker") for pid in workers(daemon))]
        self.samples += [one for one in found if one is not None]


def sample(pid: int, role: str) -> Sample | None:
    """What a process holds now; None where it has just ended."""
    folder = Path(f"/proc/{pid}")
    try:
        memory = _kilobytes(folder / "smaps_rollup", "Pss:") * 1024
        return Sample(
            time.time(),
            pid,
            role,
            memory,
            sum(1 for _ in (folder / "fd").iterdir()),
            _kilobytes(folder / "status", "Threads:"),
        )
    except OSError:
        return None


def workers(daemon: int) -> list[int]:
    """The capture processes that are children of the daemon, zombies not among them."""
    return [pid for pid in children(daemon) if CAPTURE in _read(pid, "cmdline").split(b"\0")]


def zombies(daemon: int) -> list[int]:
    """Children of the daemon that ended, and that it has not reaped."""
    return [pid for pid in children(daemon) if _read(pid, "stat").rpartition(b")")[2].split()[:1] == [b"Z"]]


def orphans(mark: str, daemon: int | None) -> list[int]:
    """Capture processes that have this mark in their environment, and that the daemon is not the parent of."""
    ours = [] if daemon is None else children(daemon)
    return [pid for pid in _captures() if pid not in ours and mark.encode() in _read(pid, "environ")]


def worker_of(daemon: int, trace: str | int) -> int | None:
    """The worker that has a file open, or a connection to a TCP port of loopback."""
    for pid in workers(daemon):
        links = _links(pid)
        if isinstance(trace, str):
            if trace in links:
                return pid
        elif any(f"socket:[{inode}]" in links for inode in _sockets_to(trace)):
            return pid
    return None


def _captures() -> Iterator[int]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and CAPTURE in _read(int(entry.name), "cmdline"):
            yield int(entry.name)


def _links(pid: int) -> set[str]:
    found = set()
    with suppress(OSError):
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                found.add(str(link.readlink()))
    return found


def _sockets_to(port: int) -> set[str]:
    """The inodes of the sockets that are connected to a port (/proc/net/tcp, proc(5))."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {row[9] for row in rows if int(row[2].rpartition(":")[2], 16) == port}


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:  # it has ended
        return b""


def _kilobytes(file: Path, field: str) -> int:
    return next(int(line.split()[1]) for line in file.read_text().splitlines() if line.startswith(field))
