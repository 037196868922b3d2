"""Messages to events: ids, times, what is active, what must not leave the box."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, structs

from cloud.played import CORRELATION, EPOCH, SESSION, SOURCE_S, chunk, envelope, frame, interpreter
from interhuman2mqtt.cloud.event_mapper import EventMapper
from interhuman2mqtt.cloud.protocol import ServerMessage, parse
from interhuman2mqtt.events import ACTIVE_MAX, Clock, Event, Range
from support.clocks import Clocks


def after(seconds: float) -> datetime:
    return EPOCH + timedelta(seconds=seconds)


def now(seconds: float) -> Clocks:
    """The clocks of a box that was started at EPOCH, so much later."""
    clocks = Clocks(EPOCH)
    clocks.run(seconds)
    return clocks


def started(clocks: Clocks | None = None, **options: Any) -> EventMapper:
    """An interpreter of a session to which ten seconds of media were sent."""
    ours = interpreter(clocks, **options)
    for number in range(5):
        ours.sending(chunk(number))
        ours.sent(chunk(number))
    return ours


def interpret(ours: EventMapper, text: str) -> list[Event]:
    return [event for message in parse(text) if isinstance(message, ServerMessage) for event in ours.interpret(message)]


def feed(ours: EventMapper, kind: str, **data: Any) -> list[Event]:
    return interpret(ours, frame(kind, data))


def test_an_event_says_everything() -> None:
    """Box, camera, session, both times of the cloud, the absolute one, and the clock that it was made by."""
    ours = started(now(12))
    [event] = feed(ours, "signal.detected", signal_type="hesitation", start=3.12, probability="medium", rationale="r")
    assert event == Event(
        id=f"lobby-1/front/{SESSION}/1",
        box="lobby-1",
        camera="front",
        type="signal.detected",
        session=SESSION,
        correlation_id=CORRELATION,
        timestamp="2026-11-22T10:00:12.345678Z",
        received_at=after(12),
        start_at=after(3.12),
        end_at=None,
        clock=Clock.SYNCED,
        data={"signal_type": "hesitation", "start": 3.12, "probability": "medium", "rationale": "r"},
    )
    assert event.synthetic is UNSET


def test_the_life_of_a_signal() -> None:
    """The onset of the first detection stays the start of the signal; an update's own start stays in its data."""
    ours = started()
    [_] = feed(ours, "signal.detected", signal_type="stress", start=2.0)
    [updated] = feed(ours, "signal.updated", signal_type="stress", start=4.0, probability="high")
    [ended] = feed(ours, "signal.ended", signal_type="stress", end=6.0)
    assert (updated.start_at, updated.data["start"]) == (after(2), 4.0)
    assert (ended.start_at, ended.end_at) == (after(2), after(6))
    assert ours.end() == ()


def test_signals_whose_beginning_was_missed() -> None:
    """An update without a detection opens the signal, an end without one has no start."""
    ours = started()
    [updated] = feed(ours, "signal.updated", signal_type="stress", start=4.0)
    assert updated.start_at == after(4)
    [synthetic] = ours.end()
    assert synthetic.start_at == after(4)
    [ended] = feed(ours, "signal.ended", signal_type="interest", end=6.0)
    assert (ended.start_at, ended.end_at) == (None, after(6))


def test_what_a_session_leaves_open_is_closed() -> None:
    """Each active signal gets one end, at the end of the media that was sent, and is marked as ours."""
    ours = started(now(15))
    feed(ours, "signal.detected", signal_type="stress", start=2.0)
    feed(ours, "signal.detected", signal_type="interest", start=30.0)
    ours.sending(chunk(5))  # on its way when the connection broke
    stress, interest = ours.end()
    assert (stress.type, stress.synthetic, stress.timestamp) == ("signal.ended", True, None)
    assert (stress.correlation_id, stress.received_at) == (CORRELATION, after(15))
    assert (stress.start_at, stress.end_at) == (after(2), after(10))
    assert stress.data == {"signal_type": "stress", "end": 10.0}
    assert interest.data == {"signal_type": "interest", "end": 30.0}
    assert stress.id.endswith("/3")
    assert ours.end() == ()


