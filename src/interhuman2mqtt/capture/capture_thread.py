"""The capture thread: take after take into the ring, in real time, waiting for nobody."""

import gc
import threading
import time
from collections import deque

import av
from msgspec import structs

from interhuman2mqtt.capture import ipc
from interhuman2mqtt.capture.device import Feed, explain, open_source
from interhuman2mqtt.capture.microphone import Microphone
from interhuman2mqtt.capture.reader import Counts, ReaderState, ReopenSource, SourceReader
from interhuman2mqtt.capture.recorder import Tracks
from interhuman2mqtt.capture.ring import Ring
from interhuman2mqtt.capture.tcp_connection import interrupt
from interhuman2mqtt.capture.timestamps import ClockAnchor
from interhuman2mqtt.capture.track_selection import CHANGING_FORMAT, SourceHints, TrackSelection, choose, said_of
from interhuman2mqtt.capture.tracks import SilentTrack
from interhuman2mqtt.errors import Outage, Reason

REOPENS = 5
CHANGES = 3
"""After so many openings in that time a source of changing formats is encoded."""
REOPENS_S = 60.0
"""A source that turns out to be another so often, in so long, is no source."""


class Capture:
    """Fills the ring until the source fails; all that is shared with the reader is guarded by `changed`."""

    def __init__(self, command: ipc.Open) -> None:
        self.command = command
        self.changed = threading.Condition()
        """Notified when a GOP is sealed, the source opened, or it ended."""
        self.ring = Ring(command.buffer_s, command.buffer_max)
        self.anchor = ClockAnchor()
        self.counts = Counts()
        self.takes: dict[int, Tracks] = {}
        self.opened: ipc.Opened | None = None
        self.outage: Outage | None = None
        self.sound_expected = False
        self.microphone: Microphone | None = None
        if command.microphone is not None and command.audio not in {"none", "silence"}:
            self.microphone = Microphone(command, self.changed)
        self._video_said = ""
        self._reopened: deque[float] = deque()
        self._feed: Feed | None = None
        self._take: SourceReader | None = None
        self._is_leaving = False
        self._left = threading.Event()

    def leave(self, seconds: float) -> None:
        """End the reading, and give its thread so long to close a source on the network in good order.

        Nothing else is worth waiting for: the kernel closes devices and files. Called from another thread.
        """
        self._is_leaving = True
        if self._take is not None:
            self._take.over = True
        feed = self._feed
        if feed is not None and feed.connection is not None:
            interrupt(feed.connection)
            self._left.wait(seconds)

    def run(self) -> None:
        """Capture until the source fails; why stands in `outage`."""
        if self.microphone is None:
            self._run()
            return
        self.microphone.begin()
        try:
            self._run()
        finally:
            self.microphone.end()

    @property
    def sound_fault(self) -> ipc.AudioFault | None:
        """Why there is no sound now, where that is known; guarded by `changed`."""
        if self.microphone is None or self.microphone.fault is None:
            return None
        return ipc.AudioFault(reason=self.microphone.fault.reason, detail=self.microphone.fault.detail)

    def look_at_microphone(self) -> None:
        """Say in `opened` what became of the microphone since; guarded by `changed`."""
        if self.microphone is None or self.opened is None:
            return
        description = f"{self._video_said}, {said_of(self.command, self.microphone)}"
        if description != self.opened.description:
            audio = self.microphone.stream.codec_context.name if self.microphone.stream else None
            self.opened = structs.replace(self.opened, description=description, audio=audio, is_same=True)

    def _run(self) -> None:
        adjustment = SourceHints()
        while self.outage is None and not self._is_leaving:
            try:
                self._run_take(adjustment)
            except ReopenSource as reopen:
                self._reopens(reopen.why)
                adjustment = self._adjusted(reopen)
            except Outage as outage:
                self._end(outage)
            except (av.error.FFmpegError, OSError) as error:
                self._end(explain(self.command, error))

    def _run_take(self, adjustment: SourceHints) -> None:
        feeds = open_source(self.command, encode=adjustment.encode)
        self._feed = feeds[0]
        self._left.clear()  # a source that is opened anew is taken leave of, too
        try:
            choice = choose(self.command, feeds, adjustment, self.microphone)
            self._begin(choice)
            self._read(feeds, choice.tracks, adjustment)
        finally:
            feeds[0].close()  # a camera may serve one client only, and a reopened source is the next one
            self._feed = None
            self._left.set()
            gc.collect()  # PyAV's containers and their streams know each other, and an encoder has threads

    def _reopens(self, why: str) -> None:
        """Count one more opening; a source that is never the same for long is an outage, so that we wait in between."""
        self.counts.repairs[why] += 1
        now = time.monotonic()
        self._reopened.append(now)
        if len(self._reopened) > REOPENS and now - self._reopened.popleft() < REOPENS_S:
            what = f"{self.command.source} had to be opened {REOPENS} times in {REOPENS_S:g} s"
            self._end(Outage(Reason.INVALID_MEDIA, f"{what}: it changes its format again and again"))

    def _adjusted(self, reopen: ReopenSource) -> SourceHints:
        """Return what was learned; formats that go on changing are encoded as the first of them, which ends it."""
        now = time.monotonic()
        often = sum(now - at < REOPENS_S for at in self._reopened) >= CHANGES
        if reopen.why != "format_changed" or not often or self.command.video != "auto":
            return reopen.adjustment
        self.counts.repairs["changing_format"] += 1
        return reopen.adjustment._replace(encode=True, because=CHANGING_FORMAT)

    def _begin(self, choice: TrackSelection) -> None:
        tracks = choice.tracks
        with self.changed:
            self.ring.cut(has_sound=tracks.sound is not None)
            self.takes = {take: made for take, made in self.takes.items() if take >= self.ring.oldest_take}
            self.takes[self.ring.take] = tracks
            self.opened, self._video_said = choice.opened, choice.video_said
            self.sound_expected = tracks.sound is not None and not isinstance(tracks.sound, SilentTrack)
            self.changed.notify_all()

    def _read(self, feeds: list[Feed], tracks: Tracks, adjustment: SourceHints) -> None:
        shared = ReaderState(self.ring, self.changed, self.anchor, self.counts)
        take = self._take = SourceReader(shared, feeds, tracks, adjustment, may_encode=self.command.video == "auto")
        take.over = self._is_leaving
        if self.microphone is not None:
            self.microphone.listen(take)
        try:
            take.read(feeds[0])
        finally:
            take.over = True
        raise Outage(Reason.SOURCE_ENDED, f"{self.command.source} ended")

    def _end(self, outage: Outage) -> None:
        with self.changed:
            self.outage = self.outage or outage
            self.ring.close()
            self.changed.notify_all()
