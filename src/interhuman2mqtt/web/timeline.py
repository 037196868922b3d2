"""The rows of a camera as lanes on one time axis: what was analysed, how engaged people were, signals, scores. Pure."""

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


ANALYSED, GAP, NOT_KNOWN, NO_LEVEL = "analysed", "gap", "not_known", "no_level"


def analysed(span: Span, received: Iterable[Span], holes: Iterable[Span], gaps: Iterable[Gap]) -> list[Stretch]:
    """Return the lane of what was analysed: each moment is a gap, else not known, else analysed."""
    start, end = span
    gaps = list(gaps)
    unknown = _merged([*_complement(span, received), *(hole for hole in holes)])
    edges = sorted(
        {start, end}
        | {edge for hole in unknown for edge in hole if start < edge < end}
        | {edge for low, high, _ in gaps for edge in (low, end if high is None else high) if start < edge < end}
    )
    lane: list[Stretch] = []
    for low, high in pairwise(edges):
        lane.append(_classified(low, high, unknown, gaps))
    return list(_joined(lane))


def _classified(low: float, high: float, unknown: Sequence[Span], gaps: Sequence[Gap]) -> Stretch:
    # A gap is told by its box afterwards, so it is known also of a time in which nothing was received.
    for begin, over, reason in gaps:
        if begin <= low and (over is None or high <= over):
            return Stretch(low, high, GAP, reason)
    if any(begin <= low and high <= over for begin, over in unknown):
        return Stretch(low, high, NOT_KNOWN)
    return Stretch(low, high, ANALYSED)


def engagement(lane: Iterable[Stretch], changes: Sequence[tuple[float, str]]) -> list[Stretch]:
    """Return the lane of engagement: the level that holds wherever there was analysis, the lane's own kind elsewhere.

    Args:
        lane: What was analysed, as `analysed` returns it.
        changes: When which level began, oldest first. A level does not outlive a gap: nobody knows it after one.
    """
    found: list[Stretch] = []
    for stretch in lane:
        if stretch.kind != ANALYSED:
            found.append(stretch)
            continue
        within = [(at, state) for at, state in changes if stretch.start < at < stretch.end]
        before = [state for at, state in changes if at <= stretch.start]
        is_first = not found
        level = before[-1] if before and (is_first or _holds(changes, found[-1], stretch)) else NO_LEVEL
        edges = [(stretch.start, level), *within]
        for (low, state), (high, _) in zip(edges, [*edges[1:], (stretch.end, "")], strict=True):
            found.append(Stretch(low, high, state))
    return list(_joined(found))


def _holds(changes: Sequence[tuple[float, str]], before: Stretch, stretch: Stretch) -> bool:
    """Return whether a level began within what stands between two analysed stretches, and holds after it."""
    return any(before.start <= at <= stretch.start for at, _ in changes)


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
