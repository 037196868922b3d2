"""One file: the kind of each binary frame, its tracks, every packet's time, and its decoded frames.

A WebM that is open is continued by whatever does not open another file: browsers cut their recordings anywhere. Of
Chromium's MediaRecorder every blob but the first begins one byte inside a SimpleBlock. Fragmented MP4 they cut at a
fragment, as we do, so that is asked for.

MP4 box layout: ISO/IEC 14496-12, 4.2. EBML ids: RFC 8794 and RFC 9559, 5.1.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

import av
import av.error
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.video.stream import VideoStream
from msgspec import Struct

from interhuman2mqtt.simulator.errors import Answer

_EBML = b"\x1a\x45\xdf\xa3"
_WEBM_CONTINUES = (b"\x1f\x43\xb6\x75", b"\x1c\x53\xbb\x6b", b"\xa3", b"\xa0", b"\xec")
"""Cluster, Cues, and inside a cluster SimpleBlock, BlockGroup and Void: by these a WebM is known that is not open."""
_MP4_CONTINUES = (b"moof", b"styp", b"sidx", b"emsg", b"prft", b"free", b"mfra")


class Shape(Struct, frozen=True):
    """The kind of one binary frame."""

    format: str
    """The demuxer's name: mp4 or matroska; of a frame that continues a file, that of the file it could continue."""
    opens: bool
    """It begins with an init segment."""
    complete: bool = False
    """A whole MP4 recording that is not fragmented: it can be read only with seeking."""


def inspect(payload: bytes, within: str | None = None) -> Shape:
    """Return the shape of a binary frame that comes while a file of the format `within` is open, if one is.

    Raises:
        Answer: With ih5004, where it is neither WebM nor MP4 cut at a fragment.
    """
    if payload.startswith(_EBML):
        return Shape("matroska", opens=True)
    if payload.startswith(_WEBM_CONTINUES) or (within == "matroska" and payload[4:8] != b"ftyp"):
        return Shape("matroska", opens=False)
    kinds = list(_boxes(payload))
    if kinds and kinds[0] == b"ftyp":
        if b"moov" not in kinds:
            raise Answer("ih5004", "The init segment has no moov box.")
        return Shape("mp4", opens=True, complete=b"mdat" in kinds and b"moof" not in kinds)
    if kinds and kinds[0] in _MP4_CONTINUES:
        return Shape("mp4", opens=False)
    raise Answer("ih5004", "The segment is neither fragmented MP4 nor WebM, or it was not cut at a fragment.")


def _boxes(payload: bytes) -> Iterator[bytes]:
    """Yield the type of each top-level box, which must fill the payload exactly."""
    at = 0
    while at < len(payload):
        size = int.from_bytes(payload[at : at + 4], "big")
        if size == 1:
            size = int.from_bytes(payload[at + 8 : at + 16], "big")
        if size < 8 or at + size > len(payload):
            raise Answer("ih5004", f"The segment is malformed or truncated at byte {at} of {len(payload)}.")
        yield payload[at + 4 : at + 8]
        at += size


GAP = 0.5
"""Seconds by which the media clock may skip before it counts as a jump."""
VIDEO_CODECS = frozenset({"h264", "vp8", "vp9"})
AUDIO_CODECS = frozenset({"aac", "opus"})
"""What is known to work. MPEG-4 Part 2 was answered with ih5004; of H.265 and AV1 there is no evidence."""
_PROBE = {"fpsprobesize": "0", "analyzeduration": "500000"}
"""Open with what the first frame holds, instead of waiting for seconds of media."""

Span = tuple[float, float]
Track = VideoStream | AudioStream
if TYPE_CHECKING:  # only for the type checker is a packet generic
    from av.stream import Stream

    Packet = av.Packet[Stream]


class Readable(Protocol):
    """A file that a demuxer reads from; it need not seek."""

    def read(self, size: int, /) -> bytes:
        """Return at most so many bytes; none at the end."""


class Rules(Struct, frozen=True):
    """The demands of the model on the media."""

    video: bool = True
    """Else video may be missing, and is ignored where it is there."""
    audio: bool = True
    decode_all: bool = False
    """Else key frames only."""


