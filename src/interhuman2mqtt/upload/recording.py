"""One recording, from the file to its analysis: cut into parts, sent, waited for, and kept on record all the while."""

from collections.abc import Awaitable, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

import trio
from msgspec import Struct, structs

from interhuman2mqtt.errors import Outage, Reason, Refused
from interhuman2mqtt.events import utc_now
from interhuman2mqtt.upload.client import Submission, UploadClient
from interhuman2mqtt.upload.form import unreadable
from interhuman2mqtt.upload.jobs import PartRecord, PartState, RecordingRecord, RecordStore, key_of
from interhuman2mqtt.upload.result import Analysis, Job, JobStatus
from interhuman2mqtt.upload.scratch import scratch_folder
from interhuman2mqtt.upload.signal_spans import with_decided_cuts
from interhuman2mqtt.upload.split import SplitRecording, split
from interhuman2mqtt.upload.split_ipc import Progress

Done = TypeVar("Done")

IN_WORK = 4
"""Parts that are sent or analysed at a time: a result is gone after an hour, so that it must not wait for all parts."""
PAUSES = (5.0, 15.0, 45.0)
"""Seconds before a part is tried again that the cloud could not take."""
PAUSE_MAX = 120.0
"""Seconds that are waited for at most because the cloud asks to."""
SAME_S = 0.1
"""Parts that begin so close to each other are the same."""


class AnalysisOptions(NamedTuple):
    """Options of an analysis."""

    version: int
    """Of the API."""
    model: str | None
    """None: by what the file holds."""
    goal_dimensions: Sequence[str] = ()
    resend: bool = False
    """Whether what was lost is sent again."""
    camera: str | None = None
    """Whose recording it is."""
    began_at: datetime | None = None
    """When it began, where that is said."""


class Listener(Protocol):
    """Follows the analysis of a recording."""

    def preparing(self, progress: Progress) -> None:
        """Handle how far its parts are."""

    def parts(self, record: RecordingRecord) -> None:
        """Handle a change of what is known of its parts."""

    def waiting(self, outage: Outage, pause: float) -> None:
        """Handle that the cloud could not take a part, which is tried again after so many seconds."""


class Failure(Struct, frozen=True):
    """Why a part has no result."""

    part: int
    """From 0."""
    outage: Outage


class UploadOutcome(NamedTuple):
    """Outcome of the analysis of a recording."""

    record: RecordingRecord
    failures: tuple[Failure, ...]


