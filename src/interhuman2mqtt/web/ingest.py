"""Messages of boxes to rows of the history. No I/O.

What a message says is read as far as the contract promises it; one that breaks the contract is left out, and counted.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from interhuman2mqtt.events import Moment
from interhuman2mqtt.web.rows import (
    LATE,
    SCORES,
    CameraKey,
    EngagementRow,
    FilledRow,
    GapRow,
    QualityRow,
    Row,
    SignalRow,
    StatusRow,
)

TEXT_MAX = 2000
"""Characters of a text from outside that are kept."""
LATEST_S = 1e11
"""Seconds of UTC, in the year 5138: every zone's calendar has what is before."""


class EventMessage(Struct, frozen=True):
    """`<camera>/event/<type>`, as far as it is used."""

    id: str
    type: str
    received_at: Moment
    session: str | None = None
    start_at: Moment | None = None
    end_at: Moment | None = None
    data: dict[str, Any] = {}

    @property
    def scope_and_number(self) -> tuple[str, int] | None:
        """The last two levels of its id; None where it has no number."""
        _, _, rest = self.id.rpartition("/")
        scope = self.id[: -len(rest) - 1].rpartition("/")[2]
        return (scope, int(rest)) if rest.isascii() and rest.isdigit() and len(rest) < 16 else None


class OpenRange(Struct, frozen=True):
    """`gap` of a status."""

    start_at: Moment


class StatusMessage(Struct, frozen=True):
    """`<camera>/status`, as far as it is used."""

    state: str
    since: Moment
    reason: str | None = None
    detail: str | None = None
    gap: OpenRange | None = None
    last_media_at: Moment | None = None
    source: str | None = None


class SignalsMessage(Struct, frozen=True):
    """`<camera>/state/signals`, as far as it is used."""

    at: Moment
    signals: dict[str, Any] = {}


