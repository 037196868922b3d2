"""The box's clocks: whether the wall clock may be trusted, what a step of it means, and when the machine slept."""

import ctypes
from collections.abc import Iterator
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interhuman2mqtt.events import Clock
from interhuman2mqtt.runtime import clock
from interhuman2mqtt.runtime.clock import SLEEPS, BoxClock, clock_state, read_clocks
from support.clocks import NOON, Clocks


class Library:
    """A C library whose adjtimex answers as it is told to."""

    def __init__(self, state: int) -> None:
        self.adjtimex = lambda _buffer: state


@pytest.fixture(autouse=True)
def _another_library() -> Iterator[None]:
    """The library is loaded once."""
    clock._libc.cache_clear()
    yield
    clock._libc.cache_clear()


@pytest.mark.parametrize(
    ("state", "says"),
    [(0, Clock.SYNCED), (1, Clock.SYNCED), (5, Clock.UNKNOWN), (-1, Clock.UNKNOWN)],
    ids=["good", "leap second", "not synchronized", "not permitted"],
)
def test_what_the_kernel_says(state: int, says: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a clock that something disciplines is `synced`, see adjtimex(2)."""
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: Library(state))
    assert clock_state() is says


def test_another_system(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no adjtimex nothing can be said."""
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: object())
    assert clock_state() is Clock.UNKNOWN


def test_this_system() -> None:
    """The question itself works, and changes nothing."""
    assert clock_state() is clock_state()


@pytest.mark.parametrize("by", [0.002, -0.3, 3600.0, -3600.0, 20 * 86400.0, 1e9])
def test_a_wall_clock_that_is_set(by: float) -> None:
    """All that is dated from then on is dated by it, however long ago it happened; the machine did not sleep."""
    clocks = Clocks()
    box = clocks.box_clock()
    clocks.run(100)
    assert box.utc(40) == NOON + timedelta(seconds=40)
    clocks.step(by)
    assert abs(box.utc(40) - NOON - timedelta(seconds=40 + by)) < timedelta(microseconds=10)
    assert (box.since_boot(40), box.sleeps) == (40, ())
    assert box.pop_step() == (pytest.approx(by) if abs(by) >= 0.5 else 0)
    assert box.pop_step() == 0


def test_small_steps_add_up() -> None:
    """A clock that is moved little by little is followed each time, and worth a word when it went far."""
    clocks = Clocks()
    box = clocks.box_clock()
    for _ in range(4):
        clocks.step(0.2)
        box.look()
    assert abs(box.utc(0) - NOON - timedelta(seconds=0.8)) < timedelta(microseconds=10)
    assert box.pop_step() == pytest.approx(0.8)


def test_the_noise_of_reading() -> None:
    """What a slow reading says of the clocks moves no date by more than it was slow, and is no suspension."""
    clocks = Clocks()
    box = clocks.box_clock()
    clocks.run(10)
    clocks.realtime += 0.0005
    assert box.utc(5) == NOON + timedelta(seconds=5)
    clocks.width, clocks.boottime = 2.0, clocks.boottime + 1.5  # preempted between two clocks
    box.look()
    clocks.width, clocks.boottime = 0.0, clocks.boottime - 1.5
    assert box.since_boot(5) == 5
    assert box.sleeps == ()


nights = st.lists(st.tuples(st.floats(0.1, 1e4), st.floats(0.1, 1e6)), max_size=8)


@given(nights)
def test_suspensions(nights: list[tuple[float, float]]) -> None:
    """MONOTONIC is put on BOOTTIME as it was at that time, before, between and after any suspensions."""
    clocks = Clocks()
    box = clocks.box_clock()
    known = []
    for awake, asleep in nights:
        clocks.run(awake / 2)
        known.append((clocks.monotonic, clocks.boottime))
        clocks.run(awake / 2)
        box.look()
        clocks.suspend(asleep)
        box.look()
    clocks.run(1)
    known.append((clocks.monotonic, clocks.boottime))
    for monotonic, boottime in known:
        assert box.since_boot(monotonic) == pytest.approx(boottime)
    assert [sleep.seconds for sleep in box.sleeps] == pytest.approx([asleep for _, asleep in nights])
    assert box.pop_step() == 0


def test_a_laptop_that_sleeps_a_thousand_times() -> None:
    """What is remembered of suspensions is bounded, and the present is right all the same."""
    clocks = Clocks()
    box = clocks.box_clock()
    for _ in range(1000):
        clocks.run(60)
        clocks.suspend(600)
        box.look()
    assert len(box.sleeps) == SLEEPS
    assert box.since_boot(clocks.monotonic) == pytest.approx(clocks.boottime)


def test_the_clocks_of_this_machine() -> None:
    """They can be read, nearly at once, and tell of neither a step nor a suspension while nothing happens."""
    box = BoxClock()
    for _ in range(10_000):
        box.look()
    assert (box.pop_step(), box.sleeps) == (0, ())
    assert read_clocks().boottime == pytest.approx(box.boottime(), abs=5)
