"""What the cloud answers becomes an analysis, and its events; whatever it answers, that is never a bug."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interhuman2mqtt.cloud import event_mapper
from interhuman2mqtt.events import Clock, Origin
from interhuman2mqtt.runtime import redaction
from interhuman2mqtt.simulator import upload_result
from interhuman2mqtt.simulator.settings import Version
from interhuman2mqtt.simulator.upload_result import UploadOptions
from interhuman2mqtt.upload.late_events import LateOrigin, late_events, level_after
from interhuman2mqtt.upload.result import Analysis, EngagementSpan, Unreadable, parse_job, parse_v1

BEGIN = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
ORIGIN = LateOrigin(
    box="lobby-1",
    camera="front",
    scope="3f1c2b7a",
    session="7c1e",
    start_at=BEGIN,
    received_at=BEGIN + timedelta(hours=3),
    clock=Clock.SYNCED,
)
WORDS = [
    *("job_id", "status", "result", "error", "expires_at", "duration_seconds", "windows", "start_seconds"),
    *("end_seconds", "engagement_status", "signals", "conversation_quality", "overall", "timeline"),
    *("engagement_state", "state", "start", "end", "type", "probability", "feedback", "message", "error_id"),
]
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just(10**400)
SCALARS |= st.sampled_from(["completed", "failed", "running", "engaged", "interest", "2026-11-22T10:00:00Z"])
VALUES = st.recursive(
    SCALARS | st.floats(0, 100),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=8),
    max_leaves=30,
)


def an_analysis(options: UploadOptions, duration: float = 60.0) -> Analysis:
    """What the simulator finds in a minute."""
    if options.version is Version.V1:
        return parse_v1(msgspec.json.encode(upload_result.v1(duration, options, "seed")))
    result = upload_result.v2(duration, options, "seed")
    job = parse_job(msgspec.json.encode({"job_id": "3f1c2b7a", "status": "completed", "result": result}))
    assert job.analysis is not None
    return job.analysis


FLAGS = ("conversation_quality_overall", "conversation_quality_timeline")
V2 = UploadOptions(Version.V2, "inter-2", ("signals", *FLAGS))
V1 = UploadOptions(Version.V1, None, FLAGS, conversation_context="a job interview")


@settings(max_examples=30)
@given(st.dictionaries(st.sampled_from(WORDS), VALUES, min_size=3, max_size=12))
def test_no_json_is_a_bug(answer: dict[str, Any]) -> None:
    """Whatever JSON answers, it is read or named unreadable, and what was read becomes events that can be published."""
    try:
        body = msgspec.json.encode(answer)
    except (OverflowError, msgspec.MsgspecError):
        body = repr(answer).encode()
    for version in (1, 2):
        try:
            analysis = parse_v1(body) if version == 1 else parse_job(body).analysis
        except Unreadable:
            continue
        for event in late_events(analysis or Analysis(), ORIGIN):
            msgspec.json.encode(event)


@given(st.binary(max_size=200))
def test_no_bytes_are_a_bug(body: bytes) -> None:
    """Whatever bytes answer, they are read or named unreadable."""
    for parse in (parse_job, parse_v1):
        try:
            parse(body)
        except Unreadable as error:
            assert str(error)  # noqa: PT017 - not raised at all is well too


@pytest.mark.parametrize("options", [V1, V2], ids=["v1", "v2"])
def test_an_analysis_becomes_the_events_of_a_stream(options: UploadOptions) -> None:
    """Signals begin and end, engagement changes, and quality is scored, as in a session, in the order of time."""
    analysis = an_analysis(options)
    assert analysis.malformed == ()
    events = late_events(analysis, ORIGIN)
    kinds = [event.type for event in events]
    assert kinds.count("signal.detected") == kinds.count("signal.ended") == len(analysis.signals) > 0
    assert kinds.count("conversation_quality.updated") == 1
    assert ("feedback.generated" in kinds) == (options is V1)
    levels = [event.data["state"] for event in events if event.type == "engagement.updated"]
    assert len(levels) > 1
    assert all(earlier != later for earlier, later in pairwise(levels))
    instants = [event.end_at or event.start_at for event in events if event.type.startswith(("signal.", "engagement."))]
    assert instants == sorted(instants, key=lambda at: at or BEGIN)
    open_signals: set[str] = set()
    for event in events:  # a signal ends before another one of its type begins
        if event.type == "signal.detected":
            assert event.data["signal_type"] not in open_signals
            open_signals.add(event.data["signal_type"])
        elif event.type == "signal.ended":
            open_signals.remove(event.data["signal_type"])
    assert open_signals == set()


def test_events_are_late_and_of_an_upload() -> None:
    """Each is marked and dated by when the recording began; a repeat has the same ids, which are all different."""
    events = late_events(an_analysis(V2), ORIGIN)
    assert {(event.late, event.origin, event.replayed) for event in events} == {(True, Origin.UPLOAD, False)}
    assert [event.id for event in events] == [f"lobby-1/front/3f1c2b7a/{n}" for n in range(1, len(events) + 1)]
    assert events == late_events(an_analysis(V2), ORIGIN)
    detected = next(event for event in events if event.type == "signal.detected")
    assert detected.start_at == BEGIN + timedelta(seconds=detected.data["start"])
    assert {"signal_type", "start", "probability", "rationale"} == set(detected.data)


def test_what_must_not_leave_the_box_does_not() -> None:
    """Fields that are redacted of the stream's events are redacted here too, and so is a secret."""
    redaction.register_secret("a-very-secret-key")
    analysis = msgspec.structs.replace(an_analysis(V1), feedback="your key is a-very-secret-key")
    events = late_events(analysis, ORIGIN._replace(redact=frozenset({"rationale"})))
    text = msgspec.json.encode(events)
    assert b"rationale" not in text
    assert b"a-very-secret-key" not in text
    assert event_mapper.redacted({"rationale": 1}, frozenset({"rationale"})) == {}


