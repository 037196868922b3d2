"""Playing a file in real time, and again from its beginning, on one timeline without a gap or a pile-up.

Files begin at zero or at ten hours, jump where somebody joined two of them, wrap after 26 hours, carry no times at all
(raw H.264), or have an audio track that is longer or shorter than the video. What holds for all of them: time is that
of the video, from its first frame to the end of its last one. Audio that lies outside of it is left out, because
nothing could be seen with it, and because it would be heard over the next pass.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

from av.bitstream import BitStreamFilterContext
from av.container import InputContainer

from interhuman2mqtt.capture.device import Feed
from interhuman2mqtt.capture.preroll import ArrivedPacket
from interhuman2mqtt.capture.tracks import AvPacket, claimed_dts

BACK_S = 1.0
"""So far back is another file that was joined to this one, and not only a packet out of order."""
AHEAD_S = 2.0
"""So far ahead is one too, unless the other track goes on meanwhile..."""
SLIDESHOW_S = 30.0
"""...or there is none: then frames may be as rare as this, as in a show of slides."""
REORDERED = ("h264", "hevc")
"""Codecs whose frames are coded in another order than shown: without PTS, FFmpeg's `dts2pts` finds that order."""
BY_BYTES = ("mpegts", "mpeg")
"""Formats of which several files in a row are one."""
PRIMING_S = 0.1
"""Audio that stands so far before the first frame only primes the decoder."""
AUDIO_WAITING_MAX = 1000
"""Packets of audio before the first frame; older ones are of no use."""


class PlaybackClock(NamedTuple):
    """The clock to play by."""

    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


REAL_TIME = PlaybackClock()


def play(feed: Feed, clock: PlaybackClock = REAL_TIME) -> Iterator[ArrivedPacket]:
    """Return the packets of a paced feed, each when it is due; a feed that loops never ends."""
    begun = clock.monotonic()
    end_s, audio_end_s, length_s = 0.0, -PRIMING_S, None
    while True:
        current = Pass(feed, end_s, audio_end_s, length_s)
        for packet, due_s in current.packets():
            clock.sleep(max(begun + due_s - clock.monotonic(), 0))
            yield ArrivedPacket(packet, clock.monotonic())
        if not feed.loops or current.video.end_s <= end_s:
            return
        length_s = current.video.end_s - end_s
        end_s, audio_end_s = current.end_s, current.audio_end_s
        rewind(feed.container)


def rewind(container: InputContainer) -> None:
    """Go back to the first packet; by bytes where there are no times, or some that come twice, to go back to."""
    if container.start_time is None or container.format.name in BY_BYTES:  # type: ignore[redundant-expr]  # it may be
        container.seek(0, unsupported_byte_offset=True)
    else:
        container.seek(container.start_time)


class Due(NamedTuple):
    """A packet whose times are on the timeline, and when it is to be played on it."""

    packet: AvPacket
    at: float


class FilePosition:
    """The position of one track in a pass."""

    def __init__(self, begin_s: float) -> None:
        self.offset_s: float | None = None
        """Added to the file's own time it gives that of the timeline."""
        self.claimed_s: float | None = None
        """Where the newest packet ends, by the file's own time."""
        self.end_s = begin_s
        """Where the newest packet ends, on the timeline."""


