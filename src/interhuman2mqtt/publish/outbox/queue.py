"""The queue between the topics and the broker: in memory, bounded, with a store as its shadow.

Invariants:

1. A row leaves because the broker has it (`done`, `acknowledge_state`), because a newer state replaces it (3), because
   it is an answer whose connection was lost (`rewind`), or by a rule of `DropReason`, which is counted and logged
   (`drop`; for what comes before `withdraw` by who calls it). Nothing else removes one.
2. Rows go out in the order in which they came, so the order per camera is kept. What a connection was given and did not
   get acknowledged comes first after `rewind`, what an earlier life left comes before all of this one.
3. Of each state's topic at most one row waits: a newer state takes the older one's place in the world, but comes last,
   after the events that led to it.
4. All rows together never hold more than `max_size` bytes. When a new one does not fit, the oldest go that are not on
   their way; a message that could never fit goes itself.
5. A row that waited longer than `max_age` is not given out any more.
6. A row whose topic the broker refuses is parked with all later ones of that topic, one that seems to break the
   connection by itself, and the others go on (`parked`).
7. `put` never waits and never fails. `wait_batch` may be cancelled at any time and loses no row.
8. Events are durable: the journal follows each that comes and leaves, and the writer brings it to the store. An event
   is *accepted* once it stands there, or the broker has it. States and answers are not: each start publishes all
   states anew. Of them only the topics are durable, so that they can be cleared.
"""

import math
from collections.abc import Callable, Iterable

import trio

from interhuman2mqtt import config
from interhuman2mqtt.publish.message import DropReason, DropReporter, Message, MessageKind
from interhuman2mqtt.publish.outbox.journal import Journal
from interhuman2mqtt.publish.outbox.parked import ParkedTopics
from interhuman2mqtt.publish.outbox.rows import Depth, Row, WaitingRows, by_number, cost
from interhuman2mqtt.runtime.notifier import Notifier


