"""One take: a source from its opening until it fails or changes its format, packet by packet into the ring.

When the capture lets packets wait in the buffer of TCP: to be woken for each of them costs twice as much.

It rests only where nobody waits: while a GOP grows, but not once it is as long as the shortest of the GOPs before it,
nor while it waits for its sound. So chunks leave as early as without, and `REST_S` later at most where a GOP is shorter
than each of the eight before it.
"""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple, cast

import av

from interhuman2mqtt.capture.clock_rate import ClockRate
from interhuman2mqtt.capture.demuxer import packets
from interhuman2mqtt.capture.device import Feed
from interhuman2mqtt.capture.preroll import Arrived, Preroll
from interhuman2mqtt.capture.recorder import Tracks
from interhuman2mqtt.capture.ring import Packet, Ring
from interhuman2mqtt.capture.silence import GapFiller
from interhuman2mqtt.capture.timestamps import ClockAnchor, TimestampRepair
from interhuman2mqtt.capture.track_selection import INTRA_REFRESH, NO_KEY_FRAMES, SourceHints
from interhuman2mqtt.capture.tracks import AvPacket, Copied, CopiedVideo, base_of
from interhuman2mqtt.errors import Outage, Reason, Refused

if TYPE_CHECKING:
    from av.audio.stream import AudioStream

REST_S = 0.1
LEAST_S = 0.02
"""A shorter rest spares nothing."""
PUNCTUAL_S = 0.05
"""What comes later than this is no longer the newest that there is: it is read on, and nothing ever piles up."""
END_S = 0.05
"""So long before the end of a GOP is due, its packets are read as they come."""
WAITING_MAX = 64 << 10
"""Bytes: what the kernel's buffer holds from the first day on; a camera may drop pictures that it cannot send."""


def rest_s(ring: Ring, anchor: ClockAnchor, seconds: float, arrival: float) -> float:
    """How long to rest after a packet that is shown at `seconds` and came at `arrival`; 0 for not at all."""
    is_newest = anchor.settled and arrival - anchor.seconds - seconds < PUNCTUAL_S
    if not is_newest or not ring.shortest_gop_s or ring.is_waiting:
        return 0.0
    due_s = ring.shortest_gop_s - ring.open_gop_s - END_S
    rest = min(REST_S, due_s, WAITING_MAX * ring.seconds / ring.size)
    return rest if rest >= LEAST_S else 0.0


HELD = ("camera", "samples")
"""Feeds whose first second is held back: their clocks are not known before."""
LONGEST_GOP_S = 4.5
"""The cloud looks at windows of 8 s and wants a key frame in each: where they are rarer we encode."""
NO_IDR = "the video is refreshed bit by bit (intra refresh), and has no key frames to begin with"


class ReopenSource(Exception):  # noqa: N818 - it is no error
    """The source must be opened again with this adjustment, because of `why`."""

    def __init__(self, adjustment: SourceHints, why: str) -> None:
        super().__init__(why)
        self.adjustment = adjustment
        self.why = why


class Counts:
    """What came from the source; written by the capture, read by the pulse."""

    def __init__(self) -> None:
        self.video = 0
        self.sound = 0
        self.repairs: Counter[str] = Counter()
        """How often each rule about bad input was applied."""

    def count(self, *, is_video: bool) -> None:
        """Another packet came."""
        if is_video:
            self.video += 1
        else:
            self.sound += 1


class ReaderState(NamedTuple):
    """What all takes of a capture write to, and its recordings read; guarded by `changed`."""

    ring: Ring
    changed: threading.Condition
    anchor: ClockAnchor
    counts: Counts


