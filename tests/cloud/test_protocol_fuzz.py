"""Frames that no cloud should send: whatever they hold, the parser answers with values."""

import json

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from interhuman2mqtt.cloud.protocol import SHAPES, ServerMessage, parse

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
field_names = st.sampled_from(
    [
        "type",
        "status",
        "error_id",
        "data",
        "signals",
        "signal_type",
        "start",
        "end",
        "ranges",
        "timeline",
        "overall",
        "state",
        "code",
        "message",
        "include",
        "timestamp",
        "correlation_id",
        "engagement_state",
        "conversation_quality",
        "max_drain_seconds",
    ]
)
kinds = st.sampled_from([*SHAPES, "session.ready", "mood.changed", "result", "processing"])
likely = st.recursive(
    json_values | kinds,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(field_names, inner, max_size=6),
    max_leaves=20,
)


@given(
    st.text(st.characters())
    | st.binary()
    | likely.map(json.dumps)
    | st.builds(lambda kind, data: json.dumps({"type": kind, "data": data}), kinds, likely)
)
def test_no_frame_raises(frame: str | bytes) -> None:
    """Whatever a frame holds, it becomes messages that can be published, or says what is wrong."""
    for found in parse(frame):
        if isinstance(found, ServerMessage):
            assert found.type
            msgspec.json.encode([found.data, found.raw])
        else:
            assert found.detail
