"""Where a recording is cut: at key frames, into as few parts as the cloud's limits allow, all about as long; no I/O."""

from collections.abc import Sequence
from typing import NamedTuple

# Filling each part to the limit was the obvious way, and left a last one of seconds: too short to be taken, or to say
# much about. So the limits are tightened until one more part would be needed.

STEPS = 16
"""Halvings while the limits are tightened."""


class CutUnit(NamedTuple):
    """A stretch of a recording before which it can be cut: a group of pictures, or a second of audio."""

    start: float
    """Seconds."""
    end: float
    size: int
    """Bytes."""


class Limits(NamedTuple):
    """Of a part."""

    size: float
    """Bytes."""
    duration: float
    """Seconds."""


def plan_cuts(gops: Sequence[CutUnit], limits: Limits) -> tuple[float, ...] | None:
    """Return where the parts begin; None where there is nothing, or a GOP alone is beyond the limits."""
    starts = _starts(gops, limits) if gops else None
    if starts is None:
        return None
    least, most = 0.0, 1.0
    for _ in range(STEPS):
        middle = (least + most) / 2
        tighter = _starts(gops, Limits(limits.size * middle, limits.duration * middle))
        if tighter is not None and len(tighter) == len(starts):
            most, starts = middle, tighter
        else:
            least = middle
    return tuple(gops[index].start for index in starts)


def _starts(gops: Sequence[CutUnit], limits: Limits) -> list[int] | None:
    starts, size = [0], 0
    for index, gop in enumerate(gops):
        if gop.size > limits.size or gop.end - gop.start > limits.duration:
            return None
        if size + gop.size > limits.size or gop.end - gops[starts[-1]].start > limits.duration:
            starts.append(index)
            size = 0
        size += gop.size
    return starts
