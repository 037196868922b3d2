"""What a track becomes on its way into the ring: copied, encoded, or made up.

Each kind has a `template`, an av stream that muxers copy their parameters from, and turns packets into packets.
Times are in ticks of `time_base`, on the source's timeline.
"""

import io
from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, cast

import av
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.filter import Graph
from av.stream import Stream
from av.video.frame import PictureType
from av.video.stream import VideoStream

from interhuman2mqtt.capture.parameter_sets import KeyFrames
from interhuman2mqtt.capture.ring import Packet
from interhuman2mqtt.capture.rotation import Rotator, Shape, even, sane_aspect, shape_of
from interhuman2mqtt.capture.sample_clock import SampleClock, SampleRate

if TYPE_CHECKING:
    from av.audio.codeccontext import AudioCodecContext

AvPacket: TypeAlias = "av.Packet[Any]"  # generic in the stubs only
GOP_S = 1.0
"""Key frame interval where we encode: the cloud's analysis window is 8 s, and a cut waits for a key frame."""
VIDEO_TIME_BASE = Fraction(1, 90_000)
BITS_PER_PIXEL = 0.07
BITRATE_MIN = 50_000
"""bits a second: x264 refuses less for some sizes."""
SOUND_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
"""What the AAC encoder takes; anything else becomes 48 kHz."""
OPUS_RATES = (8000, 12000, 16000, 24000, 48000)
ROUNDING_S = 0.01
PAUSE_S = 0.5
"""Less is filled in with samples."""


class Track(Protocol):
    """A track of the ring."""

    @property
    def template(self) -> Stream:
        """What a muxer copies the track's parameters from."""

    @property
    def time_base(self) -> Fraction:
        """Seconds per tick."""

    @property
    def tick_s(self) -> float:
        """The same as a float."""

    def put(self, packet: AvPacket) -> Iterator[Packet]:
        """The packets that this one of the source, its times already mended, becomes."""


class VideoTrack(Track, Protocol):
    """One of them that is seen."""

    @property
    def shape(self) -> Shape:
        """How its pixels are to be shown."""


def packed(packet: AvPacket) -> Packet:
    """A packet as the ring keeps it; its times must be set.

    The data is copied: FFmpeg's own packets, kept by the thousand, cost a kilobyte each on top of it.
    """
    pts = packet.pts or 0
    dts = pts if packet.dts is None else packet.dts
    return Packet(pts, dts, packet.duration or 0, packet.is_keyframe, packet.size, bytes(packet))


def base_of(stream: Stream) -> Fraction:
    """A stream's time base; demuxed and encoded streams always have one."""
    return stream.time_base or Fraction(1, av.time_base)


def holder() -> OutputContainer:
    """A container that is never written: it keeps a stream's parameters when their input is long closed."""
    return av.open(io.BytesIO(), "w", format="mp4")


def detached(stream: Stream) -> Stream:
    """A copy of a stream's parameters that outlives its container."""
    copy: Stream = holder().add_stream_from_template(stream)
    return copy


class Copied:
    """Not touched at all."""

    def __init__(self, stream: Stream, time_base: Fraction) -> None:
        self.template = detached(stream)
        self.time_base = time_base
        self.tick_s = float(time_base)

    def put(self, packet: AvPacket) -> Iterator[Packet]:
        """The packet itself."""
        yield packed(packet)


class CopiedVideo(Copied):
    """The same for video: what container and codec say beside the pixels stays as it is."""

    def __init__(self, stream: VideoStream, time_base: Fraction) -> None:
        super().__init__(stream, time_base)
        self.shape = shape_of(stream)
        self.keys = KeyFrames(bytes(stream.codec_context.extradata or b""))

    def put(self, packet: AvPacket) -> Iterator[Packet]:
        """The packet itself; a key frame that lacks its parameter sets gets them."""
        copied = packed(packet)
        yield self.keys.complete(copied) if copied.key else copied


