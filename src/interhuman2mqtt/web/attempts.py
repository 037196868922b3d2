"""The slow-down after wrong passwords."""

from collections.abc import Callable

PAUSE_S = 1.0
PAUSE_MAX_S = 300.0
FORGET_S = 3600.0
"""After so long without a wrong one they are counted anew."""


class TooManyAttemptsError(Exception):
    """The next attempt has to wait for so many seconds."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"too many wrong passwords: try again in {seconds:.0f} s")
        self.seconds = seconds


class Attempts:
    """Wrong passwords of everybody together.

    They are not counted by address: behind a proxy or NAT all have the same, and who guesses has many. So somebody who
    guesses makes others wait for as long as the guessing goes on, and learns nothing faster; who is logged in goes on.

    Args:
        free: Wrong ones before each further one has to wait.
        clock: CLOCK_MONOTONIC, in seconds.
    """

    def __init__(self, free: int, clock: Callable[[], float]) -> None:
        self._free = free
        self._clock = clock
        self._wrong = 0
        self._next_at = self._failed_at = 0.0

    def check(self) -> None:
        """Raise TooManyAttemptsError where the next one has to wait."""
        now = self._clock()
        if now < self._next_at:
            raise TooManyAttemptsError(self._next_at - now)

    def failed(self) -> None:
        """Count a wrong one."""
        if self._clock() - self._failed_at > FORGET_S:
            self._wrong = 0
        self._failed_at = self._clock()
        self._wrong += 1
        if self._wrong >= self._free:
            pause = min(PAUSE_MAX_S, PAUSE_S * 2.0 ** min(self._wrong - self._free, 20))
            self._next_at = self._clock() + pause

    def succeeded(self) -> None:
        """Begin anew."""
        self._wrong = 0