def test_a_level_that_goes_on_in_the_next_part_is_no_change() -> None:
    """Of a recording in parts the level is compared over the cut."""
    analysis = Analysis(engagement=(EngagementSpan("engaged", 0, 5), EngagementSpan("neutral", 5, 10)))
    first = [event.data["state"] for event in late_events(analysis, ORIGIN)]
    assert first == ["engaged", "neutral"]
    second = late_events(analysis, ORIGIN._replace(level_before="engaged"))
    assert [event.data["state"] for event in second] == ["neutral"]
    assert level_after(analysis, None) == "neutral"
    assert level_after(Analysis(), "engaged") == "engaged"


def test_entries_that_are_not_as_documented_cost_no_other() -> None:
    """One entry that cannot be used is left out and named; the rest becomes events."""
    result = {
        "windows": [
            {"start_seconds": 0, "end_seconds": 5, "engagement_status": "engaged"},
            {"start_seconds": 5, "end_seconds": "ten", "engagement_status": "engaged"},
            7,
        ],
        "signals": [
            {"type": "interest", "start": 3, "end": 1},
            {"type": "interest", "start": 0, "end": 5, "news": {"a": 1}},
        ],
        "conversation_quality": {"overall": 5, "timeline": [{"start": 0, "end": 5, "values": {}}, None]},
    }
    job = parse_job(msgspec.json.encode({"job_id": "a", "status": "completed", "result": result}))
    assert job.analysis is not None
    assert [span.state for span in job.analysis.engagement] == ["engaged"]
    assert [span.data for span in job.analysis.signals] == [{"news": {"a": 1}}]
    assert job.analysis.malformed == (
        "windows[1]: not as documented",
        "windows[2]: a JSON int where an object belongs",
        "overall: not as documented",
        "signals[0]: not as documented",
        "timeline[1]: a JSON NoneType where an object belongs",
    )
    assert [event.type for event in late_events(job.analysis, ORIGIN)][-1] == "conversation_quality.updated"


def test_times_beyond_the_calendar_have_no_date() -> None:
    """A recording that is dated at the end of the calendar is published without the dates that there are not."""
    origin = ORIGIN._replace(start_at=datetime.max.replace(tzinfo=UTC))
    assert {event.start_at for event in late_events(an_analysis(V2), origin)} <= {None, origin.start_at}
