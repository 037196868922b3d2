"""What a V4L2 camera offers, asked of its driver; nothing is changed, and nothing is captured.

Numbers and structures: linux/videodev2.h, the same on all architectures.
"""

import fcntl
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

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
MOST = 256
"""A driver that lists more of anything is broken."""

Ioctl = Callable[[int, bytearray], None]
"""Does a request of V4L2 on an open device; raises OSError."""


class Size(Struct, frozen=True):
    """A size, and how many pictures a second there are at most."""

    width: int
    height: int
    fps: float


class Format(Struct, frozen=True):
    """What a camera can send."""

    code: str
    """Its four characters: MJPG, YUYV, H264 ..."""
    description: str
    sizes: tuple[Size, ...]


class NoCamera(Exception):  # noqa: N818 - it names what happened
    """The device is there, and captures no pictures."""


def formats(device: Path) -> tuple[Format, ...]:
    """All that a camera offers; raises OSError, NoCamera."""
    descriptor = os.open(device, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return ask(lambda request, argument: _ioctl(descriptor, request, argument))
    finally:
        os.close(descriptor)


def _ioctl(descriptor: int, request: int, argument: bytearray) -> None:
    fcntl.ioctl(descriptor, request, argument)


def ask(ioctl: Ioctl) -> tuple[Format, ...]:
    """The same of a device that is open."""
    *_, capabilities, device_caps = CAPABILITY.unpack(_asked(ioctl, QUERYCAP, CAPABILITY.pack(b"", b"", b"", 0, 0, 0)))
    if not (device_caps if capabilities & DEVICE_CAPS else capabilities) & CAPTURE:
        raise NoCamera
    return tuple(_formats(ioctl))


def _formats(ioctl: Ioctl) -> Iterator[Format]:
    for index in range(MOST):
        try:
            answer = _asked(ioctl, ENUM_FMT, FORMAT.pack(index, CAPTURE, 0, b"", 0))
        except OSError:  # EINVAL: there are no more
            return
        _, _, _, description, code = FORMAT.unpack(answer)
        yield Format(_fourcc(code), _text(description), tuple(_sizes(ioctl, code)))


def _sizes(ioctl: Ioctl, code: int) -> Iterator[Size]:
    for index in range(MOST):
        try:
            answer = _asked(ioctl, ENUM_FRAMESIZES, SIZE.pack(index, code, 0, *[0] * 6))
        except OSError:
            return
        _, _, kind, *numbers = SIZE.unpack(answer)
        if kind != DISCRETE:  # a range: its ends
            narrow, wide, _, low, high, _ = numbers
            yield Size(narrow, low, _fps(ioctl, code, narrow, low))
            yield Size(wide, high, _fps(ioctl, code, wide, high))
            return
        width, height = numbers[:2]
        yield Size(width, height, _fps(ioctl, code, width, height))


def _fps(ioctl: Ioctl, code: int, width: int, height: int) -> float:
    """The most pictures a second at a size; 0 where the driver does not tell."""
    most = 0.0
    for index in range(MOST):
        try:
            answer = _asked(ioctl, ENUM_FRAMEINTERVALS, INTERVAL.pack(index, code, width, height, 0, *[0] * 6))
        except OSError:
            return most
        *_, kind, numerator, denominator, _, _, _, _ = INTERVAL.unpack(answer)
        most = max(most, round(denominator / numerator, 2) if numerator else 0.0)
        if kind != DISCRETE:  # a range, which begins with its shortest interval
            return most
    return most


def _asked(ioctl: Ioctl, request: int, argument: bytes) -> bytes:
    answer = bytearray(argument)
    ioctl(request, answer)
    return bytes(answer)


def _fourcc(code: int) -> str:
    return code.to_bytes(4, "little").decode("latin-1").strip()


def _text(raw: bytes) -> str:
    return raw.split(b"\0")[0].decode(errors="replace")
