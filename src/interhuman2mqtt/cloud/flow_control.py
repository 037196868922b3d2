"""Pace what is sent, and keep what is not yet known to have arrived; no I/O."""

from collections import deque
from typing import NamedTuple

from msgspec import structs

from interhuman2mqtt.events import MediaChunk

SPEED = 1.25
"""Times real time, in all: what is new while a backlog goes out is part of it."""
CREDIT_S = 2.5
"""Seconds that live media, which comes late now and then, may make up for at once; where a chunk is longer, its own."""
# After a chunk that was a second late, one in time and the last one, at once, need 1 s and 0.6 of a chunk's length:
# with 2 s a last chunk of a recording in chunks of 2 s waited for 0.2 s.


class Pacer:
    """Paces chunks, a backlog a little faster than real time. All times are seconds on one clock.

    Each chunk allows the next one its own length divided by `SPEED` later. Live media comes slower than that, so it is
    never delayed; the time that it leaves unused is a small credit.
    """

    # As fast as the link allows was refused: a cloud that analyses in real time sheds what comes faster
    # (`coverage.dropped`), so what was saved in the ring would be lost there. Exactly real time never catches up.

    def __init__(self) -> None:
        self._due: float | None = None

    def wait(self, now: float) -> float:
        """Return how long the next chunk must wait."""
        return 0.0 if self._due is None else max(0.0, self._due - now)

    def sent(self, now: float, seconds: float) -> None:
        """Note that a chunk of so many seconds begins to go out now."""
        began = now if self._due is None else max(self._due, now - max(CREDIT_S, seconds))
        self._due = began + seconds / SPEED


KEPT = 64
"""Proven chunks that may still be rejected: analysis is seconds behind, not minutes."""


class Proof(NamedTuple):
    """A chunk that arrived."""

    chunk: MediaChunk
    """Without its payload: on a slow link many chunks may be under way."""
    sent_at: float
    """On the clock of who sent it."""
    is_rejected: bool = False
    """The cloud has it, and said meanwhile that it could not use it."""


class Unacknowledged:
    """The chunks of a session in their order. Frames are ordered, so the proof of one proves all before it."""

    def __init__(self) -> None:
        self._count = 0
        self._open: deque[tuple[int, Proof]] = deque()
        self._proven: deque[tuple[int, Proof]] = deque(maxlen=KEPT)
        self._rejected: set[int] = set()

    def sent(self, chunk: MediaChunk, now: float) -> int:
        """Note that a chunk is out; return the number by which it can be proven."""
        self._count += 1
        self._open.append((self._count, Proof(structs.replace(chunk, payload=b""), now)))
        return self._count

    def proven(self, number: int | None = None) -> tuple[Proof, ...]:
        """Return what is proven by this one's arrival, oldest first, each once; None: all have arrived."""
        found = []
        while self._open and (number is None or self._open[0][0] <= number):
            self._proven.append(self._open.popleft())
            at, proof = self._proven[-1]
            found.append(proof._replace(is_rejected=at in self._rejected))
        return tuple(found)

    def rejected(self, number: int | None) -> MediaChunk | None:
        """Note that the cloud could not use a chunk, the last one where it does not say which.

        Return the chunk where its arrival was proven before; else its proof will say it. None also for one that was
        rejected already, or that nobody remembers.
        """
        number = number if number is not None and 0 < number <= self._count else self._count
        if number in self._rejected:
            return None
        self._rejected.add(number)
        return next((proof.chunk for at, proof in self._proven if at == number), None)
