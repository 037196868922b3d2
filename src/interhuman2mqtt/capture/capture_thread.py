"""The capture thread: one epoch of the source after another into the ring, in real time, waiting for nobody."""

# Why a source that changes its format is opened anew: an open container of libav keeps the parameters that it found
# when it was opened, and a recording is one MP4 with one set of them. Following the change within both was refused: it
# would need a second sample entry in a file that has begun, which the cloud does not promise to read. So the ring
# begins a new epoch on the same timeline, its recordings end with the old one, and the daemon begins the next there,
# without a gap.

import gc
import threading
import time
import traceback
from collections import deque

import av
from msgspec import structs

from interhuman2mqtt.capture import ipc
from interhuman2mqtt.capture.clock_anchor import ClockAnchor
from interhuman2mqtt.capture.device import Feed, open_source
from interhuman2mqtt.capture.microphone import Microphone
from interhuman2mqtt.capture.open_errors import explain
from interhuman2mqtt.capture.reader import CaptureState, PacketCounts, ReopenSource, SourceReader
from interhuman2mqtt.capture.ring import Ring
from interhuman2mqtt.capture.silence import SilentTrack
from interhuman2mqtt.capture.tcp_connection import shut_down_reading
from interhuman2mqtt.capture.track_selection import (
    CHANGING_FORMAT,
    SourceHints,
    TrackSelection,
    microphone_description,
    select_tracks,
)
from interhuman2mqtt.capture.tracks import Tracks
from interhuman2mqtt.errors import Outage, Reason

REOPENS_MAX = 5
CHANGES_MAX = 3
"""After so many openings in that time a source of changing formats is encoded."""
REOPENS_S = 60.0
"""A source that turns out to be another so often, in so long, is no source."""


