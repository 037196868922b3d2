"""A camera's second half: one session after another, for as long as there is a capture and a slot for it."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from uuid import uuid4

import structlog

from interhuman2mqtt import config
from interhuman2mqtt.cameras.capture_task import CaptureTask
from interhuman2mqtt.cameras.context import CameraContext, session_of
from interhuman2mqtt.cameras.counters import Counters
from interhuman2mqtt.cameras.recording import BudgetedRecording, ResumePosition, WorkerRecording
from interhuman2mqtt.cameras.session_failures import RefusalDoubt
from interhuman2mqtt.cameras.session_listener import SESSION_S, SessionListener
from interhuman2mqtt.cameras.status import StatusTracker
from interhuman2mqtt.cameras.worker import CaptureProcess
from interhuman2mqtt.cloud.event_mapper import EventMapper, MediaOrigin
from interhuman2mqtt.cloud.session import run_session
from interhuman2mqtt.cloud.session_types import EndCause, SessionEnd, SessionOptions
from interhuman2mqtt.config import secrets
from interhuman2mqtt.errors import Lingering, Outage, Reason, Refused
from interhuman2mqtt.runtime.log import RateLimitedLogger
from interhuman2mqtt.supervisor import Health

log = structlog.get_logger(__name__)

SESSION_MIN_S = 3.0
"""Sessions that are shorter by the cloud's own limit show it no window of 8 s, and do not follow each other at once."""


