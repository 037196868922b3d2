"""What the store is still to be told of the outbox: rows to write, rows to delete, topics. In memory; no I/O.

Invariants:

1. A row that left before it was taken for writing is never written.
2. A row that was written is deleted once it left, whatever happened between.
3. Rows are written in the order of acceptance, so the order of their keys is that order.
4. What was taken and not written is taken again by the next `take`, from the same key on: an error does not say
   whether the commit was made, so that what is there from this key on has to go in any case.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from itertools import islice, takewhile
from typing import NamedTuple

import trio

from interhuman2mqtt.events import ActiveSignal
from interhuman2mqtt.publish.message import Message

TOGETHER = 1000
"""Rows written by one transaction at most: beyond it the write-ahead log grows, and nothing is gained."""


Signals = tuple[ActiveSignal, ...]


class Row(NamedTuple):
    """A message in the outbox."""

    n: int
    """The order of acceptance."""
    message: Message
    accepted_at: float
    """On the outbox's clock, in seconds."""


class Taken(NamedTuple):
    """What one transaction is to do."""

    first: int
    """The key of the first new row, if there is any; what stands there from an attempt that failed has to go."""
    new: list[tuple[int, Row]]
    """With their keys."""
    gone: list[int]
    """Keys."""
    topics: dict[str, bool]
    active: dict[str, Signals]
    """By camera."""


class RetainedTopics:
    """Every topic on which something of ours may be retained, and what of that the store does not know yet."""

    def __init__(self) -> None:
        self.topics: set[str] = set()
        self.changes: dict[str, bool] = {}
        """What the store is still to be told: topics that are ours (True), and that are no longer."""
        self._newest: dict[str, Message] = {}

    def publishes(self, message: Message) -> bool:
        """It is about to be published; whether that is news for the store."""
        if not message.retain:
            return False
        self._newest[message.topic] = message
        if not message.payload or message.topic in self.topics:
            return False
        self.topics.add(message.topic)
        self.changes[message.topic] = True
        return True

    def acknowledged(self, message: Message) -> bool:
        """The broker has it; whether that is news for the store: it is when nothing is retained any more."""
        empties = message.retain and not message.payload and self._newest.get(message.topic) == message
        if not empties or message.topic not in self.topics:
            return False
        self.topics.remove(message.topic)
        self.changes[message.topic] = False
        return True

    def restore(self, topics: Iterable[str]) -> None:
        """An earlier life left these."""
        self.topics |= {topic for topic in topics if self.changes.get(topic, True)}

    def take(self) -> dict[str, bool]:
        """The changes, which the store is told now."""
        changes, self.changes = self.changes, {}
        return changes

    def give_back(self, changes: Mapping[str, bool]) -> None:
        """The store was not told after all."""
        self.changes = {**changes, **self.changes}

    def tell_all(self) -> None:
        """The store knows nothing any more."""
        self.changes = {**self.changes, **dict.fromkeys(self.topics, True)}


class ActiveSignals:
    """The active signals of each camera, and what of that the store does not know yet."""

    def __init__(self) -> None:
        self.active: dict[str, Signals] = {}
        """By camera; none without any."""
        self.changes: dict[str, Signals] = {}
        """What the store is still to be told."""

    def publishes(self, message: Message) -> bool:
        """Take over what a message says of its camera; return whether that is news for the store."""
        camera, signals = message.camera, message.active
        if camera is None or signals is None or signals == self.active.get(camera, ()):
            return False
        self._set(camera, signals)
        self.changes[camera] = signals
        return True

    def restore(self, found: Mapping[str, Signals]) -> None:
        """An earlier life left these active."""
        for camera, signals in found.items():
            if camera not in self.changes:
                self._set(camera, signals)

    def take(self) -> dict[str, Signals]:
        """Return the changes, which the store is told now."""
        changes, self.changes = self.changes, {}
        return changes

    def give_back(self, changes: Mapping[str, Signals]) -> None:
        """The store was not told after all."""
        self.changes = {**changes, **self.changes}

    def tell_all(self) -> None:
        """The store knows nothing any more."""
        self.changes = {**self.active, **self.changes}

    def _set(self, camera: str, signals: Signals) -> None:
        self.active.pop(camera, None)
        if signals:
            self.active[camera] = signals


