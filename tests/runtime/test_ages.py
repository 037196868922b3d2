"""The age of a stored event is right where it can be known, and never too great."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interhuman2mqtt.runtime import clock
from interhuman2mqtt.runtime.clock import BUILD_DATE, RESTART, Ages, Instant

PROGRAM_EXISTS = BUILD_DATE.timestamp()
NOW = Instant(wall=PROGRAM_EXISTS + 1e6, synced=True, boot="b", uptime=5000.0)


def age(then: Instant, present: Instant = NOW) -> float:
    return Ages(lambda: present).age(then)


@given(st.floats(-1e9, 1e9))
def test_within_a_boot_the_wall_clock_does_not_matter(jump: float) -> None:
    """In the boot in which it was accepted an event is as old as the time since then, however the clock jumped."""
    assert age(Instant(NOW.wall + jump, True, "b", 4000.0)) == 1000.0  # noqa: FBT003 - synced


def test_across_boots_a_clock_that_is_right_tells() -> None:
    """After a restart of the machine the age is by the wall clock, which was synchronised then and now."""
    assert age(Instant(NOW.wall - 86400.0, True, "a", 70.0)) == 86400.0  # noqa: FBT003 - synced


@pytest.mark.parametrize(
    "then",
    [
        Instant(NOW.wall + 10.0, True, "a", 70.0),  # noqa: FBT003 - synced
        Instant(0.0, True, "a", 70.0),  # noqa: FBT003
        Instant(PROGRAM_EXISTS - 1.0, True, "a", 70.0),  # noqa: FBT003
        Instant(NOW.wall - 9e5, False, "a", 70.0),  # noqa: FBT003
        Instant(NOW.wall - 9e5, False, "", 70.0),  # noqa: FBT003
    ],
    ids=["in the future", "1970", "before the program existed", "not synchronised", "no id of the boot"],
)
def test_what_cannot_be_told_counts_from_the_reopening(then: Instant) -> None:
    """A time that cannot be right makes an event as old as a restart takes, and so late, but never too old."""
    assert age(then) == RESTART


def test_a_clock_that_is_not_right_now_tells_nothing() -> None:
    """Where the present is not known to be right, the past is not judged by it."""
    then = Instant(NOW.wall - 9e5, True, "a", 70.0)  # noqa: FBT003 - synced
    assert age(then, Instant(NOW.wall, False, "b", 60.0)) == RESTART  # noqa: FBT003


def test_an_age_becomes_an_instant_and_comes_back() -> None:
    """What is written of an event's age now is its age when it is read now."""
    present = clock.now()
    assert math.isclose(Ages(lambda: present).age(Ages(lambda: present).instant(12.5)), 12.5, abs_tol=1e-3)
    assert present.boot
    assert present.uptime > 0
