"""How often what is true now is told: on each topic at most ten times a second, and then the newest.

The cloud answers a chunk with several events within a few milliseconds, each of which changes the same states. Nobody
needs those in between, which are in the events; and they would be two of three messages.
"""

from collections.abc import Callable

import trio
from msgspec import Struct

from interhuman2mqtt.publish.message import Message

REST = 0.1
"""Seconds between two messages on a topic."""


class _Rest(Struct):
    """Of a topic that has just been told."""

    until: float
    held: Message | None = None
    """What comes after it."""


class Calm:
    """Holds back what comes too soon, and of that only the newest.

    While nobody runs it, it holds on to what it has: whoever begins to listen then has to `release` it.

    Args:
        tell: Told what may go out now.
    """

    def __init__(self, tell: Callable[[Message], None]) -> None:
        self._tell = tell
        self._resting: dict[str, _Rest] = {}  # the one that is over soonest first
        self._news = trio.Event()

    def take(self, message: Message) -> None:
        """Accept a message: at once if it is not one that is told often, or if its topic has rested."""
        rest = self._resting.get(message.topic)
        if rest is None or not message.often:
            if rest is not None:
                rest.held = None
            self._pass(message)
        else:
            rest.held = message

    def release(self, topic: str) -> None:
        """What is held of this topic goes out now."""
        rest = self._resting.get(topic)
        if rest is not None and rest.held is not None:
            held, rest.held = rest.held, None
            self._tell(held)

    def release_all(self) -> None:
        """All that is held goes out now."""
        for topic in self._resting:
            self.release(topic)

    async def run(self) -> None:
        """Let out what has rested, until cancelled."""
        while True:
            while self._resting:
                topic, rest = next(iter(self._resting.items()))
                await trio.sleep_until(rest.until)
                del self._resting[topic]
                if rest.held is not None:
                    self._pass(rest.held)
            self._news = trio.Event()
            await self._news.wait()

    def _pass(self, message: Message) -> None:
        if message.often:
            self._resting.setdefault(message.topic, _Rest(trio.current_time() + REST))
            self._news.set()
        self._tell(message)