class Journal:
    """Beside an outbox, which tells it what came and what left."""

    def __init__(self) -> None:
        self.ledger = RetainedTopics()
        self.activity = ActiveSignals()
        self._unwritten: dict[int, Row] = {}
        self._writing: dict[int, int] = {}
        self._keys: dict[int, int] = {}
        self._gone: deque[int] = deque()
        self._next_key = 1
        self._doubtful = False
        self._underway = False
        self._changed = trio.Event()

    @property
    def unwritten(self) -> int:
        """Rows that would not survive a crash."""
        return len(self._unwritten) + len(self._writing)

    @property
    def pending(self) -> bool:
        """Whether the store is not told all yet."""
        return self.urgent or bool(self._gone) or self._doubtful or self._underway

    @property
    def urgent(self) -> bool:
        """Whether there is more to write than deletions, which may wait: a repeat carries the same id."""
        return bool(self._unwritten or self.ledger.changes or self.activity.changes)

    async def wait(self, *, urgent: bool) -> None:
        """Wait until something is to be written; where `urgent`, more than deletions."""
        await trio.lowlevel.checkpoint()
        while not (self.urgent if urgent else self.pending):
            self._changed = trio.Event()
            await self._changed.wait()

    def accepted(self, row: Row) -> None:
        """An event came."""
        self._unwritten[row.n] = row
        self._changed.set()

    def left(self, row: Row) -> None:
        """A row left the outbox."""
        self._unwritten.pop(row.n, None)
        self._writing.pop(row.n, None)
        key = self._keys.pop(row.n, None)
        if key is not None:
            self.delete([key])

    def delete(self, keys: Iterable[int]) -> None:
        """Rows of the file are not needed."""
        self._gone.extend(keys)
        self._changed.set()

    def publishes(self, message: Message) -> None:
        """A message is about to be published."""
        is_topic, is_signal = self.ledger.publishes(message), self.activity.publishes(message)
        if is_topic or is_signal:
            self._changed.set()

    def acknowledged(self, message: Message) -> None:
        """The broker has a message."""
        if self.ledger.acknowledged(message):
            self._changed.set()

    def found(self, row: Row, key: int) -> None:
        """An earlier life has written this row."""
        self._keys[row.n] = key
        self._next_key = max(self._next_key, key + 1)

    def worth(self, ripe: Callable[[Row], bool]) -> bool:
        """Whether there is anything to write but rows that are not ripe."""
        oldest = next(iter(self._unwritten.values()), None)
        others = self._gone or self.ledger.changes or self.activity.changes or self._doubtful
        return bool(others) or (oldest is not None and ripe(oldest))

    def take(self, ripe: Callable[[Row], bool] = lambda _: True) -> Taken:
        """What is to be written now, of the rows those that are ripe; `written` or `failed` must follow."""
        rows = takewhile(ripe, self._unwritten.values())
        new = list(enumerate(islice(rows, TOGETHER), self._next_key))
        for key, row in new:
            del self._unwritten[row.n]
            self._writing[row.n] = key
        gone, self._gone = list(self._gone), deque()
        self._underway = True
        return Taken(self._next_key, new, gone, self.ledger.take(), self.activity.take())

    def written(self, taken: Taken) -> None:
        """It is on the disk."""
        self._next_key += len(taken.new)
        self._doubtful = self._underway = False
        for key, row in taken.new:
            if self._writing.pop(row.n, None) is None:
                self.delete([key])
            else:
                self._keys[row.n] = key

    def failed(self, taken: Taken) -> None:
        """It may be on the disk or not, and counts as not."""
        self._doubtful, self._underway = True, False
        again = {row.n: row for _, row in taken.new if self._writing.pop(row.n, None) is not None}
        self._unwritten = {**again, **self._unwritten}
        self._gone.extendleft(reversed(taken.gone))
        self.ledger.give_back(taken.topics)
        self.activity.give_back(taken.active)

    def begin_anew(self, rows: Iterable[Row]) -> None:
        """The file is a new one: all that is in the outbox is to be written to it."""
        self._unwritten = {row.n: row for row in rows}
        self._writing.clear()
        self._keys.clear()
        self._gone.clear()
        self._next_key = 1
        self._doubtful = False
        self.ledger.tell_all()
        self.activity.tell_all()