class OutboxQueue:
    """Messages on their way to the broker, bounded in bytes and age.

    Args:
        limits: `max_size` in bytes, `max_age` in seconds.
        drops: Takes the messages that go by a rule.
        clock: Seconds, monotonic.
    """

    # State replaces the waiting row of its topic, where an ordinary queue would keep both: after an outage of an hour
    # nobody needs what the engagement was at each moment of it. The events have that, and states would be two of three
    # rows of the backlog.

    def __init__(
        self, limits: config.Outbox, drops: DropReporter, clock: Callable[[], float] = trio.current_time
    ) -> None:
        self.journal = Journal()
        self.parked = ParkedTopics()
        self.trouble: str | None = None
        """Why events do not survive a restart at the moment, in one sentence; None: they do."""
        self._limits = limits
        self._drops = drops
        self._clock = clock
        self._waiting = WaitingRows()
        self._in_flight: dict[int, Row] = {}
        self._bytes = 0
        self._first = 1
        self._last = 0
        self._is_closed = False
        self._changed = Notifier()

    @property
    def depth(self) -> Depth:
        """Size and age of all rows, on their way included."""
        heads = [next(iter(self._in_flight.values()), None), self._waiting.oldest, self.parked.oldest]
        age = max((self.age(row) for row in heads if row is not None), default=0.0)
        rows = len(self._in_flight) + len(self._waiting) + len(self.parked)
        return Depth(rows, self._bytes, age, len(self.parked))

    @property
    def events(self) -> list[Row]:
        """The rows that are to survive a restart, in their order."""
        rows = [*self._in_flight.values(), *self._waiting, *self.parked]
        return sorted((row for row in rows if row.message.kind is MessageKind.EVENT), key=by_number)

    def age(self, row: Row) -> float:
        """Return how many seconds ago the row was accepted."""
        return self._clock() - row.accepted_at

    def retained_topics(self) -> frozenset[str]:
        """Return every topic on which something of ours may be retained, what earlier lives left included."""
        return frozenset(self.journal.topics.values)

    def put(self, message: Message) -> None:
        """Accept a message."""
        if cost(message) > self._limits.max_size:
            detail = f"its {cost(message)} bytes are more than outbox.max_size holds"
            self._drops.report(message, DropReason.OUTBOX_FULL, detail)
            return
        self._last += 1
        row = Row(self._last, message, self._clock())
        self._bytes += cost(message)
        self.journal.publishing(message)
        if message.kind is MessageKind.EVENT:
            self.journal.add(row)
        self._line_up(row)
        self._enforce_limits()
        self._changed.set()

    async def wait_safe(self) -> None:
        """Wait until no event that was accepted before would be lost in a crash: it is on the disk, or left."""
        await self.journal.wait_safe(self._last)

    def restore(self, earlier: Iterable[tuple[int | None, float, Message]]) -> None:
        """Accept events of an earlier life, oldest first: key in the store (None: it is not there), age, message."""
        rows = list(earlier)
        self._first -= len(rows)
        for n, (key, age, message) in enumerate(rows, self._first):
            row = Row(n, message, self._clock() - age)
            self._bytes += cost(message)
            if key is None:
                self.journal.add(row)
            else:
                self.journal.add_stored(row, key)
            self._line_up(row)
        self._waiting.sort()
        self._enforce_limits()
        self._changed.set()

    async def wait_batch(self, limit: int) -> list[Row]:
        """Return the next rows, at least one and at most `limit`; none only after `close`, when nothing waits."""
        await trio.lowlevel.checkpoint()
        while True:
            if self.parked.lanes:
                self._wait_again(self.parked.pop_due(self._clock()))
            rows = self._pop_batch(limit)
            if rows or self._is_closed:
                return rows
            due = self.parked.due if self.parked.lanes else math.inf
            with trio.move_on_after(max(0.0, due - self._clock())):
                await self._changed.wait()

    def done(self, row: Row) -> bool:
        """Remove a row that the broker has; return whether it was parked before."""
        if self._in_flight.pop(row.n, None) is None:
            return False
        self._release(row)
        return self._acknowledged(row.message) | self.parked.release_row(row)

    def drop(self, row: Row, reason: DropReason, detail: str) -> None:
        """Remove a row that was given out, by a rule."""
        if self._in_flight.pop(row.n, None) is not None:
            self._drop(row, reason, detail)

    def park(self, row: Row) -> bool:
        """Park a row whose topic the broker refused; return whether it had taken the topic until now."""
        return self._move_to_parked(row, self.parked.refuse)

    def quarantine(self, row: Row) -> bool:
        """Park a row that seems to break the connection; return whether that is news."""
        return self._move_to_parked(row, self.parked.quarantine)

    def quarantine_state(self, message: Message) -> bool:
        """Park a state that went out by another way than its row; return whether that is news."""
        self.put(message)
        row = self._state(message.topic)
        if row is None or row not in self._waiting:
            return False
        self._in_flight[row.n] = self._waiting.remove(row)
        return self.quarantine(row)

    def put_back(self, row: Row) -> None:
        """Put a row that the broker did not take back in its place."""
        if self._in_flight.pop(row.n, None) is not None:
            self.parked.probe_ended(row)
            self._line_up(row)
            self._waiting.sort()
            self._changed.set()

    def rewind(self) -> None:
        """Put what the last connection was given and did not get done back in its place; try each parked topic.

        An answer is not repeated, and what is in quarantine is tried when it is due.
        """
        in_flight, self._in_flight = self._in_flight, {}
        again, self._waiting = [*in_flight.values(), *self._waiting], WaitingRows()
        self.parked.connection_ended()
        for row in sorted(again, key=by_number):
            if row.n in in_flight and row.message.kind is MessageKind.ANSWER:
                self._release(row)
            else:
                self._line_up(row)
        self._wait_again(self.parked.pop_due(self._clock(), connected=True))

    def acknowledge_state(self, message: Message) -> None:
        """Handle that the broker has this state, by another way than its row: the row need not go out."""
        self.withdraw(message)
        self._acknowledged(message)

    def withdraw(self, message: Message) -> None:
        """Remove the row of this state, if it waits: it need not go out."""
        row = self._waiting.state(message.topic)
        if row is not None and row.message is message:
            self.parked.probe_ended(row)
            self._release(self._waiting.remove(row))

    def close(self) -> None:
        """Let `wait_batch` return what there is, then nothing."""
        self._is_closed = True
        self._changed.set()

    def _line_up(self, row: Row) -> None:
        """Put a row to the end of those that wait, or behind the parked ones of its topic."""
        topic, is_parked = row.message.topic, bool(self.parked.lanes) and row in self.parked
        if row.message.kind is MessageKind.STATE and (rival := self._state(topic)):
            if rival.n > row.n:
                self._release(row)
                return
            is_parked = rival not in self._waiting
            self._take_out(rival)
            self._release(rival)
        if is_parked:
            self.parked.add(row)
        else:
            self._waiting.append(row)

    def _state(self, topic: str) -> Row | None:
        """Return the row of a state's topic that is not on its way."""
        return self._waiting.state(topic) or (self.parked.first_of(topic) if self.parked.lanes else None)

    def _acknowledged(self, message: Message) -> bool:
        self.journal.acknowledged(message)
        if self.parked.lanes:
            self._changed.set()  # what is in quarantine may be due now
        was_parked = self.parked.has_topic(message.topic)
        if was_parked:
            self._wait_again(self.parked.release_topic(message.topic))
        return was_parked

    def _move_to_parked(self, row: Row, park: Callable[[Row, float], bool]) -> bool:
        if self._in_flight.pop(row.n, None) is None:
            return False
        is_outdated = row.message.kind is MessageKind.STATE and self._state(row.message.topic) is not None
        is_new = park(row, self._clock())
        # Of this lane alone: another may have a row on its way to try it, which it counts as out.
        for behind in [one for one in self._waiting if self.parked.is_behind(one, row)]:
            self.parked.add(self._waiting.remove(behind))
        if is_outdated:
            self.parked.remove(row)
            self._release(row)
        return is_new

    def _wait_again(self, rows: list[Row]) -> None:
        if rows:
            self._waiting.insert(rows)
            self._changed.set()

    def _pop_batch(self, limit: int) -> list[Row]:
        rows: list[Row] = []
        while len(rows) < limit and (row := self._waiting.oldest):
            self._waiting.remove(row)
            if self._is_too_old(row):
                self._drop_old(row)
            else:
                self._in_flight[row.n] = row
                rows.append(row)
        return rows

    def _oldest(self) -> Row | None:
        """Return the oldest row that is not on its way."""
        if not self.parked.lanes:
            return self._waiting.oldest
        heads = [self._waiting.oldest, self.parked.oldest]
        return min((row for row in heads if row is not None), key=by_number, default=None)

    def _take_out(self, row: Row) -> None:
        if row in self._waiting:
            self._waiting.remove(row)
        else:
            self.parked.remove(row)

    def _enforce_limits(self) -> None:
        while (row := self._oldest()) and ((is_full := self._bytes > self._limits.max_size) or self._is_too_old(row)):
            self._take_out(row)
            if is_full:
                self._drop(row, DropReason.OUTBOX_FULL, f"outbox.max_size ({self._limits.max_size} bytes) is reached")
            else:
                self._drop_old(row)

    def _is_too_old(self, row: Row) -> bool:
        return self.age(row) > self._limits.max_age

    def _drop_old(self, row: Row) -> None:
        self._drop(row, DropReason.OUTBOX_AGE, f"outbox.max_age ({self._limits.max_age:g} s) is over")

    def _drop(self, row: Row, reason: DropReason, detail: str) -> None:
        self._release(row)
        self.parked.probe_ended(row)
        self._drops.report(row.message, reason, detail)

    def _release(self, row: Row) -> None:
        """Give back what a row holds: its bytes, and its place in the store."""
        self._bytes -= cost(row.message)
        if row.message.kind is MessageKind.EVENT:
            self.journal.remove(row)
