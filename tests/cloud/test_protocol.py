"""Frames of the cloud to messages, in every dialect that it speaks or spoke, and whatever else may come."""

import json
from typing import Any

import pytest
from interhumanai.stream import UnknownEvent, parse_stream_event

from cloud.played import envelope
from interhuman2mqtt.cloud.protocol import MAX_DEPTH, Malformed, ServerMessage, parse

DOCUMENTED: list[tuple[str, dict[str, Any]]] = [
    (
        "session.ready",
        {
            "session_idle_timeout_seconds": 300,
            "session_max_duration_seconds": 3600,
            "max_segment_duration_seconds": None,
            "min_segment_size_bytes": 1,
            "max_segment_size_bytes": 33554432,
            "supported_session_config_options": {
                "include": ["conversation_quality_overall", "conversation_quality_timeline"],
                "goal_dimensions": None,
                "model": ["inter-2", "inter-2-audio"],
            },
        },
    ),
    ("session.updated", {"include": ["conversation_quality_overall"], "goal_dimensions": None, "model": "inter-2"}),
    ("signal.detected", {"signal_type": "hesitation", "start": 24.0, "probability": "medium", "rationale": "A pause."}),
    ("signal.detected", {"signal_type": "stress", "start": 3, "modality": ["video"]}),
    ("signal.detected", {"signal_type": "stress", "start": 3, "probability": None, "rationale": None}),
    ("signal.updated", {"signal_type": "hesitation", "start": 24.0, "probability": "high", "rationale": "Restarts."}),
    ("signal.ended", {"signal_type": "hesitation", "end": 33.0}),
    ("engagement.updated", {"state": "neutral", "start": 16.0}),
    (
        "conversation_quality.updated",
        {
            "overall": {
                "quality_index": 61.2,
                "clarity": 60,
                "authority": 58,
                "energy": 66,
                "rapport": 63,
                "learning": 59,
            },
            "timeline": [
                {
                    "start": 11,
                    "end": 22,
                    "values": {
                        "quality_index": 57,
                        "clarity": 55,
                        "authority": 50,
                        "energy": 63,
                        "rapport": 60,
                        "learning": 57,
                    },
                }
            ],
        },
    ),
    ("conversation_quality.updated", {"overall": None}),
    ("feedback.generated", {"feedback": "Slow down and restate the key point."}),
    ("coverage.dropped", {"ranges": [{"start": 40.0, "end": 48.0}]}),
    ("coverage.degraded", {"ranges": [{"start": 48.0, "end": 56.0}], "reason": "video_gap"}),
    ("session.closing", {"max_drain_seconds": 30}),
    ("session.ended", {"reason": "client_shutdown"}),
    ("error", {"code": "ih6002", "message": "Too large.", "link": "https://docs.interhuman.ai/x", "segment": 2}),
    ("error", {"code": "ih1003", "message": "No backend."}),
    ("mood.changed", {"depth": {"of": ["it"]}}),
]


def parse_all(frame: str | bytes) -> list[tuple[str, dict[str, Any]]]:
    """Types and data of what a frame says, none of which may be malformed."""
    found = []
    for message in parse(frame):
        assert isinstance(message, ServerMessage)
        found.append((message.type, message.data))
    return found


@pytest.mark.parametrize(("kind", "data"), DOCUMENTED)
def test_documented_messages_as_the_vendors_own_client_reads_them(kind: str, data: dict[str, Any]) -> None:
    """The vendor's models and our parser accept the same message and find the same in it."""
    theirs = parse_stream_event(envelope(kind, data))
    [ours] = parse(json.dumps(envelope(kind, data)))
    assert isinstance(ours, ServerMessage)
    assert ours.type == theirs.type == kind
    assert ours.data == data
    assert ours.raw is None
    if not isinstance(theirs, UnknownEvent):
        assert ours.correlation_id == theirs.correlation_id
        found = theirs.data.model_dump(mode="json", exclude_unset=True)
        assert found == data


def test_absent_fields_of_the_envelope() -> None:
    """Time, correlation id and data may be missing or null."""
    absent = ServerMessage("session.ended", None, None, {})
    assert parse('{"type":"session.ended"}') == (absent,)
    assert parse('{"type":"session.ended","timestamp":null,"correlation_id":null,"data":null}') == (absent,)


