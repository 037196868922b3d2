"""Films that are not what they seem, each made when it is first asked for; their frames carry numbers as clips' do."""

from collections.abc import Iterator, Mapping
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
from av.filter import Graph
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from capture.material import crafted
from support.clips import Clip, draw

SIZE = (192, 108)
FPS = 15
SECONDS = 8
FRAMES = SECONDS * FPS
SETS: tuple[Mapping[str, str], ...] = (
    {"preset": "veryfast", "profile": "high"},
    {"preset": "veryfast", "profile": "baseline", "level": "4.0"},
)
"""Two encoders whose parameter sets differ, and whose pictures are of one size."""


def refreshed() -> Path:
    """Intra refresh, as a transport stream: one IDR frame, and then recovery points only."""
    return crafted(intra_refresh, ".ts")


def refreshed_film() -> Path:
    """The same as MP4, which calls its recovery points key frames too."""
    return crafted(intra_refresh, ".mp4")


def open_gops() -> Path:
    """I frames that are no IDR frames, and decode at once."""
    return crafted(with_open_gops, ".ts")


def plain_i_frames() -> Path:
    """I frames that are neither IDR frames nor marked as recovery points, from the first on."""
    return crafted(unmarked, ".ts")


def without_key_frames() -> Path:
    """Intra refresh without recovery points: FFmpeg sees no key frame in it."""
    return crafted(unmarked_refresh, ".ts")


def taking_turns() -> Path:
    """Two parameter sets that take turns every two seconds."""
    return crafted(alternating, ".ts")


def changing_size() -> Path:
    """Two sizes of the same proportions that take turns every two seconds."""
    return crafted(alternating_sizes, ".ts")


def on_its_side() -> Path:
    """Turned by the display matrix alone: the pixels lie on their side."""
    return crafted(lying, ".mp4")


def upside_down() -> Path:
    """The same by half a turn."""
    return crafted(turned_over, ".mp4")


def squeezed() -> Path:
    """Pixels that are twice as wide as high, as of a recorder that sends half of the columns."""
    return crafted(anamorphic, ".mp4")


def intra_refresh(path: Path) -> None:
    encode(path, {"x264-params": "intra-refresh=1:keyint=15:bframes=0"})


def with_open_gops(path: Path) -> None:
    encode(path, {"x264-params": "open-gop=1:bframes=2:b-adapt=0:b-pyramid=none:keyint=15", "forced-idr": "0"})


def unmarked(path: Path) -> None:
    without_recovery_points(path, "open-gop=1:bframes=0:keyint=15")


def unmarked_refresh(path: Path) -> None:
    without_recovery_points(path, "intra-refresh=1:keyint=15:bframes=0")


def without_recovery_points(path: Path, parameters: str) -> None:
    """Leave out all SEI, and the IDR frame that every stream of x264 begins with."""
    whole = path.with_suffix(".whole.ts")
    encode(whole, {"x264-params": parameters, "forced-idr": "0"})
    with av.open(str(whole)) as source, av.open(str(path), "w") as file:
        video = source.streams.video[0]
        stream = file.add_stream_from_template(video)
        without = av.BitStreamFilterContext("filter_units=remove_types=6", in_stream=video)
        for number, packet in enumerate(source.demux(video)):
            for out in without.filter(packet) if packet.size and number else []:
                out.stream, out.is_keyframe = stream, False
                file.mux(out)
    whole.unlink()


def alternating(path: Path) -> None:
    take_turns(path, [SIZE, SIZE])


def alternating_sizes(path: Path) -> None:
    take_turns(path, [SIZE, (128, 72)])


def take_turns(path: Path, sizes: list[tuple[int, int]]) -> None:
    """Encode two seconds by one encoder, two by the other, and so on."""
    pictures = draw(Clip(size=SIZE))
    with av.open(str(path), "w") as file:
        stream = a_stream(file.add_stream("libx264", rate=FPS, options=dict(SETS[0])))
        for part in range(SECONDS // 2):
            encoder = av.CodecContext.create("libx264", "w")
            encoder.width, encoder.height, encoder.pix_fmt = *sizes[part % 2], "yuv420p"
            encoder.time_base, encoder.framerate = Fraction(1, FPS), Fraction(FPS)
            encoder.gop_size, encoder.max_b_frames, encoder.options = FPS, 0, dict(SETS[part % 2])
            for picture in (*islice(pictures, 2 * FPS), None):
                for packet in encoder.encode(picture and picture.reformat(*sizes[part % 2])):
                    packet.stream, packet.time_base = stream, encoder.time_base
                    file.mux(packet)


def lying(path: Path) -> None:
    encode(path, {}, turn=90)


def turned_over(path: Path) -> None:
    encode(path, {}, turn=180)


def anamorphic(path: Path) -> None:
    encode(path, {}, aspect=2)


def encode(path: Path, options: Mapping[str, str], turn: int = 0, aspect: int = 1) -> None:
    """Write numbered frames, which are upright and not squeezed for who heeds what the film says of its pixels.

    Args:
        path: Where to.
        options: More of the encoder's.
        turn: Degrees counter-clockwise by which a viewer has to turn the pixels.
        aspect: Width of a pixel to its height.
    """
    with av.open(str(path), "w") as file:
        stream = a_stream(file.add_stream("libx264", rate=FPS, options={"preset": "veryfast", **options}))
        pictures: Iterator[VideoFrame] = islice(draw(Clip(size=SIZE)), FRAMES)
        if turn:
            stream.set_display_rotation(turn)
            pictures = turned(pictures, -turn % 360)
        if turn % 180:
            stream.width, stream.height = SIZE[::-1]
        if aspect != 1:
            stream.width = SIZE[0] // aspect
            stream.codec_context.sample_aspect_ratio = Fraction(aspect)
        for picture in pictures:
            file.mux(stream.encode(picture.reformat(stream.width, stream.height)))
        file.mux(stream.encode(None))


def a_stream(stream: object) -> VideoStream:
    """One that is set up for the frames."""
    assert isinstance(stream, VideoStream)
    stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
    stream.codec_context.time_base = Fraction(1, FPS)
    stream.codec_context.gop_size = FPS
    stream.codec_context.max_b_frames = 0  # a decoder would keep the last pictures for itself
    return stream


def turned(pictures: Iterator[VideoFrame], turn: int) -> Iterator[VideoFrame]:
    """Each turned by so many degrees counter-clockwise."""
    filters = {90: ["transpose=cclock"], 180: ["hflip", "vflip"], 270: ["transpose=clock"]}[turn]
    graph: Graph | None = None
    for picture in pictures:
        if graph is None:
            graph = Graph()
            nodes = [graph.add(*name.split("=")) for name in filters]
            graph.link_nodes(
                graph.add_buffer(
                    width=picture.width, height=picture.height, format=picture.format, time_base=Fraction(1, FPS)
                ),
                *nodes,
                graph.add("buffersink"),
            ).configure()
        graph.push(picture)
        done = graph.pull()
        assert isinstance(done, VideoFrame)
        done.pts, done.time_base = picture.pts, picture.time_base
        yield done