class SessionTask:
    """Keeps a session while it can, one at a time."""

    # Never two of a camera, not even while one is rotated: the account's concurrent sessions are few and counted
    # (ih3002), so a second one for the seconds of an overlap would need a slot of its own for each camera, and the
    # media of the overlap would be analysed, and billed, twice. It is not needed either: the old recording ends on a
    # border between GOPs, and the next one begins with the very key frame that comes after it.

    def __init__(
        self,
        camera: config.CameraConfig,
        context: CameraContext,
        capture: CaptureTask,
        status: StatusTracker,
        counters: Counters,
    ) -> None:
        self.resume = ResumePosition(camera.replay)
        self.min_chunk_s = 0.0
        """How long a chunk must be at least, as far as the cloud has complained of shorter ones."""
        self.anomalies = RateLimitedLogger(log)
        self._camera = camera
        self._context = context
        self._capture = capture
        self._status = status
        self._counters = counters
        self._source: CaptureProcess | None = None  # whose media `resume` follows
        self._listener: SessionListener | None = None
        self._stopping = False
        self._dry = False
        """The session before ended for want of media."""
        self._doubt = RefusalDoubt()

    def stop(self) -> bool:
        """Let `run` return False once the session under way is drained; return False where there is none to drain."""
        self._stopping = True
        if self._listener is None or not self._listener.is_ready:
            return False
        self._listener.recording.finish()
        return True

    def release(self) -> None:
        """Leave the slot to another camera."""
        self._context.slots.release(self._camera.id)

    async def run(self, health: Health) -> bool:
        """Run one session, from its opening to its end; raise the Outage that it failed by."""
        worker = await self._wait_worker()
        if self._dry:
            await self._wait_media(worker)
        await self._take_slot()
        if self._stopping or worker is not self._capture.worker:
            return not self._stopping
        listener = self._listener = self._new_listener(worker, health)
        end = None
        try:
            end = await self._run_session(listener)
        except Outage as outage:
            raise self._judged(outage, listener, health) from outage
        finally:
            self._listener = None
            if listener.is_ready:
                self._context.slots.ended()
            listener.recording.drop()
            self.resume.session_ended(drained=end is not None and end.drained)
            self._capture.session_over(worker)
        self._ended(end)
        if not self._stopping:
            _raise_if_brief(end, listener, health)
        return not self._stopping

    async def _wait_worker(self) -> CaptureProcess:
        self._context.heartbeats.withdraw(session_of(self._camera.id))  # a camera may be away for ever
        if self._capture.worker is None:
            self.release()
        return await self._capture.wait_worker()

    def _new_listener(self, worker: CaptureProcess, health: Health) -> SessionListener:
        recording = self._record(worker)
        return SessionListener(
            self._context, self, self._status, self._counters, capture=worker, recording=recording, health=health
        )

    def _record(self, worker: CaptureProcess) -> WorkerRecording:
        """Begin a recording where those before it ended, or with the first GOP of a new worker."""
        if self._source is not worker:
            self._source, self.resume = worker, ResumePosition(self._camera.replay)
        return worker.record(self._camera.framing, self._context.chunk_s, *self.resume.start_point())

    async def _wait_media(self, worker: CaptureProcess) -> None:
        """Wait, with neither slot nor session, until there is something to send, or the source is over."""
        recording = self._record(worker)
        try:
            await recording.wait_chunk()
        except Outage:
            log.debug("the capture ended while it gave nothing to send")  # and logs why itself
        finally:
            recording.drop()
            self._capture.session_over(worker)
        self._dry = False

    async def _take_slot(self) -> None:
        slots = self._context.slots
        waits = not slots.holds(self._camera.id) and not slots.is_free()
        if waits:
            if slots.is_learned:
                self._status.set_waiting(Reason.CONCURRENCY_LIMIT, "the account has no session free for this camera")
            else:
                self._status.set_waiting(Reason.MAX_SESSIONS, f"other cameras hold all {slots.limit} sessions")
        with self._spool_held() if waits else nullcontext():
            await slots.acquire(self._camera.id, self._camera.priority)

    @contextmanager
    def _spool_held(self) -> Iterator[None]:
        """Spool nothing meanwhile: what is not streamed for want of a slot is no outage of the cloud."""
        if self._camera.backfill is None:
            yield
            return
        spool = self._context.spools.of(self._camera.id)
        spool.hold(held=True)
        try:
            yield
        finally:
            spool.hold(held=False)

    async def _run_session(self, listener: SessionListener) -> SessionEnd:
        camera, context = self._camera, self._context
        if camera.api_key is None:
            raise Refused(Reason.SECRET_MISSING, "no api_key is configured: set interhuman.api_key")
        key = secrets.read(camera.api_key, what="api_key").reveal()
        listener.endpoint_and_key = hash((context.server.url, key))
        session_id = str(uuid4())
        self._counters.sessions += 1
        self._status.set_connecting(session_id)
        context.heartbeats.promise(session_of(camera.id), SESSION_S)
        mapper = EventMapper(
            MediaOrigin(context.box, camera.id, session_id),
            clock=context.clock,
            redact=context.redact,
            sent_before=self.resume.sent_s,
        )
        budgeted = BudgetedRecording(listener.recording, context.policy.budgets, self._status)
        return await run_session(context.server, key, options_of(camera), budgeted, mapper=mapper, observer=listener)

    def _judged(self, outage: Outage, listener: SessionListener, health: Health) -> Outage:
        """Return what to make of a session's failure, by what was known before it."""
        self._counters.reconnects += listener.is_ready
        if outage.reason is Reason.CONCURRENCY_LIMIT:
            detail = outage.detail
            if self._context.slots.refused(self._camera.id):
                self.release()  # and waits for its turn to try for one more, without a long pause before that
            else:
                detail += "; an earlier session of ours may still be counted"
            return Lingering(outage.reason, detail, outage.retry_after)
        if outage.reason is Reason.CONNECTION_LOST and listener.made_progress:
            health.made_progress()  # a network that breaks every few seconds carries more the sooner it is tried again
        elif listener.endpoint_and_key in self._context.accepted:
            return self._doubt.weigh(outage)
        return outage

    def accepted(self, endpoint_and_key: int) -> None:
        """Note that the cloud opened a session."""
        self._context.slots.opened(self._camera.id)
        self._context.accepted.add(endpoint_and_key)
        self._doubt.clear()

    def _ended(self, end: SessionEnd) -> None:
        self._counters.session_ends[end.cause] += 1
        log.info("session ended", cause=end.cause.value, drained=end.drained)
        if end.cause not in {EndCause.ROTATED, EndCause.SERVER_ENDED}:
            self._status.end_session()
        self._dry = end.cause is EndCause.NO_MEDIA
        if self._dry:
            self._status.set_waiting(Reason.NO_MEDIA, "the camera gives nothing to send, so no session is held open")
        if self._dry or self._context.slots.preempted(self._camera.id):
            self.release()


def options_of(camera: config.CameraConfig) -> SessionOptions:
    """Return what a camera's sessions are asked for."""
    return SessionOptions(
        include=camera.include,
        goal_dimensions=camera.goal_dimensions,
        model=camera.model,
        audio_only=camera.is_audio_only,
        pcm_rate=camera.pcm_rate,
    )


def _raise_if_brief(end: SessionEnd, listener: SessionListener, health: Health) -> None:
    """Raise an Outage where the next session would end as soon: at once again would be one every few milliseconds."""
    if end.cause is EndCause.SERVER_ENDED and not health.lasted:
        raise Outage(Reason.SESSION_LIMIT, "the cloud ended the session as soon as it had begun")
    if end.cause is EndCause.ROTATED and listener.seconds < SESSION_MIN_S:
        raise Outage(Reason.SESSION_LIMIT, f"the cloud allows sessions of {listener.seconds:.1f} s only")
