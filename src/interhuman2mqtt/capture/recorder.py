"""One recording: a cursor on the ring, cut into chunks of whole GOPs as fragmented MP4.

A recording is one continuous MP4: its first chunk carries the init segment, the others go on where it stopped. Each
chunk is nevertheless muxed by a muxer of its own, which libav allows with `frag_discont`: so a chunk is complete as
soon as its last GOP is sealed, with no packet of the next one needed to flush it, and nothing lives from one chunk to
the next but a cursor and a count. Standalone framing is the same with the init segment kept and the times from zero.

Where a chunk ends is decided in `chunks`. What is left at the end of a recording and shorter than the cloud takes is
not sent: the next recording begins with it. Where that has another format it is a hole in what the camera gave.
"""

import math
from collections.abc import Iterable, Iterator
from operator import itemgetter
from typing import NamedTuple

import av
from av.stream import Stream

from interhuman2mqtt.capture import ipc
from interhuman2mqtt.capture.chunk_length import Bounds, GrowingChunk
from interhuman2mqtt.capture.ring import Gop, Packet, Ring, Span
from interhuman2mqtt.capture.silence import GapFiller
from interhuman2mqtt.capture.timestamps import ClockAnchor
from interhuman2mqtt.capture.tracks import AvPacket, SilentTrack, VideoTrack

MOVFLAGS = "empty_moov+default_base_moof+frag_custom+frag_discont+skip_trailer"
MUXER_BUFFER = 1 << 20


class Tracks(NamedTuple):
    """What the GOPs of one take are made of."""

    video: VideoTrack
    sound: GapFiller | SilentTrack | None


