"""A camera's second half: one session after another, for as long as there is a capture and a place for it."""

import math
import time
from uuid import uuid4

import structlog
import trio

from interhuman2mqtt import config
from interhuman2mqtt.cameras.capture_task import CaptureTask
from interhuman2mqtt.cameras.context import CameraContext, session_of
from interhuman2mqtt.cameras.counters import Counters, SendLog
from interhuman2mqtt.cameras.recording import BudgetedRecording, ResumePosition, WorkerRecording
from interhuman2mqtt.cameras.refusal_doubt import RefusalDoubt
from interhuman2mqtt.cameras.status import StatusTracker
from interhuman2mqtt.cameras.worker import CaptureProcess
from interhuman2mqtt.cloud.event_mapper import EventMapper, MediaOrigin
from interhuman2mqtt.cloud.session import run_session
from interhuman2mqtt.cloud.session_types import Anomaly, EndCause, SessionEnd, SessionLimits, SessionOptions
from interhuman2mqtt.config import secrets
from interhuman2mqtt.errors import Lingering, Outage, Reason, Refused
from interhuman2mqtt.events import Event, MediaChunk
from interhuman2mqtt.runtime.log import Changes
from interhuman2mqtt.supervisor import Health

log = structlog.get_logger(__name__)

SESSION_S = 180.0
"""More than a session ever waits for anything: a chunk, its way out, the pong, or the end of a drain."""


LEAST_S = 3.0
"""What earlier versions of the API documented as the shortest segment, and refuse shorter ones by (ih4007, ih5006)."""
SESSION_MIN_S = 3.0
"""Sessions that are shorter by the cloud's own limit show it no window of 8 s, and do not follow each other at once."""