class EncodedVideo:
    """Decoded, upright, scaled if asked, and encoded as H.264 with a key frame each second and without B-frames.

    Its pixels are square, unless the size that is asked for has other proportions: then they are what makes up for it.
    """

    def __init__(
        self,
        stream: VideoStream,
        time_base: Fraction,
        size: tuple[int, int] | None,
        fps: float | None,
        bitrate: int | None,
    ) -> None:
        self._decoder = stream.codec_context
        self._source_base = time_base
        shape = self._source_shape = shape_of(stream)
        self._size = (even(size[0]), even(size[1])) if size else shape.upright
        self.shape = Shape(self._size, sane_aspect(Fraction(*shape.upright) / Fraction(*self._size)))
        self._upright = Rotator(self._size, "yuv420p", self.shape.aspect)
        rate = fps or float(stream.average_rate or stream.guessed_rate or 25)
        self._interval_s = 1 / fps if fps else 0.0
        self.time_base = VIDEO_TIME_BASE
        self.tick_s = float(VIDEO_TIME_BASE)
        self._next_frame_s = self._next_key_s = float("-inf")
        self._encoder = self._open(
            rate, max(bitrate or int(self._size[0] * self._size[1] * rate * BITS_PER_PIXEL), BITRATE_MIN)
        )
        self.template = self._encoder

    def _open(self, rate: float, bitrate: int) -> VideoStream:
        container = holder()
        encoder = container.add_stream("libx264", rate=Fraction(rate).limit_denominator(1001), bit_rate=bitrate)
        encoder.width, encoder.height = self._size
        encoder.pix_fmt = "yuv420p"
        encoder.codec_context.sample_aspect_ratio = self.shape.aspect
        encoder.codec_context.time_base = self.time_base
        encoder.options = {
            # With zerolatency, on real footage, the SSIM of `veryfast` at 0.6 of its CPU.
            "preset": "superfast",
            "tune": "zerolatency",
            "forced-idr": "1",
            "g": str(max(round(rate * GOP_S * 2), 1)),
            "sc_threshold": "0",
            "maxrate": str(bitrate),
            "bufsize": str(bitrate * 2),
        }
        container.start_encoding()
        return encoder

    def begin_anywhere(self) -> None:
        """Show also what the decoder does not know to be whole: of a source without key frames it never does."""
        self._decoder.options = {"flags2": "showall"}

    def put(self, packet: AvPacket) -> Iterator[Packet]:
        """The pictures that the packet completes, encoded; fewer where `fps` asks for fewer."""
        for frame in self._decoder.decode(packet):
            if frame.pts is None:
                continue
            seconds = float(frame.pts * self._source_base)
            if seconds < self._next_frame_s - self._interval_s / 4:
                continue
            self._next_frame_s = max(self._next_frame_s, seconds) + self._interval_s
            picture = self._upright.fit(frame, self._source_shape)
            picture.pts = round(seconds / self.tick_s)
            picture.time_base = self.time_base
            picture.pict_type = PictureType.NONE
            if seconds >= self._next_key_s:
                picture.pict_type = PictureType.I
                self._next_key_s = seconds + GOP_S - ROUNDING_S
            yield from map(packed, self._encoder.encode(picture))


