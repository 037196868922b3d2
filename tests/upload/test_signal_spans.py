"""A signal that goes on over a cut is one, and what was said once stays as it was said."""

from datetime import UTC, datetime, timedelta

import pytest
from msgspec import structs

from interhuman2mqtt.events import Clock, Event
from interhuman2mqtt.upload.jobs import PartRecord, PartState, RecordingRecord
from interhuman2mqtt.upload.late_events import Identity, events_of
from interhuman2mqtt.upload.result import Analysis, SignalSpan
from interhuman2mqtt.upload.signal_spans import RecordedSpan, signal_spans, with_decided_cuts

BEGIN = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
PART_S = 60.0
Signal = tuple[str, float, float, str]


def part(number: int, *signals: Signal) -> PartRecord:
    """A part that was analysed."""
    spans = tuple(
        SignalSpan(kind, start, end, {"probability": probability, "rationale": f"of {number}"})
        for kind, start, end, probability in signals
    )
    return PartRecord(
        start=PART_S * number,
        end=PART_S * (number + 1),
        state=PartState.COMPLETED,
        job_id=f"job-{number}",
        completed_at=BEGIN,
        analysis=Analysis(signals=spans),
        joins_next=None,
    )


def record(*parts: PartRecord) -> RecordingRecord:
    return RecordingRecord(model="inter-2", recorded_at=BEGIN, duration=PART_S * len(parts), parts=parts)


def events(of: RecordingRecord) -> list[Event]:
    return list(events_of(of, Identity("box", "front", BEGIN, Clock.SYNCED)))


def test_a_signal_over_two_cuts_is_one() -> None:
    """It begins once, with its highest probability, and ends once, dated by its begin; ids are of those two jobs."""
    parts = (
        part(0, ("stress", 50, 60, "low"), ("interest", 5, 10, "low")),
        part(1, ("stress", 0, 60, "high")),
        part(2, ("stress", 0, 5, "medium"), ("stress", 20, 30, "low")),
    )
    told = events(with_decided_cuts(record(*parts)))
    stress = [event for event in told if event.data["signal_type"] == "stress"]
    assert [(event.type, event.id.split("/")[2]) for event in stress] == [
        ("signal.detected", "job-0"),
        ("signal.ended", "job-2"),
        ("signal.detected", "job-2"),
        ("signal.ended", "job-2"),
    ]
    assert stress[0].data == {"signal_type": "stress", "start": 50.0, "probability": "high", "rationale": "of 1"}
    assert (stress[1].start_at, stress[1].end_at) == (BEGIN + timedelta(seconds=50), BEGIN + timedelta(seconds=125))
    assert stress[1].data == {"signal_type": "stress", "end": 5.0}
    assert len({event.id for event in told}) == len(told) == 6


@pytest.mark.parametrize(
    ("before", "after", "is_one"),
    [
        (("stress", 50, 59.5, "low"), ("stress", 0.5, 9, "low"), True),
        (("stress", 50, 57, "low"), ("stress", 0, 9, "low"), False),
        (("stress", 50, 60, "low"), ("stress", 3, 9, "low"), False),
        (("stress", 50, 60, "low"), ("interest", 0, 9, "low"), False),
    ],
)
def test_what_touches_a_cut(before: Signal, after: Signal, is_one: bool) -> None:  # noqa: FBT001 - a case
    """Only the same signal goes on, and only where both reach the cut."""
    assert len(signal_spans(with_decided_cuts(record(part(0, before), part(1, after))))) == (1 if is_one else 2)


def test_what_was_said_stays_said() -> None:
    """A part that is analysed after the first report joins nothing, and no event of its neighbours changes."""
    parts = [part(number, ("stress", 0, PART_S, "low")) for number in range(3)]
    missing = PartRecord(start=PART_S, end=2 * PART_S, joins_next=None)
    first = with_decided_cuts(record(parts[0], missing, parts[2]))
    told = {event.id: event for event in events(first)}
    later = with_decided_cuts(first.with_part(1, structs.replace(parts[1], joins_next=first.parts[1].joins_next)))
    again = {event.id: event for event in events(later)}
    assert {id_: again[id_] for id_ in told} == told
    assert len(again) == 6


def test_a_record_of_before_joins_nothing() -> None:
    """What an earlier version reported as two is not one at a repeat."""
    earlier = record(part(0, ("stress", 50, 60, "low")), structs.replace(part(1, ("stress", 0, 5, "low"))))
    earlier = earlier.with_part(0, structs.replace(earlier.parts[0], joins_next=PartRecord(start=0, end=1).joins_next))
    assert signal_spans(with_decided_cuts(earlier)) == [
        RecordedSpan("stress", 0, 50, 0, 60, {"probability": "low", "rationale": "of 0"}),
        RecordedSpan("stress", 1, 0, 1, 5, {"probability": "low", "rationale": "of 1"}),
    ]
