"""Uploads the spool of one camera beside its live session, a segment at a time, oldest first.

At most once: no idempotency key is known, so what may have been accepted and was never answered is not sent again. It
is written down that a segment may have been accepted before its last bytes leave, and not earlier: an upload that is
cut off before that begins anew, whoever cuts it.
"""

from collections import Counter
from collections.abc import Callable
from typing import NamedTuple, Protocol
from uuid import uuid4

import structlog
import trio

from interhuman2mqtt.backfill.filled import clock_of, filled_events
from interhuman2mqtt.backfill.segment import Segment, span
from interhuman2mqtt.backfill.segment_upload import LivePath, SegmentUpload, disk_failed
from interhuman2mqtt.backfill.spool import BackfillCounters, CameraSpool
from interhuman2mqtt.backfill.store import JobState, UploadJob
from interhuman2mqtt.config import CameraConfig
from interhuman2mqtt.errors import Outage, Overloaded, Reason
from interhuman2mqtt.events import Event
from interhuman2mqtt.runtime.clock import BoxClock
from interhuman2mqtt.supervisor import Health
from interhuman2mqtt.upload import result
from interhuman2mqtt.upload.client import Submission, UploadClient
from interhuman2mqtt.upload.late_events import LateOrigin, late_events
from interhuman2mqtt.upload.result import Analysis, JobStatus

FAILURES_MAX = 3
"""Jobs of one segment that may fail, before it is given up: it keeps all others waiting."""
SAFE_S = 600.0
"""Seconds for which events may wait for the disk or the broker before their segment is processed once more."""

log = structlog.get_logger(__name__)


class BudgetCharger(Protocol):
    """The budgets of the box."""

    def has_left(self, camera: str, seconds: float) -> bool:
        """Return whether so much may be sent today."""

    async def charge(self, camera: str, seconds: float) -> None:
        """Count it, and return once the disk knows of it; raise Outage."""


class LatePublisher(Protocol):
    """Publishes events."""

    def publish_event(self, event: Event) -> None:
        """Publish an event; never wait."""

    async def wait_safe(self) -> None:
        """Wait until all that was published is with the broker, or on the disk."""


class UploadContext(NamedTuple):
    """Parts of the daemon that the uploader works with."""

    box: str
    redact: frozenset[str]
    clock: BoxClock
    live: LivePath
    budgets: BudgetCharger
    publisher: LatePublisher
    counters: BackfillCounters
    new_client: Callable[[], tuple[UploadClient, int]]
    """Makes a client, and says which version of the API it speaks; raises Outage."""