class _Sink:
    """Collects what a muxer writes."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def write(self, data: bytes) -> int:
        self.parts.append(bytes(data))
        return len(data)


class Recorder:
    """A cursor and what was cut so far."""

    def __init__(self, command: ipc.Record, ring: Ring, anchor: ClockAnchor) -> None:
        self.number = command.recording
        self.pulled = False
        """Whether the daemon waits for a chunk."""
        self.finishing = False
        self.ended = False
        self._standalone = command.framing == "standalone"
        self._ring = ring
        self._wanted_s = command.chunk_s
        self.limit(ipc.Limit(recording=command.recording))
        self._anchor = anchor
        self._anchor_s = 0.0
        self._cursor = self._begin(command)
        self._index = 0
        self._take: int | None = None
        self._zero_s = 0.0
        self._sent_s = 0.0
        self._end_s = self._from_s = command.from_s

    def _begin(self, command: ipc.Record) -> int:
        if command.from_s is None:
            return self._ring.newest()
        return self._ring.rewind(self._ring.find(command.from_s), command.replay_s, command.floor_s)

    def limit(self, command: ipc.Limit) -> None:
        """Heed what the cloud takes."""
        most = command.most_s or math.inf, command.most_bytes or math.inf
        bounds = Bounds(self._wanted_s, command.least_s or 0.0, *most)
        self._bounds = bounds.within(self._ring.limit_s, self._ring.limit_bytes)

    def cut(self, takes: dict[int, Tracks], *, source_ended: bool) -> tuple[ipc.Chunk, bytes] | None:
        """The next chunk, if it was asked for and is whole."""
        if not self.pulled or not (self._index or self._anchor.settled or source_ended):
            return None
        self._cursor = max(self._cursor, self._ring.first)
        chunk, is_whole = self._next()
        while self._is_rest(chunk):
            self._cursor += len(chunk.gops)
            self._take = None
            chunk, is_whole = self._next()
        self.ended = self._last(chunk.gops, source_ended=source_ended)
        if not (self.ended or is_whole):
            return None
        return self._chunk(chunk.gops if chunk.reaches_least else [], takes)

    def _is_rest(self, chunk: GrowingChunk) -> bool:
        """Whether the recording would begin with what another left of a format that is over, and end with it."""
        is_over = self._take is not None and self._last(chunk.gops, source_ended=self._ring.take != self._take)
        return is_over and not (self._index or self.finishing or chunk.reaches_least or not chunk.gops)

    def _next(self) -> tuple[GrowingChunk, bool]:
        """The sealed GOPs of this take that make up the next chunk, or as much of it as there is; whether it ends."""
        chunk = GrowingChunk(self._bounds)
        for serial in range(self._cursor, self._ring.sealed):
            gop = self._ring.gop(serial)
            if self._take is None:
                self._take = gop.take
            if gop.take != self._take or chunk.is_whole:
                break
            if not chunk.has_room(gop):
                return chunk, True
            chunk.add(gop)
        return chunk, chunk.is_whole

    def _last(self, gops: list[Gop], *, source_ended: bool) -> bool:
        after = self._cursor + len(gops)
        if after >= self._ring.sealed:  # above it where the recording begins behind a GOP that still grows
            other_take = self._take is not None and self._take != self._ring.take
            return self.finishing or source_ended or other_take
        return self.finishing or self._ring.gop(after).take != self._take

    def _chunk(self, gops: list[Gop], takes: dict[int, Tracks]) -> tuple[ipc.Chunk, bytes]:
        if self._index == 0:
            self._anchor_s = self._anchor.seconds
        self.pulled = False
        lost, holes = self._missing(gops)
        payload = b""
        start_s = end_s = self._end_s or 0.0
        if gops:
            start_s, end_s = gops[0].start_s, gops[-1].end_s
            payload = self._mux(gops, takes[gops[0].take])
        head = ipc.Chunk(
            recording=self.number,
            index=self._index,
            start_s=start_s,
            end_s=end_s,
            anchor_s=self._anchor_s,
            media_s=start_s - self._zero_s + (self._sent_s if self._standalone else 0.0),
            lost=lost,
            holes=holes,
            last=self.ended,
        )
        self._index += 1
        self._cursor += len(gops)
        self._sent_s += end_s - start_s
        self._end_s = end_s
        return head, payload

    def _missing(self, gops: list[Gop]) -> tuple[tuple[Span, ...], tuple[Span, ...]]:
        """What fell off the ring before these GOPs, and where the camera gave nothing; not what was only a replay."""
        ends = [self._end_s, *(gop.end_s for gop in gops)]
        between = [(end, gop.start_s) for end, gop in zip(ends, gops, strict=False) if end is not None]
        evicted_s = self._ring.evicted_s
        lost = self._wanted((start, min(end, evicted_s)) for start, end in between)
        holes = self._wanted((max(start, evicted_s), end) for start, end in between)
        return lost, tuple(sorted(holes + self._wanted(hole for gop in gops for hole in gop.holes)))

    def _wanted(self, spans: Iterable[Span]) -> tuple[Span, ...]:
        begun = ((max(start, self._from_s or start), end) for start, end in spans)
        return tuple((start, end) for start, end in begun if end > start)

    def _mux(self, gops: list[Gop], tracks: Tracks) -> bytes:
        begins = self._standalone or self._index == 0
        if begins:
            self._zero_s = gops[0].video[0].dts * tracks.video.tick_s
        sink = _Sink()
        options = {
            "movflags": MOVFLAGS,
            "use_editlist": "0",
            "avoid_negative_ts": "disabled",
            "fragment_index": str(1 if begins else self._index + 1),
        }
        with av.open(sink, "w", format="mp4", options=options, buffer_size=MUXER_BUFFER) as muxer:
            streams = [muxer.add_stream_from_template(track.template) for track in tracks if track]
            muxer.start_encoding()
            init = len(sink.parts)
            for packet in self._rebased(gops, tracks, streams, begins=begins):
                muxer.mux(packet)
        return b"".join(sink.parts if begins else sink.parts[init:])

    def _rebased(self, gops: list[Gop], tracks: Tracks, streams: list[Stream], *, begins: bool) -> Iterator[AvPacket]:
        """Copies of the packets in the order of their DTS, their times from the recording's zero."""
        pictures = _to_the_end(list(_pictures(gops, begins=begins)), gops, tracks.video.tick_s)
        items = [(packet.dts * tracks.video.tick_s, 0, packet) for packet in pictures]
        if tracks.sound:
            sound = (item for gop in gops for item in gop.sound)
            items += [(seconds, 1, packet) for seconds, packet in sound if seconds >= self._zero_s or not begins]
        items.sort(key=itemgetter(0))
        zeros = [round(self._zero_s / track.tick_s) for track in tracks if track]
        for _, index, packet in items:
            copy = av.Packet(packet.data)  # a reference, not a copy of the data
            copy.stream = streams[index]
            copy.time_base = tracks[index].time_base  # type: ignore[union-attr]  # an index only where there is a track
            copy.pts, copy.dts = packet.pts - zeros[index], packet.dts - zeros[index]
            copy.duration = packet.duration
            copy.is_keyframe = packet.key
            yield copy


def _pictures(gops: list[Gop], *, begins: bool) -> Iterator[Packet]:
    """The pictures of the GOPs; where a file begins, not those shown before its key frame: they need the GOP before."""
    for gop in gops:
        key = gop.video[0]
        leading = begins and gop is gops[0]
        yield from (packet for packet in gop.video if not leading or packet.pts >= key.pts)


def _to_the_end(pictures: list[Packet], gops: list[Gop], tick_s: float) -> list[Packet]:
    """The same, the last one lasting until the next GOP begins: the cloud adds up the durations in a file.

    Where the camera then stood still it does not: the cloud shall see that there was nothing.
    """
    end_s = gops[-1].end_s
    if any(end == end_s for _, end in gops[-1].holes):
        return pictures
    end = gops[0].video[0].dts + round((end_s - gops[0].start_s) / tick_s)
    last = pictures[-1]
    return [*pictures[:-1], last._replace(duration=max(last.duration, end - last.dts))]
