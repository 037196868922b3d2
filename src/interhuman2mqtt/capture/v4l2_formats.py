"""The formats that a V4L2 camera's driver offers; nothing is changed, and nothing is captured.

Numbers and structures: linux/videodev2.h, the same on all architectures.
"""

import fcntl
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct

QUERYCAP, ENUM_FMT, ENUM_FRAMESIZES, ENUM_FRAMEINTERVALS = 0x80685600, 0xC0405602, 0xC02C564A, 0xC034564B
CAPABILITY = struct.Struct("=16s32s32s3I12x")
FORMAT = struct.Struct("=3I32sI16x")
SIZE = struct.Struct("=3I6I8x")
INTERVAL = struct.Struct("=5I6I8x")
CAPTURE = 1
"""V4L2_CAP_VIDEO_CAPTURE, and V4L2_BUF_TYPE_VIDEO_CAPTURE"""
DEVICE_CAPS = 0x80000000
DISCRETE = 1
"""Of sizes and of intervals; otherwise there is a range."""
ENTRIES_MAX = 256
"""A driver that lists more of anything is broken."""
USUAL_SIZES = ((640, 480), (1280, 720), (1920, 1080))
"""Queried within a range of sizes, whose ends alone say little: the smallest is fast, and the largest slow."""

Ioctl = Callable[[int, bytearray], None]
"""Does a request of V4L2 on an open device; raises OSError."""


class Size(Struct, frozen=True):
    """A size, and its frame rates."""

    width: int
    height: int
    fps: float
    """The most; 0 where the driver lists none."""
    rates: tuple[float, ...] = ()
    """All of them; none: any up to `fps`."""


class Format(Struct, frozen=True):
    """A format that a camera can send."""

    code: str
    """Its four characters (FourCC): MJPG, YUYV, H264 ..."""
    description: str
    sizes: tuple[Size, ...]
    steps: tuple[int, int] | None = None
    """Any size from the smallest to the largest in steps of this width and height; None: those sizes only."""


class NotACamera(Exception):  # noqa: N818 - it names what happened
    """The device is there, and captures no video."""


def formats(device: Path) -> tuple[Format, ...]:
    """Return all that a camera offers; raises OSError, NotACamera."""
    descriptor = os.open(device, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return query_formats(lambda request, argument: _ioctl(descriptor, request, argument))
    finally:
        os.close(descriptor)


def _ioctl(descriptor: int, request: int, argument: bytearray) -> None:
    fcntl.ioctl(descriptor, request, argument)


def query_formats(ioctl: Ioctl) -> tuple[Format, ...]:
    """Return all that a device offers which is open; raises NotACamera."""
    answer = bytearray(CAPABILITY.size)
    ioctl(QUERYCAP, answer)
    *_, capabilities, device_caps = CAPABILITY.unpack(answer)
    if not (device_caps if capabilities & DEVICE_CAPS else capabilities) & CAPTURE:
        raise NotACamera
    formats = _entries(ioctl, ENUM_FMT, FORMAT, CAPTURE, 0, b"", 0)
    return tuple(_format(ioctl, code, _text(description)) for _, _, _, description, code in formats)


def _entries(ioctl: Ioctl, request: int, layout: struct.Struct, *query: int | bytes) -> Iterator[tuple[Any, ...]]:
    """Return the answers to a request by the numbers 0, 1, 2 ..., until the driver has no more (EINVAL)."""
    for index in range(ENTRIES_MAX):
        answer = bytearray(layout.pack(index, *query))
        try:
            ioctl(request, answer)
        except OSError:
            return
        yield layout.unpack(answer)


def _format(ioctl: Ioctl, code: int, description: str) -> Format:
    sizes: list[Size] = []
    for _, _, kind, *numbers in _entries(ioctl, ENUM_FRAMESIZES, SIZE, code, 0, *[0] * 6):
        if kind != DISCRETE:
            narrow, wide, across, low, high, down = numbers
            within = [(w, h) for w, h in USUAL_SIZES if narrow < w < wide and low < h < high]
            every = [_size(ioctl, code, w, h) for w, h in [(narrow, low), *within, (wide, high)]]
            return Format(_fourcc(code), description, tuple(every), (max(across, 1), max(down, 1)))
        sizes.append(_size(ioctl, code, *numbers[:2]))
    return Format(_fourcc(code), description, tuple(sizes))


def _size(ioctl: Ioctl, code: int, width: int, height: int) -> Size:
    rates: list[float] = []
    intervals = _entries(ioctl, ENUM_FRAMEINTERVALS, INTERVAL, code, width, height, 0, *[0] * 6)
    for *_, kind, numerator, denominator, _, _, _, _ in intervals:
        fps = round(denominator / numerator, 2) if numerator else 0.0
        if kind != DISCRETE:  # a range, which begins with its shortest interval
            return Size(width, height, fps)
        rates.append(fps)
    return Size(width, height, max(rates, default=0.0), tuple(rates))


def _fourcc(code: int) -> str:
    return code.to_bytes(4, "little").decode("latin-1").strip()


def _text(raw: bytes) -> str:
    return raw.split(b"\0")[0].decode(errors="replace")
