"""How fast media may be sent: a backlog a little faster than real time, so that the cloud need not shed it; no I/O."""

SPEED = 1.25
"""Times real time, in all: what is new while a backlog goes out is part of it."""
CREDIT_S = 2.0
"""Seconds that live media, which comes late now and then, may make up for at once; where a chunk is longer, its own."""


class Pace:
    """When the next chunk may be sent. All times are seconds on one clock.

    Each chunk allows the next one its own length divided by `SPEED` later. Live media comes slower than that, so it is
    never delayed; the time that it leaves unused is a small credit.
    """

    def __init__(self) -> None:
        self._due: float | None = None

    def wait(self, now: float) -> float:
        """How long the next chunk must wait."""
        return 0.0 if self._due is None else max(0.0, self._due - now)

    def sent(self, now: float, seconds: float) -> None:
        """A chunk of so many seconds begins to go out now."""
        began = now if self._due is None else max(self._due, now - max(CREDIT_S, seconds))
        self._due = began + seconds / SPEED