class Ingest:
    """Makes rows of messages, and remembers which signals and gaps are open.

    Args:
        rationale: Whether the free text about people is kept.
        signals: Those that are open in the history.
        gaps: The same.
    """

    def __init__(self, *, rationale: bool, signals: Iterable[SignalRow] = (), gaps: Iterable[GapRow] = ()) -> None:
        self._rationale = rationale
        self._active: dict[tuple[CameraKey, str], SignalRow] = {(row.camera, row.key): row for row in signals}
        self._open_gaps: dict[CameraKey, GapRow] = {row.camera: row for row in gaps}
        self._late: dict[tuple[CameraKey, str], SignalRow] = {}
        """Signals of recordings whose end is the next that is said of them: none of them lasts until now."""
        self.malformed = 0

    def event(self, camera: CameraKey, payload: bytes) -> tuple[EventMessage | None, list[Row]]:
        """Return an event, and the rows that it makes; None where it is none."""
        if (event := self._decode(payload, EventMessage)) is None:
            return None, []
        return event, list(self._rows(camera, event))

    def late_event(self, camera: CameraKey, payload: bytes) -> list[Row]:
        """Return the rows that an event of `<camera>/late/<type>` makes: signals, once they are whole, and fillings."""
        if (event := self._decode(payload, EventMessage)) is None or event.start_at is None:
            return []
        start, kind = event.start_at.timestamp(), event.data.get("signal_type")
        end = event.end_at.timestamp() if event.end_at is not None else None
        if event.type == "coverage.filled" and end is not None:
            return [FilledRow(camera, start, end)]
        if event.type == "signal.detected" and isinstance(kind, str):
            self._late[camera, kind[:64]] = self._signal_row(camera, f"{LATE}{event.session}", event, start, None)
        elif event.type == "signal.ended" and isinstance(kind, str) and end is not None:
            row = self._late.pop((camera, kind[:64]), None)
            return [row._replace(end=end)] if row is not None and row.start == start <= end else []
        return []

    def status(self, camera: CameraKey, payload: bytes) -> tuple[StatusMessage | None, list[Row]]:
        """Return a status, and the rows that it makes; None where it is none, or was cleared."""
        if not payload or (status := self._decode(payload, StatusMessage)) is None:
            return None, []
        rows: list[Row] = [
            StatusRow(camera, _seconds(status.since), status.state[:64], _text(status.reason), _text(status.detail))
        ]
        return status, [*rows, *self._open_gap(camera, status)]

    def signals(self, camera: CameraKey, payload: bytes) -> list[Row]:
        """Return the ends of signals that a retained state does not name any more: their own events were missed."""
        if not payload or (state := self._decode(payload, SignalsMessage)) is None:
            return []
        over = [key for key, row in self._active.items() if key[0] == camera and row.type not in state.signals]
        ended = _seconds(state.at)
        return [row._replace(end=max(row.start, ended)) for row in map(self._active.pop, over)]

    def _open_gap(self, camera: CameraKey, status: StatusMessage) -> Iterator[GapRow]:
        known = self._open_gaps.get(camera)
        if status.gap is not None:
            row = GapRow(camera, _seconds(status.gap.start_at), None, (_text(status.reason) or status.state)[:64])
            if known is not None and known.start != row.start:
                yield known._replace(end=max(known.start, row.start))
            self._open_gaps[camera] = row
            yield row
        elif known is not None:
            del self._open_gaps[camera]
            yield known._replace(end=max(known.start, _seconds(status.since)))

    def _rows(self, camera: CameraKey, event: EventMessage) -> Iterator[Row]:
        at = _seconds(event.start_at or event.received_at)
        end = _seconds(event.end_at) if event.end_at is not None else None
        match event.type:
            case "signal.detected" | "signal.updated" | "signal.ended":
                yield from self._signal(camera, event, at, end)
            case "engagement.updated" if isinstance(state := event.data.get("state"), str):
                yield EngagementRow(camera, at, state[:64])
            case "conversation_quality.updated" if isinstance(overall := event.data.get("overall"), dict):
                scores = tuple(_score(overall.get(name)) for name in SCORES)
                yield QualityRow(camera, end if end is not None else _seconds(event.received_at), scores)
            case "coverage.gap" if event.start_at is not None and end is not None:
                if (known := self._open_gaps.get(camera)) is not None and known.start == at:
                    del self._open_gaps[camera]
                yield GapRow(camera, at, end, (_text(event.data.get("reason")) or "unknown")[:64])

    def _signal(self, camera: CameraKey, event: EventMessage, at: float, end: float | None) -> Iterator[Row]:
        kind = event.data.get("signal_type")
        if not isinstance(kind, str):
            return
        key = f"{event.session}/{kind[:64]}"
        known = self._active.pop((camera, key), None)
        if event.type == "signal.ended":
            over = end if end is not None else _seconds(event.received_at)
            if known is not None:
                yield known._replace(end=max(known.start, over))
            return
        start = known.start if known is not None and event.type == "signal.updated" else at
        row = self._signal_row(camera, str(event.session), event, start, end)
        if end is None:
            self._active[camera, key] = row
        yield row

    def _signal_row(
        self, camera: CameraKey, scope: str, event: EventMessage, start: float, end: float | None
    ) -> SignalRow:
        kind = str(event.data["signal_type"])[:64]
        return SignalRow(
            camera=camera,
            key=f"{scope}/{kind}",
            type=kind,
            start=start,
            end=end,
            probability=_text(event.data.get("probability")),
            rationale=_text(event.data.get("rationale")) if self._rationale else None,
        )

    def _decode(self, payload: bytes, type_: type[Any]) -> Any:
        try:
            return msgspec.json.decode(payload, type=type_)
        except (ValueError, RecursionError):  # msgspec's own errors are ValueErrors
            self.malformed += 1
            return None


def _seconds(at: datetime) -> float:
    return min(max(at.timestamp(), 0.0), LATEST_S)


def _text(value: Any) -> str | None:
    return value[:TEXT_MAX] if isinstance(value, str) else None


def _score(value: Any) -> float | None:
    return (
        float(value) if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 100 else None
    )