class SessionTask:
    """Keeps a session while it can."""

    def __init__(
        self,
        camera: config.CameraConfig,
        shared: CameraContext,
        capturing: CaptureTask,
        standing: StatusTracker,
        counters: Counters,
    ) -> None:
        self._camera = camera
        self.shared = shared
        self._capturing = capturing
        self.standing = standing
        self.counters = counters
        self.frontier = ResumePosition(camera.replay)
        self._source: CaptureProcess | None = None  # whose media the frontier follows
        self._watch: _SessionListener | None = None
        self._stopping = False
        self._dry = False
        """The session before ended for want of media."""
        self._doubt = RefusalDoubt()
        self.least_s = 0.0
        """How long a chunk must be at least, as far as the cloud has complained of shorter ones."""
        self.oddities = Changes(log)

    def stop(self) -> bool:
        """Let `run` return False once the session under way is drained; False where there is none to wait for."""
        self._stopping = True
        if self._watch is None or not self._watch.is_ready:
            return False
        self._watch.recording.finish()
        return True

    def release(self) -> None:
        """Leave the place to another camera."""
        self.shared.places.release(self._camera.id)

    async def run(self, health: Health) -> bool:
        """One session, from its opening to its end; raises the Outage that it failed by."""
        worker = await self._wait_worker()
        if self._dry:
            await self._wait_media(worker)
        await self._take_place()
        if self._stopping or worker is not self._capturing.worker:
            return not self._stopping
        watch = self._watch = _SessionListener(self, worker, self._record(worker), health)
        end = None
        try:
            end = await self._run_session(watch)
        except Outage as outage:
            raise self._judged(outage, watch, health) from outage
        finally:
            self._watch = None
            if watch.is_ready:
                self.shared.places.ended()
            watch.recording.drop()
            self.frontier.over(in_order=end is not None and end.drained)
            self._capturing.session_over(worker)
        self._ended(end)
        # at once again would be a session every few milliseconds, where the cloud means it
        if end.cause is EndCause.SERVER_ENDED and not health.lasted and not self._stopping:
            raise Outage(Reason.SESSION_LIMIT, "the cloud ended the session as soon as it had begun")
        if end.cause is EndCause.ROTATED and watch.seconds < SESSION_MIN_S and not self._stopping:
            raise Outage(Reason.SESSION_LIMIT, f"the cloud allows sessions of {watch.seconds:.1f} s only")
        return not self._stopping

    async def _wait_worker(self) -> CaptureProcess:
        self.shared.alive.withdraw(session_of(self._camera.id))  # a camera may be away for ever
        if self._capturing.worker is None:
            self.release()
        return await self._capturing.wait_worker()

    def _record(self, worker: CaptureProcess) -> WorkerRecording:
        """A recording that begins where those before it ended, or with the first GOP of a new worker."""
        if self._source is not worker:
            self._source, self.frontier = worker, ResumePosition(self._camera.replay)
        return worker.record(self._camera.framing, self.shared.chunk_s, *self.frontier.begin())

    async def _wait_media(self, worker: CaptureProcess) -> None:
        """Wait, with neither place nor session, until there is something to send, or the source is over."""
        recording = self._record(worker)
        try:
            await recording.wait_chunk()
        except Outage:
            log.debug("the capture ended while it gave nothing to send")  # and tells why itself
        finally:
            recording.drop()
            self._capturing.session_over(worker)
        self._dry = False

    async def _take_place(self) -> None:
        places = self.shared.places
        if not places.holds(self._camera.id) and not places.is_free():
            if places.is_taught:
                self.standing.waits(Reason.CONCURRENCY_LIMIT, "the account has no session free for this camera")
            else:
                self.standing.waits(Reason.MAX_SESSIONS, f"other cameras hold all {places.limit} sessions")
        await places.acquire(self._camera.id, self._camera.priority)

    async def _run_session(self, watch: "_SessionListener") -> SessionEnd:
        camera, shared = self._camera, self.shared
        if camera.api_key is None:
            raise Refused(Reason.SECRET_MISSING, "no api_key is configured: set interhuman.api_key")
        key = secrets.read(camera.api_key, what="api_key").reveal()
        watch.endpoint_and_key = hash((shared.server.url, key))
        session_id = str(uuid4())
        self.counters.sessions += 1
        self.standing.connects(session_id)
        shared.alive.promise(session_of(camera.id), SESSION_S)
        interpreter = EventMapper(
            MediaOrigin(shared.box, camera.id, session_id),
            clock=shared.clock,
            redact=shared.redact,
            sent_before=self.frontier.sent_s,
        )
        wishes = SessionOptions(include=camera.include, goal_dimensions=camera.goal_dimensions, model=camera.model)
        metered = BudgetedRecording(watch.recording, shared.policy.budgets, self.standing)
        return await run_session(shared.server, key, wishes, metered, interpreter=interpreter, observer=watch)

    def _judged(self, outage: Outage, watch: "_SessionListener", health: Health) -> Outage:
        """What to make of a session's failure, by what was known before it."""
        self.counters.reconnects += watch.is_ready
        if outage.reason is Reason.CONCURRENCY_LIMIT:
            detail = outage.detail
            if self.shared.places.refused(self._camera.id):
                self.release()  # and waits for its turn to try for one more, without a long pause before that
            else:
                detail += "; an earlier session of ours may still be counted"
            return Lingering(outage.reason, detail, outage.retry_after)
        if outage.reason is Reason.CONNECTION_LOST and watch.has_news:
            health.gained()  # a network that breaks every few seconds carries more the sooner it is tried again
        elif watch.endpoint_and_key in self.shared.accepted:
            return self._doubt.of(outage)
        return outage

    def accepted(self, endpoint_and_key: int) -> None:
        """Note that the cloud opened a session."""
        self.shared.places.opened(self._camera.id)
        self.shared.accepted.add(endpoint_and_key)
        self._doubt.clear()

    def _ended(self, end: SessionEnd) -> None:
        self.counters.session_ends[end.cause] += 1
        log.info("session ended", cause=end.cause.value, drained=end.drained)
        if end.cause not in {EndCause.ROTATED, EndCause.SERVER_ENDED}:
            self.standing.session_over()
        self._dry = end.cause is EndCause.NO_MEDIA
        if self._dry:
            self.standing.waits(Reason.NO_MEDIA, "the camera gives nothing to send, so no session is held open")
        if self._dry or self.shared.places.outranked(self._camera.id):
            self.release()


