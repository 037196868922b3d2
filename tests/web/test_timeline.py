"""Lanes hold each moment once, and nothing is drawn as calm that is not known."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from interhuman2mqtt.web.timeline import (
    ANALYSED,
    FILLED,
    GAP,
    NO_LEVEL,
    NOT_KNOWN,
    Stretch,
    analysed,
    broken,
    engagement,
    share,
)

SPANS = st.lists(
    st.tuples(st.integers(-5, 25), st.integers(0, 10)).map(lambda one: (float(one[0]), float(one[0] + one[1])))
)


def test_gaps_and_what_is_not_known_are_cut_out() -> None:
    """Within what was received and without a hole it was analysed, but for the gaps; an open one lasts to the end."""
    lane = analysed((0, 100), [(10, 90)], [(20, 30)], [(40, 50, "paused"), (80, None, "offline")])
    assert lane == [
        Stretch(0, 10, NOT_KNOWN),
        Stretch(10, 20, ANALYSED),
        Stretch(20, 30, NOT_KNOWN),
        Stretch(30, 40, ANALYSED),
        Stretch(40, 50, GAP, "paused"),
        Stretch(50, 80, ANALYSED),
        Stretch(80, 100, GAP, "offline"),
    ]


def test_a_gap_that_was_filled_is_no_gap() -> None:
    """What of a gap was analysed after all is filled, whether or not the page listened then; nothing else changes."""
    lane = analysed((0, 100), [(0, 60)], [], [(40, 90, "cloud_unreachable")], [(35, 50), (50, 70), (95, 99)])
    assert lane == [
        Stretch(0, 40, ANALYSED),
        Stretch(40, 70, FILLED),
        Stretch(70, 90, GAP, "cloud_unreachable"),
        Stretch(90, 100, NOT_KNOWN),
    ]


def holds(spans: list[tuple[float, float]], moment: float) -> bool:
    return any(low <= moment < high for low, high in spans)


@given(received=SPANS, holes=SPANS, gaps=SPANS)
def test_a_lane_covers_its_range_once(
    received: list[tuple[float, float]], holes: list[tuple[float, float]], gaps: list[tuple[float, float]]
) -> None:
    """Whatever overlaps, stretches follow on one another from the beginning of the range to its end."""
    lane = analysed((0, 20), received, holes, [(*gap, "x") for gap in gaps])
    assert (lane[0].start, lane[-1].end) == (0, 20)
    assert all(one.end == other.start for one, other in pairwise(lane))
    for moment in range(20):
        known = holds(gaps, moment) or (holds(received, moment) and not holds(holes, moment))
        [kind] = [one.kind for one in lane if one.start <= moment + 0.5 < one.end]
        assert (kind != NOT_KNOWN) == known


def test_a_level_holds_until_the_next_and_not_over_a_gap() -> None:
    """Nobody knows after a gap what held before it, until the next level is reported."""
    lane = [Stretch(0, 40, ANALYSED), Stretch(40, 50, GAP, "paused"), Stretch(50, 100, ANALYSED)]
    changes = [(-5.0, "neutral"), (10.0, "engaged"), (70.0, "neutral")]
    assert engagement(lane, changes) == [
        Stretch(0, 10, "neutral"),
        Stretch(10, 40, "engaged"),
        Stretch(40, 50, GAP, "paused"),
        Stretch(50, 70, NO_LEVEL),
        Stretch(70, 100, "neutral"),
    ]


def test_a_line_breaks_at_a_gap() -> None:
    """Scores on both sides of a gap are not joined."""
    lane = [Stretch(0, 10, ANALYSED), Stretch(10, 20, GAP, "x"), Stretch(20, 30, ANALYSED)]
    assert broken([(5, (60.0,)), (9, (61.0,)), (25, (62.0,))], lane) == [[5, 60.0], [9, 61.0], None, [25, 62.0]]


def test_a_share_is_seconds_within_a_range() -> None:
    """Stretches are counted as far as they are within it."""
    lane = [Stretch(0, 10, "engaged"), Stretch(10, 20, "neutral"), Stretch(20, 30, "engaged")]
    assert share(lane, (5, 22), ("engaged",)) == 7
