"""Arithmetic of spans of time; no I/O."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple


class Span(NamedTuple):
    """From `start` up to `end`, both time.time()."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.end - self.start


def union(spans: Iterable[Span]) -> list[Span]:
    """The same time in as few spans as possible, in order; empty ones are left out."""
    found: list[Span] = []
    for span in sorted(spans):
        if span.end <= span.start:
            continue
        if found and span.start <= found[-1].end:
            found[-1] = Span(found[-1].start, max(found[-1].end, span.end))
        else:
            found.append(span)
    return found


def without(whole: Iterable[Span], cut: Iterable[Span]) -> list[Span]:
    """What of `whole` is in no span of `cut`."""
    cuts = union(cut)
    return [rest for span in union(whole) for rest in _without(span, cuts)]


def _without(span: Span, cuts: list[Span]) -> Iterator[Span]:
    start = span.start
    for cut in cuts:
        if cut.end <= start or cut.start >= span.end:
            continue
        if cut.start > start:
            yield Span(start, cut.start)
        start = cut.end
    if start < span.end:
        yield Span(start, span.end)


def common(one: Iterable[Span], other: Iterable[Span]) -> list[Span]:
    """What is in both."""
    first = union(one)
    return without(first, without(first, other))


def total(spans: Iterable[Span]) -> float:
    """Seconds of all of them together."""
    return sum(span.seconds for span in union(spans))


def collisions(spans: Iterable[Span], tolerance: float) -> list[tuple[Span, Span]]:
    """Pairs that share more than so many seconds; of each span the one before it, by their beginnings."""
    found: list[tuple[Span, Span]] = []
    reach: Span | None = None
    for span in sorted(spans):
        if reach is not None and min(reach.end, span.end) - span.start > tolerance:
            found.append((reach, span))
        if reach is None or span.end > reach.end:
            reach = span
    return found
