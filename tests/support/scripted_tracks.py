"""What a scripted camera sends: tracks of RTP payloads out of clips, and the lies that their clocks tell.

video(CLIP)                                        H.264, honest
video(CLIP)._replace(stamp=lambda s: s * 1.19)     a clock that is fast by 19 %
sound(CLIP)._replace(sent=pausing(9.0, 49.0))      nothing between second 9 and 49, the clock runs on
sound(CLIP)._replace(rtpmap="X-VENDOR/8000")       a codec that nobody knows

Every function is of *true seconds*: how long after PLAY the camera captured something.
"""

import base64
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import cache
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from av.audio.stream import AudioStream
from av.container import InputContainer
from av.video.stream import VideoStream

from support.clips import Clip, opened
from support.tracks import as_served, rows

if TYPE_CHECKING:
    from support.tracks import Packets

PAYLOAD_MAX = 1400
FU_A = 28
"""RFC 6184, 5.8: a unit of H.264 in fragments."""
G711_SAMPLES = 160
"""Samples of G.711 in a packet: 20 ms, as most cameras send it."""
SOUND = {"aac": "mpeg4-generic", "pcm_alaw": "PCMA", "pcm_mulaw": "PCMU"}
Seconds = Callable[[float], float]


class Unit(NamedTuple):
    """A picture, or a packet of audio."""

    at: float
    """true seconds at which it was captured (in decoding order)"""
    shown: float
    """true seconds that its stamp is of: later than `at` where there are B-frames"""
    number: int
    """rank in the order of presentation: the number that a clip's picture carries"""
    payloads: tuple[bytes, ...]


def honest(seconds: float) -> float:
    """The truth."""
    return seconds


def pausing(begin: float, end: float) -> Callable[[float], float | None]:
    """Send nothing of what was captured in between."""
    return lambda seconds: None if begin <= seconds < end else seconds


class Track(NamedTuple):
    """One track of a camera, repeated for ever."""

    kind: Literal["video", "audio"]
    rtpmap: str
    """encoding and ticks a second, as SDP has them: `H264/90000`"""
    units: tuple[Unit, ...]
    length: float
    """seconds after which the units begin again"""
    attributes: tuple[str, ...] = ()
    """further lines of the SDP, without `a=`: fmtp, sendonly"""
    payload_type: int = 96
    stamp: Seconds = honest
    """what the RTP clock says, in seconds"""
    sent: Callable[[float], float | None] = honest
    """when a unit goes out; None: never"""
    reports: float | None = 5.0
    """seconds from one sender report to the next; None: there are none"""
    reported: Seconds = honest
    """what the wall clock says that stands beside the RTP clock in a sender report"""
    zero: int = 0x1234_5678
    """the RTP clock at its begin"""

    @property
    def ticks(self) -> int:
        """Ticks a second, as announced."""
        return int(self.rtpmap.split("/")[1])

    def rtp_time(self, seconds: float) -> int:
        """The RTP clock, 32 bits of it."""
        return (self.zero + round(self.stamp(seconds) * self.ticks)) & 0xFFFF_FFFF

    def endless(self) -> Iterator[Unit]:
        """The units, again and again, in the order in which they were captured."""
        if not self.units:
            return
        for loop in count():
            begun = loop * self.length
            for unit in self.units:
                number = unit.number + loop * len(self.units)
                yield unit._replace(at=unit.at + begun, shown=unit.shown + begun, number=number)


@cache
def video(clip: Clip, fps: float | None = None) -> Track:
    """The picture of a clip; `fps` captures its frames at another rate than it was made for, and stamps them so."""
    return film(clip.path(), clip.seconds, clip.fps / fps if fps else 1.0)


@cache
def film(path: Path, seconds: float, scale: float = 1.0) -> Track:
    """The H.264 of a file of that length; `scale` makes it last so many times as long."""
    with opened(path) as file:
        stream = file.streams.video[0]
        packets = served(file, stream)
        table = rows(packets, stream.time_base or Fraction(1, 90_000))
        units = tuple(
            Unit(at * scale, shown * scale, number, tuple(fragments(bytes(packet))))
            for packet, (shown, at, number, _) in zip(packets, table, strict=True)
        )
        return Track("video", "H264/90000", units, seconds * scale, (parameter_sets(bytes(packets[0])),))


def served(file: InputContainer, stream: VideoStream | AudioStream) -> "Packets":
    """All packets of a track, as a camera sends them."""
    return as_served(stream, [packet for packet in file.demux(stream) if packet.size])


def parameter_sets(access_unit: bytes) -> str:
    """The `fmtp` line of H.264: what the decoder must know, as it stands before the first picture."""
    sets = [unit for unit in nal_units(access_unit) if unit[0] & 0x1F in {7, 8}]
    told = ",".join(base64.b64encode(unit).decode() for unit in sets)
    return f"fmtp:96 packetization-mode=1;sprop-parameter-sets={told}"


def nal_units(data: bytes) -> list[bytes]:
    """The units of a byte stream of H.264."""
    pieces = data.replace(b"\x00\x00\x00\x01", b"\x00\x00\x01").split(b"\x00\x00\x01")
    return [piece for piece in pieces if piece]


def fragments(access_unit: bytes) -> Iterator[bytes]:
    """An access unit as RTP payloads (RFC 6184): whole units where they fit, else FU-A."""
    for unit in nal_units(access_unit):
        if len(unit) <= PAYLOAD_MAX:
            yield unit
            continue
        indicator, kind, body = unit[0] & 0xE0 | FU_A, unit[0] & 0x1F, unit[1:]
        for start in range(0, len(body), PAYLOAD_MAX):
            first, last = start == 0, start + PAYLOAD_MAX >= len(body)
            yield bytes((indicator, first << 7 | last << 6 | kind)) + body[start : start + PAYLOAD_MAX]


@cache
def sound(clip: Clip) -> Track:
    """The audio of a clip: AAC (RFC 3640) or G.711."""
    with opened(clip.path()) as file:
        stream = file.streams.audio[0]
        data = [bytes(packet) for packet in served(file, stream)]
        is_aac = clip.audio == "aac"
        samples = 1024 if is_aac else G711_SAMPLES
        if not is_aac:
            whole = b"".join(data)
            data = [whole[start : start + samples] for start in range(0, len(whole), samples)]
        units = tuple(
            Unit(number * samples / clip.rate, number * samples / clip.rate, number, (au(part) if is_aac else part,))
            for number, part in enumerate(data)
        )
        attributes = (aac_config(stream),) if is_aac else ()
        encoding = f"{SOUND[clip.audio or '']}/{clip.rate}" + ("/1" if is_aac else "")
        return Track("audio", encoding, units, len(data) * samples / clip.rate, attributes, 97)


def au(data: bytes) -> bytes:
    """One packet of AAC behind its header of 16 bits."""
    return (16).to_bytes(2, "big") + (len(data) << 3).to_bytes(2, "big") + data


def aac_config(stream: AudioStream) -> str:
    """The `fmtp` line of AAC."""
    config = (stream.codec_context.extradata or b"").hex()
    return f"fmtp:97 mode=AAC-hbr;sizelength=13;indexlength=3;indexdeltalength=3;config={config}"
