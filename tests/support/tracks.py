"""A clip taken apart into its packets, for the RTSP server, whose Python has no PyAV."""

import io
import json
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import av
from av.audio.stream import AudioStream
from av.video.stream import VideoStream

from support.clips import Clip, made, opened

if TYPE_CHECKING:  # only for the type checker is a packet generic
    from av.packet import Packet
    from av.stream import Stream

    Packets = list[Packet[Stream]]


class Track(NamedTuple):
    """One track: what it is, and where its packets are in the blob that follows."""

    kind: str
    """video or audio"""
    codec: str
    rate: int
    """samples or frames a second"""
    config: str
    """the decoder's configuration in hexadecimal (AAC only)"""
    length: float
    """seconds after which it begins again"""
    packets: list[tuple[float, float, int, int]]
    """presentation and decoding time in seconds, rank in the order of presentation, size in bytes"""


def tracks(clip: Clip) -> Path:
    """The clip taken apart: a line of JSON (a list of `Track`), then the packets one after the other."""
    return made(clip.file_name(".tracks"), lambda file: take_apart(clip.path(), file))


def take_apart(clip: Path, path: Path) -> None:
    """Write the file that `tracks` promises."""
    blob = io.BytesIO()
    with opened(clip) as file:
        found = [take_track(clip, stream.index, blob) for stream in file.streams]
    path.write_bytes(json.dumps([track._asdict() for track in found]).encode() + b"\n" + blob.getvalue())


def take_track(clip: Path, index: int, blob: io.BytesIO) -> Track:
    """One track's packets into the blob, its times beginning at zero; H.264 and H.265 become byte streams."""
    with opened(clip) as file:
        stream = file.streams[index]
        assert isinstance(stream, VideoStream | AudioStream)
        packets = as_served(stream, [packet for packet in file.demux(stream) if packet.size])
        blob.writelines(bytes(packet) for packet in packets)
        unit = stream.time_base or Fraction(1)
        name = stream.codec_context.name
        return Track(
            kind=stream.type,
            codec=name,
            rate=stream.codec_context.sample_rate if isinstance(stream, AudioStream) else int(stream.average_rate or 0),
            config=(stream.codec_context.extradata or b"").hex() if name == "aac" else "",
            length=float(sum(packet.duration or 0 for packet in packets) * unit),
            packets=rows(packets, unit),
        )


def as_served(stream: VideoStream | AudioStream, packets: "Packets") -> "Packets":
    """The packets in the form in which a camera sends them."""
    name = stream.codec_context.name
    if name in {"h264", "hevc"}:
        to_bytes = av.BitStreamFilterContext(f"{name}_mp4toannexb", in_stream=stream)
        return [out for packet in packets for out in to_bytes.filter(packet)]
    # An AAC encoder's first packet only primes the decoder, and lies before zero.
    return [packet for packet in packets if (packet.pts or 0) >= 0]


def rows(packets: "Packets", unit: Fraction) -> list[tuple[float, float, int, int]]:
    """What `Track.packets` holds."""
    start = min(packet.dts or 0 for packet in packets)
    rank = {pts: number for number, pts in enumerate(sorted(packet.pts or 0 for packet in packets))}
    return [
        (
            float(((packet.pts or 0) - start) * unit),
            float(((packet.dts or 0) - start) * unit),
            rank[packet.pts or 0],
            packet.size,
        )
        for packet in packets
    ]
