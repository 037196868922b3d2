"""What `analyze` prints: a timeline for people, or a line of JSON for each event."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import msgspec

from interhuman2mqtt.cloud.event_mapper import redacted
from interhuman2mqtt.errors import Outage
from interhuman2mqtt.events import Clock, Event
from interhuman2mqtt.runtime.redaction import redact
from interhuman2mqtt.runtime.sanitize import clean, clean_lines, escape_json
from interhuman2mqtt.upload.jobs import PartRecord, RecordingRecord
from interhuman2mqtt.upload.late_events import Identity, level_changes
from interhuman2mqtt.upload.result import Analysis
from interhuman2mqtt.upload.signal_spans import signal_spans

SCORES = ("clarity", "authority", "energy", "rapport", "learning")


class Output:
    """Prints what came of each recording.

    Args:
        out: For results.
        err: For what went wrong, and what a person should know beside the results.
        as_json: Whether results are lines of JSON.
        quiet: Whether no timeline is printed, because the events go elsewhere.
    """

    def __init__(self, out: TextIO, err: TextIO, *, as_json: bool, quiet: bool) -> None:
        self._out = out
        self._err = err
        self._as_json = as_json
        self._quiet = quiet

    def analyzed(self, file: Path, record: RecordingRecord, identity: Identity, events: Sequence[Event]) -> None:
        """Print what was found in a recording."""
        for note in _notes(record):
            print(clean_lines(f"{file.name}: note: {note}"), file=self._err)
        if self._as_json:
            for event in events:
                self._print_json({**msgspec.to_builtins(event), "file": str(file)})
        elif not self._quiet:
            print(clean_lines("\n".join(timeline(file.name, record, identity))), file=self._out, flush=True)

    def published(self, file: Path, count: int, topic: str) -> None:
        """Print that the events of a recording are with the broker."""
        if not self._as_json:
            print(clean_lines(f"{file.name}: {count} events published below {topic}"), file=self._out, flush=True)

    def failed(self, file: Path | None, outage: Outage, part: PartRecord | None = None) -> None:
        """Print why a recording, or a part of it, has no result."""
        span = "" if part is None else f"{clock_time(part.start)} - {clock_time(part.end)}"
        where = ": ".join(filter(None, (file.name if file else "", span)))
        text = f"{outage.reason.value}: {redact(outage.detail)}"
        print(clean_lines(f"{where}: {text}" if where else text), file=self._err, flush=True)
        if self._as_json:
            said = {"reason": outage.reason.value, "detail": redact(outage.detail)}
            of_part = {} if part is None else {"start": part.start, "end": part.end}
            self._print_json({"type": "analyze.failed", "file": str(file) if file else None, **of_part, **said})

    def _print_json(self, value: Mapping[str, Any]) -> None:
        print(escape_json(json.dumps(value, ensure_ascii=False)), file=self._out, flush=True)


class _Row(NamedTuple):
    """A line of the timeline."""

    start: float
    end: float | None
    text: str


def timeline(name: str, record: RecordingRecord, identity: Identity) -> list[str]:
    """Return a recording's analysis as lines for people; times are counted from its begin."""
    rows = sorted(_rows(record, identity.redact), key=lambda row: row.start)
    return [_headline(name, record, identity), *(f"  {_span(row):19} {clean(row.text)}" for row in rows)]


def _headline(name: str, record: RecordingRecord, identity: Identity) -> str:
    parts = f", in {len(record.parts)} parts" if len(record.parts) > 1 else ""
    says = ", says the file" if identity.clock is Clock.UNKNOWN else ""
    when = "" if identity.start_at is None else f" (recorded {identity.start_at:%Y-%m-%d %H:%M:%S %Z}{says})"
    return f"{name}: {clock_time(record.duration)}, {record.model}{parts}{when}"


def _rows(record: RecordingRecord, redacts: frozenset[str]) -> Iterator[_Row]:
    level: str | None = None
    for part in record.parts:
        analysis = part.analysis
        if analysis is None:
            yield _Row(part.start, part.end, "not analysed")
            level = None
            continue
        for span in level_changes(analysis, level):
            yield _Row(part.start + span.start, None, f"engagement: {span.state}")
            level = span.state
        yield from _quality(analysis, part, redacts)
    for signal in signal_spans(record):
        start, end = record.parts[signal.first].start + signal.start, record.parts[signal.last].start + signal.end
        yield _Row(start, end, f"{signal.type}{_evidence(redacted(dict(signal.data), redacts))}")


def _evidence(data: Mapping[str, Any]) -> str:
    probability, rationale = data.get("probability"), data.get("rationale")
    return (f", {probability}" if probability else "") + (f": {rationale}" if rationale else "")


def _quality(analysis: Analysis, part: PartRecord, redacts: frozenset[str]) -> Iterator[_Row]:
    overall = redacted(analysis.overall or {}, redacts)
    if "quality_index" in overall:
        scores = ", ".join(f"{name} {overall[name]}" for name in SCORES if name in overall)
        yield _Row(part.start, part.end, f"conversation quality {overall['quality_index']}: {scores}")
    if analysis.feedback is not None and "feedback" not in redacts:
        yield _Row(part.start, part.end, f"feedback: {redact(analysis.feedback)}")


def _notes(record: RecordingRecord) -> Iterator[str]:
    yield from record.notes
    for part in record.parts:
        for left_out in () if part.analysis is None else part.analysis.malformed:
            yield f"left out of the cloud's answer: {left_out}"


def _span(row: _Row) -> str:
    return clock_time(row.start) if row.end is None else f"{clock_time(row.start)} - {clock_time(row.end)}"


def clock_time(seconds: float) -> str:
    """Return seconds as 1:02:03 or 2:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
