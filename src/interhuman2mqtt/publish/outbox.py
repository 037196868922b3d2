"""The queue between the topics and the broker. For now in memory: it does not survive the daemon.

Invariants, which hold whatever is underneath:

1. A row leaves because the broker has it (`done`, `settle`), because a newer state replaces it (3), or by a rule of
   `losses.Loss`, which is counted and told, or because it answers a connection that is over. Nothing else removes one.
2. Rows go out in the order in which they came, so the order per camera is kept. What a connection had been given and
   did not get acknowledged comes first after `rewind`.
3. Of each state's topic at most one row waits: a newer state takes the older one's place in the world, but comes last,
   after the events that led to it.
4. Waiting rows and those on their way together never hold more than `max_size` bytes. When a new one does not fit, the
   oldest waiting rows go; a message that could never fit goes itself.
5. A row that waited longer than `max_age` is not handed out any more.
6. `put` never waits and never fails. `wait_batch` may be cancelled at any time and loses no row.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

import trio

from interhuman2mqtt import config
from interhuman2mqtt.publish.losses import Loss, OnLoss
from interhuman2mqtt.publish.message import Kind, Message

ROW_COST = 200
"""Bytes that a row costs beside its topic and payload; an estimate."""


class Row(NamedTuple):
    """A message in the outbox."""

    n: int
    message: Message
    accepted_at: float
    """On the outbox's clock, in seconds."""


class Depth(NamedTuple):
    """What the outbox holds."""

    rows: int
    bytes: int
    age: float
    """Seconds since the oldest row was accepted; 0 when there is none."""


class Outbox:
    """Messages on their way to the broker, bounded in bytes and age.

    Args:
        limits: `max_size` in bytes, `max_age` in seconds.
        on_loss: Told of each message that one of the limits costs.
        clock: Seconds, monotonic.
    """

    def __init__(self, limits: config.Outbox, on_loss: OnLoss, clock: Callable[[], float] = trio.current_time) -> None:
        self._limits = limits
        self._on_loss = on_loss
        self._clock = clock
        self._waiting: OrderedDict[int, Row] = OrderedDict()
        self._given: OrderedDict[int, Row] = OrderedDict()
        self._states: dict[str, int] = {}
        self._bytes = 0
        self._last = 0
        self._closed = False
        self._news = trio.Event()

    @property
    def depth(self) -> Depth:
        """How much is in it, on its way included."""
        oldest = next(iter(self._given.values()), None) or next(iter(self._waiting.values()), None)
        age = 0.0 if oldest is None else self.age(oldest)
        return Depth(rows=len(self._given) + len(self._waiting), bytes=self._bytes, age=age)

    def age(self, row: Row) -> float:
        """Seconds since the row was accepted."""
        return self._clock() - row.accepted_at

    def put(self, message: Message) -> None:
        """Accept a message."""
        if _size(message) > self._limits.max_size:
            self._on_loss(message, Loss.OUTBOX_FULL, f"its {_size(message)} bytes are more than outbox.max_size holds")
            return
        self._last += 1
        self._wait_again(Row(self._last, message, self._clock()))
        self._bytes += _size(message)
        self._enforce_size()
        self._enforce_age()
        self._news.set()

    async def wait_batch(self, limit: int) -> list[Row]:
        """The next rows, at least one and at most `limit`; none only after `close`, when nothing waits any more."""
        await trio.lowlevel.checkpoint()
        self._enforce_age()
        while not (self._waiting or self._closed):
            self._news = trio.Event()
            await self._news.wait()
        return [self._give() for _ in range(min(limit, len(self._waiting)))]

    def done(self, row: Row) -> None:
        """The broker has it, or will never take it."""
        if self._given.pop(row.n, None) is not None:
            self._bytes -= _size(row.message)

    def rewind(self) -> None:
        """A connection ended: what it was given and is not done waits again, before everything else.

        Answers go: who asked has got none, and asks again.
        """
        later, self._waiting = [*self._given.values(), *self._waiting.values()], OrderedDict()
        self._given.clear()
        self._states.clear()
        for row in later:
            if row.message.kind is Kind.ANSWER:
                self._bytes -= _size(row.message)
            else:
                self._wait_again(row)

    def settle(self, message: Message) -> None:
        """The broker has this state, by another way than its row: the row need not go out."""
        n = self._states.get(message.topic)
        if n is not None and self._waiting[n].message is message:
            self._forget(n)

    def close(self) -> None:
        """The end is near: `wait_batch` returns what there is, then nothing."""
        self._closed = True
        self._news.set()

    def _wait_again(self, row: Row) -> None:
        if row.message.kind is Kind.STATE:
            older = self._states.get(row.message.topic)
            if older is not None:
                self._forget(older)
            self._states[row.message.topic] = row.n
        self._waiting[row.n] = row

    def _give(self) -> Row:
        row = self._take(next(iter(self._waiting)))
        self._given[row.n] = row
        return row

    def _forget(self, n: int) -> Row:
        row = self._take(n)
        self._bytes -= _size(row.message)
        return row

    def _take(self, n: int) -> Row:
        row = self._waiting.pop(n)
        if row.message.kind is Kind.STATE:
            del self._states[row.message.topic]
        return row

    def _enforce_size(self) -> None:
        while self._bytes > self._limits.max_size:
            row = self._forget(next(iter(self._waiting)))
            self._on_loss(row.message, Loss.OUTBOX_FULL, f"outbox.max_size ({self._limits.max_size} bytes) is reached")

    def _enforce_age(self) -> None:
        while self._waiting:
            row = next(iter(self._waiting.values()))
            if self.age(row) <= self._limits.max_age:
                return
            self._forget(row.n)
            self._on_loss(row.message, Loss.OUTBOX_AGE, f"outbox.max_age ({self._limits.max_age:g} s) is over")


def _size(message: Message) -> int:
    return len(message.topic) + len(message.payload) + ROW_COST
