"""Events and states become topics and payloads, whatever the cloud says."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from interhuman2mqtt.errors import Reason
from interhuman2mqtt.events import CameraStatus, Origin, Range, State
from interhuman2mqtt.publish.message import Message, MessageKind
from interhuman2mqtt.publish.payloads import BridgeHealth, BridgeInfo, BridgeStatus
from interhuman2mqtt.publish.publisher import CameraTopics
from interhuman2mqtt.publish.topics import EXPIRY_MAX, LEVEL_MAX, Topics, level, mark_late
from publish.helpers import NO_BUDGETS, NOON, an_event, at

TOPICS = Topics("interhuman", "lobby-1", 3600.0)

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
documents = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=12
)
data = st.dictionaries(st.text() | st.sampled_from(["late", "start", "end", "signal_type", "state"]), documents)
types = st.text() | st.sampled_from(
    ["signal.detected", "signal.updated", "signal.ended", "engagement.updated", "conversation_quality.updated", "a/+/#"]
)


def test_an_event_is_published_as_the_contract_shows() -> None:
    """An event's topic, payload and properties are those of the contract, key by key."""
    data = {"signal_type": "hesitation", "start": 24.0, "probability": "medium", "rationale": "..."}
    message = TOPICS.event(an_event("signal.detected", data, start_at=at(-9.25)))
    assert message.topic == "interhuman/lobby-1/front/event/signal.detected"
    assert (message.kind, message.retain, message.camera, message.expiry) == (MessageKind.EVENT, False, "front", 3600)
    assert message.properties == (("schema", "1"), ("type", "signal.detected"), ("id", "lobby-1/front/7c1e/1"))
    assert json.loads(message.payload) == {
        "schema": 1,
        "id": "lobby-1/front/7c1e/1",
        "box": "lobby-1",
        "camera": "front",
        "type": "signal.detected",
        "session": "7c1e",
        "correlation_id": "550e",
        "timestamp": "2026-11-22T12:00:00.000000Z",
        "received_at": "2026-11-22T12:00:00Z",
        "start_at": "2026-11-22T11:59:50.750000Z",
        "end_at": None,
        "clock": "synced",
        "replayed": False,
        "late": False,
        "origin": "stream",
        "data": data,
    }


def test_ranges_and_an_older_dialects_original_go_along() -> None:
    """`ranges_at`, `synthetic` and `raw` are in the payload where an event has them, and only there."""
    event = an_event("coverage.gap", ranges_at=(Range(NOON, None),), synthetic=True, raw={"signals": []})
    payload = json.loads(TOPICS.event(event).payload)
    assert payload["ranges_at"] == [{"start_at": "2026-11-22T12:00:00Z", "end_at": None}]
    assert (payload["synthetic"], payload["raw"]) == (True, {"signals": []})
    assert not {"ranges_at", "synthetic", "raw"} & set(json.loads(TOPICS.event(an_event()).payload))


@given(types, data)
def test_what_comes_of_a_recording_never_acts(type_: str, data: dict[str, Any]) -> None:
    """An event of an upload is published on `late/<type>` alone, and changes no state, then or later."""
    camera = CameraTopics(TOPICS, "front")
    (message,) = camera.messages(structs.replace(an_event(type_, data), origin=Origin.UPLOAD, late=True))
    assert_publishable(message)
    assert message.topic.rpartition("/")[0] == "interhuman/lobby-1/front/late"
    assert json.loads(message.payload)["origin"] == "upload"
    assert camera.messages(an_event()) == CameraTopics(TOPICS, "front").messages(an_event())


@given(types, data)
def test_any_event_has_a_topic_and_keeps_its_words(type_: str, data: dict[str, Any]) -> None:
    """Whatever type and data the cloud invents, the topic is a safe one and the payload holds both unchanged."""
    message = TOPICS.event(an_event(type_, data))
    assert_publishable(message)
    assert message.topic.count("/") == 4
    payload = json.loads(message.payload)
    assert (payload["type"], payload["data"]) == (type_, data)


@given(st.lists(st.tuples(types, data), max_size=6))
def test_any_sequence_of_events_has_states(events: list[tuple[str, dict[str, Any]]]) -> None:
    """Whatever the events say, each yields itself and at least the last event, all publishable and valid JSON."""
    camera = CameraTopics(TOPICS, "front")
    for type_, data in events:
        event = an_event(type_, data)
        first, *states = camera.messages(event)
        assert structs.replace(first, active=None) == TOPICS.event(event)
        assert states[-1].topic == "interhuman/lobby-1/front/state/last_event"
        for message in states:
            assert_publishable(message)
            assert (message.kind, message.retain) == (MessageKind.STATE, True)
            json.loads(message.payload)


