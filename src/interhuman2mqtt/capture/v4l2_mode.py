"""The choice of the mode of a V4L2 camera: which of its formats, at which size and frame rate."""

# FFmpeg's own choice lost: it takes the first format that the driver has in FFmpeg's own order, which begins with the
# raw ones. Over USB 2 that is 10 frames a second at 1280x720, and five at 1920x1080, where the same camera has MJPEG at
# 30. And a size or rate that nobody asks for is whatever the last program left.
#
# H.264 of a camera's own could be tried on tables of capabilities only: no such camera was at hand.

from collections.abc import Iterator, Sequence
from math import log2
from typing import NamedTuple

from interhuman2mqtt.capture.v4l2_formats import Format, Size

DEFAULT_SIZE = (1280, 720)
"""Enough for the analysis, and no more to be encoded than need be."""
DEFAULT_FPS = 30.0
ENOUGH = 0.97
"""Of the wanted rate: 29.97 is 30."""


class PixelFormat(NamedTuple):
    """A format that FFmpeg's v4l2 can read."""

    name: str
    """As the key `format` has it."""
    ffmpeg: str
    """As FFmpeg's option `input_format` has it: a codec, or the layout of raw pixels."""
    rank: int
    """The order of those that reach the same size and rate."""


H264, RAW, MJPEG, DECODED, COLOURLESS = range(5)
FORMATS = {
    "H264": PixelFormat("h264", "h264", H264),
    "YUYV": PixelFormat("yuyv", "yuyv422", RAW),
    "UYVY": PixelFormat("uyvy", "uyvy422", RAW),
    "NV12": PixelFormat("nv12", "nv12", RAW),
    "YU12": PixelFormat("yu12", "yuv420p", RAW),
    "RGB3": PixelFormat("rgb3", "rgb24", RAW),
    "BGR3": PixelFormat("bgr3", "bgr24", RAW),
    "MJPG": PixelFormat("mjpeg", "mjpeg", MJPEG),
    "JPEG": PixelFormat("mjpeg", "mjpeg", MJPEG),
    "GREY": PixelFormat("grey", "gray", COLOURLESS),  # of infrared cameras: if there is nothing else
}
"""By FourCC. Not YV12, whose colours FFmpeg swaps, nor Bayer patterns, which it would take for frames."""


class Wanted(NamedTuple):
    """The wishes of the configuration; None, and "auto": none."""

    size: tuple[int, int] | None = None
    fps: float | None = None
    format: str = "auto"
    may_copy: bool = True
    """False: it is encoded in any case, so that H.264 of the camera's own would be decoded first."""


class Mode(NamedTuple):
    """The mode that a camera is asked for."""

    format: PixelFormat
    width: int
    height: int
    fps: float
    """0: the driver lists no rates, and none is asked for."""

    def __str__(self) -> str:
        rate = f" {self.fps:g} fps" if self.fps else ""
        return f"{self.format.name} {self.width}x{self.height}{rate}"


def choose_mode(offered: Sequence[Format], wanted: Wanted) -> Mode | None:
    """Return the best mode; None where nothing that we know, or that `wanted.format` names, is offered.

    A size that is asked for comes first, and then the rate; where none is asked for, a nearby size with a better rate
    wins. Of equals H.264 is taken, which need not be encoded; then raw, which need not be decoded; then MJPEG.
    """
    return min(_modes(offered, wanted), key=lambda mode: _cost(mode, wanted), default=None)


def format_names(offered: Sequence[Format]) -> list[str]:
    """Return the names of what is offered and known, as the key `format` has them."""
    return list(dict.fromkeys(FORMATS[each.code].name for each in offered if each.code in FORMATS))


def _modes(offered: Sequence[Format], wanted: Wanted) -> Iterator[Mode]:
    for each in offered:
        form = FORMATS.get(each.code)
        if form is None or wanted.format not in {"auto", form.name}:
            continue
        for size in _sizes(each, wanted.size or DEFAULT_SIZE):
            yield Mode(form, size.width, size.height, _rate(size, wanted.fps or DEFAULT_FPS))


def _sizes(offered: Format, wanted: tuple[int, int]) -> Iterator[Size]:
    """Those that are listed, and within a range the wanted one, as fast as the next larger one that is listed."""
    yield from offered.sizes or [Size(*wanted, 0.0)]  # not every driver lists them: it takes the nearest itself
    if offered.steps and offered.sizes:
        least, most = offered.sizes[0], offered.sizes[-1]
        width = _step(wanted[0], least.width, most.width, offered.steps[0])
        height = _step(wanted[1], least.height, most.height, offered.steps[1])
        covering = [size for size in offered.sizes if size.width >= width and size.height >= height]
        yield Size(width, height, covering[0].fps, covering[0].rates)


def _step(wanted: int, least: int, most: int, step: int) -> int:
    inside = min(max(wanted, least), most)
    return least + (inside - least) // step * step


def _rate(size: Size, wanted: float) -> float:
    """Return the slowest rate that is enough, since what is too fast is decoded for nothing; else the fastest."""
    if not size.rates:
        return min(wanted, size.fps)  # 0 where the driver lists none
    enough = [rate for rate in size.rates if rate >= wanted * ENOUGH]
    return min(enough, default=max(size.rates))


def _cost(mode: Mode, wanted: Wanted) -> tuple[float, ...]:
    """Return a rank, least for the best: distances as powers of two, so that half is as far off as double."""
    width, height = wanted.size or DEFAULT_SIZE
    area = abs(log2(mode.width * mode.height / (width * height)))
    shape = abs(log2(mode.width / mode.height / (width / height)))
    fps = wanted.fps or DEFAULT_FPS
    rate = log2(fps / mode.fps) if 0 < mode.fps < fps * ENOUGH else 0.0
    size = round(area + shape * (2 if wanted.size else 0.5), 1)  # another shape would be squeezed into the size
    rank = mode.format.rank
    if rank == H264 and not wanted.may_copy:
        rank = DECODED
    return (rank == COLOURLESS, size if wanted.size else 0.0, round(size + rate, 1), size, rank, mode.fps)
