"""Whatever a cloud sends ends as MQTT messages that can be published: topics, text, JSON and size within bounds."""

import json
import re
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from cloud.played import Tape, chunk, interpreter
from cloud.test_protocol_fuzz import field_names, kinds, likely
from interhuman2mqtt.cloud.flow_control import Unacknowledged
from interhuman2mqtt.cloud.protocol import MAX_DEPTH, PARTS_MAX, RAW_MAX, parse
from interhuman2mqtt.cloud.receiver import Receiver
from interhuman2mqtt.cloud.session_types import Anomaly, SessionLimits
from interhuman2mqtt.publish.message import Message
from interhuman2mqtt.publish.publisher import CameraTopics
from interhuman2mqtt.publish.topics import Topics

TOPIC = re.compile(r"interhuman/lobby-1/front/(event/[0-9A-Za-z._-]{1,64}|state/[a-z_]+)")
HEAD = 4096
"""Bytes that an event is longer than what it was made of."""
NUMBERS = ["1e400", "-1e400", "1e308", "9" * 400, "-0", "1e-400", "0.1e1", "18446744073709551616"]
"""As JSON writes them; Python's own writer knows none of these."""
TEXTS = [r'"\ud800"', r'"\udc00\ud800"', r'"\u0000"', '"#/+"', '""', '"' + "é" * 70 + '"', r'"\ud83d\ude00"']


def json_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


fragments = st.sampled_from(NUMBERS + TEXTS + ["NaN", "Infinity", "-Infinity", "null", "[]", "{}", "[[[[]]]]"])
members = st.dictionaries(field_names, fragments | likely.map(json.dumps), max_size=6)
objects = members.map(lambda found: "{" + ",".join(f'"{name}":{value}' for name, value in found.items()) + "}")
enveloped = st.builds(lambda kind, data: f'{{"type":{kind},"data":{data}}}', kinds.map(json.dumps) | fragments, objects)
hostile_frames = enveloped | objects | st.binary(max_size=40) | st.text(max_size=40)


class AnyTape(Tape):
    """Hears sessions that are nobody's."""

    def ready(self, limits: SessionLimits, correlation_id: str | None) -> None:  # noqa: ARG002 - the observer's own
        self.limits = limits


def assert_publishable(message: Message, sent: int) -> None:
    """A topic that a broker takes, UTF-8 JSON by the letter of its grammar, and no longer than what was sent."""
    assert TOPIC.fullmatch(message.topic)
    assert len(message.payload) <= 2 * sent + HEAD
    if message.payload:

        def refuse(word: str) -> None:
            raise AssertionError(f"{word} is no JSON")

        json.loads(message.payload.decode(), parse_constant=refuse)
    for name, value in message.properties:
        assert len(name.encode()) + len(value.encode()) < 256


async def heard(frames: list[str | bytes]) -> tuple[list[Message], Tape]:
    """What is published of what a session hears, up to its end."""
    tape, told = AnyTape(), interpreter()
    for number in range(3):
        told.sending(chunk(number))
        told.sent(chunk(number))
    hearing = Receiver(told, tape, Unacknowledged())
    await trio.lowlevel.checkpoint()
    for frame in frames:
        for message in parse(frame):
            hearing.handle(message)
    topics = CameraTopics(Topics("interhuman", "lobby-1"), "front")
    events = [*tape.events, *told.end()]
    return [message for event in events for message in topics.messages(event)], tape


@given(st.lists(hostile_frames, max_size=6))
def test_any_frames_can_be_published(frames: list[str | bytes]) -> None:
    """Binary, deep, of the wrong types, with numbers beyond all numbers and texts that are none."""
    published, tape = trio.run(heard, frames)
    sent = sum(len(frame.encode() if isinstance(frame, str) else frame) for frame in frames)
    for message in published:
        assert_publishable(message, sent)
    for _, detail in tape.anomalies:
        assert len(detail) < 500
        detail.encode()


@pytest.mark.parametrize(
    "frame",
    [
        "[" * 100_000,
        '{"type":"mood.changed","data":' + '{"a":' * MAX_DEPTH + "1" + "}" * MAX_DEPTH + "}",
        '{"type":"signal.detected","data":' + '{"signal_type":[' * 5000,
        b"\x00" * 1000,
        '{"type":"' + "x" * 100_000 + '"}',
        '{"type":"signal.detected","data":{"signal_type":"' + "x" * 100_000 + '","start":1}}',
    ],
    ids=["lists", "too-deep", "unfinished", "binary", "long-type", "long-signal"],
)
def test_extremes(frame: str | bytes) -> None:
    """None of them is fatal, and none makes more than it is."""
    published, _ = trio.run(heard, [frame])
    for message in published:
        assert_publishable(message, len(frame))


def test_a_frame_does_not_multiply() -> None:
    """A list of signals with much around it does not become as many copies of what is around it."""
    entries = [{"signal_type": f"s{number}", "start": 1.0, "end": 2.0} for number in range(10_000)]
    frame = json.dumps({"type": "signal.detected", "data": {"signals": entries}, "padding": "x" * RAW_MAX})
    published, tape = trio.run(heard, list[str | bytes]([frame]))
    assert sum(len(message.payload) for message in published) < 3 * len(frame)
    assert len([m for m in published if "/event/" in m.topic]) == PARTS_MAX
    assert (Anomaly.MALFORMED, f"signal.detected: more than {PARTS_MAX} messages in one frame") in tape.anomalies


def test_active_signals_take_a_bounded_place() -> None:
    """However long the words are that a cloud has for each of them, the retained state stays small."""
    frames: list[str | bytes] = [
        json.dumps(
            {"type": "signal.detected", "data": {"signal_type": f"s{n}", "start": 1.0, "rationale": "x" * 10_000}}
        )
        for n in range(200)
    ]
    published, _ = trio.run(heard, frames)
    states = [message for message in published if message.topic.endswith("state/signals")]
    assert max(len(message.payload) for message in states) < 512 << 10