class Tally:
    """The findings since it was last taken; its clock runs on through all files of a session."""

    def __init__(self) -> None:
        self.clock = 0.0
        self.span: Span | None = None
        """First and last moment of the packets; None: there were none."""
        self._keyframes: list[float] = []
        self._skipped: list[Span] = []

    def packet(self, start: float, end: float) -> None:
        """Media from `start` to `end` on the session's clock."""
        if start > self.clock + GAP:
            self._skipped.append((self.clock, start))
        self.clock = max(self.clock, end)
        first, last = self.span or (start, end)
        self.span = (min(first, start), max(last, end))

    def advance(self, seconds: float) -> None:
        """Media without timestamps of its own."""
        self.packet(self.clock, self.clock + seconds)

    def keyframe(self, at: float) -> None:
        """Count a frame that can be decoded by itself."""
        self._keyframes.append(at)

    def take(self) -> tuple[float, Span | None, tuple[float, ...], tuple[Span, ...]]:
        """Return the clock, the span of the packets, key frames and skipped ranges."""
        taken = (self.clock, self.span, tuple(self._keyframes), tuple(self._skipped))
        self.span = None
        self._keyframes.clear()
        self._skipped.clear()
        return taken


def read_file(source: Readable, demuxer: str, rules: Rules, tally: Tally) -> None:
    """Read one file to its end; raises Answer at the first thing that is wrong with it.

    Args:
        source: Its bytes.
        demuxer: mp4 or matroska.
        rules: Which tracks must be there, and how much of them is decoded.
        tally: Where what is found goes. The file's times begin at the tally's clock, and are used as they are: a
            file whose first packet is at 5 s skips 5 s.
    """
    with _open(source, demuxer) as container:
        tracks = _tracks(container, rules)
        check = Times(tally, tally.clock)
        for packet in _packets(container, tracks):
            check.packet(packet)
            if rules.decode_all or (packet.is_keyframe and isinstance(packet.stream, VideoStream)):
                _decode(packet)


def _open(source: Readable, demuxer: str) -> InputContainer:
    try:
        return av.open(source, mode="r", format=demuxer, options=_PROBE, metadata_errors="replace")
    except av.error.FFmpegError as error:
        raise Answer("ih5002", f"The media cannot be opened: {error.strerror}.") from error


def _tracks(container: InputContainer, rules: Rules) -> list[Track]:
    video, audio = container.streams.video[: int(rules.video)], container.streams.audio[:1]
    if rules.video and not video:
        raise Answer("ih5001", "The media has no video track.")
    if rules.audio and not audio:
        raise Answer("ih5008", "The media has no audio track.")
    for picture in video:
        _check_codec(picture, VIDEO_CODECS)
        picture.codec_context.thread_count = 1
        picture.codec_context.options = {"err_detect": "explode"}
        if not rules.decode_all:
            picture.codec_context.skip_frame = "NONKEY"
    for sound in audio:
        _check_codec(sound, AUDIO_CODECS)
    return [*video, *audio]


def _check_codec(track: Track, known: frozenset[str]) -> None:
    context: Any = track.codec_context  # None where libav has no decoder, whatever PyAV's types say
    name = context.codec.canonical_name if context else "unknown"
    if name not in known:
        raise Answer("ih5004", f"The {track.type} codec {name} cannot be used; use {' or '.join(sorted(known))}.")


def _packets(container: InputContainer, tracks: list[Track]) -> Iterator["Packet"]:
    """Yield all packets but the empty ones that only flush decoders."""
    try:
        for packet in container.demux(tracks):
            if packet.size:
                yield packet
    except av.error.FFmpegError as error:
        raise Answer("ih5004", f"The segment cannot be read: {error.strerror}.") from error


def _decode(packet: "Packet") -> None:
    try:
        packet.decode()
    except av.error.FFmpegError as error:
        at = float((packet.pts or 0) * packet.time_base)
        raise Answer(
            "ih5002", f"The {packet.stream.type} at {at:.3f} s cannot be decoded: {error.strerror}."
        ) from error


class Times:
    """Timestamps must run on within each track."""

    def __init__(self, tally: Tally, base: float) -> None:
        self._tally = tally
        self._base = base
        self._last: dict[int, float] = {}

    def packet(self, packet: "Packet") -> None:
        """Count one packet; raises Answer where its time runs back."""
        if packet.pts is None or packet.time_base is None:
            return  # a later frame of a Matroska lace: the first one has the time
        unit = float(packet.time_base)
        decoded_at = unit * (packet.pts if packet.dts is None else packet.dts)
        last = self._last.get(packet.stream.index, decoded_at)
        if decoded_at < last:
            raise Answer(
                "ih5004", f"The {packet.stream.type}'s timestamps run back from {last:.3f} to {decoded_at:.3f} s."
            )
        self._last[packet.stream.index] = decoded_at
        start = max(packet.pts * unit, 0.0)
        self._tally.packet(self._base + start, self._base + start + (packet.duration or 0) * unit)
        if packet.is_keyframe and isinstance(packet.stream, VideoStream):
            self._tally.keyframe(self._base + start)
