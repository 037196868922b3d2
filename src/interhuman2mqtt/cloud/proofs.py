"""What was sent and is not yet known to have arrived; no I/O."""

from collections import deque
from typing import NamedTuple

from msgspec import structs

from interhuman2mqtt.events import MediaChunk


class Proof(NamedTuple):
    """A chunk that arrived."""

    chunk: MediaChunk
    """Without its payload: on a slow link many chunks may be under way."""
    sent_at: float
    """On the clock of who sent it."""


class Proofs:
    """The chunks of a session in their order. Frames are ordered, so the proof of one proves all before it."""

    def __init__(self) -> None:
        self._count = 0
        self._open: deque[tuple[int, Proof]] = deque()

    def sent(self, chunk: MediaChunk, now: float) -> int:
        """A chunk is out; the number by which it can be proven."""
        self._count += 1
        self._open.append((self._count, Proof(structs.replace(chunk, payload=b""), now)))
        return self._count

    def proven(self, number: int | None = None) -> tuple[Proof, ...]:
        """What is proven by this one's arrival, oldest first, each once; None: all have arrived."""
        found = []
        while self._open and (number is None or self._open[0][0] <= number):
            found.append(self._open.popleft()[1])
        return tuple(found)
