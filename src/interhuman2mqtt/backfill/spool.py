"""The spool of one camera, as the daemon keeps it: within its bounds, in order, and never in anybody's way."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

import structlog
import trio
from msgspec import structs

from interhuman2mqtt.backfill.segment import Segment, Span, span
from interhuman2mqtt.backfill.store import Kept, KnownGap, SpoolStore, UploadJob
from interhuman2mqtt.config.units import show_duration, show_size
from interhuman2mqtt.runtime.blocking import Blocking
from interhuman2mqtt.runtime.clock import BoxClock, Instant
from interhuman2mqtt.runtime.log import RateLimitedLogger
from interhuman2mqtt.runtime.notifier import Notifier

TEND_S = 30.0
"""Seconds between two looks at the folder, without news."""
DISK_S = 15.0
"""Seconds after which a disk that does not answer counts as one that fails."""
HEADROOM = 32 << 20
"""Bytes that are left for the segment that is just being written, so that the bound always holds."""

Result = TypeVar("Result")
log = structlog.get_logger(__name__)


class BackfillCounters(Protocol):
    """Counts what becomes of what is spooled, in seconds of media."""

    spool_segments: int
    spool_bytes: int
    spool_seconds: float
    spooled_seconds: float
    spool_lost_seconds: float
    spool_dropped_seconds: float
    backfilled_seconds: float
    backfill_lost_seconds: float
    backfill_rejected_seconds: float


class SpoolingWorker(Protocol):
    """The capture process, as far as a spool needs it."""

    def spool(self, folder: str | None) -> None:
        """Write what leaves the ring undelivered into this folder, from now on; None: nowhere."""


class SpoolBounds(NamedTuple):
    """Bounds of what is kept."""

    size: int
    """bytes"""
    age: float
    """seconds"""


class Forgotten(NamedTuple):
    """Media that was deleted by a request."""

    segments: int
    seconds: float
    size: int

    @classmethod
    def of(cls, gone: Sequence[Segment]) -> "Forgotten":
        """Return it for these segments."""
        return cls(len(gone), sum(segment.seconds for segment in gone), sum(segment.size for segment in gone))


class CameraSpool:
    """Outlives the camera's own restarts; `open` comes before all else."""

    def __init__(self, camera: str, folder: Path, clock: BoxClock) -> None:
        self.camera = camera
        self.arrivals = Notifier()
        """There may be another segment to upload."""
        self.kept = Kept()
        self.is_forgotten = False
        """What is processed was forgotten: nothing that the cloud says of it matters any more."""
        self._clock = clock
        self._store = SpoolStore(folder)
        self._blocking = Blocking(DISK_S)
        self._news = Notifier()
        self._segments: list[Segment] = []
        self._media: Path | None = None
        self._new_gaps: list[KnownGap] = []
        self._worker: SpoolingWorker | None = None
        self._is_held = False
        self._processed: tuple[Segment, trio.CancelScope] | None = None
        self._trouble = RateLimitedLogger(log)
        self._files = trio.Lock()
        """Held through whatever changes the files, so that what is known of them is what they are."""

    async def tend(self, bounds: SpoolBounds, counters: BackfillCounters) -> None:
        """Keep within the bounds, oldest first out, and write down what is known; return with the next news."""
        try:
            await self._tend(bounds, counters)
        except OSError as error:
            self._report(error)
        with trio.move_on_after(TEND_S):
            await self._news.wait()

    def oldest(self) -> Segment | None:
        """Return the segment that was captured first."""
        return self._segments[0] if self._segments else None

    def find(self, name: str) -> Segment | None:
        """Return the segment of this name, where it is still there."""
        return next((segment for segment in self._segments if segment.path.name == name), None)

    def add_gap(self, gap: KnownGap) -> None:
        """Note a gap that was published, for `coverage.filled`."""
        self._new_gaps.append(gap)
        self._news.set()

    @property
    def gaps(self) -> tuple[KnownGap, ...]:
        """The gaps that may be filled, oldest first."""
        return (*self.kept.gaps, *self._new_gaps)

    def attach(self, worker: SpoolingWorker) -> None:
        """Let a capture process spool."""
        self._worker = worker
        self._instruct()

    def detach(self) -> None:
        """Let go of the capture process, which has ended."""
        self._worker = None
        self._news.set()  # it may have written its last

    def hold(self, *, held: bool) -> None:
        """Spool nothing for a while: it is not the cloud's fault that nothing is streamed."""
        self._is_held = held
        self._instruct()

    def written(self, lost: str | None = None) -> None:
        """Look again: the capture process wrote a segment, or could not, and why."""
        level = "debug" if lost is None else "warning"
        what = "media is spooled" if lost is None else "media is not spooled"
        self._trouble.emit("written", lost, what, level=level, camera=self.camera, detail=lost)
        self._news.set()

    async def set_job(self, job: UploadJob | None) -> None:
        """Write down how far the upload has come, for good; raises OSError: then it is known to this life alone."""
        async with self._files:
            await self._set_job(job)

    async def finish(self, segment: Segment) -> None:
        """Delete a segment of which nothing more is to come, and then its job; raises OSError."""
        async with self._files:
            await self._remove([segment])
            await self._set_job(None)
        self._news.set()

    @contextmanager
    def processing(self, segment: Segment) -> Iterator[trio.CancelScope]:
        """Keep a segment beyond the bounds for as long as the context lasts; who forgets it cancels the scope."""
        with trio.CancelScope() as scope:
            self._processed, self.is_forgotten = (segment, scope), False
            try:
                yield scope
            finally:
                self._processed = None

    async def forget(self, start: datetime | None = None, end: datetime | None = None) -> Forgotten:
        """Delete what was captured between two instants; None: without that limit. Raises OSError.

        What the capture process still has in memory is not spooled any more, whenever it was captured.
        """
        is_meant = captured_between(start, end, self._clock.instant())
        if self._processed is not None and is_meant(self._processed[0]):
            self.is_forgotten = True
            self._processed[1].cancel()
        async with self._files:
            gone = await self._in_thread(partial(self._store.forget, is_meant))
            self._media = self._store.media()
            self._instruct()
            if self.kept.job is not None and self.kept.job.segment in {segment.path.name for segment in gone}:
                await self._set_job(None)
            await self._look()
        self._news.set()
        return Forgotten.of(gone)

    async def open(self) -> None:
        """Read what an earlier life left; raises OSError."""
        async with self._files:
            if self._media is None:
                self.kept = await self._in_thread(self._store.open)
                self._media = self._store.media()
                await self._look()
                self._instruct()

    async def _tend(self, bounds: SpoolBounds, counters: BackfillCounters) -> None:
        await self.open()
        async with self._files:
            await self._look()
            await self._trim(bounds, counters)
            await self._save_gaps(bounds)
        self._trouble.emit("disk", None, "the spool is in order", level="debug")
        counters.spool_segments = len(self._segments)
        counters.spool_bytes = sum(segment.size for segment in self._segments)
        counters.spool_seconds = sum(segment.seconds for segment in self._segments)
        if self._segments:
            self.arrivals.set()

    async def _trim(self, bounds: SpoolBounds, counters: BackfillCounters) -> None:
        now = self._clock.instant()
        processed = self._processed[0].path.name if self._processed else self.kept.job and self.kept.job.segment
        free = bounds.size - HEADROOM - sum(segment.size for segment in self._segments)
        out: list[Segment] = []
        for segment in self._segments:
            is_old = now.uptime - span(segment, now).end > bounds.age
            if segment.path.name != processed and (is_old or free < 0):
                out.append(segment)
                free += segment.size
        if not out:
            return
        await self._remove(out)
        seconds = sum(segment.seconds for segment in out)
        counters.spool_dropped_seconds += seconds
        detail = f"older than {show_duration(bounds.age)}, or more than {show_size(bounds.size)} holds"
        log.warning("spooled media is dropped", camera=self.camera, seconds=round(seconds, 1), detail=detail)

    async def _save_gaps(self, bounds: SpoolBounds) -> None:
        """Write down new gaps, and forget those that no segment can fill any more."""
        now = self._clock.instant()
        new, self._new_gaps = self._new_gaps, []
        if not new:
            return
        recent = [gap for gap in (*self.kept.gaps, *new) if now.uptime - _end(gap, now) <= bounds.age + TEND_S]
        try:
            await self._save(structs.replace(self.kept, gaps=tuple(recent)))
        except OSError:
            self._new_gaps = [*new, *self._new_gaps]
            raise

    async def _remove(self, segments: list[Segment]) -> None:
        await self._in_thread(partial(self._store.remove, segments))
        gone = {segment.path.name for segment in segments}
        self._segments = [segment for segment in self._segments if segment.path.name not in gone]

    async def _set_job(self, job: UploadJob | None) -> None:
        if job != self.kept.job:
            self.kept = structs.replace(self.kept, job=job)
            await self._save(self.kept)

    async def _save(self, kept: Kept) -> None:
        await self._in_thread(partial(self._store.save, kept))
        self.kept = kept

    async def _look(self) -> None:
        now, found = self._clock.instant(), await self._in_thread(self._store.segments)
        self._segments = sorted(found, key=lambda segment: span(segment, now).start)

    def _instruct(self) -> None:
        if self._worker is not None:
            self._worker.spool(None if self._is_held or self._media is None else str(self._media))

    def _report(self, error: OSError) -> None:
        detail = f"{error.filename or self._store.folder}: {error.strerror}"
        self._trouble.emit("disk", detail, "the spool cannot be kept", level="error", camera=self.camera, detail=detail)

    async def _in_thread(self, call: Callable[[], Result]) -> Result:
        return await self._blocking.run(call)


def captured_between(start: datetime | None, end: datetime | None, now: Instant) -> Callable[[Segment], bool]:
    """Return what decides whether any of a segment may have been captured between two instants; None: no such limit.

    One from before a start of the machine, by a clock that nothing had set, may be from any time.
    """
    meant = Span(_on(start, now, float("-inf")), _on(end, now, float("inf")))

    def is_meant(segment: Segment) -> bool:
        captured = span(segment, now)
        if not (segment.start.synced or segment.start.is_of_boot(now)):
            return True
        return captured.start < meant.end and meant.start < captured.end

    return is_meant


def _on(at: datetime | None, now: Instant, otherwise: float) -> float:
    return otherwise if at is None else at.timestamp() - now.wall + now.uptime


def _end(gap: KnownGap, now: Instant) -> float:
    return gap.start.on(now) + (gap.seconds or 0.0)