class RecordingAnalysis:
    """Analyses one recording.

    Args:
        client: Of the endpoint.
        endpoint: The same as a text: of another one nothing is known.
        store: Of the records.
        wishes: What is asked for.
        listener: Follows it.
    """

    def __init__(
        self, client: UploadClient, endpoint: str, store: RecordStore, wishes: AnalysisOptions, listener: Listener
    ) -> None:
        self._client = client
        self._endpoint = endpoint
        self._store = store
        self._wishes = wishes
        self._listener = listener
        self._uplink, self._disk = trio.Lock(), trio.Lock()
        self._limiter = trio.CapacityLimiter(IN_WORK)
        self._failures: list[Failure] = []
        self._is_stopped = False
        self._key = ""
        self._record: RecordingRecord | None = None

    async def run(self, source: Path) -> UploadOutcome:
        """Analyse a recording, or go on where that was interrupted; raise Outage where there are no parts."""
        asked = (self._endpoint, str(self._wishes.version), self._wishes.model or "", *self._wishes.goal_dimensions)
        try:
            self._key = await trio.to_thread.run_sync(key_of, source, *asked)
        except OSError as error:
            raise unreadable(source, error) from error
        with self._store.locked(self._key):
            await trio.to_thread.run_sync(self._store.prune, utc_now())
            known = await trio.to_thread.run_sync(self._store.load, self._key, utc_now())
            self._record = None if known is None else self._after_interruption(known)
            if self._record is not None and all(part.state is not PartState.PENDING for part in self._record.parts):
                return await self._analyze({})
            with scratch_folder() as folder:
                recording = await split(source, folder, self._wishes.model, self._listener.preparing)
                self._record = self._merged(_new_record(recording))
                return await self._analyze({index: Path(part.path) for index, part in enumerate(recording.parts)})

    def _after_interruption(self, record: RecordingRecord) -> RecordingRecord:
        """Return a record of an earlier run: what was sent and not answered is lost; what is lost may be sent again."""
        for index, part in enumerate(record.parts):
            is_lost = part.state in {PartState.SENT, PartState.LOST}
            if is_lost and self._wishes.resend:
                record = record.with_part(index, PartRecord(start=part.start, end=part.end))
            elif is_lost:
                record = record.with_part(index, structs.replace(part, state=PartState.LOST))
        return record

    def _merged(self, new: RecordingRecord) -> RecordingRecord:
        """Return the record of a recording that was cut, with what is known of its parts from before."""
        if self._record is None or (self._wishes.resend and not _is_cut_alike(self._record, new)):
            return new
        if _is_cut_alike(self._record, new):
            return self._record
        sentence = "it is cut otherwise than when it was interrupted, by another version of FFmpeg"
        raise Refused(Reason.INVALID_MEDIA, f"{sentence}: `--resend` begins anew")

    async def _analyze(self, files: dict[int, Path]) -> UploadOutcome:
        self._record = self._known.of_camera(self._wishes.camera, self._wishes.began_at)
        await self._save()
        async with trio.open_nursery() as nursery:
            for index in range(len(self._known.parts)):  # one after the other: tasks would begin in any order
                await self._limiter.acquire_on_behalf_of(index)
                nursery.start_soon(self._analyze_part, index, files.get(index))
        self._record = with_decided_cuts(self._known)
        await self._save()
        return UploadOutcome(self._known, tuple(sorted(self._failures, key=lambda failure: failure.part)))

    @property
    def _known(self) -> RecordingRecord:
        assert self._record is not None  # noqa: S101 - set before anything is sent
        return self._record

    async def _analyze_part(self, index: int, file: Path | None) -> None:
        self._listener.parts(self._known)
        try:
            await self._advance(index, file)
        except Outage as outage:
            self._failures.append(Failure(index, outage))
            # what is wrong with one part need not be wrong with the next; an account without quota is
            self._is_stopped |= outage.reason not in {Reason.MEDIA_REJECTED, Reason.JOB_LOST}
        finally:
            self._limiter.release_on_behalf_of(index)
        self._listener.parts(self._known)

    async def _advance(self, index: int, file: Path | None) -> None:
        """Bring a part to its end; raise the Outage that keeps it from there."""
        part = self._known.parts[index]
        match part.state:
            case PartState.LOST:
                raise Outage(
                    Reason.JOB_LOST,
                    "it was sent, and its result is lost: `--resend` sends it again, which may be billed a second time",
                )
            case PartState.PENDING if file is not None:
                await self._try_to_send(index, file)
            case PartState.SUBMITTED if part.job_id is not None:
                await self._wait(index, Job(id=part.job_id, status=JobStatus.RUNNING))

    async def _try_to_send(self, index: int, file: Path) -> None:
        """Send a part, again where that cannot do harm and may help."""
        for pause in (*PAUSES, None):
            try:
                await self._send(index, file)
            except Outage as outage:
                is_open = self._known.parts[index].state is PartState.PENDING
                if pause is None or isinstance(outage, Refused) or not is_open or self._is_stopped:
                    raise
                seconds = max(pause, min(outage.retry_after or 0.0, PAUSE_MAX))
                self._listener.waiting(outage, seconds)
                await trio.sleep(seconds)
            else:
                return

    async def _send(self, index: int, file: Path) -> None:
        async with self._uplink:
            if self._is_stopped:
                raise Outage(Reason.STOPPED, "it was not sent, because of what went wrong before")
            outcome = await _tried(self._submit(index, file))
            if isinstance(outcome, Outage):
                is_lost = outcome.reason is Reason.JOB_LOST
                await self._change(index, state=PartState.LOST if is_lost else PartState.PENDING)
                raise outcome
        if outcome is not None:
            await self._wait(index, outcome)

    async def _submit(self, index: int, file: Path) -> Job | None:
        """Send a part; return its job, or nothing where the answer was the analysis."""
        submission = Submission(
            filename=f"recording{file.suffix}",  # and not the user's own, which may say who is in it
            model=self._known.model,
            goal_dimensions=self._wishes.goal_dimensions,
            request_id=self._known.parts[index].request_id,
        )
        sent = partial(self._change, index, state=PartState.SENT)
        if self._wishes.version == 1:
            await self._complete(index, await self._client.analyze_v1(file, submission, sent))
            return None
        job = await self._client.submit(file, submission, sent)
        await self._change(index, state=PartState.SUBMITTED, job_id=job.id)
        return job

    async def _wait(self, index: int, job: Job) -> None:
        done = await _tried(self._client.wait_for(job))
        if isinstance(done, Outage):
            if done.reason is Reason.JOB_LOST:
                await self._change(index, state=PartState.LOST)
            raise done
        if done.failure is not None:
            await self._change(index, state=PartState.PENDING, job_id=None)
            raise done.failure
        await self._complete(index, done.analysis or Analysis())

    async def _complete(self, index: int, analysis: Analysis) -> None:
        await self._change(index, state=PartState.COMPLETED, analysis=analysis, completed_at=utc_now())

    async def _change(self, index: int, **changes: Any) -> None:
        self._record = self._known.with_part(index, structs.replace(self._known.parts[index], **changes))
        await self._save()

    async def _save(self) -> None:
        async with self._disk:
            await trio.to_thread.run_sync(self._store.save, self._key, self._known)


async def _tried(work: Awaitable[Done]) -> Done | Outage:
    """Return what came of it, an outage too: nothing may be awaited where that is caught."""
    try:
        return await work
    except Outage as outage:
        return outage


def _new_record(recording: SplitRecording) -> RecordingRecord:
    described = recording.described
    return RecordingRecord(
        model=described.model,
        recorded_at=described.recorded_at,
        duration=described.duration,
        notes=recording.notes,
        parts=tuple(PartRecord(start=part.start, end=part.end, joins_next=None) for part in recording.parts),
    )


def _is_cut_alike(one: RecordingRecord, other: RecordingRecord) -> bool:
    pairs = zip(one.parts, other.parts, strict=False)
    return len(one.parts) == len(other.parts) and all(abs(left.start - right.start) < SAME_S for left, right in pairs)
