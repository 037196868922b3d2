"""From GOPs of the ring to the packets of a file of their own, whoever writes it."""

from collections.abc import Iterator
from operator import itemgetter
from typing import Protocol

import av
from av.container import OutputContainer
from av.stream import Stream

from interhuman2mqtt.capture.ring import Gop, Packet
from interhuman2mqtt.capture.tracks import AvPacket, Tracks

FILE_BUFFER = 1 << 20
"""Bytes that are written at once."""


class SeekableFile(Protocol):
    """A file as libav needs it."""

    def write(self, data: bytes, /) -> int:
        """Write all of this, and return how much that is."""

    def seek(self, offset: int, whence: int = ..., /) -> int:
        """Go to another place, and return it."""

    def tell(self) -> int:
        """Return the place."""


def write_mp4(file: SeekableFile, gops: list[Gop], tracks: Tracks) -> None:
    """Write GOPs as an ordinary MP4 whose time begins at `zero_of`; raise what the file raises, or FFmpegError."""
    # Not fragmented, as a recording is: what takes uploaded files judges them by the length in their head, which a
    # fragmented one does not have.
    with av.open(file, "w", format="mp4", options=PLAIN, buffer_size=FILE_BUFFER) as muxer:
        streams = add_streams(muxer, tracks)
        for packet in rebased(gops, tracks, streams, zero_of(gops, tracks), begins=True):
            muxer.mux(packet)


PLAIN = {"use_editlist": "0", "avoid_negative_ts": "disabled"}
"""As for a recording: both would move the times of the file by what its first packets happen to be."""


def zero_of(gops: list[Gop], tracks: Tracks) -> float:
    """Return where the time of a file begins that begins with these GOPs, in seconds on the source's timeline."""
    first = gops[0].video[0] if gops[0].video else gops[0].audio[0][1]
    return first.dts * tracks.used[0].tick_s


def add_streams(muxer: OutputContainer, tracks: Tracks) -> list[Stream]:
    """Begin a file of these tracks; return its streams."""
    streams: list[Stream] = [muxer.add_stream_from_template(track.template) for track in tracks.used]
    muxer.start_encoding()
    return streams


def rebased(
    gops: list[Gop], tracks: Tracks, streams: list[Stream], zero_s: float, *, begins: bool
) -> Iterator[AvPacket]:
    """Return copies of the packets in the order of their DTS, their times from the file's zero.

    No `max_interleave_delta` is set: libav's interleaver holds a track back for 10 s while the other is silent, but
    each muxer is closed with its chunk, which flushes it.
    """
    items: list[tuple[float, int, Packet]] = []
    if tracks.video:
        frames = _stretch_last(list(_decodable_frames(gops, begins=begins)), gops, tracks.video.tick_s)
        items += [(packet.dts * tracks.video.tick_s, 0, packet) for packet in frames]
    if tracks.audio:
        audio, index = (item for gop in gops for item in gop.audio), len(tracks.used) - 1
        items += [(seconds, index, packet) for seconds, packet in audio if seconds >= zero_s or not begins]
    items.sort(key=itemgetter(0))
    zeros = [round(zero_s / track.tick_s) for track in tracks.used]
    for _, index, packet in items:
        copy = av.Packet(packet.data)  # a reference, not a copy of the data
        copy.stream = streams[index]
        copy.time_base = tracks.used[index].time_base
        copy.pts, copy.dts = packet.pts - zeros[index], packet.dts - zeros[index]
        copy.duration = packet.duration
        copy.is_keyframe = packet.key
        yield copy


def _decodable_frames(gops: list[Gop], *, begins: bool) -> Iterator[Packet]:
    """Return the frames; where a file begins, not those shown before its key frame: they need the GOP before."""
    for gop in gops:
        key = gop.video[0]
        leading = begins and gop is gops[0]
        yield from (packet for packet in gop.video if not leading or packet.pts >= key.pts)


def _stretch_last(frames: list[Packet], gops: list[Gop], tick_s: float) -> list[Packet]:
    """Return the frames, the last lasting until the next GOP begins: the cloud adds up the durations in a file.

    Where the camera then stood still it does not: the cloud shall see that there was nothing.
    """
    end_s = gops[-1].end_s
    if any(end == end_s for _, end in gops[-1].gaps):
        return frames
    end = gops[0].video[0].dts + round((end_s - gops[0].start_s) / tick_s)
    last = frames[-1]
    return [*frames[:-1], last._replace(duration=max(last.duration, end - last.dts))]
