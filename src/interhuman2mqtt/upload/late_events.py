"""The events of an analysis that comes late: the stream's own types, dated by when the recording began; no I/O.

They differ from the stream's by `origin`, stand on topics of their own, and change no state: what was true an
hour ago must not switch a lamp on now.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, NamedTuple

from interhuman2mqtt.cloud.event_mapper import redacted
from interhuman2mqtt.events import Clock, Event, Origin
from interhuman2mqtt.upload.jobs import RecordingRecord
from interhuman2mqtt.upload.result import Analysis, EngagementSpan
from interhuman2mqtt.upload.signal_spans import SignalPiece, all_whole, pieces_of


class LateOrigin(NamedTuple):
    """Whose events they are, and when what they are about began."""

    box: str
    camera: str
    scope: str
    """The job's id, or on v1 our own of the request: a repeat has the same ids of events."""
    session: str
    """Our own UUID of the request."""
    start_at: datetime | None
    """When the file begins (UTC); None where nobody knows."""
    received_at: datetime
    clock: Clock
    redact: frozenset[str] = frozenset()
    """Fields that must not leave the box."""
    level_before: str | None = None
    """The engagement's level at the end of the part before, where it ends at `start_at`."""


class _Entry(NamedTuple):
    """An event before it is dated. They sort by time; what ends comes before what begins."""

    at: float
    rank: int
    type: str
    start: float | None
    end: float | None
    data: dict[str, Any]


def late_events(
    analysis: Analysis, origin: LateOrigin, signals: Iterable[SignalPiece] | None = None
) -> tuple[Event, ...]:
    """Return the events of a file, in the order in which they would have come.

    Args:
        analysis: What was found in it.
        origin: Whose it is.
        signals: What it has of signals; None: all of them are whole.
    """
    pieces = all_whole(analysis) if signals is None else signals
    entries = sorted((*_signals(pieces), *_engagement(analysis, origin.level_before)), key=lambda entry: entry[:2])
    entries += [*_quality(analysis), *_feedback(analysis)]
    return tuple(_event(origin, number, entry) for number, entry in enumerate(entries, start=1))


def level_after(analysis: Analysis, before: str | None) -> str | None:
    """Return the engagement's level at the end of a file."""
    return analysis.engagement[-1].state if analysis.engagement else before


def _signals(pieces: Iterable[SignalPiece]) -> Iterator[_Entry]:
    for piece in pieces:
        if piece.begins:
            detected = {"signal_type": piece.type, "start": piece.start, **piece.data}
            yield _Entry(piece.start, 2, "signal.detected", piece.start, None, detected)
        if piece.ends:
            ended = {"signal_type": piece.type, "end": piece.end}
            yield _Entry(piece.end, 0, "signal.ended", piece.start, piece.end, ended)


def level_changes(analysis: Analysis, before: str | None) -> list[EngagementSpan]:
    """Return the spans at which the engagement's level changes; the first one where none is known from before."""
    first = (EngagementSpan(before, 0.0, 0.0),) if before is not None else ()
    spans = (*first, *analysis.engagement)
    changes = [later for earlier, later in pairwise(spans) if later.state != earlier.state]
    return changes if before is not None else [*spans[:1], *changes]


def _engagement(analysis: Analysis, before: str | None) -> Iterator[_Entry]:
    for span in level_changes(analysis, before):
        data = {"state": span.state, "start": span.start}
        yield _Entry(span.start, 1, "engagement.updated", span.start, None, data)


def _quality(analysis: Analysis) -> Iterator[_Entry]:
    data = {"overall": analysis.overall, "timeline": analysis.timeline}
    given = {name: value for name, value in data.items() if value is not None}
    if given:
        end = analysis.duration or max((entry["end"] for entry in analysis.timeline or ()), default=0.0)
        yield _Entry(end, 3, "conversation_quality.updated", 0.0, end, given)


def _feedback(analysis: Analysis) -> Iterator[_Entry]:
    if analysis.feedback is not None:
        yield _Entry(0.0, 4, "feedback.generated", 0.0, analysis.duration, {"feedback": analysis.feedback})


def _event(origin: LateOrigin, number: int, entry: _Entry) -> Event:
    start_at, end_at = _shifted(origin.start_at, entry.start), _shifted(origin.start_at, entry.end)
    return late_event(origin, number, entry.type, redacted(entry.data, origin.redact), (start_at, end_at))


def late_event(
    origin: LateOrigin, number: int, type_: str, data: dict[str, Any], span: tuple[datetime | None, datetime | None]
) -> Event:
    """Return an event of a recording: `number` is its own among those of the job, `span` its begin and its end."""
    return Event(
        id=f"{origin.box}/{origin.camera}/{origin.scope}/{number}",
        box=origin.box,
        camera=origin.camera,
        type=type_,
        session=origin.session,
        correlation_id=None,
        timestamp=None,
        received_at=origin.received_at,
        start_at=span[0],
        end_at=span[1],
        clock=origin.clock,
        late=True,
        origin=Origin.UPLOAD,
        data=data,
    )


def _shifted(start_at: datetime | None, seconds: float | None) -> datetime | None:
    if seconds is None or start_at is None:
        return None
    try:
        return start_at + timedelta(seconds=seconds)
    except OverflowError:  # beyond the calendar
        return None


class Identity(NamedTuple):
    """Whose events those of a recording are."""

    box: str
    camera: str
    start_at: datetime | None
    """None: nobody knows."""
    clock: Clock
    redact: frozenset[str] = frozenset()


def events_of(record: RecordingRecord, identity: Identity) -> Iterator[Event]:
    """Yield the events of what was analysed of a recording."""
    level: str | None = None
    for part, pieces in zip(record.parts, pieces_of(record), strict=True):
        if part.analysis is None or part.completed_at is None:
            level = None
            continue
        origin = LateOrigin(
            box=identity.box,
            camera=identity.camera,
            scope=part.job_id or part.request_id,
            session=part.request_id,
            start_at=_shifted(identity.start_at, part.start),
            received_at=part.completed_at,
            clock=identity.clock,
            redact=identity.redact,
            level_before=level,
        )
        yield from late_events(part.analysis, origin, pieces)
        level = level_after(part.analysis, level)
