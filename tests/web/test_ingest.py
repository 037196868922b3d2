"""Rows of messages: what comes late is over when it comes."""

from datetime import UTC, datetime
from typing import Any

import msgspec

from interhuman2mqtt.web.ingest import Ingest
from interhuman2mqtt.web.rows import CameraKey, FilledRow, SignalRow

FRONT = CameraKey("lobby-1", "front")
BEGIN = datetime(2026, 11, 20, 8, tzinfo=UTC).timestamp()


def late(type_: str, data: dict[str, Any], start: float, end: float | None = None) -> bytes:
    """An event of a recording, as it is published; times are seconds after BEGIN."""
    start_at, end_at = (None if at is None else datetime.fromtimestamp(BEGIN + at, UTC) for at in (start, end))
    fields = {"id": "lobby-1/front/job/1", "type": type_, "session": "7c1e", "received_at": datetime.now(UTC)}
    return msgspec.json.encode({**fields, "start_at": start_at, "end_at": end_at, "data": data})


def test_a_signal_of_a_recording_never_lasts_until_now() -> None:
    """It makes a row with its end alone, which is marked; neither it nor a half one is touched by what is true now."""
    ingest = Ingest(rationale=True)
    stress = {"signal_type": "stress", "probability": "high"}
    assert ingest.late_event(FRONT, late("signal.detected", stress, 5)) == []
    now = msgspec.json.encode({"at": datetime.now(UTC), "signals": {}})
    assert ingest.signals(FRONT, now) == []
    found = ingest.late_event(FRONT, late("signal.ended", {"signal_type": "stress"}, 5, 9))
    assert found == [SignalRow(FRONT, "late/7c1e/stress", "stress", BEGIN + 5, BEGIN + 9, "high", None)]
    assert ingest.late_event(FRONT, late("signal.ended", {"signal_type": "stress"}, 20, 21)) == []


def test_a_filling_makes_a_row_and_nothing_else_does() -> None:
    """Levels and scores of recordings are not drawn: they would stand for what was true when nobody streamed."""
    ingest = Ingest(rationale=True)
    assert ingest.late_event(FRONT, late("coverage.filled", {"gap": "x"}, 1, 31)) == [
        FilledRow(FRONT, BEGIN + 1, BEGIN + 31)
    ]
    assert ingest.late_event(FRONT, late("engagement.updated", {"state": "engaged"}, 1)) == []
    assert ingest.late_event(FRONT, b"{") == []
    assert ingest.malformed == 1
