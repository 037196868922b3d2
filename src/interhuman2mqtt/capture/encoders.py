"""The tracks that are encoded: of codecs that the cloud does not take, or whose key frames are too rare."""

from collections.abc import Iterator
from fractions import Fraction
from operator import ge
from typing import TYPE_CHECKING, cast

import av
from av.audio.stream import AudioStream
from av.filter import Graph
from av.video.frame import PictureType
from av.video.stream import VideoStream

from interhuman2mqtt.capture.ring import Packet
from interhuman2mqtt.capture.rotation import FrameShape, Rotator, Size, even, sane_aspect, shape_of
from interhuman2mqtt.capture.sample_clock import SampleClock, SampleRate
from interhuman2mqtt.capture.tracks import AvPacket, parameter_container, to_packet
from interhuman2mqtt.runtime.process import keep_freed_memory

if TYPE_CHECKING:
    from av.audio.codeccontext import AudioCodecContext
    from av.stream import Stream

GOP_S = 1.0
"""Key frame interval where we encode: the cloud's analysis window is 8 s, and a chunk's end waits for a key frame."""
VIDEO_TIME_BASE = Fraction(1, 90_000)
BITS_PER_PIXEL = 0.07
BITRATE_MIN = 50_000
"""bits a second: x264 refuses less for some sizes."""
X264 = {"preset": "ultrafast", "x264-params": "cabac=1:deblock=0,0:8x8dct=1:partitions=i8x8,i4x4"}
"""The preset `ultrafast` with what it lacks to be as good as `superfast`, at three quarters of its CPU. A face that
talks, 720p30 at 0.95 Mbit/s (SSIM, CPU of a frame): so 0.984, 4.7 ms; superfast 0.983, 6.6 ms; veryfast 0.983, 10.9 ms;
ultrafast as it is 0.965. So it is for a room, a street and noise in the dark, and at twice the bitrate. `superfast` has
beyond this adaptive quantization, which takes CPU and SSIM; a look-ahead gains 0.002 for as much again as it takes.
`presets` of the bench has more pictures."""
ONE_THREAD_MAX = 1280 * 720 * 30
"""Pixels a second that one thread encodes, also on a slow core; threads share a frame, which takes 4 to 8 % more."""
LOWRES_MAX = 3
"""How often FFmpeg's decoder of MJPEG can halve a frame while it decodes it."""
AAC_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
"""Sample rates that the AAC encoder takes; anything else becomes 48 kHz."""
OPUS_RATES = (8000, 12000, 16000, 24000, 48000)
PCM = "pcm_s16le"
PCM_PACKETS = 50
"""A second: its encoder takes frames of any length."""
ROUNDING_S = 0.01
FILL_MAX_S = 0.5
"""The longest pause that the resampler fills with samples."""


class EncodedVideo:
    """Video that is decoded, turned upright, scaled if asked, and encoded as H.264 without B-frames, a GOP a second.

    Its pixels are square, unless the size that is asked for has other proportions: then they are what makes up for it.
    """

    def __init__(
        self,
        stream: VideoStream,
        time_base: Fraction,
        size: Size | None,
        fps: float | None,
        bitrate: int | None,
    ) -> None:
        keep_freed_memory()  # a frame has a megabyte and more, and each was faulted in anew, page by page
        self._decoder = stream.codec_context
        self._is_intra = self._decoder.codec.intra_only
        self._source_base = time_base
        shape = self._source_shape = shape_of(stream)
        self._size = (even(size[0]), even(size[1])) if size else shape.upright
        self.shape = FrameShape(self._size, sane_aspect(Fraction(*shape.upright) / Fraction(*self._size)))
        self._rotator = Rotator(self._size, "yuv420p", self.shape.aspect)
        if self._decoder.name == "mjpeg" and shape.upright == shape.size:
            self._decoder.options = {"lowres": str(halvings(shape.size, self._size))}
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
        container = parameter_container()
        encoder = container.add_stream("libx264", rate=Fraction(rate).limit_denominator(1001), bit_rate=bitrate)
        encoder.width, encoder.height = self._size
        encoder.pix_fmt = "yuv420p"
        encoder.codec_context.sample_aspect_ratio = self.shape.aspect
        encoder.codec_context.time_base = self.time_base
        encoder.options = {
            **X264,
            "tune": "zerolatency",
            "forced-idr": "1",
            "g": str(max(round(rate * GOP_S * 2), 1)),  # an upper bound: key frames are forced by time, below
            "sc_threshold": "0",
            "maxrate": str(bitrate),
            "bufsize": str(bitrate * 2),
        }
        if self._size[0] * self._size[1] * rate <= ONE_THREAD_MAX:
            encoder.codec_context.thread_count = 1
        container.start_encoding()
        return encoder

    def show_incomplete_frames(self) -> None:
        """Encode also what the decoder does not know to be whole: of a source without key frames it never does."""
        self._decoder.options = {"flags2": "showall"}

    def convert(self, packet: AvPacket) -> Iterator[Packet]:
        """Return the frames that the packet completes, encoded; fewer where `fps` asks for fewer."""
        if self._is_intra and not self._is_due(packet.pts):
            return  # no other frame needs it
        for decoded in self._decoder.decode(packet):
            if decoded.pts is None or not self._is_due(decoded.pts):
                continue
            seconds = float(decoded.pts * self._source_base)
            self._next_frame_s = max(self._next_frame_s, seconds) + self._interval_s
            frame = self._rotator.fit(decoded, self._source_shape)
            frame.pts = round(seconds / self.tick_s)
            frame.time_base = self.time_base
            frame.pict_type = PictureType.NONE
            if seconds >= self._next_key_s:
                frame.pict_type = PictureType.I
                self._next_key_s = seconds + GOP_S - ROUNDING_S
            yield from map(to_packet, self._encoder.encode(frame))

    def _is_due(self, pts: int | None) -> bool:
        """Decide whether a frame is one of those that `fps` asks for."""
        return pts is None or float(pts * self._source_base) >= self._next_frame_s - self._interval_s / 4


