"""The plan is made from its seed alone, and leaves room for judgment."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from soak.fault_plan import (
    CLOUD_FAULTS,
    COMEBACK_S,
    GENTLE,
    GENTLE_MAX_S,
    KINDS,
    LONG_QUIET_S,
    Cameras,
    Part,
    PlannedFault,
    plan,
    quiet_at_end,
)

CAMERAS = Cameras(("hall", "door"), ("film",))
seeds = st.integers(0, 10_000)
lengths = st.floats(30.0, 1800.0)


@settings(max_examples=25)
@given(seed=seeds, seconds=lengths)
def test_a_plan_can_be_repeated(seed: int, seconds: float) -> None:
    """The same seed and length make the same plan, whatever else was random before."""
    first = plan(seed, seconds, CAMERAS)
    random.seed(seed + 1)
    assert plan(seed, seconds, CAMERAS) == first


def test_seeds_differ() -> None:
    """Another seed is another plan."""
    assert len({plan(seed, 600.0, CAMERAS) for seed in range(20)}) == 20


@settings(max_examples=25)
@given(seed=seeds, seconds=lengths)
def test_it_ends_without_faults(seed: int, seconds: float) -> None:
    """All faults begin in order, and end before the quiet time at the end, which is never shorter than planned."""
    faults = plan(seed, seconds, CAMERAS)
    assert list(faults) == sorted(faults, key=lambda one: one.second)
    assert all(one.end <= seconds - quiet_at_end(seconds) + 1e-6 for one in faults)
    assert seconds < 300 or quiet_at_end(seconds) == LONG_QUIET_S > COMEBACK_S


@settings(max_examples=25)
@given(seed=seeds, seconds=lengths)
def test_one_thing_is_hit_by_one_fault_at_a_time(seed: int, seconds: float) -> None:
    """Two faults that hold the same thing have a moment between them."""
    faults = plan(seed, seconds, CAMERAS)
    for place, one in enumerate(faults):
        for other in faults[place + 1 :]:
            assert not one.locks & other.locks or other.second >= one.end + 2.0 - 1e-6


@settings(max_examples=25)
@given(seed=seeds)
def test_targets_exist(seed: int) -> None:
    """What only RTSP cameras can have hits only those, and durations are those of the kind."""
    for one in plan(seed, 1800.0, CAMERAS):
        kind = KINDS[one.kind]
        assert kind.shortest <= one.duration <= kind.longest
        assert not kind.rtsp or one.target in CAMERAS.rtsp
        assert kind.part is not Part.CAMERA or one.target in CAMERAS.all


@settings(max_examples=25)
@given(seed=seeds)
def test_half_an_hour_has_every_kind_and_a_long_life(seed: int) -> None:
    """Every kind of fault comes, and in the last part of the run the daemon is left alone."""
    faults = plan(seed, 1800.0, CAMERAS)
    assert {one.kind for one in faults} == set(KINDS)
    assert len(faults) > 100
    assert max(one.second for one in faults if KINDS[one.kind].part is Part.DAEMON) <= 0.55 * 1800


@settings(max_examples=25)
@given(seed=seeds)
def test_long_quiet_stretches(seed: int) -> None:
    """Half an hour has quiet stretches within it that are long enough for any camera to come back."""
    ends = 0.0
    longest = 0.0
    for one in plan(seed, 1800.0, CAMERAS):
        longest = max(longest, one.second - ends)
        ends = max(ends, one.end)
    assert longest >= COMEBACK_S


@settings(max_examples=25)
@given(seed=seeds, seconds=st.floats(30.0, 100.0))
def test_a_short_run_is_gentle(seed: int, seconds: float) -> None:
    """A run that has no time for long recoveries has no fault that needs one."""
    for one in plan(seed, seconds, CAMERAS):
        assert one.kind in GENTLE
        assert one.duration <= GENTLE_MAX_S


def test_all_sorts_of_cloud_faults() -> None:
    """The cloud misbehaves in another way each time, until every way was used."""
    options = [one.target for one in plan(1, 3600.0, CAMERAS) if one.kind == "cloud-faults"][: len(CLOUD_FAULTS)]
    assert len(options) == len(set(options)) >= 6


def test_whom_a_fault_disturbs() -> None:
    """A camera's own faults disturb it alone, those of the cloud all, those of the broker none."""
    worker, uplink = PlannedFault(0.0, "worker-kill", "hall", 0.0), PlannedFault(0.0, "uplink-cut", "", 5.0)
    assert [worker.disturbs(name) for name in CAMERAS.all] == [True, False, False]
    assert [uplink.disturbs(name) for name in CAMERAS.all] == [True, True, True]
    assert not any(PlannedFault(0.0, "broker-freeze", "", 5.0).disturbs(name) for name in CAMERAS.all)
