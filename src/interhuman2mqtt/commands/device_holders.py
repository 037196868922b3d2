"""Who has a device open, as far as this user may see it."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from interhuman2mqtt.capture import v4l2

PROC = Path("/proc")
CAPTURE = "interhuman2mqtt.capture"
"""In the command line of every capture process (`cameras.worker`)."""


class Holder(NamedTuple):
    """A process that has a device open."""

    pid: int
    name: str
    is_capture: bool
    """Whether it is a capture process of this program."""

    def __str__(self) -> str:
        """Name the process for people."""
        return f"{self.name} (process {self.pid})"


def holders(device: Path, proc: Path = PROC) -> Iterator[Holder]:
    """Return the processes that have a device open; those of other users are seen by root alone (proc(5))."""
    path = str(device.resolve())
    for process in sorted(proc.glob("[0-9]*")):
        if any(_target(fd) == path for fd in _files(process / "fd")):
            words = v4l2.read_line(process / "cmdline").split("\0")
            yield Holder(int(process.name), v4l2.read_line(process / "comm") or words[0], CAPTURE in words)


def _files(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []  # not ours to see, or the process has just ended


def _target(fd: Path) -> str | None:
    try:
        return str(fd.readlink())
    except OSError:
        return None
