"""The history as rows for a spreadsheet: signals, engagement, scores, and where nothing was analysed."""

import csv
import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, tzinfo
from typing import NamedTuple, TextIO

from interhuman2mqtt.web.history import History
from interhuman2mqtt.web.lanes import read_lanes
from interhuman2mqtt.web.rows import SCORES, CameraKey
from interhuman2mqtt.web.timeline import SILENT, Span

COLUMNS = (
    *("box", "camera", "kind", "what", "start_utc", "end_utc", "start_local", "end_local", "seconds", "probability"),
    *SCORES,
    "rationale",
)
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""Spreadsheets take a text that begins so for a formula, and run it."""


class ExportRow(NamedTuple):
    """Row about a camera: seen, or not known.

    `kind` is `signal` (`what` is its type), `engagement` (its level, `no_level` until there is one), `quality`, `gap`
    (its reason), `filled` (a gap that was analysed after all) or `not_known`. Those of engagement, gaps and what is not
    known follow on one another without a hole.
    """

    camera: CameraKey
    kind: str
    what: str | None
    start: float | None
    """None for scores, which say only up to when they are."""
    end: float | None
    """None for a signal that lasts."""
    probability: str | None = None
    scores: tuple[float | None, ...] = ()
    rationale: str | None = None


def rows(history: History, camera: CameraKey, span: Span) -> list[ExportRow]:
    """Return all rows of a camera within a range, in the order of time. Blocks."""
    found = [*_lane(history, camera, span), *_signals(history, camera, span), *_scores(history, camera, span)]
    return sorted(found, key=_moment)


def _moment(row: ExportRow) -> float:
    return row.start if row.start is not None else row.end or 0.0


def _lane(history: History, camera: CameraKey, span: Span) -> Iterator[ExportRow]:
    for start, end, kind, reason in read_lanes(history, camera, span).engagement:
        if kind in SILENT:
            yield ExportRow(camera, kind, reason, start, end)
        else:
            yield ExportRow(camera, "engagement", kind, start, end)


def _signals(history: History, camera: CameraKey, span: Span) -> Iterator[ExportRow]:
    for _, what, start, end, probability, rationale in history.spans("signal", camera, *span):
        yield ExportRow(camera, "signal", what, start, end, probability, (), rationale)


def _scores(history: History, camera: CameraKey, span: Span) -> Iterator[ExportRow]:
    for at, *scores in history.points("quality", camera, *span):
        if at >= span[0]:
            yield ExportRow(camera, "quality", None, None, at, None, tuple(scores))


def write_csv(found: Iterable[ExportRow], zone: tzinfo | None, out: TextIO) -> None:
    """Write rows with a line of headings (RFC 4180)."""
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for row in found:
        values = _values(row, zone)
        writer.writerow([_harmless(values.get(column)) for column in COLUMNS])


def write_jsonl(found: Iterable[ExportRow], zone: tzinfo | None, out: TextIO) -> None:
    """Write rows as one JSON object a line, of the same names; what there is none of is left out."""
    for row in found:
        print(json.dumps(_values(row, zone), ensure_ascii=False), file=out)


def _values(row: ExportRow, zone: tzinfo | None) -> dict[str, str | float]:
    known = row.start is not None and row.end is not None
    values: dict[str, str | float | None] = {
        "box": row.camera.box,
        "camera": row.camera.name,
        "kind": row.kind,
        "what": row.what,
        "start_utc": _iso(row.start, UTC),
        "end_utc": _iso(row.end, UTC),
        "start_local": _iso(row.start, zone),
        "end_local": _iso(row.end, zone),
        "seconds": round((row.end or 0.0) - (row.start or 0.0), 3) if known else None,
        "probability": row.probability,
        **dict(zip(SCORES, row.scores, strict=False)),
        "rationale": row.rationale,
    }
    return {name: value for name, value in values.items() if value is not None}


def _iso(at: float | None, zone: tzinfo | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at, UTC).astimezone(zone).isoformat(timespec="milliseconds")


def _harmless(value: str | float | None) -> str | float | None:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
