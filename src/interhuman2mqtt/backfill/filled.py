"""`coverage.filled`: which range of which gap was analysed after all; no I/O."""

from collections.abc import Iterable

from msgspec import structs

from interhuman2mqtt.backfill.segment import Segment, Span, span
from interhuman2mqtt.backfill.store import KnownGap
from interhuman2mqtt.events import Clock, Event, FilledData, Range
from interhuman2mqtt.runtime.clock import BoxClock
from interhuman2mqtt.upload.late_events import LateOrigin, late_event

FILLED = "coverage.filled"
SHORT_S = 0.1
"""An overlap of less comes from rounding: the end of a gap is where the next one begins."""


def filled_events(
    segment: Segment, gaps: Iterable[KnownGap], origin: LateOrigin, clock: BoxClock, first: int
) -> tuple[Event, ...]:
    """Return an event for each gap that a segment fills in part or wholly.

    Args:
        segment: What was analysed.
        gaps: All that were published.
        origin: As of the segment's other late events.
        clock: Dates the ranges.
        first: The number of the first of them, in their ids.
    """
    now = clock.instant()
    captured = span(segment, now)
    found = [(gap, _overlap(captured, gap.start.on(now), gap.seconds)) for gap in gaps]
    matching = [(gap, both) for gap, both in found if both.end - both.start >= SHORT_S]
    return tuple(_event(gap, both, origin, clock, number) for number, (gap, both) in enumerate(matching, start=first))


def clock_of(segment: Segment, clock: BoxClock) -> Clock:
    """Return whether what a segment is dated as may be trusted."""
    return Clock.SYNCED if segment.start.is_certain(clock.instant()) else Clock.UNKNOWN


def _overlap(captured: Span, start: float, seconds: float | None) -> Span:
    """Return what a segment and a gap have in common; a gap of unknown length may reach anywhere."""
    end = captured.end if seconds is None else start + seconds
    return Span(max(captured.start, start), min(captured.end, end))


def _event(gap: KnownGap, both: Span, origin: LateOrigin, clock: BoxClock, number: int) -> Event:
    start_at, end_at = clock.utc(both.start), clock.utc(both.end)
    data = FilledData(gap=gap.id, reason=gap.reason, seconds=round(both.end - both.start, 3))
    event = late_event(origin, number, FILLED, dict(data), (start_at, end_at))
    return structs.replace(event, ranges_at=(Range(start_at, end_at),))
