"""Handle what a session of a camera reports: publish, count, and remember how far the media came."""

import math
import time
from collections import deque
from collections.abc import Callable
from datetime import timedelta
from typing import NamedTuple, Protocol

import structlog
import trio

from interhuman2mqtt.cameras.context import CameraContext, session_of
from interhuman2mqtt.cameras.counters import Counters
from interhuman2mqtt.cameras.recording import ResumePosition, WorkerRecording
from interhuman2mqtt.cameras.status import StatusTracker
from interhuman2mqtt.cloud.session_types import Anomaly, SessionLimits
from interhuman2mqtt.errors import Outage
from interhuman2mqtt.events import Event, MediaChunk
from interhuman2mqtt.runtime.clock import BoxClock
from interhuman2mqtt.runtime.log import RateLimitedLogger
from interhuman2mqtt.supervisor import Health

log = structlog.get_logger(__name__)

SESSION_S = 180.0
"""More than a session ever waits for anything: a chunk, its way out, the pong, or the end of a drain."""
MIN_CHUNK_S = 3.0
"""What earlier versions of the API documented as the shortest segment, and refuse shorter ones by (ih4007, ih5006)."""
SENT_MAX = 64
"""Chunks, the newest: of the shortest they are half a minute, and the cloud looks at windows of 8 s."""
ROUNDED = timedelta(milliseconds=1)
"""The cloud rounds its times, and what ends with a chunk must not seem to end in the next."""


class _SentChunk(NamedTuple):
    captured_from: float
    captured_to: float
    sent_at: float


class SendLog:
    """The newest chunks of one session, each with when it was out: what the delay of an event is counted from.

    Args:
        clock: What the events are dated by.
        now: Seconds, monotonic.
    """

    def __init__(self, clock: BoxClock, now: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._now = now
        self._chunks: deque[_SentChunk] = deque(maxlen=SENT_MAX)

    def add(self, chunk: MediaChunk) -> None:
        """Note that a chunk is out."""
        captured_to = chunk.captured_from + chunk.media_end - chunk.media_start
        self._chunks.append(_SentChunk(chunk.captured_from, captured_to, self._now()))

    def delay(self, event: Event) -> float | None:
        """Return the seconds since the newest media that an event names was out; None where we know of none."""
        newest = event.end_at or event.start_at
        if newest is None or event.synthetic is True:
            return None
        sent_at = None
        # From the newest on, which it mostly is: to date 64 chunks takes 560 us, three times what else an event does.
        for chunk in reversed(self._chunks):
            if newest > self._clock.date(chunk.captured_to) + ROUNDED:
                break
            if newest >= self._clock.date(chunk.captured_from) - ROUNDED:
                sent_at = chunk.sent_at
        return None if sent_at is None else self._now() - sent_at


class SessionMemory(Protocol):
    """Remembers from one session to the next; `session_task.SessionTask`."""

    min_chunk_s: float
    """How long a chunk must be at least, as far as the cloud has complained of shorter ones."""
    resume: ResumePosition
    anomalies: RateLimitedLogger

    def accepted(self, endpoint_and_key: int) -> None:
        """Note that the cloud opened a session."""


class DeliveryListener(Protocol):
    """The capture, which need not keep what arrived."""

    def delivered(self, start_s: float, end_s: float) -> None:
        """Note that this range of its timeline arrived, in seconds."""


class SessionListener:
    """Listens to one session of a camera (`cloud.session_types.Observer`).

    Args:
        capture: The capture that the session's media comes from.
        health: Of the task that keeps the session.
    """

    def __init__(  # noqa: PLR0913 - all that a session's news is for
        self,
        context: CameraContext,
        memory: SessionMemory,
        status: StatusTracker,
        counters: Counters,
        *,
        capture: DeliveryListener,
        recording: WorkerRecording,
        health: Health,
    ) -> None:
        self.recording = recording
        self.made_progress = False
        """Whether it brought the cloud what no session did before."""
        self.is_ready = False
        self.endpoint_and_key = 0
        """A hash of what the session was asked for with; 0 before that."""
        self._memory = memory
        self._status, self._counters = status, counters
        self._publisher, self._coverage = context.publisher, context.coverage
        self._camera = status.camera
        self._heartbeat = context.heartbeats.of(session_of(self._camera))
        self._capture = capture
        self._health = health
        self._resume = memory.resume
        self._send_log = SendLog(context.clock)
        self._limits = SessionLimits()
        self._ready_at = math.inf

    @property
    def seconds(self) -> float:
        """How long the session has been open."""
        return trio.current_time() - self._ready_at

    def ready(self, limits: SessionLimits, correlation_id: str | None) -> None:
        """Note that the session is open, and what the cloud allows in it."""
        self.is_ready = True
        self._limits = limits
        self._limit_chunks()
        self._ready_at = trio.current_time()
        self._health.healthy()
        self._memory.accepted(self.endpoint_and_key)
        log.info("session ready", correlation_id=correlation_id, max_duration=limits.max_duration)

    def event(self, event: Event) -> None:
        """Publish an event. It is counted here, where it passes, and not by a stage of its own."""
        self._counters.events += 1
        self._counters.event_types.add(event.type)
        if (seconds := self._send_log.delay(event)) is not None:
            self._counters.sent_to_event.observe(seconds)
        self._publisher.publish_event(event)

    def sent(self, chunk: MediaChunk) -> None:
        """Note that a chunk is out: only that counts as streaming, not an open session."""
        self._heartbeat(SESSION_S)
        self._counters.chunks_sent += 1
        self._counters.bytes_sent += len(chunk.payload)
        self._counters.seconds_sent += chunk.media_end - chunk.media_start
        self._counters.capture_to_sent.observe(time.monotonic() - chunk.captured_at)
        self._send_log.add(chunk)
        self._resume.sent(chunk.source_start, chunk.source_end)
        self._status.set_sent()
        self._status.set_streaming()

    def delivered(self, chunk: MediaChunk, round_trip: float | None) -> None:
        """Note that a chunk has arrived."""
        self._counters.chunks_delivered += 1
        self._counters.round_trip = self._counters.round_trip if round_trip is None else round_trip
        self.made_progress |= self._resume.delivered(chunk.source_end)
        self._capture.delivered(chunk.source_start, chunk.source_end)
        self._coverage.delivered(self._camera, self._capture, chunk)

    def rejected(self, chunk: MediaChunk) -> None:
        """Note that a chunk arrived for nothing."""
        self._coverage.rejected(self._camera, chunk)

    def complained(self, outage: Outage | None) -> None:
        """Show an error that the cloud reports while the session goes on; None: it analyses again."""
        self._status.set_complaint(outage)

    def too_short(self) -> None:
        """Send longer chunks, in the sessions after this one too."""
        self._memory.min_chunk_s = MIN_CHUNK_S
        self._limit_chunks()

    def on_anomaly(self, anomaly: Anomaly, detail: str) -> None:
        """Count an anomaly, and log it where it is news: a cloud that talks nonsense does so all day."""
        self._counters.oddities += 1
        self._counters.anomalies[anomaly] += 1
        kind = f"{anomaly} {detail}" if anomaly is Anomaly.LEFT_OUT else anomaly.value
        self._memory.anomalies.emit(kind, None, "session", level="warning", anomaly=anomaly.value, detail=detail)

    def _limit_chunks(self) -> None:
        limits = self._limits
        least = max(limits.min_segment_duration or 0.0, self._memory.min_chunk_s) or None
        self.recording.limit(least, limits.max_segment_duration, limits.max_segment_size)