def test_unknown_fields_are_kept() -> None:
    """Unknown fields of data stay in it, unknown fields of the envelope are kept beside it."""
    [message] = parse('{"type":"signal.ended","data":{"signal_type":"stress","end":1,"new":[1]},"seq":7}')
    assert isinstance(message, ServerMessage)
    assert message.data == {"signal_type": "stress", "end": 1, "new": [1]}
    assert message.raw is not None
    assert message.raw["seq"] == 7


def test_the_list_form() -> None:
    """Each entry of data.signals is one detected and one ended; the original of each is kept, and no more."""
    first = {"type": "interest", "start": 1.0, "end": 4.0, "probability": "high", "rationale": "leans in"}
    second = {"signal_type": "stress", "start": 2.0, "end": None}
    sent = envelope("signal.detected", {"signals": [first, second], "segment": 3})
    messages = parse(json.dumps(sent))
    assert parse_all(json.dumps(sent)) == [
        ("signal.detected", {"signal_type": "interest", "start": 1.0, "probability": "high", "rationale": "leans in"}),
        ("signal.ended", {"signal_type": "interest", "end": 4.0}),
        ("signal.detected", {"signal_type": "stress", "start": 2.0}),
    ]
    assert isinstance(messages[0], ServerMessage)
    assert messages[0].raw == envelope("signal.detected", {"signals": [first], "segment": 3})
    assert messages[0].timestamp == sent["timestamp"]


def test_an_empty_list_says_nothing() -> None:
    """A list form without entries, or null, is no message, and not malformed."""
    assert parse('{"type":"signal.detected","data":{"signals":[]}}') == ()
    assert parse('{"type":"signal.detected","data":{"signals":null}}') == ()


def test_one_bad_entry_spoils_no_other() -> None:
    """Of a list with entries that are not as documented each arrives, and what is odd about it is said."""
    entries = [7, {"type": "stress", "start": "early", "end": 1}, {"type": "interest", "start": 1, "end": 2}]
    messages = parse(json.dumps(envelope("signal.detected", {"signals": entries})))
    kinds = [type(message) for message in messages]
    assert kinds == [ServerMessage, Malformed, ServerMessage, Malformed, ServerMessage, ServerMessage, ServerMessage]
    lonely, said = parse('{"type":"signal.detected","data":{"signals":7}}')
    assert isinstance(lonely, ServerMessage)
    assert isinstance(said, Malformed)


def test_the_interval_form() -> None:
    """A detected signal that knows its end becomes a detected and an ended one, with the original kept."""
    data = {"signal_type": "stress", "start": 5.0, "end": 9.5, "probability": "low", "extra": 1}
    sent = envelope("signal.detected", data)
    assert parse_all(json.dumps(sent)) == [
        ("signal.detected", {"signal_type": "stress", "start": 5.0, "probability": "low", "extra": 1}),
        ("signal.ended", {"signal_type": "stress", "end": 9.5}),
    ]
    assert [message.raw for message in parse(json.dumps(sent)) if isinstance(message, ServerMessage)] == [sent, sent]


def test_a_null_end_is_the_life_cycle() -> None:
    """An explicit null for the end says that it is not known yet: data stays untouched."""
    data = {"signal_type": "stress", "start": 5.0, "end": None}
    assert parse_all(json.dumps(envelope("signal.detected", data))) == [("signal.detected", data)]


@pytest.mark.parametrize(
    "frame",
    [
        '{"error_id":"ih2003","message":"no","link":null,"correlation_id":"c"}',
        '{"status":"error","segment":null,"error_id":"ih2003","message":"no","link":null,"correlation_id":"c"}',
        '{"type":"error","error_id":"ih2003","message":"no","link":null,"correlation_id":"c"}',
        '{"type":"error","data":{"error_id":"ih2003","message":"no","link":null},"correlation_id":"c"}',
        '{"type":"error","code":"ih2003","message":"no","link":null,"correlation_id":"c"}',
    ],
)
def test_errors_in_other_clothes(frame: str) -> None:
    """An error is found by its id wherever that stands."""
    [message] = parse(frame)
    assert isinstance(message, ServerMessage)
    assert message.type == "error"
    assert message.correlation_id == "c"
    assert {"code": "ih2003", "message": "no", "link": None}.items() <= message.data.items()
    assert message.raw == json.loads(frame)


