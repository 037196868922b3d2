"""Published messages as lines for people."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from interhuman2mqtt.commands.watch_model import Place, place
from interhuman2mqtt.commands.watch_output import line

AT = "2026-11-22T10:00:12Z"
STATUS = Place("demo", "front", "status")
OVERALL = {"quality_index": 61.2, "clarity": 60, "authority": 58, "energy": 66, "rapport": 63, "learning": 59}


def event(type_: str, data: dict[str, Any], **more: Any) -> bytes:
    """An event as it is published, as far as lines look at it."""
    fields = {"camera": "front", "type": type_, "session": "7c1e", "received_at": AT, "start_at": None, "end_at": None}
    return msgspec.json.encode({**fields, "data": data, **more})


@pytest.mark.parametrize(
    ("payload", "kind", "text"),
    [
        (
            event("signal.detected", {"signal_type": "stress", "probability": "high", "rationale": "A sigh."}),
            "signal",
            "stress begins, probability high: A sigh.",
        ),
        (
            event("signal.updated", {"signal_type": "stress", "probability": "low"}),
            "signal",
            "stress goes on, probability low",
        ),
        (
            event("signal.ended", {"signal_type": "stress"}, start_at="2026-11-22T10:00:00Z", end_at=AT),
            "signal",
            "stress ends after 12 s",
        ),
        (event("signal.ended", {"signal_type": "stress"}), "signal", "stress ends"),
        (event("engagement.updated", {"state": "engaged"}), "engagement", "engaged"),
        (
            event("conversation_quality.updated", {"overall": OVERALL}),
            "quality",
            "61 of 100 (clarity 60, authority 58, energy 66, rapport 63, learning 59)",
        ),
        (event("conversation_quality.updated", {"timeline": []}), "quality", "a new period"),
        (event("session.ready", {}), "session", "ready (7c1e)"),
        (event("novelty.born", {"a": 1}), "novelty", 'born {"a":1}'),
        (event("error", {"code": "ih6001"}), "error", '{"code":"ih6001"}'),
        (event("coverage.gap", {"seconds": 12.34, "reason": "stalled"}), "coverage", "gap of 12.3 s: stalled"),
        (event("coverage.gap", {"seconds": None, "reason": "bug"}), "coverage", "gap of unknown length: bug"),
        (event("coverage.dropped", {"ranges": []}), "coverage", 'dropped {"ranges":[]}'),
    ],
)
def test_event(payload: bytes, kind: str, text: str) -> None:
    """Each event is one line that can be read without knowing its JSON."""
    assert line(Place("demo", "front", "event/x"), payload) == (
        datetime(2026, 11, 22, 10, 0, 12, tzinfo=UTC),
        "demo",
        "front",
        kind,
        text,
    )


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (
            event("signal.detected", {"signal_type": "stress", "probability": "high"}, start_at="2026-11-20T08:00:00Z"),
            "stress begins, probability high",
        ),
        (
            event(
                "coverage.filled", {"seconds": 29.96, "reason": "cloud_unreachable"}, start_at="2026-11-20T08:00:00Z"
            ),
            "30.0 s of a gap were analysed after all: cloud_unreachable",
        ),
    ],
)
def test_what_comes_late_says_so(payload: bytes, text: str) -> None:
    """An event of a recording says that it is late, and of when it is, first of all."""
    shown = line(Place("demo", "front", "late/x"), payload)
    assert shown is not None
    when = datetime(2026, 11, 20, 8, tzinfo=UTC).astimezone()
    assert shown.text == f"late, of {when:%Y-%m-%d %H:%M:%S}: {text}"


@pytest.mark.parametrize(
    ("state", "reason", "detail", "text"),
    [
        ("streaming", None, None, "streaming - h264 (copied)"),
        ("offline", "unreachable", "cam refused", "offline - unreachable (cam refused)"),
        ("stopped", "stopped", None, "stopped"),
    ],
)
def test_status(state: str, reason: str | None, detail: str | None, text: str) -> None:
    """A camera's status says what it does, and why not where it does not."""
    status = {
        "camera": "front",
        "state": state,
        "reason": reason,
        "detail": detail,
        "since": AT,
        "source": "h264 (copied)",
    }
    said = line(STATUS, msgspec.json.encode(status))
    assert said is not None
    assert said.text == text


@pytest.mark.parametrize("topic", ["interhuman/demo/bridge/state", "interhuman/demo/front/state/signals"])
def test_repetition(topic: str) -> None:
    """What only repeats an event makes no line of its own."""
    where = place("interhuman", topic)
    assert where
    assert line(where, b"{}") is None


def test_empty() -> None:
    """A topic that is cleared makes no line."""
    assert line(STATUS, b"") is None