def test_a_signal_that_is_detected_twice() -> None:
    """The first is closed at the start of the second, and counted."""
    ours = started()
    feed(ours, "signal.detected", signal_type="stress", start=2.0)
    ended, detected = feed(ours, "signal.detected", signal_type="stress", start=5.0)
    assert (ended.type, ended.synthetic, ended.start_at, ended.end_at) == ("signal.ended", True, after(2), after(5))
    assert (detected.type, detected.start_at) == ("signal.detected", after(5))
    assert ours.overlaps == 1
    assert [event.start_at for event in ours.end()] == [after(5)]


@pytest.mark.parametrize("kind", ["signal.detected", "signal.updated"])
def test_more_signals_than_there_can_be(kind: str) -> None:
    """Of types that the cloud makes up only so many are held as active: the oldest is ended, each exactly once."""
    ours = started()
    events = [event for n in range(1000) for event in feed(ours, kind, signal_type=f"type {n}", start=n / 100)]
    at_the_end = ours.end()
    assert len(at_the_end) == ACTIVE_MAX
    ends = [event for event in (*events, *at_the_end) if event.type == "signal.ended"]
    assert [event.data["signal_type"] for event in ends] == [f"type {n}" for n in range(1000)]
    assert {event.synthetic for event in ends} == {True}


def test_a_second_detection_that_starts_earlier() -> None:
    """An end never lies before its start."""
    ours = started()
    feed(ours, "signal.detected", signal_type="stress", start=5.0)
    ended, _ = feed(ours, "signal.detected", signal_type="stress", start=2.0)
    assert (ended.start_at, ended.end_at) == (after(5), after(5))


def test_older_dialects_leave_nothing_open() -> None:
    """Signals that came as intervals are closed as they come, with the original under raw."""
    ours = started()
    entry = {"type": "stress", "start": 1.0, "end": 4.0}
    detected, ended = interpret(ours, frame("signal.detected", {"signals": [entry]}))
    assert (detected.start_at, detected.end_at) == (after(1), None)
    assert (ended.start_at, ended.end_at) == (after(1), after(4))
    assert detected.raw == ended.raw == envelope("signal.detected", {"signals": [entry]})
    assert ours.end() == ()


def test_coverage_carries_its_ranges_in_utc() -> None:
    """Ranges are dated one by one; the event spans them all."""
    ranges = [{"start": 1.0, "end": 2.0}, {"start": 4.0, "end": 8.0}]
    [event] = feed(started(), "coverage.dropped", ranges=ranges)
    assert event.ranges_at == (Range(after(1), after(2)), Range(after(4), after(8)))
    assert (event.start_at, event.end_at) == (after(1), after(8))
    assert event.data == {"ranges": ranges}


def test_quality_is_dated_by_its_timeline() -> None:
    """The period of a quality's timeline is the event's; the cumulative scores alone have none."""
    ours = started()
    [timed] = feed(ours, "conversation_quality.updated", timeline=[{"start": 3, "end": 8, "values": {}}])
    assert (timed.start_at, timed.end_at, timed.ranges_at) == (after(3), after(8), UNSET)
    [overall] = feed(ours, "conversation_quality.updated", overall={"clarity": 50})
    assert (overall.start_at, overall.end_at) == (None, None)


def test_errors_and_the_sessions_own_messages_are_events() -> None:
    """All that the cloud says is an event, with a number of its own."""
    ours = interpreter()
    kinds = ["session.ready", "session.updated", "error", "mood.changed", "session.ended"]
    events = [event for kind in kinds for event in feed(ours, kind)]
    assert [event.type for event in events] == kinds
    assert [event.id.rpartition("/")[2] for event in events] == ["1", "2", "3", "4", "5"]


def test_nothing_can_be_dated_before_media_was_sent() -> None:
    """Without media there is no absolute time, and no error."""
    [event] = feed(interpreter(), "engagement.updated", state="neutral", start=1.0)
    assert event.start_at is None
    [coverage] = feed(interpreter(), "coverage.dropped", ranges=[{"start": 0.0, "end": 1.0}])
    assert coverage.ranges_at is UNSET


