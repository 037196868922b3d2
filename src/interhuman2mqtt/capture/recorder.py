"""One recording: a cursor on the ring, cut into chunks of whole GOPs as fragmented MP4.

A recording is one continuous MP4: its first chunk carries the init segment, the others go on where it stopped. In
standalone framing each chunk is a file: the same with the init segment kept and the times from zero.

Of audio alone a recording may also be PCM, which has no times: the cloud counts the samples, so zeros stand where there
were none. What fell off the ring is not made up for in this way: the recording ends there.

Where a chunk ends is decided in `chunk_length`. What is left at the end of a recording and shorter than the cloud takes
is not sent: the next recording begins with it. Where that has another format it is a gap in what the camera gave.
"""

# Why a muxer for each chunk, and not one for the recording: with `frag_keyframe` libav writes a fragment only when the
# key frame *after* it is muxed, so that each chunk would wait for a packet of the next one, and the muxer would hold
# state through every rotation, limit and jump over what the ring evicted. With `frag_discont` a fresh muxer goes on
# where another stopped: a chunk is complete with its last GOP, nothing lives from one chunk to the next but a cursor
# and a count, and both framings are one code. It costs 0.7 ms a chunk. Edit lists and `avoid_negative_ts` are off,
# because each would move the times of a chunk by what its own first packets happen to be.

import math
from collections.abc import Iterable, Mapping

import av

from interhuman2mqtt.capture import ipc
from interhuman2mqtt.capture.chunk_length import Bounds, GrowingChunk
from interhuman2mqtt.capture.clock_anchor import ClockAnchor
from interhuman2mqtt.capture.muxer import add_streams, rebased, zero_of
from interhuman2mqtt.capture.ring import Gop, Ring, Span
from interhuman2mqtt.capture.tracks import Tracks

MOVFLAGS = "empty_moov+default_base_moof+frag_custom+frag_discont+skip_trailer"
MUXER_BUFFER = 64 << 10
"""Bytes. It is allocated for each chunk anew; the kernel gives a larger one, page by page, each time."""
SAMPLE_BYTES = 2
"""Of PCM, one channel of 16 bits."""


class _ChunkBuffer:
    """Collects what the muxers of a recording write, in memory that is used again for each chunk.

    A new buffer for each chunk, and a `bytes` of it, cost 430 page faults a second at 3 Mbit/s, a tenth of a worker.
    """

    def __init__(self) -> None:
        self._data = bytearray()
        self._size = 0
        self._media = memoryview(b"")

    def clear(self) -> None:
        """Begin again; media that was taken is no longer valid."""
        self._media.release()
        self._size = 0

    def write(self, data: bytes) -> int:
        """Append what a muxer writes."""
        end = self._size + len(data)
        self._data[self._size : end] = data
        self._size = end
        return len(data)

    def take(self) -> memoryview:
        """Return what was written, valid until `clear`."""
        self._media = memoryview(self._data)[: self._size]
        return self._media


