"""Whether the wall clock may be trusted, as the kernel says."""

import ctypes
from collections.abc import Iterator

import pytest

from interhuman2mqtt import clock
from interhuman2mqtt.clock import clock_state
from interhuman2mqtt.events import Clock


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
