"""Server-sent events (WHATWG HTML, 9.2): numbered changes, and a bounded memory for browsers that come back."""

import json
from collections import deque
from collections.abc import AsyncGenerator, Callable
from typing import Any, NamedTuple

import trio

KEPT = 2000
"""Changes that a browser may have missed while its connection was broken."""
KEEPALIVE_S = 20.0
"""Proxies close connections on which nothing comes."""
RETRY_MS = 2000


class StreamChange(NamedTuple):
    """Something that changed."""

    number: int
    kind: str
    data: Any

    def encode(self) -> bytes:
        """Return it as it goes over the wire."""
        return (
            f"id: {self.number}\nevent: {self.kind}\ndata: {json.dumps(self.data, separators=(',', ':'))}\n\n".encode()
        )


class Stream:
    """All changes, for any number of readers: a slow one holds up nobody, and is reset where it missed too much."""

    def __init__(self) -> None:
        self._changes: deque[StreamChange] = deque(maxlen=KEPT)
        self._number = 0
        self._news = trio.Event()

    @property
    def number(self) -> int:
        """The number of the last change."""
        return self._number

    def publish(self, kind: str, data: Any) -> None:
        """Add a change."""
        self._number += 1
        self._changes.append(StreamChange(self._number, kind, data))
        self._news.set()
        self._news = trio.Event()

    def reset(self) -> None:
        """Let go of all changes, and make every reader load everything anew."""
        self._changes.clear()
        self.publish("reset", None)

    async def read(self, after: int | None, may_see: Callable[[], bool] = lambda: True) -> AsyncGenerator[bytes, None]:
        """Yield what is to be sent to one browser, for as long as it may see it.

        Args:
            after: The number of the last change that it has; None: only what changes from now on.
            may_see: Asked before each change.
        """
        yield f"retry: {RETRY_MS}\n\n".encode()
        at = self._number if after is None else after
        while may_see():
            oldest = self._changes[0].number if self._changes else self._number + 1
            if at > self._number or at + 1 < oldest:  # of an earlier life of ours, or too long ago
                at = self._number
                yield StreamChange(at, "reset", None).encode()
            elif at < self._number:  # one at a time: who does not read on is not to keep old ones in our memory
                change = self._changes[at + 1 - oldest]
                at = change.number
                yield change.encode()
            else:
                with trio.move_on_after(KEEPALIVE_S) as waiting:
                    await self._news.wait()
                if waiting.cancelled_caught:
                    yield b": still here\n\n"