class _SessionListener:
    """What a camera hears of its session (`cloud.observer.Observer`)."""

    def __init__(
        self, streaming: SessionTask, worker: CaptureProcess, recording: WorkerRecording, health: Health
    ) -> None:
        self.recording = recording
        self.has_news = False
        """Whether it brought the cloud what no session did before."""
        self._worker = worker
        self._sendings = SendLog(streaming.shared.clock)
        self.is_ready = False
        self.endpoint_and_key = 0
        """A hash of what the session was asked for with; 0 before that."""
        self._streaming = streaming
        self._limits = SessionLimits()
        self._accepted = streaming.accepted
        self._ready_at = math.inf
        self._health = health
        self._frontier = streaming.frontier
        self._standing, self._counters = streaming.standing, streaming.counters
        self._publish = streaming.shared.publish_event
        self._oddities = streaming.oddities
        self._coverage, self._camera = streaming.shared.coverage, streaming.standing.status.camera
        self._promise = streaming.shared.alive.of(session_of(self._camera))

    def ready(self, limits: SessionLimits, correlation_id: str | None) -> None:
        """The session is open."""
        self.is_ready = True
        self._limits = limits
        self._limit()
        self._ready_at = trio.current_time()
        self._health.well()
        self._accepted(self.endpoint_and_key)
        log.info("session ready", correlation_id=correlation_id, max_duration=limits.max_duration)

    @property
    def seconds(self) -> float:
        """How long the session has been open."""
        return trio.current_time() - self._ready_at

    def event(self, event: Event) -> None:
        """Something to publish."""
        self._counters.heard(event.type)
        if (seconds := self._sendings.until(event)) is not None:
            self._counters.sent_to_event.observe(seconds)
        self._publish(event)

    def sent(self, chunk: MediaChunk) -> None:
        """A chunk is out."""
        self._promise(SESSION_S)
        length = chunk.media_end - chunk.media_start
        self._counters.chunks_sent += 1
        self._counters.bytes_sent += len(chunk.payload)
        self._counters.seconds_sent += length
        self._counters.capture_to_sent.observe(time.monotonic() - chunk.captured_at)
        self._sendings.sent(chunk)
        self._frontier.sent(chunk.source_start, chunk.source_end)
        self._standing.sent()
        self._standing.streams()

    def delivered(self, chunk: MediaChunk, round_trip: float | None) -> None:
        """A chunk has arrived."""
        self._counters.chunks_delivered += 1
        self._counters.round_trip = self._counters.round_trip if round_trip is None else round_trip
        self.has_news |= self._frontier.delivered(chunk.source_end)
        self._coverage.delivered(self._camera, self._worker, chunk)

    def _limit(self) -> None:
        limits, told = self._limits, self._limits.min_segment_duration
        least = max(told or 0.0, self._streaming.least_s) or None
        self.recording.limit(least, limits.max_segment_duration, limits.max_segment_size)

    def rejected(self, chunk: MediaChunk) -> None:
        """It arrived for nothing."""
        self._coverage.rejected(self._camera, chunk)

    def complained(self, outage: Outage | None) -> None:
        """The cloud reports an error, or none any more."""
        self._standing.complained(outage)

    def too_short(self) -> None:
        """Send longer chunks, in the sessions after this one too."""
        self._streaming.least_s = LEAST_S
        self._limit()

    def noticed(self, oddity: Anomaly, detail: str) -> None:
        """Worth a count, and a line where it is news: a cloud that talks nonsense does so all day."""
        self._counters.noticed(oddity)
        about = f"{oddity} {detail}" if oddity is Anomaly.LEFT_OUT else oddity.value
        self._oddities.say(about, None, "session", level="warning", oddity=oddity.value, detail=detail)