class Uploader:
    """Run again and again by a supervisor."""

    def __init__(self, camera: CameraConfig, spool: CameraSpool, around: UploadContext) -> None:
        self._camera = camera
        self._spool = spool
        self._around = around
        self._charged: str | None = None
        self._failures = Counter[str]()
        """Jobs that failed, by segment."""
        self._published: str | None = None
        """The newest job whose events are out; a disk that fails after that must not send them out again and again."""

    async def run(self, health: Health) -> bool:
        """Bring the oldest segment to its end, whichever that is; raise the Outage that is in the way."""
        try:
            await self._run()
        except OSError as error:
            raise disk_failed(error) from error
        health.made_progress()
        return True

    async def _run(self) -> None:
        await self._spool.open()
        if (job := self._spool.kept.job) is not None:
            segment = self._spool.find(job.segment)
            if segment is None:
                await self._spool.set_job(None)  # its end was under way when an earlier life ended
                return
            with self._spool.processing(segment):
                await self._resume(segment, job)
        elif self._spool.oldest() is None:
            await self._spool.arrivals.wait()
        else:
            await self._around.live.wait_well()
            if (segment := self._spool.oldest()) is not None:  # which may be another one by now
                with self._spool.processing(segment):
                    await self._send(segment)

    async def _resume(self, segment: Segment, job: UploadJob) -> None:
        """Go on with what an earlier life, or an earlier attempt, began."""
        if job.id is None:
            await self._lose(segment, "the daemon ended before the cloud answered")
            return
        client, _ = self._around.new_client()
        try:
            found = await client.wait_for(result.Job(id=job.id, status=JobStatus.QUEUED))
        except Outage as outage:
            if outage.reason is not Reason.JOB_LOST:
                raise
            await self._lose(segment, outage.detail)
        else:
            await self._take(segment, job, found)

    async def _send(self, segment: Segment) -> None:
        await self._charge(segment)
        client, version = self._around.new_client()
        job = UploadJob(segment.path.name, str(uuid4()), JobState.SUBMITTING)
        upload = SegmentUpload(self._spool, self._around.live, client, version)
        match await upload.run(segment, job, self._submission(job)):
            case result.Job() as found:
                await self._resume(segment, UploadJob(job.segment, job.request, JobState.SUBMITTED, found.id))
            case Analysis() as analysis:
                await self._publish(segment, analysis, job.request, job.request)
            case Outage() as outage:
                await self._fail(segment, outage)
            case None:
                log.info("an upload was cut off", camera=self._camera.id, segment=segment.path.name)

    async def _charge(self, segment: Segment) -> None:
        """Count it against the budgets, once, and never so that the live session would have none left."""
        if self._charged == segment.path.name:
            return
        budgets, camera = self._around.budgets, self._camera.id
        if not budgets.has_left(camera, segment.seconds):
            raise Outage(Reason.OVER_BUDGET, "what is left of the budget is not enough for the oldest segment")
        await budgets.charge(camera, segment.seconds)
        self._charged = segment.path.name

    def _submission(self, job: UploadJob) -> Submission:
        camera = self._camera
        return Submission(
            filename="segment.mp4",
            model=camera.model,
            include=("signals", *camera.include),
            goal_dimensions=camera.goal_dimensions,
            request_id=job.request,
            rate=camera.backfill_rate,
        )

    async def _fail(self, segment: Segment, outage: Outage) -> None:
        """Handle a refusal: of this segment for good, or of anything for now."""
        if outage.reason is Reason.JOB_LOST:
            await self._lose(segment, outage.detail)
            raise Overloaded(outage.reason, outage.detail)  # a long pause: the next one may be lost in the same way
        if outage.reason is Reason.MEDIA_REJECTED:
            await self._reject(segment, outage)
            return
        if self._spool.kept.job is not None:
            await self._spool.set_job(None)
        if outage.reason is Reason.NOT_FOUND:  # no refusal of the cloud's: it has just been forgotten, or moved
            self._spool.written()
            raise Outage(outage.reason, outage.detail)
        raise outage

    async def _take(self, segment: Segment, job: UploadJob, found: result.Job) -> None:
        """Handle a job that is done."""
        if found.analysis is not None and job.id is not None:
            await self._publish(segment, found.analysis, job.id, job.request)
        else:
            failure = found.failure or Outage(Reason.PROTOCOL, "the cloud ended the job without a result")
            self._failures[segment.path.name] += 1
            if self._failures[segment.path.name] >= FAILURES_MAX:
                await self._reject(segment, failure)
            else:
                await self._fail(segment, failure)

    async def _publish(self, segment: Segment, analysis: Analysis, scope: str, session: str) -> None:
        """Publish what was found; only what is safe with the broker or on our disk lets the segment go."""
        around, now = self._around, self._around.clock.instant()
        origin = LateOrigin(
            box=around.box,
            camera=self._camera.id,
            scope=scope,
            session=session,
            start_at=around.clock.utc(span(segment, now).start),
            received_at=around.clock.utc_now(),
            clock=clock_of(segment, around.clock),
            redact=around.redact,
        )
        events = late_events(analysis, origin)
        events += filled_events(segment, self._spool.gaps, origin, around.clock, first=len(events) + 1)
        if self._published != scope:
            self._published = scope
            for event in events:
                around.publisher.publish_event(event)
        with trio.move_on_after(SAFE_S) as waiting:
            await around.publisher.wait_safe()
        if waiting.cancelled_caught:
            raise Outage(Reason.DISK_FAILED, f"the events of a segment were not safe within {SAFE_S:g} s")
        await self._spool.finish(segment)
        around.counters.backfilled_seconds += segment.seconds
        log.info("a gap is filled", camera=self._camera.id, seconds=segment.seconds, events=len(events), job=scope)

    async def _lose(self, segment: Segment, detail: str) -> None:
        """Give up a segment whose analysis was, or may have been, made and cannot be had."""
        await self._spool.finish(segment)
        self._around.counters.backfill_lost_seconds += segment.seconds
        log.warning("the analysis of a segment is lost", camera=self._camera.id, seconds=segment.seconds, detail=detail)

    async def _reject(self, segment: Segment, outage: Outage) -> None:
        """Give up a segment that the cloud will never take."""
        await self._spool.finish(segment)
        self._around.counters.backfill_rejected_seconds += segment.seconds
        log.warning(
            "the cloud rejects a segment", camera=self._camera.id, seconds=segment.seconds, detail=outage.detail
        )