class Recorder:
    """A cursor, and how far its recording has come."""

    def __init__(self, command: ipc.Record, ring: Ring, anchor: ClockAnchor) -> None:
        self.number = command.recording
        self.is_pulled = False
        """Whether the daemon waits for a chunk."""
        self.is_finishing = False
        self.is_ended = False
        self._standalone = command.framing == "standalone"
        self._ring = ring
        self._wanted_s = command.chunk_s
        self.limit(ipc.Limit(recording=command.recording))
        self._anchor = anchor
        self._anchor_s = 0.0
        self._cursor = self._start(command)
        self._index = 0
        self._epoch: int | None = None
        self._zero_s = 0.0
        self._sent_s = 0.0
        self._next_sample = 0
        self._end_s = self._from_s = command.from_s
        self._buffer = _ChunkBuffer()

    def _start(self, command: ipc.Record) -> int:
        if command.from_s is None:
            return self._ring.newest()
        return self._ring.rewind(self._ring.find(command.from_s), command.replay_s, command.floor_s)

    def limit(self, command: ipc.Limit) -> None:
        """Keep the chunks from here on within the limits of the cloud."""
        most = command.most_s or math.inf, command.most_bytes or math.inf
        bounds = Bounds(self._wanted_s, command.least_s or 0.0, *most)
        self._bounds = bounds.within(self._ring.limit_s, self._ring.limit_bytes)

    def next_chunk(self, tracks: Mapping[int, Tracks], *, source_ended: bool) -> tuple[ipc.Chunk, memoryview] | None:
        """Return the next chunk, if it was pulled and is whole; its media is valid until the one after it.

        Args:
            tracks: By their epoch.
            source_ended: Whether nothing more comes.
        """
        if not self.is_pulled or not (self._index or self._anchor.is_settled or source_ended):
            return None
        if self._counts_samples(tracks) and self._cursor < self._ring.first:
            self.is_ended = True
            return self._chunk([], tracks)
        self._cursor = max(self._cursor, self._ring.first)
        chunk, is_whole = self._collect()
        while self._is_leftover(chunk):
            self._cursor += len(chunk.gops)
            self._epoch = None
            chunk, is_whole = self._collect()
        self.is_ended = self._ends_after(chunk.gops, source_ended=source_ended)
        if not (self.is_ended or is_whole):
            return None
        return self._chunk(chunk.gops if chunk.reaches_least else [], tracks)

    def _counts_samples(self, tracks: Mapping[int, Tracks]) -> bool:
        """Decide whether it is PCM, and has begun."""
        used = None if self._epoch is None else tracks.get(self._epoch)
        return self._index > 0 and used is not None and used.is_pcm

    def _is_leftover(self, chunk: GrowingChunk) -> bool:
        """Decide whether the recording would begin with what another left of a format that is over, and end with it."""
        is_over = self._epoch is not None and self._ends_after(chunk.gops, source_ended=self._ring.epoch != self._epoch)
        return is_over and not (self._index or self.is_finishing or chunk.reaches_least or not chunk.gops)

    def _collect(self) -> tuple[GrowingChunk, bool]:
        """Return the complete GOPs of this epoch for the next chunk, or as much as there is; and whether it ends."""
        chunk = GrowingChunk(self._bounds)
        for serial in range(self._cursor, self._ring.complete_end):
            gop = self._ring.gop(serial)
            if self._epoch is None:
                self._epoch = gop.epoch
            if gop.epoch != self._epoch or chunk.is_whole:
                break
            if not chunk.has_room(gop):
                return chunk, True
            chunk.add(gop)
        return chunk, chunk.is_whole

    def _ends_after(self, gops: list[Gop], *, source_ended: bool) -> bool:
        after = self._cursor + len(gops)
        if after >= self._ring.complete_end:  # above it where the recording begins behind a GOP that still grows
            is_other_epoch = self._epoch is not None and self._epoch != self._ring.epoch
            return self.is_finishing or source_ended or is_other_epoch
        return self.is_finishing or self._ring.gop(after).epoch != self._epoch

    def _chunk(self, gops: list[Gop], tracks: Mapping[int, Tracks]) -> tuple[ipc.Chunk, memoryview]:
        if self._index == 0:
            self._anchor_s = self._anchor.seconds
        self.is_pulled = False
        lost, gaps = self._lost_and_gaps(gops)
        payload = memoryview(b"")
        start_s = end_s = self._end_s or 0.0
        if gops:
            start_s, end_s = gops[0].start_s, gops[-1].end_s
            used = tracks[gops[0].epoch]
            payload = self._samples(gops, used) if used.is_pcm else self._mux(gops, used)
        head = ipc.Chunk(
            recording=self.number,
            index=self._index,
            start_s=start_s,
            end_s=end_s,
            anchor_s=self._anchor_s,
            media_s=start_s - self._zero_s + (self._sent_s if self._standalone else 0.0),
            lost=lost,
            gaps=gaps,
            has_video=self._ring.has_video,
            last=self.is_ended,
        )
        self._index += 1
        self._cursor += len(gops)
        self._sent_s += end_s - start_s
        self._end_s = end_s
        return head, payload

    def _lost_and_gaps(self, gops: list[Gop]) -> tuple[tuple[Span, ...], tuple[Span, ...]]:
        """Return what was evicted before these GOPs, and where the camera sent nothing; not what was only a replay."""
        ends = [self._end_s, *(gop.end_s for gop in gops)]
        between = [(end, gop.start_s) for end, gop in zip(ends, gops, strict=False) if end is not None]
        evicted_s = self._ring.evicted_s
        lost = self._since_start((start, min(end, evicted_s)) for start, end in between)
        gaps = self._since_start((max(start, evicted_s), end) for start, end in between)
        return lost, tuple(sorted(gaps + self._since_start(gap for gop in gops for gap in gop.gaps)))

    def _since_start(self, spans: Iterable[Span]) -> tuple[Span, ...]:
        begun = ((max(start, self._from_s or start), end) for start, end in spans)
        return tuple((start, end) for start, end in begun if end > start)

    def _mux(self, gops: list[Gop], tracks: Tracks) -> memoryview:
        begins = self._standalone or self._index == 0
        if begins:
            self._zero_s = zero_of(gops, tracks)
        self._buffer.clear()
        options = {
            "movflags": MOVFLAGS,
            "use_editlist": "0",
            "avoid_negative_ts": "disabled",
            "fragment_index": str(1 if begins else self._index + 1),
        }
        with av.open(self._buffer, "w", format="mp4", options=options, buffer_size=MUXER_BUFFER) as muxer:
            streams = add_streams(muxer, tracks)
            if not begins:
                self._buffer.clear()  # of the init segment
            for packet in rebased(gops, tracks, streams, self._zero_s, begins=begins):
                muxer.mux(packet)
        return self._buffer.take()

    def _samples(self, gops: list[Gop], tracks: Tracks) -> memoryview:
        """Return the samples from the end of the chunk before to that of these GOPs, at their places by their PTS."""
        packets = [packet for gop in gops for _, packet in gop.audio]
        if self._index == 0:
            self._next_sample = packets[0].pts
            self._zero_s = zero_of(gops, tracks)
        self._buffer.clear()
        for packet in packets:
            missing = packet.pts - self._next_sample
            self._buffer.write(bytes(max(missing, 0) * SAMPLE_BYTES))
            self._buffer.write(packet.data[max(-missing, 0) * SAMPLE_BYTES :])
            self._next_sample = max(self._next_sample, packet.pts + packet.size // SAMPLE_BYTES)
        return self._buffer.take()