def halvings(size: Size, wanted: Size) -> int:
    """Return how often a frame can be halved while it is decoded, and is not smaller than wanted on either side."""
    return next(
        (times for times in range(LOWRES_MAX, 0, -1) if all(map(ge, (size[0] >> times, size[1] >> times), wanted))), 0
    )


class EncodedAudio:
    """Audio that is decoded and encoded as AAC, Opus or PCM.

    The timeline is the master: samples are stretched, filled in or left out to follow it, so that a microphone whose
    clock drifts stays with the video. A pause is left as it is: silence takes its place (`silence`).
    """

    def __init__(self, codec: str, rate: int, layout: str) -> None:
        rates = OPUS_RATES if codec == "libopus" else AAC_RATES
        self.rate = rate if rate in rates else 48_000
        self.layout = layout
        self.time_base = Fraction(1, self.rate)
        self.tick_s = 1 / self.rate
        self._encoder = open_audio_encoder(codec, self.rate, layout)
        self._is_padded = codec != PCM
        """Whether a last frame that is too short is filled up: an encoder of a fixed length takes no other."""
        self.template: Stream = self._encoder
        self._decoder: AudioCodecContext | None = None
        self._source_base = self.time_base
        self._graph: Graph | None = None
        self._follows_s = float("inf")
        self._clock, self._samples = SampleClock(), SampleRate()

    def use_input(self, stream: AudioStream, time_base: Fraction) -> None:
        """Encode the audio of this stream from here on."""
        self._decoder, self._source_base = stream.codec_context, time_base
        self._clock, self._samples = SampleClock(), SampleRate()
        self._graph = None

    def convert(self, packet: AvPacket) -> Iterator[Packet]:
        """Return the packets of audio that this one completes."""
        for frame in self._decoder.decode(packet) if self._decoder else ():
            frame.time_base = self._source_base
            if frame.pts is not None:
                seconds = float(frame.pts * self._source_base)
                is_other_rate = self._samples.observe(seconds, frame.samples, frame.sample_rate)
                frame.sample_rate = self._samples.rate or frame.sample_rate
                if is_other_rate or seconds - self._follows_s > FILL_MAX_S:
                    yield from self.flush()  # or it would make samples for the whole of the pause
                self._follows_s = seconds + frame.samples / frame.sample_rate
                frame.pts = round(self._clock.place(seconds, frame.samples / frame.sample_rate) / self._source_base)
            graph = self._graph = self._graph or self._resampler(frame)
            graph.push(frame)
            for resampled in _pulled(graph):
                yield from map(to_packet, self._encoder.encode(resampled))

    def flush(self) -> Iterator[Packet]:
        """Return what is left of the packets so far: a pause begins."""
        if self._graph is None:
            return
        self._graph.push(None)
        for resampled in _pulled(self._graph):
            yield from map(to_packet, self._encoder.encode(resampled))
        self._graph = None

    def _resampler(self, frame: av.AudioFrame) -> Graph:
        """Return filters that make frames for the encoder of the decoder's samples, kept to their PTS."""
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
            graph.add("asetnsamples", f"n={context.frame_size or self.rate // PCM_PACKETS}:p={int(self._is_padded)}"),
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


def open_audio_encoder(codec: str, rate: int, layout: str) -> AudioStream:
    """Return an audio encoder with its parameters ready to be copied; 64 kbit/s a channel."""
    container = parameter_container("wav" if codec == PCM else "mp4")
    encoder = cast("AudioStream", container.add_stream(codec, rate=rate))
    encoder.codec_context.layout = layout
    encoder.codec_context.bit_rate = 64_000 * encoder.codec_context.channels
    encoder.codec_context.time_base = Fraction(1, rate)
    container.start_encoding()
    return encoder
