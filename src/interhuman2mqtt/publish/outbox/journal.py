"""Changes of the outbox that the store does not know yet: rows to write, rows to delete, topics. In memory; no I/O.

Invariants:

1. A row that left before it was taken for writing is never written.
2. A row that was written is deleted once it left, whatever happened between.
3. Rows are written in the order of acceptance, so the order of their keys is that order.
4. What was taken and not written is taken again by the next `next_batch`, from the same key on: an error does not say
   whether the commit was made, so that what is there from this key on has to go in any case.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from itertools import islice, takewhile
from typing import Generic, NamedTuple, TypeVar

import trio

from interhuman2mqtt.events import ActiveSignal
from interhuman2mqtt.publish.message import Message
from interhuman2mqtt.publish.outbox.rows import Row
from interhuman2mqtt.runtime.notifier import Notifier

BATCH_MAX = 1000
"""Rows written by one transaction at most: beyond it the write-ahead log grows, and nothing is gained."""

Value = TypeVar("Value")
Signals = tuple[ActiveSignal, ...]


class Batch(NamedTuple):
    """The work of one transaction."""

    first: int
    """The key of the first new row, if there is any; what stands there from an attempt that failed has to go."""
    new: list[tuple[int, Row]]
    """With their keys."""
    removed: list[int]
    """Keys."""
    topics: dict[str, bool]
    """Retained topics that are ours from now on (True), and those that are no longer."""
    active: dict[str, Signals]
    """By camera."""


class DurableMap(Generic[Value]):
    """Values by key that outlive the daemon, and which of them the store does not know yet; an empty one means none."""

    def __init__(self) -> None:
        self.values: dict[str, Value] = {}
        self.pending: dict[str, Value] = {}
        """Changes that are still to be written; those that are empty are still to be deleted."""

    def set(self, key: str, value: Value) -> None:
        """Set a value, or remove it, and note that for the store."""
        self._set(key, value)
        self.pending[key] = value

    def restore(self, found: Mapping[str, Value]) -> None:
        """Add what an earlier life left, where nothing newer is known."""
        for key, value in found.items():
            if key not in self.pending:
                self._set(key, value)

    def pop_pending(self) -> dict[str, Value]:
        """Return the changes, which are written now."""
        changes, self.pending = self.pending, {}
        return changes

    def put_back(self, changes: Mapping[str, Value]) -> None:
        """Take back changes that were not written after all; newer ones win."""
        self.pending = {**changes, **self.pending}

    def write_all(self) -> None:
        """Mark every value as pending: the store is a new one."""
        self.pending = {**self.values, **self.pending}

    def _set(self, key: str, value: Value) -> None:
        self.values.pop(key, None)
        if value:
            self.values[key] = value


class Journal:
    """Follows an outbox, which calls it with what came and what left."""

    # Why a journal beside the queue, and not a database that is the queue: most events are acknowledged within a round
    # trip, long before any commit would be due. A queue in SQLite writes and deletes each of them, two pages of flash
    # and an fsync an event, for ever. Here a row that leaves before its commit costs the disk nothing (invariant 1): an
    # SD card of a box whose broker is up sees almost no writes.

    def __init__(self) -> None:
        self.topics = DurableMap[bool]()
        """Every topic on which something of ours may be retained, what earlier lives left included."""
        self.signals = DurableMap[Signals]()
        """The active signals, by camera; before anything is put, those that an earlier life left so."""
        self._newest: dict[str, Message] = {}
        self._unwritten: dict[int, Row] = {}
        self._writing: dict[int, int] = {}
        self._keys: dict[int, int] = {}
        self._removed: deque[int] = deque()
        self._next_key = 1
        self._is_doubtful = False
        self._is_writing = False
        self._changed = Notifier()
        self._settled = Notifier()

    @property
    def unwritten(self) -> int:
        """Rows that would not survive a crash."""
        return len(self._unwritten) + len(self._writing)

    @property
    def pending(self) -> bool:
        """True while the store does not know all."""
        return self.urgent or bool(self._removed) or self._is_doubtful or self._is_writing

    @property
    def urgent(self) -> bool:
        """True while there is more to write than deletions, which may wait: a repeat carries the same id."""
        return bool(self._unwritten or self.topics.pending or self.signals.pending)

    async def wait_safe(self, n: int) -> None:
        """Wait until no row up to this number would be lost in a crash: each is on the disk, or left."""
        while any(next(iter(rows), n + 1) <= n for rows in (self._unwritten, self._writing)):
            await self._settled.wait()

    async def wait(self, *, urgent: bool) -> None:
        """Wait until something is to be written; where `urgent`, more than deletions."""
        await trio.lowlevel.checkpoint()
        while not (self.urgent if urgent else self.pending):
            await self._changed.wait()

    def add(self, row: Row) -> None:
        """Note an event that was accepted."""
        self._unwritten[row.n] = row
        self._changed.set()

    def add_stored(self, row: Row, key: int) -> None:
        """Note an event that an earlier life has written."""
        self._keys[row.n] = key
        self._next_key = max(self._next_key, key + 1)

    def remove(self, row: Row) -> None:
        """Note that a row left the outbox."""
        self._unwritten.pop(row.n, None)
        self._writing.pop(row.n, None)
        self._settled.set()
        key = self._keys.pop(row.n, None)
        if key is not None:
            self.delete([key])

    def delete(self, keys: Iterable[int]) -> None:
        """Note rows of the file that are not needed."""
        self._removed.extend(keys)
        self._changed.set()

    def publishing(self, message: Message) -> None:
        """Note what a message that is about to be published makes true."""
        if message.retain:
            self._newest[message.topic] = message
            if message.payload and message.topic not in self.topics.values:
                self.topics.set(message.topic, True)  # noqa: FBT003 - the value of the map
        camera, signals = message.camera, message.active
        if camera is not None and signals is not None and signals != self.signals.values.get(camera, ()):
            self.signals.set(camera, signals)
        if self.urgent:
            self._changed.set()

    def acknowledged(self, message: Message) -> None:
        """Note that the broker has a message: nothing is retained on a topic any more that it has emptied."""
        empties = message.retain and not message.payload and self._newest.get(message.topic) == message
        if empties and message.topic in self.topics.values:
            self.topics.set(message.topic, False)  # noqa: FBT003 - the value of the map
            self._changed.set()

    def has_work(self, old_enough: Callable[[Row], bool]) -> bool:
        """Decide whether there is anything to write but rows that are not old enough."""
        oldest = next(iter(self._unwritten.values()), None)
        others = self._removed or self.topics.pending or self.signals.pending or self._is_doubtful
        return bool(others) or (oldest is not None and old_enough(oldest))

    def next_batch(self, old_enough: Callable[[Row], bool] = lambda _: True) -> Batch:
        """Return what is to be written now, of the rows the old enough ones; `written` or `failed` must follow."""
        rows = takewhile(old_enough, self._unwritten.values())
        new = list(enumerate(islice(rows, BATCH_MAX), self._next_key))
        for key, row in new:
            del self._unwritten[row.n]
            self._writing[row.n] = key
        removed, self._removed = list(self._removed), deque()
        self._is_writing = True
        return Batch(self._next_key, new, removed, self.topics.pop_pending(), self.signals.pop_pending())

    def written(self, batch: Batch) -> None:
        """Note that a batch is on the disk."""
        self._next_key += len(batch.new)
        self._is_doubtful = self._is_writing = False
        self._settled.set()
        for key, row in batch.new:
            if self._writing.pop(row.n, None) is None:
                self.delete([key])
            else:
                self._keys[row.n] = key

    def failed(self, batch: Batch) -> None:
        """Note that a batch may be on the disk or not; it counts as not."""
        self._is_doubtful, self._is_writing = True, False
        again = {row.n: row for _, row in batch.new if self._writing.pop(row.n, None) is not None}
        self._unwritten = {**again, **self._unwritten}
        self._removed.extendleft(reversed(batch.removed))
        self.topics.put_back(batch.topics)
        self.signals.put_back(batch.active)

    def write_all(self, rows: Iterable[Row]) -> None:
        """Begin with an empty file: these rows, all that is in the outbox, are to be written to it."""
        self._unwritten = {row.n: row for row in rows}
        self._writing.clear()
        self._keys.clear()
        self._removed.clear()
        self._next_key = 1
        self._is_doubtful = False
        self.topics.write_all()
        self.signals.write_all()
