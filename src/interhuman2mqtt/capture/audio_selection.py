"""Chooses the track of sound among those that a source announces, and says why where it takes none.

A camera may announce a back channel (`a=sendonly`, for its loudspeaker), a jack into which nothing is plugged, and
codecs that FFmpeg does not know. FFmpeg does not say which is which: its names are in the SDP, which it prints, and a
dead jack is seen by its packets.
"""

import time
import zlib
from collections.abc import Sequence
from typing import NamedTuple

from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Stream

from interhuman2mqtt.capture.ffmpeg_log import LogLine
from interhuman2mqtt.capture.preroll import Arrived

LOOK_S = 1.5
"""FFmpeg has looked for some seconds itself where a track is dead, so what came then is there at once."""
ENOUGH = 25
"""Packets of each track, about half a second, that end the look."""
ALIVE = 4
"""A track of so much less information than the richest one is dead ..."""
RICH = 1500
"""... but not with so many bytes a second, compressed: G.711 of a dead jack whose last bit flickers has 1000."""


class Announced(NamedTuple):
    """A track of an SDP (RFC 8866)."""

    kind: str
    encoding: str
    is_back_channel: bool


class AudioSelection(NamedTuple):
    """Which sound is used, and what there is to say about it."""

    stream: int | None
    note: str = ""
    """For the description: which one of several, or why there is none."""
    read: tuple[Arrived, ...] = ()
    """What was read of the source to find out."""


def announced(lines: Sequence[LogLine]) -> list[Announced]:
    """Return the tracks of the SDP that FFmpeg printed, in its order; none where it printed none."""
    text = next((line.text for line in reversed(lines) if line.text.startswith("SDP:")), "")
    sections = text.replace("\r", "").split("\nm=")[1:]
    return [_section(section.split("\n")) for section in sections]


def _section(lines: list[str]) -> Announced:
    kind, _, _, payload, *_ = [*lines[0].split(), "", "", ""]
    maps = (line.partition(" ")[2].partition("/")[0] for line in lines if line.startswith(f"a=rtpmap:{payload} "))
    encoding = next(maps, f"RTP payload type {payload}")
    return Announced(kind, encoding, "a=sendonly" in lines)


def encoding(container: InputContainer, stream: Stream, tracks: Sequence[Announced]) -> str:
    """Return how a stream's codec is called, also where FFmpeg does not know it."""
    said = _announcement(container, stream, tracks)
    return said.encoding if said else "a codec without a name"


def choose_sound(container: InputContainer, tracks: Sequence[Announced], *, look: bool) -> AudioSelection:
    """Return the track that carries sound; where there are several, they are looked at for a moment if `look`."""
    streams = list(container.streams.audio)
    said = {stream.index: _announcement(container, stream, tracks) for stream in streams}
    forward = [stream for stream in streams if not ((told := said[stream.index]) and told.is_back_channel)]
    known = [stream for stream in forward if is_known(stream)]
    if not known:
        return AudioSelection(None, _why_none(container, streams, forward, tracks))
    if len(known) == 1 or not look:
        return AudioSelection(known[0].index, _which(streams, known[0]))
    read = _look(container, known)
    best = _liveliest(known, read)
    return AudioSelection(best.index, _which(streams, best), tuple(read))


def is_known(stream: Stream) -> bool:
    """Return whether FFmpeg has a decoder for it."""
    return getattr(stream, "codec_context", None) is not None


def _announcement(container: InputContainer, stream: Stream, tracks: Sequence[Announced]) -> Announced | None:
    """What the SDP says of a stream; None where its tracks are not those that FFmpeg made of it."""
    of_kind = [track for track in tracks if track.kind == stream.type]
    alike = [other for other in container.streams if other.type == stream.type]
    return of_kind[alike.index(stream)] if len(of_kind) == len(alike) else None


def _why_none(
    container: InputContainer, streams: Sequence[Stream], forward: Sequence[Stream], tracks: Sequence[Announced]
) -> str:
    if not streams:
        return ""
    if not forward:
        return "the camera's only audio is a back channel, to its loudspeaker"
    names = " and ".join(encoding(container, stream, tracks) for stream in forward)
    return f"the camera's audio is {names}, which FFmpeg cannot decode"


def _which(streams: Sequence[Stream], chosen: Stream) -> str:
    return f"track {streams.index(chosen) + 1} of {len(streams)}" if len(streams) > 1 else ""


def _look(container: InputContainer, known: Sequence[AudioStream]) -> list[Arrived]:
    read: list[Arrived] = []
    counts = dict.fromkeys((stream.index for stream in known), 0)
    until = time.monotonic() + LOOK_S
    for packet in container.demux([*container.streams.video[:1], *known]):
        at = time.monotonic()
        if packet.size:
            read.append(Arrived(packet, at))
        if packet.stream_index in counts:
            counts[packet.stream_index] += 1
        if at > until or min(counts.values()) >= ENOUGH:
            break
    return read


def _liveliest(known: Sequence[AudioStream], read: Sequence[Arrived]) -> AudioStream:
    """The first track that is alive, as far as the packets tell."""
    carried = {
        stream.index: b"".join(bytes(each.packet) for each in read if each.packet.stream_index == stream.index)
        for stream in known
    }
    information = {index: len(zlib.compress(data)) if data else 0 for index, data in carried.items()}
    seconds = max(read[-1].at - read[0].at, LOOK_S) if read else LOOK_S
    least = min(max(information.values()) / ALIVE, RICH * seconds)
    return next(stream for stream in known if information[stream.index] >= least)
