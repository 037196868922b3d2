"""A camera's states are folded from its events."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interhuman2mqtt.events import ACTIVE_MAX, Event
from interhuman2mqtt.publish.payloads import NAMES, Active, Signal, derive, fold_signals
from publish.helpers import NOON, an_event, at


def signal_event(word: str, name: str = "stress", *, session: str = "7c1e", after: float = 0.0, **data: Any) -> Event:
    return an_event(
        f"signal.{word}",
        {"signal_type": name, **data},
        session=session,
        start_at=at(after),
        received_at=at(after + 1),
    )


def fold(*events: Event) -> Active:
    active: Active = {}
    for event in events:
        active = fold_signals(active, event)
    return active


def test_a_session_begins_with_what_is_active() -> None:
    """With `session.ready` it is known which signals are active: none, where none was left."""
    changed = derive({}, an_event("session.ready"))
    assert set(changed) == {"signals", "last_event"}
    assert json.loads(msgspec.json.encode(changed["signals"]))["count"] == 0


def test_a_detected_signal_is_active_since_its_start() -> None:
    """A detected signal is active from the event's absolute start, with the cloud's own words."""
    active = fold(signal_event("detected", probability="high", rationale="why", modality=["video"]))
    assert active == {
        "stress": Signal(
            since=NOON, updated_at=at(1), session="7c1e", probability="high", rationale="why", modality=["video"]
        )
    }


def test_a_signal_without_a_start_is_active_since_it_was_received() -> None:
    """Where the event has no absolute start, the moment of its arrival stands in."""
    assert fold(an_event("signal.detected", {"signal_type": "stress"}))["stress"].since == NOON


def test_a_redacted_rationale_does_not_come_back() -> None:
    """A rationale that is not in the newest event is not in the state, nor is its key."""
    active = fold(signal_event("detected", rationale="private"), signal_event("updated", probability="low"))
    assert set(json.loads(msgspec.json.encode(active))["stress"]) == {"since", "updated_at", "session", "probability"}


def test_an_update_keeps_the_beginning() -> None:
    """An update changes the probability and not the beginning, whatever start it names."""
    active = fold(signal_event("detected", probability="low"), signal_event("updated", after=5, probability="high"))
    assert (active["stress"].since, active["stress"].updated_at) == (NOON, at(6))
    assert active["stress"].probability == "high"


def test_an_update_of_an_unknown_signal_begins_it() -> None:
    """An update whose detection was missed makes the signal active."""
    assert fold(signal_event("updated", after=5))["stress"].since == at(5)


def test_a_second_detection_begins_anew() -> None:
    """A signal detected again without an end between starts at its new beginning."""
    assert fold(signal_event("detected"), signal_event("detected", after=5))["stress"].since == at(5)


def test_an_ended_signal_is_active_no_more() -> None:
    """An end removes its own signal and leaves the others."""
    active = fold(signal_event("detected"), signal_event("detected", "interest"), signal_event("ended", end=3.0))
    assert list(active) == ["interest"]


def test_a_detection_with_its_end_was_never_active() -> None:
    """The interval dialect, where detection and end come at once, leaves nothing active."""
    assert fold(signal_event("detected", end=3.0)) == {}
    assert fold(signal_event("detected"), signal_event("detected", end=3.0)) == {}


def test_the_end_of_an_older_session_does_not_end_a_newer_ones_signal() -> None:
    """A late end of session A leaves the signal of session B, of the same type, active."""
    active = fold(
        signal_event("detected", session="A"),
        signal_event("updated", session="B", after=9),
        signal_event("ended", session="A"),
    )
    assert (active["stress"].session, active["stress"].since) == ("B", at(9))


def test_too_many_signals_push_out_the_oldest() -> None:
    """A cloud that never ends its signals cannot fill the memory: the oldest go."""
    active = fold(*(signal_event("detected", f"s{n}") for n in range(ACTIVE_MAX + 3)))
    assert list(active) == [f"s{n}" for n in range(3, ACTIVE_MAX + 3)]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["detected", "updated", "ended"]), st.sampled_from("abc"), st.sampled_from(["s1", "s2"])
        )
    )
)
def test_the_fold_agrees_with_the_last_word(history: list[tuple[str, str, str]]) -> None:
    """A signal is active exactly if the last event that concerns it, ends of other sessions aside, is not an end."""
    owner: dict[str, str] = {}
    for word, name, session in history:
        if word != "ended":
            owner[name] = session
        elif owner.get(name) == session:
            del owner[name]
    active = fold(*(signal_event(word, name, session=session) for word, name, session in history))
    assert {name: signal.session for name, signal in active.items()} == owner


def test_events_that_are_no_signals_leave_the_fold_alone() -> None:
    """Another type, a missing or an odd `signal_type`: the same fold comes back."""
    active = fold(signal_event("detected"))
    for event in (
        an_event("signal.detected", {"signal_type": 7}),
        an_event("signal.detected"),
        an_event("signal.invented", {"signal_type": "stress"}),
    ):
        assert fold_signals(active, event) is active


def test_engagement_is_the_newest_level() -> None:
    """`state/engagement` holds the cloud's word and since when."""
    event = an_event("engagement.updated", {"state": "engaged", "start": 16.0}, start_at=at(-2))
    changed = derive({}, event)
    assert list(changed) == ["engagement", "last_event"]
    assert json.loads(msgspec.json.encode(changed["engagement"])) == {
        "schema": 1,
        "id": "lobby-1/front/7c1e/1",
        "box": "lobby-1",
        "camera": "front",
        "session": "7c1e",
        "at": "2026-11-22T12:00:00Z",
        "state": "engaged",
        "since": "2026-11-22T11:59:58Z",
    }


def test_quality_is_the_newest_scores() -> None:
    """`state/conversation_quality` holds both parts as the event has them, null where it has not."""
    changed = derive({}, an_event("conversation_quality.updated", {"overall": {"quality_index": 61.2}}, end_at=at(0)))
    payload = json.loads(msgspec.json.encode(changed["conversation_quality"]))
    assert (payload["overall"], payload["timeline"]) == ({"quality_index": 61.2}, None)
    assert (payload["start_at"], payload["end_at"]) == (None, "2026-11-22T12:00:00Z")


def test_signals_are_published_by_type_with_their_number() -> None:
    """`state/signals` holds the fold by type, and its size."""
    event = signal_event("detected", probability="high")
    payload = json.loads(msgspec.json.encode(derive(fold(event), event)["signals"]))
    assert (payload["count"], payload["signals"]["stress"]["probability"]) == (1, "high")


def test_every_state_has_a_known_name() -> None:
    """What an event can change is listed in NAMES, so that clearing misses nothing."""
    types = ("engagement.updated", "signal.detected", "conversation_quality.updated", "anything")
    data = {"state": "engaged", "overall": {}}
    assert {name for type_ in types for name in derive({}, an_event(type_, data))} == set(NAMES)


@pytest.mark.parametrize("data", [{}, {"overall": None, "timeline": None}, {"overall": 50, "state": 7}])
def test_an_update_without_any_score_wipes_none(data: dict[str, Any]) -> None:
    """What says nothing that a state could hold leaves the state before it as it is."""
    for type_ in ("conversation_quality.updated", "engagement.updated"):
        assert set(derive({}, an_event(type_, data))) == {"last_event"}
