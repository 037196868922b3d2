"""Seconds by day, whatever the clock does."""

from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from interhuman2mqtt.policy.budget_store import BOX, DAYS_KEPT, Usage, nothing

DAY = date(2026, 11, 24)
days = st.integers(-3, 3).map(lambda n: DAY + timedelta(days=n))
steps = st.lists(st.tuples(days, st.sampled_from(["front", "back"]), st.floats(0, 1000)), max_size=30)


def streamed(*steps: tuple[date, str, float]) -> Usage:
    usage = nothing(DAY)
    for day, camera, seconds in steps:
        usage = usage.turn(day).add(camera, seconds)
    return usage


def test_a_camera_counts_for_itself_and_for_the_box() -> None:
    """The box has used what its cameras have together."""
    usage = streamed((DAY, "front", 5.0), (DAY, "back", 7.0))
    assert usage.today == {"front": 5.0, "back": 7.0, BOX: 12.0}


def test_a_new_day_begins_with_nothing() -> None:
    """At midnight the counts begin anew."""
    assert streamed((DAY, "front", 5.0)).turn(DAY + timedelta(days=1)).used("front") == 0


def test_back_over_midnight() -> None:
    """A clock that steps back over midnight finds the day as it was, and beside it what was streamed since."""
    usage = streamed((DAY, "front", 5.0), (DAY + timedelta(days=1), "front", 3.0))
    assert usage.turn(DAY).used("front") == 8
    assert usage.turn(DAY).turn(DAY + timedelta(days=1)).used("front") == 3


def test_a_clock_that_was_far_ahead() -> None:
    """A day that never was costs the present one what was streamed on it, and no later one anything."""
    usage = streamed((DAY, "front", 5.0), (date(2099, 1, 1), "front", 100.0)).turn(DAY)
    assert usage.used("front") == 105
    assert usage.turn(DAY + timedelta(days=1)).used("front") == 0


@given(steps)
def test_no_day_is_given_twice(steps: list[tuple[date, str, float]]) -> None:
    """Whatever the clock did, a day holds at least what was streamed on it."""
    usage = streamed(*steps)
    for day in {day for day, _, _ in steps}:
        for camera in ("front", "back"):
            on_it = sum(seconds for other, who, seconds in steps if (other, who) == (day, camera))
            assert usage.turn(day).used(camera) >= on_it - 1e-6


@given(steps, days)
def test_stepping_back_takes_nothing_away(steps: list[tuple[date, str, float]], day: date) -> None:
    """What was used today is used on every earlier day too that the clock steps back to."""
    usage = streamed(*steps)
    if day <= usage.day:
        assert usage.turn(day).used("front") >= usage.used("front")


@given(st.lists(st.integers(0, 20_000), max_size=60))
def test_a_wild_clock_fills_no_memory(offsets: list[int]) -> None:
    """So many days are remembered and no more."""
    usage = streamed(*[(DAY + timedelta(days=n), "front", 1.0) for n in offsets])
    assert len(usage.days) <= DAYS_KEPT + 1