class EncodedAudio:
    """Decoded and encoded as AAC or Opus.

    The timeline is the master: samples are stretched, filled in or left out to follow it, so that a microphone whose
    clock drifts stays with the picture. A pause is left as it is: silence takes its place (`silence.py`).
    """

    def __init__(self, codec: str, rate: int, layout: str) -> None:
        rates = OPUS_RATES if codec == "libopus" else SOUND_RATES
        self.rate = rate if rate in rates else 48_000
        self.layout = layout
        self.time_base = Fraction(1, self.rate)
        self.tick_s = 1 / self.rate
        self._encoder = open_sound_encoder(codec, self.rate, layout)
        self.template: Stream = self._encoder
        self._decoder: AudioCodecContext | None = None
        self._source_base = self.time_base
        self._graph: Graph | None = None
        self._follows_s = float("inf")
        self._clock, self._samples = SampleClock(), SampleRate()

    def listen(self, stream: AudioStream, time_base: Fraction) -> None:
        """Take the sound from this input from here on."""
        self._decoder, self._source_base = stream.codec_context, time_base
        self._clock, self._samples = SampleClock(), SampleRate()
        self._graph = None

    def put(self, packet: AvPacket) -> Iterator[Packet]:
        """The packets of sound that this one completes."""
        for frame in self._decoder.decode(packet) if self._decoder else ():
            frame.time_base = self._source_base
            if frame.pts is not None:
                seconds = float(frame.pts * self._source_base)
                is_other_rate = self._samples.observe(seconds, frame.samples, frame.sample_rate)
                frame.sample_rate = self._samples.rate or frame.sample_rate
                if is_other_rate or seconds - self._follows_s > PAUSE_S:
                    yield from self.flush()  # or it would make samples for the whole of the pause
                self._follows_s = seconds + frame.samples / frame.sample_rate
                frame.pts = round(self._clock.place(seconds, frame.samples / frame.sample_rate) / self._source_base)
            graph = self._graph = self._graph or self._follower(frame)
            graph.push(frame)
            for piece in _pulled(graph):
                yield from map(packed, self._encoder.encode(piece))

    def flush(self) -> Iterator[Packet]:
        """What was put so far, to its end: a pause begins."""
        if self._graph is None:
            return
        self._graph.push(None)
        for piece in _pulled(self._graph):
            yield from map(packed, self._encoder.encode(piece))
        self._graph = None

    def _follower(self, frame: av.AudioFrame) -> Graph:
        """Samples as the decoder gives them to frames as the encoder takes them, kept to their PTS."""
        context = self._encoder.codec_context
        graph = Graph()
        graph.link_nodes(
            graph.add_abuffer(
                sample_rate=frame.sample_rate,
                format=frame.format.name,
                layout=frame.layout.name,
                time_base=self._source_base,
            ),
            # `res`: a resampler made only at the first correction would forget the samples that it holds
            graph.add("aresample", f"async=1000:flags=+res:out_sample_rate={context.sample_rate}"),
            graph.add("aformat", f"sample_fmts={context.format.name}:channel_layouts={self.layout}"),
            graph.add("asetnsamples", f"n={context.frame_size}:p=1"),
            graph.add("abuffersink"),
        ).configure()
        return graph


def _pulled(graph: Graph) -> Iterator[av.AudioFrame]:
    while True:
        try:
            frame = graph.pull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return
        yield cast("av.AudioFrame", frame)


class SilentTrack:
    """AAC silence for a source without sound, as long as the picture goes: one encoded packet, sent again and again."""

    RATE = 48_000

    def __init__(self) -> None:
        self._encoder = open_sound_encoder("aac", self.RATE, "mono")
        self.template: Stream = self._encoder
        self.time_base = Fraction(1, self.RATE)
        self.tick_s = 1 / self.RATE
        self._samples = self._encoder.codec_context.frame_size
        self._data = self._encode_once()
        self._next = 0
        self._begun = False

    def _encode_once(self) -> bytes:
        frame = av.AudioFrame(format="fltp", layout="mono", samples=self._samples)
        frame.sample_rate = self.RATE
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        packets = [bytes(packet) for number in range(4) for packet in self._encode(frame, number)]
        return packets[-1]

    def _encode(self, frame: av.AudioFrame, number: int) -> list[AvPacket]:
        frame.pts = number * self._samples
        frame.time_base = self.time_base
        return self._encoder.encode(frame)

    def until(self, seconds: float, _now: float = 0.0) -> Iterator[Packet]:
        """The silence from where it ended to `seconds` on the timeline."""
        wanted = int(seconds * self.RATE)
        if not self._begun or wanted - self._next > self.RATE:
            self._next = wanted
            self._begun = True
        while self._next <= wanted + self._samples:  # beyond it: a GOP that ends there need not wait for the next frame
            yield Packet(self._next, self._next, self._samples, key=True, size=len(self._data), data=self._data)
            self._next += self._samples


def open_sound_encoder(codec: str, rate: int, layout: str) -> AudioStream:
    """An encoder for sound with its parameters ready to be copied; 64 kbit/s a channel."""
    container = holder()
    encoder = cast("AudioStream", container.add_stream(codec, rate=rate))
    encoder.codec_context.layout = layout
    encoder.codec_context.bit_rate = 64_000 * encoder.codec_context.channels
    encoder.codec_context.time_base = Fraction(1, rate)
    container.start_encoding()
    return encoder
