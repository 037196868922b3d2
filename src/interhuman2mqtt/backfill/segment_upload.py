"""Sends one segment of the spool, and gives way to the live path for as long as that does no harm."""

from typing import Protocol

import structlog
import trio

from interhuman2mqtt.backfill.segment import Segment
from interhuman2mqtt.backfill.spool import CameraSpool
from interhuman2mqtt.backfill.store import JobState, UploadJob
from interhuman2mqtt.errors import Outage, Reason
from interhuman2mqtt.upload.client import Submission, UploadClient
from interhuman2mqtt.upload.result import Analysis, Job

ANSWER_S = 10.0
"""Seconds that are left to the answer to a whole upload when the daemon stops."""

log = structlog.get_logger(__name__)


class LivePath(Protocol):
    """Knows how the live session of the camera is."""

    async def wait_well(self) -> None:
        """Wait until it may stream, streams, and has done so without trouble for a while."""

    async def wait_unwell(self) -> str:
        """Wait until one of that is not so, and return which."""


class SegmentUpload:
    """One upload; the live path's trouble cuts it off, but not once the cloud may have all of it.

    Args:
        spool: Has the segment, and keeps its job on record.
        live: The live session of the camera.
        client: Sends it.
        version: Of the API, 1 or 2.
    """

    def __init__(self, spool: CameraSpool, live: LivePath, client: UploadClient, version: int) -> None:
        self._spool = spool
        self._live = live
        self._client = client
        self._version = version
        self._scope = trio.CancelScope()
        self._is_whole = False

    async def run(self, segment: Segment, job: UploadJob, submission: Submission) -> Job | Analysis | Outage | None:
        """Return the cloud's answer, or the Outage; None where it was cut off."""
        outcome: Job | Analysis | Outage | None = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._cut_off)
            nursery.start_soon(self._limit_when_cancelled)
            with self._scope:
                try:
                    outcome = await self._send(segment, job, submission)
                except Outage as outage:
                    outcome = outage
            nursery.cancel_scope.cancel()
        return outcome

    async def _send(self, segment: Segment, job: UploadJob, submission: Submission) -> Job | Analysis:
        async def before_end() -> None:
            self._scope.shield = self._is_whole = True
            try:
                await self._spool.set_job(job)
            except OSError as error:
                raise disk_failed(error) from error

        if self._version == 1:
            return await self._client.analyze_v1(segment.path, submission, before_end)
        found = await self._client.submit(segment.path, submission, before_end)
        try:
            await self._spool.set_job(UploadJob(job.segment, job.request, JobState.SUBMITTED, found.id))
        except OSError as error:
            log.warning("a job is not on record: a crash would lose it", job=found.id, detail=error.strerror)
        return found

    async def _cut_off(self) -> None:
        await self._live.wait_unwell()
        if not self._is_whole:
            self._scope.cancel()

    async def _limit_when_cancelled(self) -> None:
        """Bound the wait for the answer to a whole upload, which is shielded, once all else is cancelled."""
        try:
            await trio.sleep_forever()
        finally:
            patience_s = 0.0 if self._spool.is_forgotten else ANSWER_S
            self._scope.deadline = min(self._scope.deadline, trio.current_time() + patience_s)


def disk_failed(error: OSError) -> Outage:
    """Return the error of a disk as an Outage."""
    return Outage(Reason.DISK_FAILED, f"{error.filename or 'the spool'}: {error.strerror}")
