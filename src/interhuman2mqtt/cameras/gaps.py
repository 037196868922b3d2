"""Track the gaps of one camera: which of its time the cloud got, which not, and why; no I/O.

Its time is BOOTTIME, in seconds; what was before the boot is below zero.

Invariants:

1. `until` never goes back. All time before it is settled: it was delivered, or published as a gap, and never both; a
   chunk that was delivered and that the cloud then says it could not use becomes a gap after the fact, once.
2. From `began` to `until` the seconds delivered and the seconds of all gaps add up.
3. Media counts as delivered once a pong proves it, or the cloud said that it has sent all; what is sent again counts
   once. What the cloud then drops it reports itself (`coverage.dropped`).
4. No time in which the machine was suspended counts as delivered: it is a gap of its own, whatever else was wrong.

Within one capture the source's own timeline says whether media is missing, because the mapping of a recording to the
clock may move by some milliseconds from one to the next. Between two captures the clock says it. A camera that stands
still for some seconds leaves a hole in what it gave; that is its own, whatever else was wrong at the time.
"""

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from itertools import groupby, pairwise
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from interhuman2mqtt.errors import Reason
from interhuman2mqtt.events import MediaChunk
from interhuman2mqtt.runtime.clock import BoxClock, Seconds

if TYPE_CHECKING:
    from datetime import datetime

# BOOTTIME, because the wall clock lost: the first NTP answer after a boot, or a hand, would make a gap of hours or hide
# one. MONOTONIC lost too: it stands still while the machine is suspended, so time in which no camera was seen would not
# be time at all.
EDGE_S = 0.001
"""Less than a frame: what is smaller comes from rounding."""
SHORT_S = 0.1
"""Less is not worth an event of its own: between two reasons it belongs to its neighbour, between two formats of a
camera it counts as seen."""
CAUSES = 100
"""Changes of the reason that are remembered for one gap; of a camera that flaps for days the newest count."""


class Gap(NamedTuple):
    """A range of the camera's time that was never analysed."""

    start: float
    end: float
    reason: Reason

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.end - self.start


class AudioGap(NamedTuple):
    """A range of which the video was analysed, with silence in place of its audio; its end is None while it lasts."""

    start: float
    end: float | None
    reason: Reason


class Interruption(NamedTuple):
    """From `at` on the camera did not stream for this reason; None: it did, or nobody knows why not."""

    at: Seconds
    reason: Reason | None