class SourceReader:
    """Mends times, encodes where needed, and fills the ring."""

    def __init__(
        self, shared: ReaderState, feeds: list[Feed], tracks: Tracks, adjustment: SourceHints, *, may_encode: bool
    ) -> None:
        self._ring, self._changed, self._anchor, self._counts = shared
        self._tracks = tracks
        self._adjustment = adjustment
        self._may_encode = may_encode and isinstance(tracks.video, Copied)
        # what is encoded costs more than rests could spare
        self._may_rest = isinstance(tracks.video, Copied) and feeds[0].buffered
        self._first_s: float | None = None
        self._begun = False
        self._sealed = 0
        self._sealed_at: float | None = None
        self.over = False
        """Set when the take ends: its feeds are read no further."""
        self._timelines: dict[int, dict[int, TimestampRepair]] = {}

    def hear(self, microphone: Feed) -> None:
        """Read a microphone beside the source, in its own thread."""
        if isinstance(self._tracks.sound, GapFiller):
            stream = cast("AudioStream", microphone.container.streams[microphone.sound or 0])
            with self._changed:
                self._tracks.sound.listen(stream, base_of(stream))
        self.read(microphone)

    def read(self, feed: Feed) -> None:
        """Until the feed, or the take, ends; raises what FFmpeg raises, or Reopen."""
        self._timelines[id(feed)] = self._timelines_of(feed)
        opening: Preroll | None = None
        if feed.clock in HELD:
            opening = Preroll(self._timelines[id(feed)], feed.video, self._anchor, self._counts.repairs)
        for arrived in packets(feed):
            if self.over:
                return
            self._counts.count(is_video=arrived.packet.stream_index == feed.video)
            if opening is None:
                self._take_in(feed, arrived)
            elif opening.hold(arrived):
                self._expect(feed, arrived)
            else:
                self._open(feed, opening)
                opening = None
        if opening is not None:
            self._open(feed, opening)

    def _timelines_of(self, feed: Feed) -> dict[int, TimestampRepair]:
        return {
            index: TimestampRepair(
                base_of(feed.container.streams[index]),
                self._anchor,
                self._counts.repairs,
                None if feed.clock == "ours" else ClockRate(counted=feed.clock == "samples"),
                leads=index == feed.video or feed.clock == "ours",
            )
            for index in (feed.video, feed.sound)
            if index is not None
        }

    def _expect(self, feed: Feed, held: Arrived) -> None:
        """Sound that is held back is there all the same."""
        if held.packet.stream_index == feed.sound and isinstance(self._tracks.sound, GapFiller):
            with self._changed:
                self._tracks.sound.comes(held.at)

    def _open(self, feed: Feed, opening: Preroll) -> None:
        """Take in what was held back while it was not known when it was captured."""
        begin_s = self._ring.end_s if self._ring.take > 1 else None
        with self._changed:
            held = list(opening.release(begin_s))
            self._begun = True
        for arrived in held:
            self._take_in(feed, arrived, may_rest=False)

    def _take_in(self, feed: Feed, arrived: Arrived, *, may_rest: bool = True) -> None:
        packet, arrival = arrived
        seconds = self._place(feed, packet, arrival)
        if packet.stream_index == feed.video:
            self._picture(packet, arrival)
            self._judge_use(arrival)
        else:
            self._sound(packet, arrival)
        if may_rest and self._may_rest and (rest := rest_s(self._ring, self._anchor, seconds, arrival)):
            time.sleep(rest)

    def _place(self, feed: Feed, packet: AvPacket, arrival: float) -> float:
        """Mend a packet's times; returns its PTS in seconds."""
        timeline = self._timelines[id(feed)][packet.stream_index]
        with self._changed:
            if not self._begun:
                self._begin(packet, timeline, arrival)
            stamp = timeline.place(packet.pts, packet.dts, arrival)
        packet.pts, packet.dts = stamp
        packet.time_base = timeline.time_base
        packet.duration = packet.duration or timeline.step
        return stamp.pts * timeline.tick_s

    def _begin(self, packet: AvPacket, timeline: TimestampRepair, arrival: float) -> None:
        """Every timeline of the source begins at its first packet: at zero, or behind the take before this one."""
        claimed = packet.dts if packet.dts is not None else packet.pts or 0
        at_s = max(arrival - self._anchor.seconds, self._ring.end_s) if self._ring.take > 1 else 0.0
        for timelines in self._timelines.values():
            for each in timelines.values():
                each.begin(claimed * timeline.tick_s, at_s)
        self._begun = True

    def _picture(self, packet: AvPacket, arrival: float) -> None:
        track = self._tracks.video
        self._judge(packet)
        encoded = self._put(track.put(packet))
        with self._changed:
            sealed = self._ring.sealed
            for out in encoded:
                self._ring.add_video(out, out.pts * track.tick_s)
            self._fill(arrival)
            if self._ring.sealed != sealed:
                self._changed.notify_all()
            if self._may_encode and self._ring.open_gop_s > LONGEST_GOP_S:
                raise ReopenSource(self._adjustment._replace(encode=True), "rare_key_frames")

    def _sound(self, packet: AvPacket, arrival: float) -> None:
        track = self._tracks.sound
        if not isinstance(track, GapFiller):
            return
        with self._changed:  # which the filling with silence needs as well, and two inputs have two threads
            sealed = self._ring.sealed
            for out in self._put(track.put(packet, arrival)):
                self._ring.add_sound(out, out.pts * track.tick_s)
            if self._ring.sealed != sealed:
                self._changed.notify_all()

    def _fill(self, arrival: float) -> None:
        """Put silence where sound is missing."""
        if (track := self._tracks.sound) and self._ring.newest_gop():
            for packet in track.until(self._ring.end_s, arrival):
                self._ring.add_sound(packet, packet.pts * track.tick_s)

    def _judge_use(self, arrival: float) -> None:
        """Whether what comes is of any use: what makes no GOP in the time that the ring holds never will."""
        if self._sealed != self._ring.sealed or self._sealed_at is None:
            self._sealed, self._sealed_at = self._ring.sealed, arrival
        elif arrival - self._sealed_at > self._ring.limit_s:
            raise Outage(
                Reason.INVALID_MEDIA,
                f"pictures come, and for {self._ring.limit_s:g} s none to begin with: no key frame that can be read",
            )

    def _put(self, made: Iterator[Packet]) -> list[Packet]:
        try:
            return list(made)
        except av.error.InvalidDataError:
            self._counts.repairs["undecodable"] += 1
            return []

    def _judge(self, packet: AvPacket) -> None:
        """Whether the source, now that it runs, turns out to be another than it seemed when it was opened."""
        if not isinstance(self._tracks.video, CopiedVideo):
            return
        if packet.is_keyframe:
            self._judge_key(self._tracks.video, packet)
        elif self._may_encode and self._ring.newest_gop() is None and self._lasts(packet) > LONGEST_GOP_S:
            raise ReopenSource(self._adjustment._replace(encode=True, because=NO_KEY_FRAMES), "no_key_frames")

    def _lasts(self, packet: AvPacket) -> float:
        """Return the seconds of video from the first picture of the take to this one."""
        seconds = float((packet.pts or 0) * packet.time_base)
        self._first_s = seconds if self._first_s is None else self._first_s
        return seconds - self._first_s

    def _judge_key(self, track: CopiedVideo, packet: AvPacket) -> None:
        """Whether a copy can be cut where the source says that it can, and goes on as it began."""
        trouble = track.keys.trouble(bytes(packet))
        if trouble == "no_beginning":
            packet.is_keyframe = False
            return
        if trouble == "intra_refresh" and not self._may_encode:
            raise Refused(Reason.UNSUPPORTED, f'{NO_IDR}, so it cannot be copied: set video = "auto" or "h264"')
        if trouble == "intra_refresh":
            raise ReopenSource(self._adjustment._replace(encode=True, because=INTRA_REFRESH), trouble)
        if trouble is not None:
            raise ReopenSource(self._adjustment, trouble)
