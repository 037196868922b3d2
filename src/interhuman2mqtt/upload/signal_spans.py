"""The signals of a recording in parts: one that goes on over a cut is one; no I/O.

Ids of events are made of a job and a number in it, so what is joined must be the same at each repeat. Hence a cut is
joined or not once and for all, when the recording is reported first (`with_decided_cuts`): a part that is analysed
later, or anew, does not change what an id has said before.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from msgspec import structs

from interhuman2mqtt.upload.jobs import RecordingRecord
from interhuman2mqtt.upload.result import Analysis

TOUCH_S = 1.0
"""A signal that ends, or begins, so near to a cut reaches it: the API finds them in windows of some seconds."""
STRENGTHS = ("low", "medium", "high")


class RecordedSpan(NamedTuple):
    """A signal from its begin to its end, whatever parts that is in."""

    type: str
    first: int
    """Part in which it begins, from 0."""
    start: float
    """Seconds from the begin of that part."""
    last: int
    """Part in which it ends."""
    end: float
    """Seconds from the begin of that one."""
    data: Mapping[str, Any]
    """Those of where its probability was highest, as the API joins its windows."""


class SignalPiece(NamedTuple):
    """What one part has of a signal: its begin, its end, or both. Times are seconds from the part's begin."""

    type: str
    start: float
    """Below zero where it began in a part before."""
    end: float
    data: Mapping[str, Any]
    begins: bool = True
    ends: bool = True


def with_decided_cuts(record: RecordingRecord) -> RecordingRecord:
    """Return the record with each cut joined that has an analysis on both sides, as far as that was not decided yet."""
    for index, (part, following) in enumerate(zip(record.parts, record.parts[1:], strict=False)):
        if part.joins_next is None:
            joins = part.analysis is not None and following.analysis is not None
            record = record.with_part(index, structs.replace(part, joins_next=joins))
    return record


def signal_spans(record: RecordingRecord) -> list[RecordedSpan]:
    """Return the signals of all parts, joined over the cuts that are."""
    found: list[RecordedSpan] = []
    open_before: dict[str, int] = {}
    for number, part in enumerate(record.parts):
        still_open: dict[str, int] = {}
        for signal in () if part.analysis is None else part.analysis.signals:
            span = RecordedSpan(signal.type, number, signal.start, number, signal.end, signal.data)
            index = open_before.pop(signal.type, None) if signal.start <= TOUCH_S else None
            if index is None:
                index = len(found)
                found.append(span)
            else:
                found[index] = _joined(found[index], span)
            if part.joins_next and signal.end >= part.end - part.start - TOUCH_S:
                still_open[signal.type] = index
        open_before = still_open
    return found


def pieces_of(record: RecordingRecord) -> list[list[SignalPiece]]:
    """Return what each part has of the signals; one that neither begins nor ends in a part is not in it."""
    pieces: list[list[SignalPiece]] = [[] for _ in record.parts]
    for span in signal_spans(record):
        apart = record.parts[span.last].start - record.parts[span.first].start
        whole = SignalPiece(span.type, span.start, span.end, span.data)
        if span.first == span.last:
            pieces[span.first].append(whole)
        else:
            pieces[span.first].append(whole._replace(end=span.end + apart, ends=False))
            pieces[span.last].append(whole._replace(start=span.start - apart, begins=False))
    return pieces


def all_whole(analysis: Analysis) -> Iterator[SignalPiece]:
    """Yield the signals of a file that has no parts."""
    return (SignalPiece(span.type, span.start, span.end, span.data) for span in analysis.signals)


def _joined(span: RecordedSpan, following: RecordedSpan) -> RecordedSpan:
    data = max(span.data, following.data, key=_strength)
    return span._replace(last=following.last, end=following.end, data=data)


def _strength(data: Mapping[str, Any]) -> int:
    probability = data.get("probability")
    return STRENGTHS.index(probability) if probability in STRENGTHS else -1
