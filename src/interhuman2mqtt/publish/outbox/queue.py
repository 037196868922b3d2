"""The queue between the topics and the broker: in memory, bounded, with a store as its shadow.

Invariants:

1. A row leaves because the broker has it (`done`, `settle`), because a newer state replaces it (3), because it is an
   answer whose connection was lost (`rewind`), or by a rule of `losses.Loss`, which is counted and told (`lose`; for
   what comes before `withdraw` by who calls it). Nothing else removes one.
2. Rows go out in the order in which they came, so the order per camera is kept. What a connection had been given and
   did not get acknowledged comes first after `rewind`, what an earlier life left comes before all of this one.
3. Of each state's topic at most one row waits: a newer state takes the older one's place in the world, but comes last,
   after the events that led to it.
4. All rows together never hold more than `max_size` bytes. When a new one does not fit, the oldest go that are not on
   their way; a message that could never fit goes itself.
5. A row that waited longer than `max_age` is not handed out any more.
6. A row whose topic the broker refuses is parked with all later ones of that topic, one that seems to break the
   connection by itself, and the others go on (`parking`).
7. `put` never waits and never fails. `wait_batch` may be cancelled at any time and loses no row.
8. Events are durable: the journal is told of each that comes and leaves, and the keeper brings it to the store. An
   event is *accepted* once it stands there, or the broker has it. States and answers are not: each start publishes all
   states anew. Of them only the topics are durable, so that they can be cleared.
"""

import math
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from typing import NamedTuple

import trio

from interhuman2mqtt import config
from interhuman2mqtt.events import ActiveSignal
from interhuman2mqtt.publish.message import DropReason, Message, MessageKind, OnDrop
from interhuman2mqtt.publish.outbox.journal import Journal, Row
from interhuman2mqtt.publish.outbox.parked import ParkedTopics

ROW_COST = 700
"""Bytes of memory that a message costs beside its topic and payload, as measured with CPython 3.11."""

_order = attrgetter("n")


def cost(message: Message) -> int:
    """Return how many bytes a message takes while it waits; in the store's file it takes about as many."""
    return len(message.topic) + len(message.payload) + ROW_COST


class Depth(NamedTuple):
    """What the outbox holds."""

    rows: int
    bytes: int
    age: float
    """Seconds that the oldest row waits; 0 when there is none."""
    parked: int = 0
    """Rows whose topic the broker refuses, or that seem to break the connection; counted in `rows` too."""


