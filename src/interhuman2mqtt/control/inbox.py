"""Incoming messages that nobody has handled yet: bounded, and never in the way of who reads the socket.

Two lanes. A request says what to do: when too many wait, the newest is dropped, for those before it are about to be
answered. A level says how something is to be (`<camera>/pause/set`): of each camera only the newest waits, so that no
flood costs the last word. Levels of cameras that do not exist have one place for all of them.
"""

from collections import OrderedDict, deque
from collections.abc import Collection, Container

import structlog
import trio

from interhuman2mqtt.publish.mqtt.types import IncomingMessage

# A memory channel of trio is the obvious choice and has one bound for all. With it a flood of requests keeps out the
# one `pause/set` that matters, and a flood of `pause/set` of cameras that do not exist keeps out every request: 6,000
# retained messages did it. A level also needs no queue: only the last one counts.
REQUESTS_MAX = 128
LEVEL_PAYLOAD_MAX = 64
"""Bytes; `OFF` has three."""

log = structlog.get_logger(__name__)


class Inbox:
    """Messages that wait for `wait_next`.

    Args:
        levels: Topics of the levels of cameras that exist; None: any may.
    """

    def __init__(self, levels: Container[str] | None = None) -> None:
        self._known = levels
        self._current: IncomingMessage | None = None
        self._taken = trio.Event()
        self.dropped = 0
        """Messages that found no room."""
        self._requests: deque[IncomingMessage] = deque()
        self._levels: OrderedDict[str, IncomingMessage] = OrderedDict()
        self._level_next = True
        self._dropped_before: int | None = None
        self._news = trio.Event()

    def put(self, incoming: IncomingMessage) -> None:
        """Accept a message, or drop and count it. Never waits, never fails."""
        if incoming.is_level:
            self._put_level(incoming)
        elif len(self._requests) < REQUESTS_MAX:
            self._requests.append(incoming)
        else:
            self._drop(incoming)
            return
        self._news.set()

    async def wait_next(self) -> IncomingMessage:
        """Wait for the next message: levels and requests in turn, where there are both. Cancelled, it loses none."""
        self._current = None
        self._taken.set()
        self._taken = trio.Event()
        await trio.lowlevel.checkpoint()
        while not (self._requests or self._levels):
            self._news = trio.Event()
            await self._news.wait()
        incoming = self._current = self._next()
        self._log_room()
        return incoming

    async def wait_handled(self, topics: Collection[str]) -> None:
        """Return once no level of these topics waits, and who took one has come back for the next message."""
        while not self._levels.keys().isdisjoint(topics) or (self._current and self._current.topic in topics):
            await self._taken.wait()

    def _next(self) -> IncomingMessage:
        if self._levels and (self._level_next or not self._requests):
            self._level_next = False
            return self._levels.popitem(last=False)[1]
        self._level_next = True
        return self._requests.popleft()

    def _put_level(self, incoming: IncomingMessage) -> None:
        key = incoming.topic if self._known is None or incoming.topic in self._known else ""
        older = self._levels.get(key)
        if incoming.payload is not None and len(incoming.payload) > LEVEL_PAYLOAD_MAX:
            incoming = incoming._replace(payload=None)
        # What somebody said just now stays so when the broker only repeats it.
        repeated = older is not None and older.payload == incoming.payload
        live = not incoming.retained or (repeated and older is not None and not older.retained)
        self._levels[key] = incoming._replace(retained=not live)

    def _drop(self, incoming: IncomingMessage) -> None:
        if self._dropped_before is None:
            self._dropped_before = self.dropped
            log.warning(
                "requests come faster than they are handled: the newest are dropped, without an answer",
                waiting=len(self._requests) + len(self._levels),
                topic=incoming.topic[:LEVEL_PAYLOAD_MAX],
            )
        self.dropped += 1

    def _log_room(self) -> None:
        """Log that a flood is over once nothing waits any more: room for one is no news while it lasts."""
        if self._dropped_before is not None and not (self._requests or self._levels):
            log.warning("requests are received again", dropped=self.dropped - self._dropped_before)
            self._dropped_before = None
