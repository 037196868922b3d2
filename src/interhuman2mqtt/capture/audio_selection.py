"""The selection of the audio track among those that a source announces, and why none is used."""

# FFmpeg's own choice, the first audio track, loses with many cameras: that may be a back channel (`a=sendonly`, for a
# loudspeaker), a jack into which nothing is plugged, or a codec that FFmpeg does not know. Its streams do not show
# which is which: the names are in the SDP, which it only prints, and a dead jack is seen by its packets alone.

import time
import zlib
from collections.abc import Sequence
from typing import NamedTuple

from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Discard, Stream

from interhuman2mqtt.capture.ffmpeg_log import LogLine
from interhuman2mqtt.capture.preroll import ArrivedPacket

SAMPLE_S = 1.5
"""FFmpeg has looked for some seconds itself where a track is dead, so what came then is there at once."""
SAMPLE_PACKETS = 25
"""Packets of each track, about half a second, that end the sampling."""
DEAD_RATIO = 4
"""A track of so much less information than the richest one is dead ..."""
ALIVE_BYTES_S = 1500
"""... but not with so many bytes a second, compressed: G.711 of a dead jack whose last bit flickers has 1000."""


class SdpTrack(NamedTuple):
    """A track of an SDP (RFC 8866)."""

    kind: str
    encoding: str
    is_back_channel: bool


class AudioSelection(NamedTuple):
    """The audio that is used, and a remark about it."""

    stream: int | None
    note: str = ""
    """For the description: which one of several, or why there is none."""
    packets: tuple[ArrivedPacket, ...] = ()
    """Those that were read of the source to find out."""


def parse_sdp(lines: Sequence[LogLine]) -> list[SdpTrack]:
    """Return the tracks of the SDP that FFmpeg printed, in its order; none where it printed none."""
    text = next((line.text for line in reversed(lines) if line.text.startswith("SDP:")), "")
    sections = text.replace("\r", "").split("\nm=")[1:]
    return [_parse_section(section.split("\n")) for section in sections]


def _parse_section(lines: list[str]) -> SdpTrack:
    kind, _, _, payload, *_ = [*lines[0].split(), "", "", ""]
    maps = (line.partition(" ")[2].partition("/")[0] for line in lines if line.startswith(f"a=rtpmap:{payload} "))
    encoding = next(maps, f"RTP payload type {payload}")
    return SdpTrack(kind, encoding, "a=sendonly" in lines)


def encoding_name(container: InputContainer, stream: Stream, tracks: Sequence[SdpTrack]) -> str:
    """Return the name of a stream's codec, also where FFmpeg does not know it."""
    track = _sdp_track(container, stream, tracks)
    return track.encoding if track else "a codec without a name"


def select_audio(container: InputContainer, tracks: Sequence[SdpTrack], *, sample: bool) -> AudioSelection:
    """Return the track that carries audio; where there are several, they are sampled for a moment if `sample`."""
    streams = list(container.streams.audio)
    announced = {stream.index: _sdp_track(container, stream, tracks) for stream in streams}
    forward = [stream for stream in streams if not ((track := announced[stream.index]) and track.is_back_channel)]
    known = [stream for stream in forward if is_known(stream)]
    if not known:
        return AudioSelection(None, _why_unused(container, streams, forward, tracks))
    if len(known) == 1 or not sample:
        return AudioSelection(known[0].index, _position(streams, known[0]))
    packets = _sample(container, known)
    best = _first_alive(known, packets)
    return AudioSelection(best.index, _position(streams, best), tuple(packets))


def is_known(stream: Stream) -> bool:
    """Decide whether FFmpeg has a decoder for it."""
    return getattr(stream, "codec_context", None) is not None


def _sdp_track(container: InputContainer, stream: Stream, tracks: Sequence[SdpTrack]) -> SdpTrack | None:
    """Return what the SDP announces of a stream; None where its tracks are not those that FFmpeg made of it."""
    of_kind = [track for track in tracks if track.kind == stream.type]
    alike = [other for other in container.streams if other.type == stream.type]
    return of_kind[alike.index(stream)] if len(of_kind) == len(alike) else None


def _why_unused(
    container: InputContainer, streams: Sequence[Stream], forward: Sequence[Stream], tracks: Sequence[SdpTrack]
) -> str:
    if not streams:
        return ""
    if not forward:
        return "the camera's only audio is a back channel, to its loudspeaker"
    names = " and ".join(encoding_name(container, stream, tracks) for stream in forward)
    return f"the camera's audio is {names}, which FFmpeg cannot decode"


def _position(streams: Sequence[Stream], chosen: Stream) -> str:
    return f"track {streams.index(chosen) + 1} of {len(streams)}" if len(streams) > 1 else ""


def _sample(container: InputContainer, known: Sequence[AudioStream]) -> list[ArrivedPacket]:
    read: list[ArrivedPacket] = []
    counts = dict.fromkeys((stream.index for stream in known), 0)
    until = time.monotonic() + SAMPLE_S
    videos = [video for video in container.streams.video[:1] if video.discard is not Discard.all]
    for packet in container.demux([*videos, *known]):
        at = time.monotonic()
        if packet.size:
            read.append(ArrivedPacket(packet, at))
        if packet.stream_index in counts:
            counts[packet.stream_index] += 1
        if at > until or min(counts.values()) >= SAMPLE_PACKETS:
            break
    return read


def _first_alive(known: Sequence[AudioStream], read: Sequence[ArrivedPacket]) -> AudioStream:
    """Return the first track that carries audio, as far as the packets show."""
    carried = {
        stream.index: b"".join(bytes(each.packet) for each in read if each.packet.stream_index == stream.index)
        for stream in known
    }
    information = {index: len(zlib.compress(data)) if data else 0 for index, data in carried.items()}
    seconds = max(read[-1].at - read[0].at, SAMPLE_S) if read else SAMPLE_S
    least = min(max(information.values()) / DEAD_RATIO, ALIVE_BYTES_S * seconds)
    return next(stream for stream in known if information[stream.index] >= least)
