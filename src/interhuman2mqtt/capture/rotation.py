"""Rotation and pixel aspect: frames turned upright, with square pixels, whatever the container says beside them."""

# A model sees pixels alone: people lie down or are squeezed where a display matrix (ISO/IEC 14496-12, 6.2.2; FFmpeg's
# "rotate") or a sample aspect ratio is left to the player. So what is encoded, and each snapshot, is turned and
# stretched here. Handing matrix and aspect on in the MP4 was refused: the cloud promises nothing about either.

import io
import math
from fractions import Fraction
from typing import NamedTuple

import av
from av.filter import Graph
from av.stream import Stream
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter
from av.video.stream import VideoStream

ASPECT_MAX = 3
"""Beyond it, either way, an aspect ratio is no camera's but nonsense."""
SAME = 0.02
"""Proportions that differ by less look the same, and come from rounding to even sizes."""
TURNS: dict[int, tuple[tuple[str, ...], ...]] = {
    0: (),
    90: (("transpose", "cclock"),),
    180: (("hflip",), ("vflip",)),
    270: (("transpose", "clock"),),
}
"""FFmpeg's filters, by degrees counter-clockwise."""
TURNED = "turned by"
FULL_RANGE = ("yuvj420p",)
"""Formats whose black is 0; of the others, and of H.264 that says nothing, it is 16."""
TKHD_MATRIX = 40
"""Bytes from the content of a `tkhd` box, version 0, to its matrix (ISO/IEC 14496-12, 8.3.2)."""

Size = tuple[int, int]


class FrameShape(NamedTuple):
    """The way in which the pixels of a track are to be shown."""

    size: Size
    """Width and height in pixels, as they are coded."""
    aspect: Fraction = Fraction(1)
    """Width of a pixel to its height."""
    turn: int = 0
    """Degrees counter-clockwise by which it has to be turned: 0, 90, 180 or 270."""

    @property
    def upright(self) -> Size:
        """Width and height as it is seen, in square pixels; both even."""
        width, height = self.size
        if self.aspect >= 1:
            seen = even(width * self.aspect), even(height)
        else:
            seen = even(width), even(height / self.aspect)
        return seen[::-1] if self.turn % 180 else seen

    @property
    def remarks(self) -> str:
        """The remarks for people beside the size: `, turned by 90 degrees, pixels 4:3`; mostly nothing."""
        turned = f", {TURNED} {self.turn} degrees" if self.turn else ""
        pixels = f", pixels {self.aspect.numerator}:{self.aspect.denominator}" if self.aspect != 1 else ""
        return turned + pixels

    def of(self, frame: VideoFrame) -> "FrameShape":
        """Return the shape of one decoded frame, which may know better."""
        return FrameShape((frame.width, frame.height), self.aspect, to_quarter_turn(frame.rotation) or self.turn)


def shape_of(stream: VideoStream) -> FrameShape:
    """Return the shape of a stream, by its container and codec."""
    return FrameShape((stream.width, stream.height), sane_aspect(stream.sample_aspect_ratio), rotation_of(stream))


def sane_aspect(claimed: Fraction | None) -> Fraction:
    """Return a sample aspect ratio that may be true, else that of square pixels."""
    if not claimed or not Fraction(1, ASPECT_MAX) <= claimed <= ASPECT_MAX or abs(claimed - 1) < SAME:
        return Fraction(1)
    return Fraction(claimed)


def rotation_of(stream: Stream) -> int:
    """Return the degrees counter-clockwise by which the container wants it turned.

    PyAV has it for decoded frames only; the header of an MP4 holds it as the stream's parameters do.
    """
    target = io.BytesIO()
    try:
        with av.open(target, "w", format="mov", options={"movflags": "empty_moov"}) as muxer:
            muxer.add_stream_from_template(stream)
            muxer.start_encoding()
    except (ValueError, av.error.FFmpegError):
        return 0  # what no MP4 can hold comes from a device, which knows no rotation
    header = target.getvalue()
    matrix = header.find(b"tkhd") + 4 + TKHD_MATRIX
    a, b = (int.from_bytes(header[at : at + 4], "big", signed=True) for at in (matrix, matrix + 4))
    return to_quarter_turn(-math.degrees(math.atan2(b, a)))


def to_quarter_turn(degrees: float) -> int:
    """Return the nearest multiple of 90, from 0 to 270."""
    return round(degrees / 90) * 90 % 360


def even(length: float | Fraction) -> int:
    """Return an even number, at most that and 2 at least."""
    return max(2, round(length) & ~1)


class Rotator:
    """Turns frames upright and makes them fit into a size in their own proportions, by bars where it has others.

    Args:
        size: Of what comes out.
        pixel_format: The same.
        aspect: Width to height of its pixels.
    """

    def __init__(self, size: Size, pixel_format: str, aspect: Fraction = Fraction(1)) -> None:
        self._size = size
        self._format = pixel_format
        self._ratio = float(aspect) * size[0] / size[1]
        self._reformatter = VideoReformatter()
        self._graph: Graph | None = None
        self._graph_of: tuple[object, ...] = ()

    def fit(self, frame: VideoFrame, shape: FrameShape) -> VideoFrame:
        """Return one frame of a track of that shape, turned and fitted."""
        shape = shape.of(frame)
        ratio = shape.upright[0] / shape.upright[1]
        if not shape.turn and abs(ratio / self._ratio - 1) < SAME:
            return self._reformat(frame)
        kind = shape, frame.format.name
        if self._graph is None or kind != self._graph_of:
            self._graph, self._graph_of = self._filters(frame, ratio, shape.turn), kind
        self._graph.push(frame)
        fitted = self._graph.pull()
        assert isinstance(fitted, VideoFrame)  # noqa: S101 - what goes in comes out
        return fitted

    def _reformat(self, frame: VideoFrame) -> VideoFrame:
        """Return the frame in our size, format and range; itself where it has them."""
        # One reformatter for all frames, and no threads: `VideoFrame.reformat` makes a scaler and its threads for each
        # frame anew, which took MJPEG of 720p from 0.9 to 1.4 ms a frame. FAST_BILINEAR takes 0.6 where the size stays
        # (55 dB and more from the other), and is no good where it does not.
        is_same_size = (frame.width, frame.height) == self._size
        is_full_range = frame.color_range == ColorRange.JPEG and self._format not in FULL_RANGE
        return self._reformatter.reformat(
            frame,
            *self._size,
            self._format,
            interpolation=Interpolation.FAST_BILINEAR if is_same_size else Interpolation.BILINEAR,
            dst_color_range=ColorRange.MPEG if is_full_range else None,
            threads=1,
        )

    def _filters(self, frame: VideoFrame, ratio: float, turn: int) -> Graph:
        width, height = self._size
        inner = even(width * min(1, ratio / self._ratio)), even(height * min(1, self._ratio / ratio))
        graph = Graph()
        base = frame.time_base or Fraction(1, av.time_base)
        graph.link_nodes(
            graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=base),
            *(graph.add(*turning) for turning in TURNS[turn]),
            graph.add(
                "scale", f"{inner[0]}:{inner[1]}:out_range={'full' if self._format in FULL_RANGE else 'limited'}"
            ),
            graph.add("format", self._format),
            graph.add("pad", f"{width}:{height}:-1:-1"),
            graph.add("setsar", "1"),
            graph.add("buffersink"),
        ).configure()
        return graph
