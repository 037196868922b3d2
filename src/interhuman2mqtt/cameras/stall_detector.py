"""Decide when a capture hangs, by our own clock, from the heartbeats of its worker.

What happens to a camera, within which time it is noticed, and the reason that `<camera>/status` publishes. Each is
followed by a new process, after the back-off; where a track is missing again, the attempt fails in the same time.

==================================  ===================================  ==============================================
what                                within                               reason
==================================  ===================================  ==============================================
server or connection closed         at once                              `source_ended`, `unreachable`
nothing comes any more              `STALL_S` + `NOTICE_S`               `stalled`
audio and no video                  `STALL_S` + `NOTICE_S`               `video_stalled`; where that is not used: none
video and no audio                  `STALL_S` + `NOTICE_S`               `audio_stalled`, and nothing ends: see below
a microphone that is lost           at once                              the device's own, and nothing ends: see below
video that is of no use             the camera's `buffer`                `invalid_media`
another format all the time         `capture.REOPENS_S`                  `invalid_media`
times that jump                     at once                              none: mended, counted (`repairs`) and logged
process killed, or crashed          at once                              `capture_crashed`, with the signal
process stopped, or deadlocked      `SILENT_WORKER_S` + `NOTICE_S`       `stalled`
opening blocks for ever             twice the camera's `open_timeout`    `open_timeout`
                                    + `NOTICE_S`
a process that cannot be killed     `worker.REAP_S`                      `stalled`; no second process is started
==================================  ===================================  ==============================================

Audio that does not come costs no video: silence is sent in its place from its first second on (`capture/silence.py`),
`audio_missing` of the status says why, and `coverage.degraded` from when to when. When it comes again it is sent again.
"""

# The worker does not judge itself: what hangs it, a driver or a lock, hangs its judgement too. Nor are its times taken:
# of a heartbeat only its arrival here counts, on the clock that goes on when the worker does not.

from typing import NamedTuple

import trio

from interhuman2mqtt.capture import ipc
from interhuman2mqtt.errors import Outage, Reason

OPENINGS = 2
"""So many times `open_timeout` an opening may take in all: to log in, and to open; FFmpeg keeps its time, mostly."""
STALL_S = 8.0
"""A track that stands still for so long has stalled."""
SILENT_WORKER_S = 5.0
"""Five heartbeats missed: the process is stopped, or hangs while it holds the interpreter."""
NOTICE_S = 2.0
"""A heartbeat (`capture.HEARTBEAT_S`) and a look at it (`worker.WATCH_S`) later than it happened."""
NEVER = float("inf")


class Timeouts(NamedTuple):
    """Seconds after which a worker counts as hanging."""

    open: float | None = None
    """None: `OPENINGS` times what the camera is given for an answer."""
    stall: float = STALL_S
    silence: float = SILENT_WORKER_S


class AudioStall(NamedTuple):
    """Why there is no audio, though the video goes on."""

    reason: Reason
    detail: str
    seconds: float
    """For how long, when it was noticed."""


class StallDetector:
    """Judges the heartbeats of one worker."""

    def __init__(self, open_timeout_s: float) -> None:
        self._open_s = OPENINGS * open_timeout_s
        self.heartbeat: ipc.WorkerHeartbeat | None = None
        self._began = trio.current_time()
        self._is_open = False
        self._heartbeat_at = self._video_at = self._audio_at = NEVER
        # A track that is over its time may have ended together with the other, whose last packets were in the next
        # heartbeat and which is over its time a second later. So the other one counts as going on by a heartbeat more.
        self._heartbeats = self._video_heartbeat = self._audio_heartbeat = 0

    def opened(self) -> None:
        """Note that the source is open, or open again: from now on its tracks are due."""
        self._is_open = True
        self._video_at = self._audio_at = trio.current_time()
        self._video_heartbeat = self._audio_heartbeat = self._heartbeats

    def observe(self, heartbeat: ipc.WorkerHeartbeat) -> None:
        """Note a heartbeat."""
        now = self._heartbeat_at = trio.current_time()
        self._heartbeats += 1
        before = self.heartbeat or heartbeat
        if heartbeat.video_packets != before.video_packets or not heartbeat.video_expected:
            self._video_at, self._video_heartbeat = now, self._heartbeats
        if heartbeat.audio_packets != before.audio_packets or not heartbeat.audio_expected:
            self._audio_at, self._audio_heartbeat = now, self._heartbeats
        self.heartbeat = heartbeat

    def audio_missing(self, timeouts: Timeouts) -> AudioStall | None:
        """Return why silence is sent in place of audio that is due; None while audio comes, or none is due."""
        if self.heartbeat is None:
            return None
        if fault := self.heartbeat.audio_fault:
            return AudioStall(fault.reason, fault.detail, 0.0)
        seconds = trio.current_time() - self._audio_at
        has_both = self.heartbeat.video_expected and self.heartbeat.audio_expected
        video_goes_on = self._video_heartbeat > self._audio_heartbeat + 1
        if not has_both or seconds <= timeouts.stall or not video_goes_on:
            return None
        return AudioStall(Reason.AUDIO_STALLED, "the source sends video and no audio", seconds)

    def judge(self, timeouts: Timeouts) -> None:
        """Raise an Outage where something has stood still for too long."""
        now = trio.current_time()
        if now - self._heartbeat_at > timeouts.silence:
            raise Outage(Reason.STALLED, "the capture process does not answer")
        open_s = self._open_s if timeouts.open is None else timeouts.open
        if not self._is_open and now - self._began > open_s:
            raise Outage(Reason.OPEN_TIMEOUT, f"the source did not open within {open_s:g} s")
        video, audio = now - self._video_at > timeouts.stall, now - self._audio_at > timeouts.stall
        audio_due = self.heartbeat is not None and self.heartbeat.audio_expected
        video_due = self.heartbeat is None or self.heartbeat.video_expected
        if (video or not video_due) and (audio or not audio_due):
            raise Outage(Reason.STALLED, f"the source has sent nothing for {timeouts.stall:g} s")
        if video and self._audio_heartbeat > self._video_heartbeat + 1:
            raise Outage(Reason.VIDEO_STALLED, f"the source has sent audio and no video for {timeouts.stall:g} s")
