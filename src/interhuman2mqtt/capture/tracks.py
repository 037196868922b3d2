"""The tracks that a ring holds, and those that are copied into it.

Each has a `template`, an av stream that muxers copy their parameters from; the others are in `encoders` and `silence`.
Times are in ticks of `time_base`, on the source's timeline.
"""

import io
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, NamedTuple, Protocol, TypeAlias

import av
from av.container import OutputContainer
from av.stream import Stream
from av.video.stream import VideoStream

from interhuman2mqtt.capture.parameter_sets import KeyFrameChecker
from interhuman2mqtt.capture.ring import Packet
from interhuman2mqtt.capture.rotation import FrameShape, shape_of

AvPacket: TypeAlias = "av.Packet[Any]"  # generic in the stubs only


class Track(Protocol):
    """The parameters of a track, as muxers need them."""

    @property
    def template(self) -> Stream:
        """The stream that a muxer copies the track's parameters from."""

    @property
    def time_base(self) -> Fraction:
        """Seconds per tick."""

    @property
    def tick_s(self) -> float:
        """The same as a float."""


class VideoTrack(Track, Protocol):
    """Video, copied or encoded."""

    @property
    def shape(self) -> FrameShape:
        """How its pixels are to be shown."""

    def convert(self, packet: AvPacket) -> Iterator[Packet]:
        """Return the packets that this one of the source, its times already repaired, becomes."""


class AudioTrack(Track, Protocol):
    """Audio that goes on when the source sends none."""

    @property
    def is_pcm(self) -> bool:
        """Whether it is sent as samples, without a container."""

    def fill_until(self, seconds: float, now: float) -> Iterator[Packet]:
        """Return the silence up to the newest frame of video, which is shown at `seconds` and came at `now`."""


class Tracks(NamedTuple):
    """The tracks that the GOPs of one epoch are made of."""

    video: VideoTrack | None
    """None: a source that is used for its audio alone."""
    audio: AudioTrack | None

    @property
    def is_pcm(self) -> bool:
        """Whether what is sent is samples, without a container."""
        return self.video is None and self.audio is not None and self.audio.is_pcm

    @property
    def used(self) -> list[Track]:
        """The tracks that there are, video first."""
        return [track for track in self if track is not None]


class CopiedTrack:
    """A track that is sent as it came."""

    def __init__(self, stream: Stream, time_base: Fraction) -> None:
        self.template = detached(stream)
        self.time_base = time_base
        self.tick_s = float(time_base)

    def convert(self, packet: AvPacket) -> Iterator[Packet]:
        """Return the packet itself."""
        yield to_packet(packet)


class CopiedVideo(CopiedTrack):
    """Video that is sent as it came, but for key frames that lack their parameter sets."""

    def __init__(self, stream: VideoStream, time_base: Fraction) -> None:
        super().__init__(stream, time_base)
        self.shape = shape_of(stream)
        self.key_frames = KeyFrameChecker(bytes(stream.codec_context.extradata or b""))

    def convert(self, packet: AvPacket) -> Iterator[Packet]:
        """Return the packet itself; a key frame that lacks its parameter sets gets them."""
        copied = to_packet(packet)
        yield self.key_frames.complete(copied) if copied.key else copied


def to_packet(packet: AvPacket) -> Packet:
    """Return a packet as the ring keeps it; its times must be set.

    The data is copied: FFmpeg's own packets, kept by the thousand, cost a kilobyte each on top of it.
    """
    pts = packet.pts or 0
    dts = pts if packet.dts is None else packet.dts
    return Packet(pts, dts, packet.duration or 0, packet.is_keyframe, packet.size, bytes(packet))


def claimed_dts(packet: AvPacket) -> int:
    """Return the DTS of a packet in its own ticks, or its PTS where it has none."""
    return packet.dts if packet.dts is not None else packet.pts or 0


def time_base_of(stream: Stream) -> Fraction:
    """Return a stream's time base; demuxed and encoded streams always have one."""
    return stream.time_base or Fraction(1, av.time_base)


def parameter_container(form: str = "mp4") -> OutputContainer:
    """Return a container that is never written: it keeps a stream's parameters when their input is long closed."""
    return av.open(io.BytesIO(), "w", format=form)


def detached(stream: Stream) -> Stream:
    """Return a copy of a stream's parameters that outlives its container."""
    copy: Stream = parameter_container().add_stream_from_template(stream)
    return copy
