"""The gap ledger of one camera: which of its time the cloud got, which not, and why; no I/O.

Invariants:

1. `until` never goes back. All time before it is settled: it was delivered, or told as a gap, and never both.
2. From `began` to `until` the seconds delivered and the seconds of all gaps add up.
3. Media counts as delivered once a pong proves it, or the cloud said that it has sent all; what is sent again counts
   once. What the cloud then drops it tells itself (`coverage.dropped`).

Within one capture the source's own timeline says whether media is missing, because the mapping of a recording to UTC
may move by some milliseconds from one to the next. Between two captures UTC says it. A camera that stands still for
some seconds leaves a hole in what it gave; that is its own, whatever else was wrong at the time.
"""

from collections import Counter, deque
from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import groupby, pairwise
from operator import attrgetter
from typing import NamedTuple

from interhuman2mqtt.errors import Reason
from interhuman2mqtt.events import MediaChunk

EDGE_S = 0.001
"""Less than a picture: what is smaller comes from rounding."""
SHORT_S = 0.1
"""Less is not worth an event of its own: between two reasons it belongs to its neighbour, between two formats of a
camera it counts as seen."""
CAUSES = 100
"""Changes of the reason that are remembered for one gap; of a camera that flaps for days the newest count."""


class Gap(NamedTuple):
    """A range of the camera's time that was never analysed."""

    start_at: datetime
    end_at: datetime
    reason: Reason

    @property
    def seconds(self) -> float:
        """How long it is."""
        return (self.end_at - self.start_at).total_seconds()


class AudioGap(NamedTuple):
    """A range of which the video was analysed, with silence in place of its sound; its end is None while it lasts."""

    start_at: datetime
    end_at: datetime | None
    reason: Reason


class Cause(NamedTuple):
    """From `at` on the camera did not stream for this reason; None: it did, or nobody knows why not."""

    at: datetime
    reason: Reason | None


class Ledger:
    """Follows a camera through all of its captures and sessions.

    Args:
        until: All time before it is settled already.
        causes: What an earlier life knew about the time since.
    """

    def __init__(self, until: datetime, causes: Iterable[Cause] = ()) -> None:
        self.began = until
        self.until = until
        self.sent_at: datetime | None = None
        """When the last byte of media left the box."""
        self.delivered_s = 0.0
        self.gap_s: Counter[Reason] = Counter()
        self._causes = deque(causes, maxlen=CAUSES)
        self._capture: object = None
        self._captured_until = 0.0

    @property
    def causes(self) -> tuple[Cause, ...]:
        """What is known about the time since `until`."""
        return tuple(self._causes)

    def because(self, reason: Reason | None, at: datetime) -> None:
        """From now on media is missing for this reason; None: nothing is wrong."""
        if not self._causes or self._causes[-1].reason is not reason:
            self._causes.append(Cause(at, reason))

    def delivered(self, capture: object, chunk: MediaChunk) -> tuple[Gap, ...]:
        """A chunk of a capture arrived; the gaps that this closes."""
        same = capture is self._capture
        if not same:
            self._capture, self._captured_until = capture, chunk.source_start
        gaps = () if same else self._close(chunk.start_at, Reason.SOURCE_ENDED)
        for start, end in chunk.holes:
            gaps += self._reach(chunk, min(start, end)) + self._skip(chunk, end)
        return gaps + self._reach(chunk, chunk.source_end)

    def _reach(self, chunk: MediaChunk, source_s: float) -> tuple[Gap, ...]:
        """All up to `source_s` was captured: what is before the chunk left the ring unsent, the rest has arrived."""
        gaps: tuple[Gap, ...] = ()
        lost_until = min(source_s, chunk.source_start)
        if lost_until > self._captured_until + EDGE_S:
            gaps = self._close(_instant(chunk, lost_until), Reason.UPLINK_TOO_SLOW)
        self._captured_until = max(self._captured_until, source_s)
        end_at = _instant(chunk, source_s)
        if source_s > chunk.source_start and end_at > self.until:
            self.delivered_s += (end_at - self.until).total_seconds()
            self._settle(end_at)
        return gaps

    def _skip(self, chunk: MediaChunk, source_s: float) -> tuple[Gap, ...]:
        """The camera gave nothing up to `source_s`."""
        is_short = source_s < self._captured_until + SHORT_S
        self._captured_until = max(self._captured_until, source_s)
        gap = Gap(self.until, _instant(chunk, source_s), Reason.PICTURE_MISSING)
        return () if is_short or gap.seconds < EDGE_S else self._tell((gap,))

    def missed(self, until: datetime) -> tuple[Gap, ...]:
        """Nothing will come any more for the time before this; the gaps that it is."""
        self._capture = None
        gaps = self._close(until, Reason.STARTING)
        self._causes.clear()
        return gaps

    def _close(self, end_at: datetime, otherwise: Reason) -> tuple[Gap, ...]:
        if (end_at - self.until).total_seconds() < EDGE_S:
            return ()
        return self._tell(split(self.until, end_at, self._causes, otherwise))

    def _tell(self, gaps: tuple[Gap, ...]) -> tuple[Gap, ...]:
        for gap in gaps:
            self.gap_s[gap.reason] += gap.seconds  # type: ignore[assignment]  # a Counter adds up seconds just as well
        self._settle(gaps[-1].end_at)
        return gaps

    def _settle(self, until: datetime) -> None:
        self.until = until
        while len(self._causes) > 1 and self._causes[1].at <= until:
            self._causes.popleft()


def _instant(chunk: MediaChunk, source_s: float) -> datetime:
    return chunk.start_at + timedelta(seconds=source_s - chunk.source_start)


def split(start_at: datetime, end_at: datetime, causes: Iterable[Cause], otherwise: Reason) -> tuple[Gap, ...]:
    """A range by its reasons, one gap for each run of the same.

    A fault is noticed only after it began: time without a reason takes the next one's, else the one before it, and
    `otherwise` where there is none at all.
    """
    known = sorted(causes, key=attrgetter("at"))
    bounds = [start_at, *(cause.at for cause in known if start_at < cause.at < end_at), end_at]
    reasons = [_at(bound, known) for bound in bounds[:-1]]
    filled = _forward(reversed(_forward(reversed(reasons))))
    pieces = [Gap(*bound, reason or otherwise) for bound, reason in zip(pairwise(bounds), filled, strict=True)]
    runs = (tuple(run) for _, run in groupby(_joined(pieces), key=attrgetter("reason")))
    return tuple(Gap(run[0].start_at, run[-1].end_at, run[0].reason) for run in runs)


def _joined(pieces: Iterable[Gap]) -> list[Gap]:
    """What is too short to stand alone is part of its longer neighbour."""
    joined: list[Gap] = []
    for piece in pieces:
        if joined and min(joined[-1].seconds, piece.seconds) < SHORT_S:
            longer = max(joined[-1], piece, key=attrgetter("seconds"))
            joined[-1] = Gap(joined[-1].start_at, piece.end_at, longer.reason)
        else:
            joined.append(piece)
    return joined


def _at(instant: datetime, causes: list[Cause]) -> Reason | None:
    return next((cause.reason for cause in reversed(causes) if cause.at <= instant), None)


def _forward(reasons: Iterable[Reason | None]) -> list[Reason | None]:
    """Each None replaced by what stands before it."""
    filled: list[Reason | None] = []
    for reason in reasons:
        filled.append(reason or (filled[-1] if filled else None))
    return filled