def test_replayed_media() -> None:
    """An event that starts in media that an earlier session was sent too says so."""
    ours = started(sent_before=SOURCE_S + 4)
    assert [
        feed(ours, "engagement.updated", state="neutral", start=start)[0].replayed
        for start in (0.0, 3.9, 3.9995, 4.0, 9.0)
    ] == [True, True, False, False, False]
    [undated] = feed(ours, "feedback.generated", feedback="x")
    assert undated.replayed is False


def test_replayed_ranges_and_signals() -> None:
    """What counts is where the event starts: its first range, or the onset of the signal that it ends."""
    ours = started(sent_before=SOURCE_S + 4)
    feed(ours, "signal.detected", signal_type="stress", start=3.0)
    feed(ours, "signal.detected", signal_type="calm", start=5.0)
    assert feed(ours, "signal.ended", signal_type="stress", end=8.0)[0].replayed is True
    assert feed(ours, "signal.ended", signal_type="calm", end=8.0)[0].replayed is False
    assert feed(ours, "coverage.dropped", ranges=[{"start": 6, "end": 7}, {"start": 3, "end": 4}])[0].replayed is True
    assert feed(ours, "conversation_quality.updated", timeline=[{"start": 4, "end": 6}])[0].replayed is False


def test_media_that_was_never_sent_before_is_not_replayed() -> None:
    """A recording that begins exactly where the one before ended repeats nothing, whatever its UTC says."""
    ours = started(sent_before=SOURCE_S)
    assert feed(ours, "engagement.updated", state="neutral", start=0.0)[0].replayed is False


def test_replayed_media_of_standalone_files() -> None:
    """Where the media clock leaves out the time between two files, it is still the source's timeline that decides."""
    ours = interpreter(sent_before=SOURCE_S + 7)
    ours.sending(chunk(0))
    ours.sending(structs.replace(chunk(1), source_start=SOURCE_S + 6, source_end=SOURCE_S + 8))
    assert [
        feed(ours, "engagement.updated", state="neutral", start=start)[0].replayed for start in (1.9, 2.9, 3.0, 3.5)
    ] == [True, True, False, False]


def test_the_correlation_id_of_the_session_fills_in() -> None:
    """A message without a correlation id has the session's."""
    ours = interpreter()
    [bare] = interpret(ours, '{"type":"session.ready","data":{}}')
    assert bare.correlation_id is None
    feed(ours, "session.updated")
    [filled] = interpret(ours, '{"type":"session.ended","data":{}}')
    assert filled.correlation_id == CORRELATION


def test_redaction() -> None:
    """Named fields are gone at any depth, in data and in raw, in every dialect."""
    ours = started(redact=frozenset({"rationale", "values"}))
    texts = [
        frame("signal.detected", {"signal_type": "stress", "start": 1.0, "rationale": "SECRET"}),
        frame("signal.updated", {"signal_type": "stress", "start": 1.0, "deep": [{"rationale": {"a": "SECRET"}}]}),
        frame("signal.detected", {"signals": [{"type": "interest", "start": 1, "end": 2, "rationale": "SECRET"}]}),
        frame("signal.detected", {"signal_type": "stress", "start": 1, "end": 2, "rationale": "SECRET"}),
        frame("conversation_quality.updated", {"timeline": [{"start": 1, "end": 2, "values": {"a": "SECRET"}}]}),
        '{"status":"result","signals":[{"type":"Calm","start":1,"end":2,"rationale":"SECRET"}]}',
        '{"type":"mood.changed","rationale":"SECRET","data":{}}',
    ]
    events = [event for text in texts for event in interpret(ours, text)]
    assert len(events) >= len(texts)
    assert b"SECRET" not in msgspec.json.encode(events)
    assert all(event.data or event.raw for event in events)


def test_the_clock_is_asked_for_each_event() -> None:
    """The clock may become good, or bad, in the course of a session."""
    clocks = Clocks(EPOCH, synced=False)
    ours = interpreter(clocks)
    assert feed(ours, "session.ready")[0].clock is Clock.UNKNOWN
    clocks.synced = True
    assert feed(ours, "session.ended")[0].clock is Clock.SYNCED