class Pass:
    """One way through the file.

    Args:
        begin_s: Its first frame's place on the timeline.
        audio_end_s: The end of the audio that was played.
        length_s: The length of the video of the pass before.
    """

    def __init__(self, feed: Feed, begin_s: float, audio_end_s: float, length_s: float | None) -> None:
        self._feed = feed
        self._leads = feed.audio if feed.video is None else feed.video
        self.audio_end_s = audio_end_s
        self._begin_s = begin_s
        video = feed.container.streams[self._leads or 0]
        if length_s is None and video.duration is not None and feed.loops:
            length_s = float(video.duration * (video.time_base or 0))
        self._length_s = length_s
        self.video, self._audio = FilePosition(begin_s), FilePosition(begin_s)
        self._filter: BitStreamFilterContext | None = None
        self._counted = self._latest = 0
        self._jumped = False

    @property
    def end_s(self) -> float:
        """The beginning of the next pass."""
        is_known = self._length_s is not None
        return self.video.end_s if is_known else max(self.video.end_s, self._audio.end_s)

    def packets(self) -> Iterator[Due]:
        """Return all that is to be played."""
        waiting: deque[AvPacket] = deque(maxlen=AUDIO_WAITING_MAX)
        for packet in self._stamped():
            if packet.stream_index == self._leads and self.video.offset_s is None:
                self._begin(packet)
                yield from self._due_packets(waiting)
                waiting.clear()
            if self.video.offset_s is None:
                waiting.append(packet)
            else:
                yield from self._due_packets([packet])

    def _begin(self, packet: AvPacket) -> None:
        """Put the first frame where the pass begins."""
        self.video.offset_s = self._audio.offset_s = self._begin_s - _claimed_s(packet)

    def _due_packets(self, packets: "Iterator[AvPacket] | list[AvPacket] | deque[AvPacket]") -> Iterator[Due]:
        for packet in packets:
            at = self._placed(packet)
            if packet.stream_index == self._leads or self._is_played(at, packet):
                yield Due(packet, at)

    def _is_played(self, at: float, packet: AvPacket) -> bool:
        """Decide whether to play a packet of audio: where it has video beside it, and no audio was played there."""
        ends_s = float((packet.duration or 0) * packet.time_base) + at
        is_over = self._length_s is not None and not self._jumped and at >= self._begin_s + self._length_s
        # half a packet more or less is a seam that nobody hears
        if is_over or (at + ends_s) / 2 <= self.audio_end_s:
            return False
        self.audio_end_s = max(self.audio_end_s, ends_s)
        return True

    def _placed(self, packet: AvPacket) -> float:
        """Move a packet to its place on the timeline; return where that is."""
        mine, other = (self.video, self._audio) if packet.stream_index == self._leads else (self._audio, self.video)
        claimed_s, duration_s = _claimed_s(packet), float((packet.duration or 0) * packet.time_base)
        if mine.offset_s is None or (mine.claimed_s is not None and self._jumps(claimed_s, mine, other)):
            mine.offset_s = self._joined(claimed_s, mine, other)
            self._jumped = True
        mine.claimed_s = claimed_s + duration_s
        at = claimed_s + mine.offset_s
        mine.end_s = max(mine.end_s, at + duration_s)
        ticks = round(mine.offset_s / packet.time_base)
        packet.pts = None if packet.pts is None else packet.pts + ticks
        packet.dts = None if packet.dts is None else packet.dts + ticks
        return at

    def _jumps(self, claimed_s: float, mine: FilePosition, other: FilePosition) -> bool:
        """Decide whether another file begins here."""
        gap_s = claimed_s - (mine.claimed_s or 0.0)
        if self._feed.audio is None or self._feed.video is None:
            return not -BACK_S <= gap_s <= SLIDESHOW_S
        goes_on = other.end_s >= claimed_s + (mine.offset_s or 0.0) - AHEAD_S
        return gap_s < -BACK_S or (gap_s > AHEAD_S and not goes_on)

    def _joined(self, claimed_s: float, mine: FilePosition, other: FilePosition) -> float:
        """Return the offset from here on: that of the other track, where that has jumped already."""
        if other.offset_s is not None and abs(claimed_s + other.offset_s - mine.end_s) < AHEAD_S:
            return other.offset_s
        return max(mine.end_s, other.end_s) - claimed_s

    def _stamped(self) -> Iterator[AvPacket]:
        """Return the packets of the file, none of them without times."""
        container = self._feed.container
        streams = [container.streams[index] for index in (self._feed.video, self._feed.audio) if index is not None]
        for packet in container.demux(streams):
            if not packet.size:
                continue
            if packet.dts is None and packet.pts is None:
                packet.dts, self._counted = self._counted, self._counted + max(packet.duration or 0, 1)
            if packet.pts is not None or packet.stream_index != self._feed.video:
                yield packet
            elif packet.stream.codec_context.name in REORDERED:
                self._filter = self._filter or BitStreamFilterContext("dts2pts", packet.stream)
                yield from map(self._with_pts, self._filter.filter(packet))
            else:
                packet.pts = packet.dts
                yield packet
        if self._filter:
            yield from map(self._with_pts, self._filter.filter(None))

    def _with_pts(self, packet: AvPacket) -> AvPacket:
        """Return a packet from the filter, which knows no PTS of the last frames: they are shown after the others."""
        if packet.pts is None or packet.pts < (packet.dts or 0):
            packet.pts = self._latest + max(packet.duration or 0, 1)
        self._latest = max(self._latest, packet.pts)
        return packet


def _claimed_s(packet: AvPacket) -> float:
    """Return the time that a packet claims, by the file's own clock."""
    return float(claimed_dts(packet) * packet.time_base)
