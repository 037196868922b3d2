"""The rows of a camera as lanes on one time axis: what was analysed, how engaged people were, signals, scores. Pure."""

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

Span = tuple[float, float]
Gap = tuple[float, float | None, str]
"""From, to (None while it lasts), and the reason."""
Scores = tuple[float | None, ...]


class Stretch(NamedTuple):
    """A stretch of a lane: from, to, its kind, and a reason where there is one."""

    start: float
    end: float
    kind: str
    reason: str | None = None


ANALYSED, GAP, FILLED, NOT_KNOWN, NO_LEVEL = "analysed", "gap", "filled", "not_known", "no_level"
SILENT = frozenset({GAP, FILLED, NOT_KNOWN})
"""Kinds of which no level of engagement is known."""


def analysed(
    span: Span, received: Iterable[Span], holes: Iterable[Span], gaps: Iterable[Gap], filled: Iterable[Span] = ()
) -> list[Stretch]:
    """Return the lane of what was analysed: each moment is a gap (or one that was filled), not known, or analysed."""
    start, end = span
    late = _merged(_clipped(filled, span))
    clipped = [(max(low, start), end if high is None else min(high, end), reason) for low, high, reason in gaps]
    gaps_within = sorted((one for one in clipped if one[0] < one[1]), key=lambda one: one[:2])
    unknown = _merged(_clipped([*_complement(span, received), *holes], span))
    edges = sorted(
        {
            *(start, end),
            *(edge for one in (*unknown, *late) for edge in one),
            *(edge for one in gaps_within for edge in one[:2]),
        }
    )
    return list(_joined(_classified(edges, unknown, gaps_within, late)))


def _classified(
    edges: Sequence[float], unknown: Sequence[Span], gaps: Sequence[tuple[float, float, str]], late: Sequence[Span]
) -> Iterator[Stretch]:
    """Yield what is between each two edges, in one pass: a fortnight has thousands of them."""
    holes, fillings, coming = deque(unknown), deque(late), deque(gaps)
    open_gaps: list[tuple[float, float, str]] = []
    for low, high in pairwise(edges):
        while holes and holes[0][1] <= low:
            holes.popleft()
        while fillings and fillings[0][1] <= low:
            fillings.popleft()
        while coming and coming[0][0] <= low:
            open_gaps.append(coming.popleft())
        open_gaps = [gap for gap in open_gaps if gap[1] > low]
        # A gap is told by its box afterwards, so it is known also of a time in which nothing was received.
        if open_gaps and fillings and fillings[0][0] <= low:
            yield Stretch(low, high, FILLED)
        elif open_gaps:
            yield Stretch(low, high, GAP, open_gaps[0][2])
        elif holes and holes[0][0] <= low:
            yield Stretch(low, high, NOT_KNOWN)
        else:
            yield Stretch(low, high, ANALYSED)


def engagement(lane: Iterable[Stretch], changes: Sequence[tuple[float, str]]) -> list[Stretch]:
    """Return the lane of engagement: the level that holds wherever there was analysis, the lane's own kind elsewhere.

    Args:
        lane: What was analysed, as `analysed` returns it.
        changes: When which level began, oldest first. A level does not outlive a gap: nobody knows it after one.
    """
    found: list[Stretch] = []
    moments = [at for at, _ in changes]
    for stretch in lane:
        if stretch.kind != ANALYSED:
            found.append(stretch)
            continue
        first, last = bisect_right(moments, stretch.start), bisect_left(moments, stretch.end)
        # A level that began while it is not known whether anything was analysed holds afterwards.
        holds = first > 0 and (not found or moments[first - 1] >= found[-1].start)
        edges = [(stretch.start, changes[first - 1][1] if holds else NO_LEVEL), *changes[first:last]]
        for (low, state), (high, _) in zip(edges, [*edges[1:], (stretch.end, "")], strict=True):
            found.append(Stretch(low, high, state))
    return list(_joined(found))


def clip(lane: Iterable[Stretch], span: Span) -> list[Stretch]:
    """Return what a lane has within a range."""
    start, end = span
    within = (one._replace(start=max(one.start, start), end=min(one.end, end)) for one in lane)
    return [one for one in within if one.start < one.end]


def broken(points: Iterable[tuple[float, Scores]], lane: Iterable[Stretch]) -> list[list[float | None] | None]:
    """Return a line of scores, with None where it breaks because something in between was not analysed."""
    breaks = [stretch.start for stretch in lane if stretch.kind != ANALYSED]
    line: list[list[float | None] | None] = []
    last: float | None = None
    for at, scores in points:
        if last is not None and any(last <= edge <= at for edge in breaks):
            line.append(None)
        line.append([at, *scores])
        last = at
    return line


def share(lane: Iterable[Stretch], span: Span, kinds: Sequence[str]) -> float:
    """Return how many seconds of a range a lane has one of some kinds."""
    start, end = span
    return sum(max(0.0, min(one.end, end) - max(one.start, start)) for one in lane if one.kind in kinds)


def _complement(span: Span, spans: Iterable[Span]) -> Iterator[Span]:
    at, end = span
    for low, high in _merged(spans):
        if low > at:
            yield at, min(low, end)
        at = max(at, high)
        if at >= end:
            return
    if at < end:
        yield at, end


def _clipped(spans: Iterable[Span], span: Span) -> Iterator[Span]:
    for low, high in spans:
        if low < span[1] and high > span[0]:
            yield max(low, span[0]), min(high, span[1])


def _merged(spans: Iterable[Span]) -> list[Span]:
    merged: list[Span] = []
    for low, high in sorted(spans):
        if merged and low <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], high))
        else:
            merged.append((low, high))
    return merged


def _joined(lane: Iterable[Stretch]) -> Iterator[Stretch]:
    last: Stretch | None = None
    for stretch in lane:
        if last is not None and (last.kind, last.reason, last.end) == (stretch.kind, stretch.reason, stretch.start):
            last = last._replace(end=stretch.end)
            continue
        if last is not None:
            yield last
        last = stretch
    if last is not None:
        yield last