@pytest.mark.parametrize("by", [20 * 86400.0, 3600.0, -3600.0, 57 * 365 * 86400.0], ids=["20 d", "1 h", "-1 h", "57 y"])
def test_a_clock_that_is_set_while_a_session_runs(by: float) -> None:
    """What is reported after the clock was set is dated by the new one at once, and lies where it lay in the media."""
    clocks = now(12)
    ours = started(clocks)
    [detected] = feed(ours, "signal.detected", signal_type="stress", start=2.0)
    clocks.step(by)
    clocks.run(0.5)
    [ended] = feed(ours, "signal.ended", signal_type="stress", end=6.0)
    assert detected.start_at == after(2)
    assert (ended.start_at, ended.end_at, ended.received_at) == (after(by + 2), after(by + 6), after(by + 12.5))


def test_a_clock_that_was_never_set_is_not_to_be_trusted() -> None:
    """Whatever the kernel says of it: a box that thinks it is 1970 knows no time."""
    clocks = Clocks(datetime(1970, 1, 1, 0, 5, tzinfo=UTC))
    ours = interpreter(clocks)
    assert feed(ours, "session.ready")[0].clock is Clock.UNKNOWN
    clocks.step(1_800_000_000)
    assert feed(ours, "session.ended")[0].clock is Clock.SYNCED


def test_media_on_both_sides_of_a_suspension() -> None:
    """The captures' clock stands still while the machine sleeps, and dates do not."""
    clocks = now(6)
    ours = started(clocks)
    feed(ours, "session.ready")  # the clocks are looked at before
    clocks.suspend(600)
    clocks.run(6)
    [event] = feed(ours, "coverage.dropped", ranges=[{"start": 4.0, "end": 5.0}, {"start": 7.0, "end": 8.0}])
    assert event.ranges_at == (Range(after(4), after(5)), Range(after(607), after(608)))


@pytest.mark.parametrize("start", [1e300, -1e300, 1e12, 10**400])
def test_times_beyond_the_calendar(start: float) -> None:
    """A time that no calendar holds is no time, and no error."""
    assert feed(started(), "mood.changed", start=start)[0].start_at is None
    [event] = feed(started(), "coverage.dropped", ranges=[{"start": 1, "end": start}, {"start": 1, "end": 2}])
    assert event.end_at is not None


types = st.sampled_from(["stress", "interest", "calm"])
times = st.floats(-10, 100)
lives = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["signal.detected", "signal.updated"]), types, times),
        st.tuples(st.just("signal.ended"), types, times),
        st.tuples(st.just("engagement.updated"), types, times),
    ),
    max_size=30,
)


@given(lives)
def test_no_consumer_is_left_with_an_active_signal(life: list[tuple[str, str, float]]) -> None:
    """Whatever order signals come in: at the end none is active, ids count without a hole, and no end is lost."""
    ours = started()
    events: list[Event] = []
    for kind, signal_type, time in life:
        at = {"end": time} if kind == "signal.ended" else {"start": time}
        events += feed(ours, kind, signal_type=signal_type, state=signal_type, **at)
    events += ours.end()
    active: set[str] = set()
    for event in events:
        if event.type in ("signal.detected", "signal.updated"):
            active.add(event.data["signal_type"])
        elif event.type == "signal.ended":
            active.discard(event.data["signal_type"])
    assert active == set()
    assert [int(event.id.rpartition("/")[2]) for event in events] == list(range(1, len(events) + 1))
    assert all(
        event.start_at <= event.end_at
        for event in events
        if event.synthetic is True and event.start_at and event.end_at
    )


words = st.sampled_from(["start", "end", "ranges", "timeline", "signal_type", "deep"])
anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.just(10**400)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=4),
    max_leaves=10,
)


@given(st.sampled_from(["mood.changed", "coverage.dropped", "signal.detected", "session.ready"]), anything)
def test_no_message_breaks_the_interpreter(kind: str, data: object) -> None:
    """What the parser lets pass, known or unknown, becomes an event that can be published."""
    for event in interpret(started(redact=frozenset({"deep"})), json.dumps({"type": kind, "data": data})):
        msgspec.json.encode(event)