def assert_publishable(message: Message) -> None:
    """MQTT takes it: 4.7 on topic names, 1.5.4 on strings."""
    assert not set(message.topic) & set("+#\0 ")
    assert all(level for level in message.topic.split("/"))
    assert len(message.topic) < 200
    for text in (message.topic, *(value for pair in message.properties for value in pair)):
        assert text.isascii()
        assert text.isprintable()


@given(st.text())
def test_a_level_is_safe_and_stable(name: str) -> None:
    """A level is short and made of letters, digits and `._-`; such a name passes unchanged."""
    safe = level(name)
    assert 0 < len(safe) <= LEVEL_MAX
    assert level(safe) == safe


@pytest.mark.parametrize(
    ("name", "expected"),
    [("signal.detected", "signal.detected"), ("", "_"), ("a/b", "a_b"), ("+", "_"), ("#", "_"), ("\0 é", "___")],
)
def test_a_level_replaces_what_mqtt_forbids(name: str, expected: str) -> None:
    """Each forbidden character becomes an underscore, and nothing becomes one."""
    assert level(name) == expected


@given(types, data)
def test_late_is_marked_in_the_payload_and_nowhere_else(type_: str, data: dict[str, Any]) -> None:
    """Marking a payload as late changes that one value, whatever the data holds."""
    payload = TOPICS.event(an_event(type_, data)).payload
    assert json.loads(mark_late(payload)) == {**json.loads(payload), "late": True}


def test_an_expiry_fits_into_mqtt() -> None:
    """An outbox that keeps events for ever gives them the longest expiry that four bytes can say."""
    assert Topics("interhuman", "lobby-1", 1e12).event(an_event()).expiry == EXPIRY_MAX
    assert Topics("interhuman", "lobby-1", 0.2).event(an_event()).expiry == 1


def test_a_status_is_retained_on_the_cameras_topic() -> None:
    """A camera's status is its struct as JSON, retained, with no expiry."""
    status = CameraStatus(
        camera="front", state=State.OFFLINE, reason=Reason.UNREACHABLE, detail="no answer", since=NOON, attempts=3
    )
    message = TOPICS.status(status)
    assert (message.topic, message.kind, message.retain) == ("interhuman/lobby-1/front/status", MessageKind.STATE, True)
    assert (message.camera, message.expiry) == ("front", None)
    payload = json.loads(message.payload)
    assert msgspec.convert(payload, CameraStatus) == status
    assert (payload["state"], payload["reason"]) == ("offline", "unreachable")


def test_the_bridges_own_topics() -> None:
    """The bridge's state, info and health are retained under `bridge`."""
    state = TOPICS.bridge_state(BridgeStatus.OFFLINE, "boot-1", None)
    assert (state.topic, state.retain) == ("interhuman/lobby-1/bridge/state", True)
    assert json.loads(state.payload) == {"state": "offline", "boot_id": "boot-1", "since": None}
    info = TOPICS.bridge_info(
        BridgeInfo(
            version="1", boot_id="boot-1", config_hash="abc", files_hash="def", config={"box": {}}, cameras=("front",)
        )
    )
    assert (info.topic, json.loads(info.payload)["cameras"]) == ("interhuman/lobby-1/bridge/info", ["front"])
    health = TOPICS.bridge_health(
        BridgeHealth(
            at=NOON,
            uptime=1.5,
            outbox_rows=1,
            outbox_bytes=2,
            outbox_age=3.0,
            dropped={"too_large": 1},
            tasks=9,
            requests={"obeyed": 5},
            budgets=NO_BUDGETS,
            states={},
            cameras={"front": {"chunks": 4}},
        )
    )
    assert (health.topic, health.retain) == ("interhuman/lobby-1/bridge/health", True)
    assert json.loads(health.payload)["cameras"] == {"front": {"chunks": 4}}
    assert json.loads(health.payload)["requests"] == {"obeyed": 5}


def test_clearing_a_camera_empties_all_its_states() -> None:
    """After clearing, each state topic has an empty retained payload, and no signal is remembered as active."""
    camera = CameraTopics(TOPICS, "front")
    seen = {
        message.topic
        for type_ in ("engagement.updated", "signal.detected", "conversation_quality.updated")
        for message in camera.messages(an_event(type_, {"signal_type": "stress", "state": "engaged", "overall": {}}))
        if message.retain
    }
    cleared = camera.clear()
    assert {message.topic for message in cleared} == seen
    assert all(message.payload == b"" and message.retain and message.kind is MessageKind.STATE for message in cleared)
    _, signals, _ = camera.messages(an_event("signal.ended", {"signal_type": "interest"}))
    assert json.loads(signals.payload)["signals"] == {}


def test_a_camera_that_is_gone_leaves_no_retained_topic() -> None:
    """Clearing a camera empties its status and all its states."""
    cleared = TOPICS.clear_camera("front")
    assert cleared == (cleared[0], *TOPICS.clear_state("front"))
    assert (cleared[0].topic, cleared[0].payload, cleared[0].retain) == ("interhuman/lobby-1/front/status", b"", True)
