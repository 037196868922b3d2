"""A segment of the spool, by its name, which `capture.spooler.segment_name` makes; and times that outlive a boot."""

import re
from pathlib import Path
from typing import NamedTuple

from msgspec import Struct

from interhuman2mqtt.runtime.clock import Instant, Seconds

_NAME = re.compile(r"([0-9a-z]{1,8})-(\d{1,13})-(\d{1,13})([su])-(\d{1,9})\.mp4")
BOOT_CHARACTERS = 8
"""Of the kernel's id of a boot: enough to tell those of one machine apart."""


class Moment(Struct, frozen=True):
    """The instant of something, so that it can be dated within its boot of the machine as well as in a later one."""

    boot: str
    """The begin of the kernel's id of the boot."""
    uptime: Seconds
    """BOOTTIME, in seconds."""
    wall: Seconds
    """Unix time, as the clock was set when this was written."""
    synced: bool
    """Whether the clock was kept by NTP or the like then."""

    def is_of_boot(self, now: Instant) -> bool:
        """Return whether the machine was not started since."""
        return bool(now.boot) and self.boot == now.boot[:BOOT_CHARACTERS]

    def on(self, now: Instant) -> float:
        """Return it on the BOOTTIME of the present boot: exactly, or as far as the wall clock leads there."""
        return self.uptime if self.is_of_boot(now) else self.wall - now.wall + now.uptime

    def is_certain(self, now: Instant) -> bool:
        """Return whether what it is dated as may be trusted."""
        return now.synced and (self.synced or self.is_of_boot(now))


class Segment(NamedTuple):
    """A file of the spool."""

    path: Path
    start: Moment
    seconds: float
    size: int
    """bytes"""


class Span(NamedTuple):
    """From when to when, on the BOOTTIME of the present boot."""

    start: float
    end: float


def moment(uptime: float, now: Instant) -> Moment:
    """Return what keeps a time of the present boot."""
    return Moment(now.boot[:BOOT_CHARACTERS], uptime, uptime - now.uptime + now.wall, now.synced)


def span(segment: Segment, now: Instant) -> Span:
    """Return when a segment was captured."""
    start = segment.start.on(now)
    return Span(start, start + segment.seconds)


def parse(path: Path, size: int) -> Segment | None:
    """Return the segment that a file is; None where its name is none."""
    found = _NAME.fullmatch(path.name)
    if found is None:
        return None
    start = Moment(found[1], int(found[2]) / 1000, int(found[3]) / 1000, found[4] == "s")
    return Segment(path, start, int(found[5]) / 1000, size)