class GapTracker:
    """Follows a camera through all of its captures and sessions.

    Args:
        clock: Puts the times of a capture on BOOTTIME, and knows when the machine was suspended.
        until: All time before it is settled already.
        causes: What an earlier life knew about the time since.
    """

    def __init__(self, clock: BoxClock, until: float, causes: Iterable[Interruption] = ()) -> None:
        self.began = until
        self.until = until
        self.sent: float | None = None
        """When the last byte of media left the box, in this boot."""
        self.sent_before: datetime | None = None
        """The same of an earlier one, as it was dated then."""
        self.delivered_s = 0.0
        self.gap_s: Counter[Reason] = Counter()
        self._clock = clock
        self._causes = deque(causes, maxlen=CAUSES)
        self._capture: object = None
        self._captured_until = 0.0
        self._rejected_until = until

    @property
    def causes(self) -> tuple[Interruption, ...]:
        """What is known about the time since `until`."""
        return tuple(self._causes)

    def set_reason(self, reason: Reason | None, at: float) -> None:
        """Set the reason for which media is missing from `at` on; None: nothing is wrong."""
        if not self._causes or self._causes[-1].reason is not reason:
            self._causes.append(Interruption(at, reason))

    def delivered(self, capture: object, chunk: MediaChunk) -> tuple[Gap, ...]:
        """Note that a chunk of a capture arrived; return the gaps that this closes."""
        same = capture is self._capture
        if not same:
            self._capture, self._captured_until = capture, chunk.source_start
        gaps = () if same else self._close(self._instant(chunk, chunk.source_start), Reason.SOURCE_ENDED)
        for start, end in chunk.holes:
            gaps += self._reach(chunk, min(start, end)) + self._skip(chunk, end)
        return gaps + self._reach(chunk, chunk.source_end)

    def rejected(self, chunk: MediaChunk) -> tuple[Gap, ...]:
        """Note that a delivered chunk was of no use to the cloud; return the gap that it is."""
        start = max(self._instant(chunk, chunk.source_start), self._rejected_until)
        gap = Gap(start, min(self._instant(chunk, chunk.source_end), self.until), Reason.MEDIA_REJECTED)
        if gap.seconds < EDGE_S:
            return ()
        self._rejected_until = gap.end
        self.delivered_s -= gap.seconds
        self.gap_s[gap.reason] += gap.seconds  # type: ignore[assignment]  # as in `_count`
        return (gap,)

    def close_until(self, until: float) -> tuple[Gap, ...]:
        """Close all time before this, for which nothing will come any more; return the gaps that it is."""
        self._capture = None
        gaps = self._close(until, Reason.STARTING)
        self._causes.clear()
        return gaps

    def follow(self, earlier: "GapTracker") -> None:
        """Take over what an earlier life left, which ended where this one began."""
        self.began = earlier.began
        self.gap_s.update(earlier.gap_s)

    def _reach(self, chunk: MediaChunk, source_s: float) -> tuple[Gap, ...]:
        """Advance to `source_s`: what is before the chunk left the ring unsent, the rest has arrived."""
        gaps: tuple[Gap, ...] = ()
        lost_until = min(source_s, chunk.source_start)
        if lost_until > self._captured_until + EDGE_S:
            gaps = self._close(self._instant(chunk, lost_until), Reason.UPLINK_TOO_SLOW)
        self._captured_until = max(self._captured_until, source_s)
        end = self._instant(chunk, source_s)
        if source_s > chunk.source_start and end > self.until:
            gaps += self._arrive(end)
        return gaps

    def _arrive(self, end: float) -> tuple[Gap, ...]:
        """Advance to `end`, up to which all has arrived but for what the machine slept through."""
        pieces = tuple(self._pieces(end, None))
        self.delivered_s += sum(end - start for start, end, reason in pieces if reason is None)
        gaps = self._count(Gap(start, end, reason) for start, end, reason in pieces if reason is not None)
        self._advance(end)
        return gaps

    def _skip(self, chunk: MediaChunk, source_s: float) -> tuple[Gap, ...]:
        """Advance to `source_s`, up to which the source gave nothing."""
        is_short = source_s < self._captured_until + SHORT_S
        self._captured_until = max(self._captured_until, source_s)
        end = self._instant(chunk, source_s)
        if is_short or end - self.until < EDGE_S:
            return ()
        pieces = self._pieces(end, Reason.PICTURE_MISSING if chunk.has_video else Reason.AUDIO_MISSING)
        return self._count(Gap(start, end, reason) for start, end, reason in pieces if reason is not None)

    def _close(self, end: float, otherwise: Reason) -> tuple[Gap, ...]:
        if end - self.until < EDGE_S:
            return ()
        return self._count(
            gap
            for start, end, reason in self._pieces(end, None)
            for gap in (split(start, end, self._causes, otherwise) if reason is None else [Gap(start, end, reason)])
        )

    def _pieces(self, end: float, reason: Reason | None) -> Iterator[tuple[float, float, Reason | None]]:
        """Yield the time from `until` to `end`, which has this reason but where the machine slept."""
        at = self.until
        for sleep in self._clock.sleeps:
            if at < sleep.end and sleep.start < end:
                if sleep.start - at >= EDGE_S:
                    yield at, sleep.start, reason
                yield max(at, sleep.start), min(sleep.end, end), Reason.SUSPENDED
                at = min(sleep.end, end)
        if end - at >= EDGE_S or at == self.until:
            yield at, end, reason

    def _count(self, gaps: Iterable[Gap]) -> tuple[Gap, ...]:
        counted = tuple(gaps)
        for gap in counted:
            self.gap_s[gap.reason] += gap.seconds  # type: ignore[assignment]  # a Counter adds up seconds just as well
        if counted:
            self._advance(counted[-1].end)
        return counted

    def _advance(self, until: float) -> None:
        self.until = max(self.until, until)
        while len(self._causes) > 1 and self._causes[1].at <= until:
            self._causes.popleft()

    def _instant(self, chunk: MediaChunk, source_s: float) -> float:
        return self._clock.since_boot(chunk.captured_from + source_s - chunk.source_start)


def split(start: float, end: float, causes: Iterable[Interruption], otherwise: Reason) -> tuple[Gap, ...]:
    """Split a range by its reasons, one gap for each run of the same.

    A fault is noticed only after it began: time without a reason takes the next one's, else the one before it, and
    `otherwise` where there is none at all.
    """
    known = sorted(causes, key=attrgetter("at"))
    bounds = [start, *(cause.at for cause in known if start < cause.at < end), end]
    reasons = [_at(bound, known) for bound in bounds[:-1]]
    filled = _forward(reversed(_forward(reversed(reasons))))
    pieces = [Gap(*bound, reason or otherwise) for bound, reason in zip(pairwise(bounds), filled, strict=True)]
    runs = (tuple(run) for _, run in groupby(_joined(pieces), key=attrgetter("reason")))
    return tuple(Gap(run[0].start, run[-1].end, run[0].reason) for run in runs)


def _joined(pieces: Iterable[Gap]) -> list[Gap]:
    """Join what is too short to stand alone with its longer neighbour."""
    joined: list[Gap] = []
    for piece in pieces:
        if joined and min(joined[-1].seconds, piece.seconds) < SHORT_S:
            longer = max(joined[-1], piece, key=attrgetter("seconds"))
            joined[-1] = Gap(joined[-1].start, piece.end, longer.reason)
        else:
            joined.append(piece)
    return joined


def _at(instant: float, causes: list[Interruption]) -> Reason | None:
    return next((cause.reason for cause in reversed(causes) if cause.at <= instant), None)


def _forward(reasons: Iterable[Reason | None]) -> list[Reason | None]:
    """Replace each None by what stands before it."""
    filled: list[Reason | None] = []
    for reason in reasons:
        filled.append(reason or (filled[-1] if filled else None))
    return filled