@pytest.mark.parametrize(
    ("frame", "detail"),
    [
        (b"\x00\x01", "a binary frame of 2 bytes"),
        ("", "not JSON"),
        ("{", "not JSON"),
        ('{"type":NaN}', "not JSON"),
        ('{"type":"x","data":{"n":1e999}}', "not JSON"),
        ('{"type":"\\ud800"}', "not JSON"),
        ('{"type":"\ud800"}', "not JSON: surrogates not allowed"),
        ("[" * 100_000, "nested too deeply"),
        ('{"type":"x","data":' + '{"a":' * MAX_DEPTH + "1" + "}" * MAX_DEPTH + "}", "nested too deeply"),
        ("7", "a JSON int where an object belongs"),
        ("[]", "a JSON list where"),
        ("{}", "neither `type` nor `error_id`"),
        ('{"type":""}', "`type` is empty"),
        ('{"type":7}', "`type` is a JSON int"),
        ('{"type":null}', "`type` is empty"),
        ('{"status":"result","signals":[]}', "neither `type` nor `error_id`"),
        ('{"type":"x","timestamp":7}', "`timestamp` is a JSON int"),
        ('{"type":"x","correlation_id":[]}', "`correlation_id` is a JSON list"),
        ('{"type":"x","data":[]}', "x: `data` is a JSON list"),
        ('{"type":"signal.detected","data":{"start":1}}', "signal_type"),
        ('{"type":"signal.detected","data":{"signal_type":"stress"}}', "start"),
        ('{"type":"signal.detected","data":{"signal_type":"stress","start":true}}', "start"),
        ('{"type":"signal.detected","data":{"signal_type":"stress","start":1,"end":"x"}}', "end"),
        ('{"type":"signal.ended","data":{"signal_type":7,"end":1}}', "signal_type"),
        ('{"type":"coverage.dropped","data":{"ranges":[{"start":1}]}}', "ranges"),
        ('{"type":"coverage.dropped","data":{"ranges":{}}}', "ranges"),
        ('{"type":"session.updated","data":{"include":[[]]}}', "include"),
        ('{"type":"session.closing","data":{"max_drain_seconds":"long"}}', "max_drain_seconds"),
        ('{"type":"error","data":{"code":7}}', "code"),
        ('{"error_id":7}', "code"),
    ],
)
def test_malformed_frames(frame: str | bytes, detail: str) -> None:
    """What is not a message says what is wrong with it, and raises nothing."""
    assert detail in " ".join(found.detail for found in parse(frame) if isinstance(found, Malformed))


def test_huge_numbers() -> None:
    """Whole numbers of any size that JSON can hold are kept where they mean nothing to us."""
    assert parse_all('{"type":"x","data":{"n":' + "9" * 40 + "}}") == [("x", {"n": int("9" * 40)})]


def test_details_hold_none_of_the_content() -> None:
    """A malformed frame is logged, so its detail must not tell what the frame said about people."""
    secret = "she-looks-tired"
    frames = [
        f'{{"type":"signal.detected","data":{{"signal_type":7,"start":1,"rationale":"{secret}"}}}}',
        f'{{"type":"signal.detected","data":{{"signal_type":"{secret}"}}}}',
        f'{{"type":"feedback.generated","data":{{"feedback":["{secret}"]}}}}',
        f'"{secret}"',
        f'{{"type":"x","data":"{secret}"}}',
        f'{{"{secret}',
        f'{{"type":"{secret}\ud800"}}',
    ]
    for frame in frames:
        found = parse(frame)[-1]
        assert isinstance(found, Malformed)
        assert secret not in found.detail


@pytest.mark.parametrize(
    "data",
    [
        {"signal_type": "stress", "start": 1.0, "probability": 0.87},
        {"signal_type": "stress", "start": 1.0, "modality": "video"},
        {"signal_type": ["stress"], "start": "1.0"},
    ],
)
def test_an_unforeseen_value_costs_no_event(data: dict[str, Any]) -> None:
    """A message of a known type with a value of another kind is passed on as it came, and said to be odd."""
    message, odd = parse(json.dumps(envelope("signal.detected", data)))
    assert isinstance(message, ServerMessage)
    assert message.data == data
    assert isinstance(odd, Malformed)