class OutboxQueue:
    """Messages on their way to the broker, bounded in bytes and age.

    Args:
        limits: `max_size` in bytes, `max_age` in seconds.
        on_loss: Told of each message that goes by a rule.
        clock: Seconds, monotonic.
    """

    def __init__(self, limits: config.Outbox, on_loss: OnDrop, clock: Callable[[], float] = trio.current_time) -> None:
        self.journal = Journal()
        self.trouble: str | None = None
        """Why events do not survive a restart at the moment, in one sentence; None: they do."""
        self._limits = limits
        self._on_loss = on_loss
        self._clock = clock
        self._waiting = OrderedDict[int, Row]()  # a dict finds its first entry ever more slowly as entries leave there
        self._given: dict[int, Row] = {}
        self._parking = ParkedTopics()
        self._states: dict[str, int] = {}
        self._bytes = 0
        self._first = 1
        self._last = 0
        self._closed = False
        self._news = trio.Event()

    @property
    def depth(self) -> Depth:
        """How much is in it, on its way included."""
        heads = [next(iter(rows.values())) for rows in (self._given, self._waiting) if rows]
        heads += [self._parking.oldest] if self._parking.oldest else []
        age = max(map(self.age, heads), default=0.0)
        parked = len(self._parking)
        return Depth(len(self._given) + len(self._waiting) + parked, self._bytes, age, parked)

    @property
    def events(self) -> list[Row]:
        """The rows that are to survive a restart, in their order."""
        rows = [*self._given.values(), *self._waiting.values(), *self._parking]
        return sorted((row for row in rows if row.message.kind is MessageKind.EVENT), key=_order)

    def age(self, row: Row) -> float:
        """Seconds since the row was accepted."""
        return self._clock() - row.accepted_at

    def retained_topics(self) -> frozenset[str]:
        """Every topic on which something of ours may be retained, what earlier lives left included."""
        return frozenset(self.journal.ledger.topics)

    def active_signals(self) -> Mapping[str, tuple[ActiveSignal, ...]]:
        """The signals that are active, by camera; before anything is put, those that an earlier life left so."""
        return dict(self.journal.activity.active)

    def put(self, message: Message) -> None:
        """Accept a message."""
        if cost(message) > self._limits.max_size:
            self._on_loss(
                message, DropReason.OUTBOX_FULL, f"its {cost(message)} bytes are more than outbox.max_size holds"
            )
            return
        self._last += 1
        row = Row(self._last, message, self._clock())
        self._bytes += cost(message)
        self.journal.publishes(message)
        if message.kind is MessageKind.EVENT:
            self.journal.accepted(row)
        self._line_up(row)
        self._enforce_size()
        self._enforce_age()
        self._news.set()

    def restore(self, earlier: Iterable[tuple[int | None, float, Message]]) -> None:
        """Events of an earlier life, oldest first: key in the store (None: it is not there), age, and the message."""
        rows = list(earlier)
        self._first -= len(rows)
        for n, (key, age, message) in enumerate(rows, self._first):
            row = Row(n, message, self._clock() - age)
            self._bytes += cost(message)
            if key is None:
                self.journal.accepted(row)
            else:
                self.journal.found(row, key)
            self._line_up(row)
        self._sort()
        self._enforce_size()
        self._enforce_age()
        self._news.set()

    async def wait_batch(self, limit: int) -> list[Row]:
        """The next rows, at least one and at most `limit`; none only after `close`, when nothing waits any more."""
        await trio.lowlevel.checkpoint()
        while True:
            if self._parking.lanes:
                self._wait_again(self._parking.probe(self._clock()))
            rows = self._give(limit)
            if rows or self._closed:
                return rows
            self._news = trio.Event()
            due = self._parking.due if self._parking.lanes else math.inf
            with trio.move_on_after(max(0.0, due - self._clock())):
                await self._news.wait()

    def done(self, row: Row) -> bool:
        """The broker has it; whether it had refused the topic before."""
        if self._given.pop(row.n, None) is None:
            return False
        self._left(row)
        return self._acknowledged(row.message) | self._parking.acquit(row)

    def lose(self, row: Row, loss: DropReason, detail: str) -> None:
        """A row that was given goes by a rule."""
        if self._given.pop(row.n, None) is not None:
            self._drop(row, loss, detail)

    def park(self, row: Row) -> bool:
        """The broker refused the topic of a row; whether it had taken it until now."""
        return self._set_aside(row, self._parking.refuse)

    def quarantine(self, row: Row) -> bool:
        """A row seems to break the connection; whether that is news."""
        return self._set_aside(row, self._parking.quarantine)

    def quarantine_state(self, message: Message) -> bool:
        """The same of a state that went out by another way than its row."""
        self.put(message)
        row = self._state(message.topic)
        if row is None or row.n not in self._waiting:
            return False
        self._given[row.n] = self._take(row.n)
        return self.quarantine(row)

    def is_quarantined(self, key: str | int) -> bool:
        """Whether a state, by its topic, or an event, by its row's number, is in quarantine or out to be tried."""
        return bool(self._parking.lanes) and self._parking.is_quarantined(key)

    def is_parked(self, topic: str) -> bool:
        """Whether the rows of a topic are parked, or one of them is out to try it."""
        return self._parking.has_topic(topic)

    def pause(self, topic: str) -> float:
        """Seconds from the last refusal of a topic that is parked to the next attempt."""
        return self._parking.pause(topic)

    def put_back(self, row: Row) -> None:
        """The broker did not take a row that was given: it waits again, in its place."""
        if self._given.pop(row.n, None) is not None:
            self._parking.retry(row)
            self._line_up(row)
            self._sort()
            self._news.set()

    def rewind(self) -> None:
        """A connection ended: what it was given and is not done waits again, in its place; each parked topic is tried.

        An answer is not repeated, and what is in quarantine is tried when it is due.
        """
        given, self._given = self._given, {}
        again, self._waiting = {**given, **self._waiting}, OrderedDict()
        self._states.clear()
        self._parking.reset()
        for row in sorted(again.values(), key=_order):
            if row.n in given and row.message.kind is MessageKind.ANSWER:
                self._left(row)
            else:
                self._line_up(row)
        self._wait_again(self._parking.probe(self._clock(), connected=True))

    def settle(self, message: Message) -> None:
        """The broker has this state, by another way than its row: the row need not go out."""
        self.withdraw(message)
        self._acknowledged(message)

    def withdraw(self, message: Message) -> None:
        """The row of this state, if it waits, need not go out."""
        n = self._states.get(message.topic)
        if n is not None and self._waiting[n].message is message:
            self._parking.retry(self._waiting[n])
            self._left(self._take(n))

    def close(self) -> None:
        """The end is near: `wait_batch` returns what there is, then nothing."""
        self._closed = True
        self._news.set()

    def _line_up(self, row: Row) -> None:
        """To the end of those that wait, or behind the parked ones of its topic."""
        topic, parked = row.message.topic, bool(self._parking.lanes) and row in self._parking
        if row.message.kind is MessageKind.STATE and (rival := self._state(topic)):
            if rival.n > row.n:
                self._left(row)
                return
            parked = rival.n not in self._waiting
            self._forget(rival)
            self._left(rival)
        if parked:
            self._parking.add(row)
        else:
            self._wait(row)

    def _wait(self, row: Row) -> None:
        if row.message.kind is MessageKind.STATE:
            self._states[row.message.topic] = row.n
        self._waiting[row.n] = row

    def _state(self, topic: str) -> Row | None:
        """The row of a state's topic that is not on its way."""
        n = self._states.get(topic)
        if n is not None:
            return self._waiting[n]
        return next(iter(self._parking.of(topic)), None) if self._parking.lanes else None

    def _acknowledged(self, message: Message) -> bool:
        self.journal.acknowledged(message)
        self._news.set()  # what is in quarantine may be due now
        was_parked = self._parking.has_topic(message.topic)
        if was_parked:
            self._wait_again(self._parking.release(message.topic))
        return was_parked

    def _set_aside(self, row: Row, how: Callable[[Row, float], bool]) -> bool:
        """Whether the parking had not known it yet."""
        if self._given.pop(row.n, None) is None:
            return False
        is_outdated = row.message.kind is MessageKind.STATE and self._state(row.message.topic) is not None
        new = how(row, self._clock())
        # Of this topic alone: another parked topic may have a row on its way to try it, which its lane counts as out.
        topic = row.message.topic
        for behind in [one for one in self._waiting.values() if one.message.topic == topic and one in self._parking]:
            self._parking.add(self._take(behind.n))
        if is_outdated:
            self._parking.remove(row)
            self._left(row)
        return new

    def _wait_again(self, rows: list[Row]) -> None:
        """Rows that were parked, in their place among the others."""
        for row in rows:
            self._wait(row)
        if rows:
            self._sort()
            self._news.set()

    def _sort(self) -> None:
        self._waiting = OrderedDict((row.n, row) for row in sorted(self._waiting.values(), key=_order))

    def _give(self, limit: int) -> list[Row]:
        rows: list[Row] = []
        while self._waiting and len(rows) < limit:
            row = self._take(next(iter(self._waiting)))
            if self._too_old(row):
                self._drop_old(row)
            else:
                self._given[row.n] = row
                rows.append(row)
        return rows

    def _take(self, n: int) -> Row:
        row = self._waiting.pop(n)
        if row.message.kind is MessageKind.STATE:
            del self._states[row.message.topic]
        return row

    def _oldest(self) -> Row | None:
        """Of those that are not on their way."""
        heads = [next(iter(self._waiting.values()))] if self._waiting else []
        parked = self._parking.oldest if self._parking.lanes else None
        return min([*heads, parked] if parked else heads, key=_order, default=None)

    def _forget(self, row: Row) -> None:
        if row.n in self._waiting:
            self._take(row.n)
        else:
            self._parking.remove(row)

    def _enforce_size(self) -> None:
        while self._bytes > self._limits.max_size and (row := self._oldest()):
            self._forget(row)
            self._drop(row, DropReason.OUTBOX_FULL, f"outbox.max_size ({self._limits.max_size} bytes) is reached")

    def _enforce_age(self) -> None:
        while (row := self._oldest()) and self._too_old(row):
            self._forget(row)
            self._drop_old(row)

    def _too_old(self, row: Row) -> bool:
        return self.age(row) > self._limits.max_age

    def _drop_old(self, row: Row) -> None:
        self._drop(row, DropReason.OUTBOX_AGE, f"outbox.max_age ({self._limits.max_age:g} s) is over")

    def _drop(self, row: Row, loss: DropReason, detail: str) -> None:
        self._left(row)
        self._parking.retry(row)
        self._on_loss(row.message, loss, detail)

    def _left(self, row: Row) -> None:
        self._bytes -= cost(row.message)
        if row.message.kind is MessageKind.EVENT:
            self.journal.left(row)
