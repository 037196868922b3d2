"""The reader of one epoch: a source from its opening until it fails or changes its format, by packets into the ring."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple, cast

import av

from interhuman2mqtt.capture.clock_anchor import ClockAnchor
from interhuman2mqtt.capture.clock_rate import ClockRate
from interhuman2mqtt.capture.demuxer import read_packets
from interhuman2mqtt.capture.device import Feed
from interhuman2mqtt.capture.preroll import ArrivedPacket, Preroll
from interhuman2mqtt.capture.read_pauses import ReadPauses
from interhuman2mqtt.capture.ring import Packet, Ring
from interhuman2mqtt.capture.silence import GapFilledAudio
from interhuman2mqtt.capture.timestamps import TimestampRepair
from interhuman2mqtt.capture.track_selection import INTRA_REFRESH, NO_KEY_FRAMES, SourceHints
from interhuman2mqtt.capture.tracks import AvPacket, CopiedVideo, Tracks, claimed_dts, time_base_of
from interhuman2mqtt.errors import Outage, Reason, Refused

if TYPE_CHECKING:
    from av.audio.stream import AudioStream

PREROLLED = ("camera", "samples")
"""Clocks of feeds whose first second is held back: their rates are not known before."""
LONGEST_GOP_S = 4.5
"""The cloud looks at windows of 8 s and wants a key frame in each: where they are rarer we encode."""
NO_IDR_FRAMES = "the video is refreshed bit by bit (intra refresh), and has no key frames to begin with"


class ReopenSource(Exception):  # noqa: N818 - it is no error
    """The source must be opened again with these hints; `rule` names why, as `repairs` counts it."""

    def __init__(self, hints: SourceHints, rule: str) -> None:
        super().__init__(rule)
        self.hints = hints
        self.rule = rule


class PacketCounts:
    """The number of packets from the source; written by the capture, read for the heartbeat."""

    def __init__(self) -> None:
        self.video = 0
        self.audio = 0
        self.repairs: Counter[str] = Counter()
        """How often each rule about bad input was applied."""

    def count(self, *, is_video: bool) -> None:
        """Count one more packet."""
        if is_video:
            self.video += 1
        else:
            self.audio += 1


class CaptureState(NamedTuple):
    """The state that every epoch of a capture writes to, and its recordings read; guarded by `changed`."""

    ring: Ring
    changed: threading.Condition
    anchor: ClockAnchor
    counts: PacketCounts


class SourceReader:
    """Repairs times, encodes where needed, and fills the ring."""

    def __init__(self, shared: CaptureState, tracks: Tracks, hints: SourceHints, *, may_encode: bool) -> None:
        self._ring, self._changed, self._anchor, self._counts = shared
        self._tracks = tracks
        self._hints = hints
        self._may_encode = may_encode and isinstance(tracks.video, CopiedVideo)
        self._pauses: dict[int, ReadPauses] = {}
        self._first_s: float | None = None
        self._has_begun = False
        self._complete_end = 0
        self._complete_at: float | None = None
        self._over = threading.Event()
        self._timelines: dict[int, dict[int, TimestampRepair]] = {}

    @property
    def is_over(self) -> bool:
        """Whether the epoch has ended: its feeds are read no further."""
        return self._over.is_set()

    def stop(self) -> None:
        """End the epoch."""
        self._over.set()

    def read_microphone(self, microphone: Feed) -> None:
        """Read a microphone beside the source, in its own thread."""
        if isinstance(self._tracks.audio, GapFilledAudio):
            stream = cast("AudioStream", microphone.container.streams[microphone.audio or 0])
            with self._changed:
                self._tracks.audio.use_input(stream, time_base_of(stream))
        self.read(microphone)

    def read(self, feed: Feed) -> None:
        """Read until the feed, or the epoch, ends; raises what FFmpeg raises, or ReopenSource."""
        self._timelines[id(feed)] = self._new_timelines(feed)
        if isinstance(self._tracks.video, CopiedVideo) and feed.is_buffered:
            self._pauses[id(feed)] = ReadPauses(feed, self._ring, self._anchor)
        preroll: Preroll | None = None
        if feed.clock in PREROLLED:
            preroll = Preroll(self._timelines[id(feed)], self._leader(feed), self._anchor, self._counts.repairs)
        for arrived in read_packets(feed):
            if self.is_over:
                return
            self._counts.count(is_video=arrived.packet.stream_index == feed.video)
            if preroll is None:
                self._process(feed, arrived)
            elif preroll.hold(arrived):
                self._expect_audio(feed, arrived)
            else:
                self._release(feed, preroll)
                preroll = None
        if preroll is not None:
            self._release(feed, preroll)

    def _new_timelines(self, feed: Feed) -> dict[int, TimestampRepair]:
        return {
            index: TimestampRepair(
                time_base_of(feed.container.streams[index]),
                self._anchor,
                self._counts.repairs,
                None if feed.clock == "trusted" else ClockRate(counted=feed.clock == "samples"),
                sets_anchor=index == self._leader(feed) or feed.clock == "trusted",
                is_alone=self._tracks.video is None,
            )
            for index in (feed.video, feed.audio)
            if index is not None
        }

    def _leader(self, feed: Feed) -> int | None:
        """Return the track of a feed whose times the anchor is of; None for a microphone beside a camera."""
        return feed.audio if self._tracks.video is None else feed.video

    def _expect_audio(self, feed: Feed, held: ArrivedPacket) -> None:
        """Keep silence from being inserted for audio that is held back."""
        if held.packet.stream_index == feed.audio and isinstance(self._tracks.audio, GapFilledAudio):
            with self._changed:
                self._tracks.audio.expect(held.at)

    def _release(self, feed: Feed, preroll: Preroll) -> None:
        """Process what was held back while it was not known when it was captured."""
        begin_s = self._ring.end_s if self._ring.epoch > 1 else None
        with self._changed:
            held = list(preroll.release(begin_s))
            self._has_begun = True
        for arrived in held:
            self._process(feed, arrived, may_pause=False)

    def _process(self, feed: Feed, arrived: ArrivedPacket, *, may_pause: bool = True) -> None:
        packet, arrival = arrived
        end_s = self._repair_times(feed, packet, arrival)
        if packet.stream_index == feed.video:
            self._add_video(packet, arrival)
            self._check_progress(arrival)
        else:
            self._add_audio(packet, arrival)
        pauses = self._pauses.get(id(feed))
        if may_pause and pauses and (pause := pauses.after(end_s, time.monotonic())):
            self._over.wait(pause)

    def _repair_times(self, feed: Feed, packet: AvPacket, arrival: float) -> float:
        """Repair a packet's times; return the time in seconds at which it ends."""
        timeline = self._timelines[id(feed)][packet.stream_index]
        with self._changed:
            if not self._has_begun:
                self._begin(packet, timeline, arrival)
            stamp = timeline.place(packet.pts, packet.dts, arrival)
        packet.pts, packet.dts = stamp
        packet.duration = packet.duration or timeline.step
        return (stamp.pts + packet.duration) * timeline.tick_s

    def _begin(self, packet: AvPacket, timeline: TimestampRepair, arrival: float) -> None:
        """Begin every timeline of the source at its first packet: at zero, or behind the epoch before this one."""
        at_s = max(arrival - self._anchor.seconds, self._ring.end_s) if self._ring.epoch > 1 else 0.0
        for timelines in self._timelines.values():
            for each in timelines.values():
                each.begin(claimed_dts(packet) * timeline.tick_s, at_s)
        self._has_begun = True

    def _add_video(self, packet: AvPacket, arrival: float) -> None:
        track = self._tracks.video
        assert track is not None  # noqa: S101 - else no video is read
        self._check_video(packet)
        converted = self._converted(track.convert(packet))
        with self._changed:
            complete_end = self._ring.complete_end
            for out in converted:
                self._ring.add_video(out, out.pts * track.tick_s)
            self._fill_silence(arrival)
            if self._ring.complete_end != complete_end:
                self._changed.notify_all()
            if self._may_encode and self._ring.growing_gop_s > LONGEST_GOP_S:
                raise ReopenSource(self._hints._replace(encode=True), "rare_key_frames")

    def _add_audio(self, packet: AvPacket, arrival: float) -> None:
        track = self._tracks.audio
        if not isinstance(track, GapFilledAudio):
            return
        with self._changed:  # which the filling with silence needs as well, and two inputs have two threads
            complete_end = self._ring.complete_end
            for out in self._converted(track.convert(packet, arrival)):
                self._ring.add_audio(out, out.pts * track.tick_s)
            if self._ring.complete_end != complete_end:
                self._changed.notify_all()

    def _fill_silence(self, arrival: float) -> None:
        if (track := self._tracks.audio) and self._ring.newest_gop():
            for packet in track.fill_until(self._ring.end_s, arrival):
                self._ring.add_audio(packet, packet.pts * track.tick_s)

    def _check_progress(self, arrival: float) -> None:
        """Raise Outage where no GOP was completed for as long as the ring holds: such a source never makes one."""
        if self._complete_end != self._ring.complete_end or self._complete_at is None:
            self._complete_end, self._complete_at = self._ring.complete_end, arrival
        elif arrival - self._complete_at > self._ring.limit_s:
            raise Outage(
                Reason.INVALID_MEDIA,
                f"video comes, but for {self._ring.limit_s:g} s nothing to begin with: no key frame that can be read",
            )

    def _converted(self, packets: Iterator[Packet]) -> list[Packet]:
        try:
            return list(packets)
        except av.error.InvalidDataError:
            self._counts.repairs["undecodable"] += 1
            return []

    def _check_video(self, packet: AvPacket) -> None:
        """Raise ReopenSource where the source turns out to be another than it seemed when it was opened."""
        if not isinstance(self._tracks.video, CopiedVideo):
            return
        if packet.is_keyframe:
            self._check_key_frame(self._tracks.video, packet)
        elif self._may_encode and self._ring.newest_gop() is None and self._seconds_so_far(packet) > LONGEST_GOP_S:
            raise ReopenSource(self._hints._replace(encode=True, because=NO_KEY_FRAMES), "no_key_frames")

    def _seconds_so_far(self, packet: AvPacket) -> float:
        """Return the seconds of video from the first frame of the epoch to this one."""
        seconds = float((packet.pts or 0) * packet.time_base)
        self._first_s = seconds if self._first_s is None else self._first_s
        return seconds - self._first_s

    def _check_key_frame(self, track: CopiedVideo, packet: AvPacket) -> None:
        """Raise where a copy cannot be cut at a key frame, as the source claims, or does not go on as it began."""
        rule = track.key_frames.check(bytes(packet))
        if rule == "no_beginning":
            packet.is_keyframe = False
            return
        if rule == "intra_refresh" and not self._may_encode:
            raise Refused(Reason.UNSUPPORTED, f'{NO_IDR_FRAMES}, so it cannot be copied: set video = "auto" or "h264"')
        if rule == "intra_refresh":
            raise ReopenSource(self._hints._replace(encode=True, because=INTRA_REFRESH), rule)
        if rule is not None:
            raise ReopenSource(self._hints, rule)
