"""Arithmetic of spans agrees with counting tenths of a second."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from soak.spans import Span, collisions, common, total, union, without


@st.composite
def spans(draw: st.DrawFn) -> list[Span]:
    ends = draw(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 20)), max_size=8))
    return [Span(start / 10, (start + length) / 10) for start, length in ends]


def ticks(some: list[Span]) -> set[int]:
    return {tick for span in some for tick in range(round(span.start * 10), round(span.end * 10))}


@given(one=spans(), other=spans())
def test_sets(one: list[Span], other: list[Span]) -> None:
    """Union, difference and intersection hold the tenths that sets of tenths would, in order and apart."""
    assert ticks(union(one)) == ticks(one)
    assert ticks(without(one, other)) == ticks(one) - ticks(other)
    assert ticks(common(one, other)) == ticks(one) & ticks(other)
    assert round(total(one) * 10) == len(ticks(one))
    joined = union(one)
    assert all(before.end < after.start for before, after in pairwise(joined))


@given(some=spans())
def test_collisions(some: list[Span]) -> None:
    """Spans collide where they share time, and then they are not all of the time that they count."""
    counted = sum(len(ticks([span])) for span in some)
    assert bool(collisions([span for span in some if span.seconds > 0], 0.01)) == (counted > len(ticks(some)))


def test_a_touch_is_no_collision() -> None:
    """Less than the tolerance may be shared."""
    assert collisions([Span(0, 1.04), Span(1, 2)], 0.05) == []
    whole, one, other = Span(0, 9), Span(1, 2), Span(3, 4)
    assert collisions([whole, one, other], 0.05) == [(whole, one), (whole, other)]
