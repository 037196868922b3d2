"""Where a chunk ends: at a border between GOPs, whatever their lengths, and without knowing what comes next.

A chunk ends at the first border at or after the length that was asked for. It ends at an earlier one, but not before
`SHORT_OF_CHUNK` of that length, where one more GOP like the last would take it further from what was asked. So:

1. A chunk that may grow is shorter than what was asked plus one GOP, and no sum of GOPs keeps it from ending.
2. A GOP leaves at the latest with the one that reaches the asked length, counted from where its chunk begins.
3. None is shorter than the least that the cloud takes, whatever else was asked.

"""

# Why not simpler: an end within a tenth of the asked length, and none elsewhere, was tried: GOPs of 1.15 to 1.75 s
# never made a chunk of 2 s, so that such a camera never sent a byte, and one GOP of 1.3 s among many of 2 s stood still
# for a minute. So was the border nearest to the asked length alone: it makes chunks of two thirds where the GOP is just
# that. A chunk that may end within a GOP was refused: the next one could not be decoded by itself, nor sent again
# alone.

import math
from collections.abc import Iterable
from typing import NamedTuple

from interhuman2mqtt.capture.ring import Gop, Packet

SHORT_OF_CHUNK = 0.75
LEAST_HELD_S = 3.0
"""What the smallest ring (5 s) holds for sure; the documented least of the cloud."""
ROUNDING_S = 1e-6
"""Sums of times are no more precise than this; a tick of video is eleven times as long."""


class Bounds(NamedTuple):
    """The limits of length and size that chunks are to keep."""

    wanted_s: float
    least_s: float = 0.0
    """A shorter one is not taken."""
    most_s: float = math.inf
    most_bytes: float = math.inf
    """A longer or larger one is not taken; where one GOP is more than that, its chunk is too."""

    def within(self, buffer_s: float, buffer_bytes: int) -> "Bounds":
        """Return the limits for a ring of that size: what it cannot hold while it grows must be sent before."""
        return Bounds(
            min(self.wanted_s, self.most_s, buffer_s / 2),
            min(self.least_s, max(buffer_s / 2, LEAST_HELD_S)),
            self.most_s,
            min(self.most_bytes, buffer_bytes),
        )


class GrowingChunk:
    """The GOPs of a chunk, as far as they are there; no I/O."""

    def __init__(self, bounds: Bounds) -> None:
        self.gops: list[Gop] = []
        self._bounds = bounds
        self._size = 0

    @property
    def seconds(self) -> float:
        """Its length so far."""
        return self.gops[-1].end_s - self.gops[0].start_s if self.gops else 0.0

    @property
    def reaches_least(self) -> bool:
        """Whether the cloud would take it by its length."""
        return self.seconds > self._bounds.least_s - ROUNDING_S

    @property
    def is_whole(self) -> bool:
        """Whether it ends here."""
        if not self.gops or not self.reaches_least:
            return False
        wanted_s, seconds = self._bounds.wanted_s - ROUNDING_S, self.seconds
        last_s = self.gops[-1].end_s - self.gops[-1].start_s
        is_nearest = seconds >= wanted_s * SHORT_OF_CHUNK and seconds + last_s / 2 >= wanted_s
        return is_nearest or seconds >= wanted_s or self._size >= self._bounds.most_bytes / 2

    def has_room(self, gop: Gop) -> bool:
        """Decide whether it may grow by this GOP; what is too short by itself has to."""
        if not self.gops or not self.reaches_least:
            return True
        seconds, size = gop.end_s - self.gops[0].start_s, self._size + gop.size
        return seconds <= self._bounds.most_s + ROUNDING_S and size <= self._bounds.most_bytes

    def add(self, gop: Gop) -> None:
        """Append the next GOP."""
        self.gops.append(gop)
        self._size += gop.size


def chunk_lengths(gops_s: Iterable[float], bounds: Bounds) -> list[float]:
    """Return the lengths in seconds of the chunks of GOPs of these lengths, without a last one that is not whole."""
    found: list[float] = []
    chunk, end_s = GrowingChunk(bounds), 0.0
    for gop_s in gops_s:
        gop = Gop(0, end_s, Packet(0, 0, 0, key=True, size=0, data=b""))
        gop.end_s = end_s = end_s + gop_s
        chunk.add(gop)
        if chunk.is_whole:
            found.append(chunk.seconds)
            chunk = GrowingChunk(bounds)
    return found