class Capture:
    """Fills the ring until the source fails; all that is shared with the main thread is guarded by `changed`."""

    def __init__(self, command: ipc.Open) -> None:
        self.command = command
        self.changed = threading.Condition()
        """Notified when a GOP is complete, the source opened, or it ended."""
        self.ring = Ring(command.buffer_s, command.buffer_max)
        self.anchor = ClockAnchor()
        self.counts = PacketCounts()
        self.tracks: dict[int, Tracks] = {}
        """By their epoch."""
        self.opened: ipc.Opened | None = None
        self.outage: Outage | None = None
        self.audio_expected = command.audio_only
        self.must_encode = False
        """Whether a source that cannot be opened again turned out to be one that cannot be copied."""
        self.microphone: Microphone | None = None
        if command.microphone is not None and command.audio not in {"none", "silence"}:
            self.microphone = Microphone(command, self.changed)
        self._video_description = ""
        self._reopened_at: deque[float] = deque()
        self._feed: Feed | None = None
        self._reader: SourceReader | None = None
        self._is_stopping = False
        self._closed = threading.Event()

    def stop(self, seconds: float) -> None:
        """End the reading, and give its thread so long to close a source on the network in good order.

        Nothing else is worth waiting for: the kernel closes devices and files. Called from another thread.
        """
        self._is_stopping = True
        if self._reader is not None:
            self._reader.stop()
        feed = self._feed
        if feed is not None and feed.connection is not None:
            shut_down_reading(feed.connection)
            self._closed.wait(seconds)

    def run(self) -> None:
        """Capture until the source fails; why stands in `outage`."""
        if self.microphone is None:
            self._run()
            return
        self.microphone.start()
        try:
            self._run()
        finally:
            self.microphone.stop()

    @property
    def audio_fault(self) -> ipc.AudioFault | None:
        """Why there is no audio now, where that is known; guarded by `changed`."""
        if self.microphone is None or self.microphone.fault is None:
            return None
        return ipc.AudioFault(reason=self.microphone.fault.reason, detail=self.microphone.fault.detail)

    def refresh_description(self) -> None:
        """Bring what `opened` says of the microphone up to date; guarded by `changed`."""
        if self.microphone is None or self.opened is None:
            return
        description = f"{self._video_description}, {microphone_description(self.command, self.microphone)}"
        if description != self.opened.description:
            audio = self.microphone.stream.codec_context.name if self.microphone.stream else None
            self.opened = structs.replace(self.opened, description=description, audio=audio, is_same=True)

    def _run(self) -> None:
        hints = SourceHints()
        while self.outage is None and not self._is_stopping:
            try:
                self._run_epoch(hints)
            except ReopenSource as reopen:
                self._count_reopening(reopen.rule)
                if self.command.connection is not None:
                    self._end_unrepeatable(reopen)
                hints = self._next_hints(reopen)
            except Outage as outage:
                self._end(outage)
            except (av.error.FFmpegError, OSError) as error:
                self._end(explain(self.command, error))

    def _end_unrepeatable(self, reopen: ReopenSource) -> None:
        """End a browser's recorder, which cannot be read from its start again; it begins another one."""
        self.must_encode = reopen.hints.encode
        self._end(Outage(Reason.SOURCE_ENDED, f"the browser has to begin anew ({reopen.rule.replace('_', ' ')})"))

    def _run_epoch(self, hints: SourceHints) -> None:
        feed = self._feed = open_source(self.command, encode=hints.encode)
        self._closed.clear()  # a source that is opened anew gets its TEARDOWN, too
        try:
            selection = select_tracks(self.command, feed, hints, self.microphone)
            self._begin(selection)
            self._read(feed, selection.tracks, hints)
        except BaseException as error:
            _let_go_of_packets(error)
            raise
        finally:
            feed.close()  # a camera may serve one client only, and a reopened source is the next one
            self._feed = None
            self._closed.set()
            gc.collect()  # PyAV's containers and their streams know each other, and an encoder has threads

    def _count_reopening(self, rule: str) -> None:
        """Count one more opening; a source that is never the same for long is an outage, so that we wait in between."""
        self.counts.repairs[rule] += 1
        now = time.monotonic()
        self._reopened_at.append(now)
        if len(self._reopened_at) > REOPENS_MAX and now - self._reopened_at.popleft() < REOPENS_S:
            what = f"{self.command.source} had to be opened {REOPENS_MAX} times in {REOPENS_S:g} s"
            self._end(Outage(Reason.INVALID_MEDIA, f"{what}: it changes its format again and again"))

    def _next_hints(self, reopen: ReopenSource) -> SourceHints:
        """Return what was learned; formats that go on changing are encoded as the first of them, which ends it."""
        now = time.monotonic()
        often = sum(now - at < REOPENS_S for at in self._reopened_at) >= CHANGES_MAX
        if reopen.rule != "format_changed" or not often or self.command.video != "auto":
            return reopen.hints
        self.counts.repairs["changing_format"] += 1
        return reopen.hints._replace(encode=True, because=CHANGING_FORMAT)

    def _begin(self, selection: TrackSelection) -> None:
        audio = selection.tracks.audio
        with self.changed:
            self.ring.begin_epoch(has_audio=audio is not None, has_video=selection.tracks.video is not None)
            self.tracks = {epoch: kept for epoch, kept in self.tracks.items() if epoch >= self.ring.oldest_epoch}
            self.tracks[self.ring.epoch] = selection.tracks
            self.opened, self._video_description = selection.opened, selection.video_description
            self.audio_expected = audio is not None and not isinstance(audio, SilentTrack)
            self.changed.notify_all()

    def _read(self, feed: Feed, tracks: Tracks, hints: SourceHints) -> None:
        shared = CaptureState(self.ring, self.changed, self.anchor, self.counts)
        reader = self._reader = SourceReader(shared, tracks, hints, may_encode=self.command.video == "auto")
        if self._is_stopping:
            reader.stop()
        if self.microphone is not None:
            self.microphone.attach(reader)
        try:
            reader.read(feed)
        finally:
            reader.stop()
        what = "the browser's recorder" if self.command.connection is not None else self.command.source
        raise Outage(Reason.SOURCE_ENDED, f"{what} ended")

    def _end(self, outage: Outage) -> None:
        with self.changed:
            self.outage = self.outage or outage
            self.ring.close()
            self.changed.notify_all()


def _let_go_of_packets(error: BaseException | None) -> None:
    """Clear what an error's traceback holds, before the source is closed.

    A packet of FFmpeg's V4L2 is one of the driver's buffers. Its release calls the demuxer (`mmap_release_buffer` in
    libavdevice/v4l2.c), whose memory is free by then: a camera that was unplugged ended the process by SIGSEGV.
    """
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__context__
