"""Messages as nobody should publish them, below the topics of a box: any bytes, or a contract with odd values in it."""

import json
from typing import Any, NamedTuple

from hypothesis import strategies as st

CAMERAS = ("front", "bridge")
NUMBERS: st.SearchStrategy[Any] = st.sampled_from([0, 61.5, -1, 10**400, 1e300, True, None, "1"])
DATES = st.sampled_from(
    [
        "2026-11-22T10:00:00Z",
        "2026-11-22T10:00:00",  # of no zone
        "0001-01-01T00:00:00",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59.999999-12:00",
    ]
)
WORDS = st.sampled_from(["streaming", "offline", "stress", "engaged", "\x1b[2J", "x" * 3000])
JSON: st.SearchStrategy[Any] = st.recursive(
    st.booleans() | st.floats() | st.integers() | NUMBERS | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)
TYPES = (
    *("signal.detected", "signal.updated", "signal.ended", "engagement.updated", "conversation_quality.updated"),
    *("coverage.gap", "session.ready", "novelty"),
)
OVERALL = st.fixed_dictionaries({"quality_index": NUMBERS, "clarity": NUMBERS})
DATA = st.fixed_dictionaries(
    {"signal_type": WORDS, "state": WORDS, "overall": OVERALL},
    optional={"seconds": NUMBERS, "probability": JSON, "rationale": JSON, "reason": JSON},
)
SHAPES: dict[str, dict[str, Any]] = {
    "status": {"state": WORDS, "since": DATES, "gap": st.fixed_dictionaries({"start_at": DATES}), "reason": WORDS},
    "state/engagement": {"state": WORDS},
    "state/signals": {"at": DATES, "signals": st.dictionaries(WORDS, JSON)},
    "state/conversation_quality": {"overall": OVERALL},
    "event/x": {
        "id": st.sampled_from(["hall/front/s/1", "1", "hall/front/s/-1", "hall/front/s/99999999999999999999"]),
        "type": st.sampled_from(TYPES),
        "received_at": DATES,
        "start_at": DATES,
        "end_at": DATES,
        "session": WORDS,
        "data": DATA,
    },
    "state": {"state": st.sampled_from(["online", "offline"]), "boot_id": WORDS, "since": DATES},
    "info": {"version": WORDS, "config": JSON | st.just({"cameras": {"front": {"model": "inter-2-audio"}}})},
    "health": {"outbox_rows": NUMBERS, "cameras": st.fixed_dictionaries({"front": st.just({"lag_seconds": 1e308})})},
}


class OddMessage(NamedTuple):
    """A message below the topics of one box."""

    camera: str
    about: str
    payload: bytes


def _payload(about: str) -> st.SearchStrategy[bytes]:
    said = st.fixed_dictionaries({}, optional=SHAPES[about]) | st.fixed_dictionaries(SHAPES[about])
    return said.map(lambda found: json.dumps(found).encode())


_shaped = st.sampled_from(tuple(SHAPES)).flatmap(
    lambda about: st.builds(OddMessage, st.sampled_from(CAMERAS), st.just(about), _payload(about))
)
ODD_MESSAGES = st.lists(
    _shaped | st.builds(OddMessage, st.sampled_from(CAMERAS), st.sampled_from(tuple(SHAPES)), st.binary(max_size=30)),
    max_size=8,
)
