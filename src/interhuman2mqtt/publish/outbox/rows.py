"""Rows of the outbox, and those that wait for their turn in the order of acceptance. No I/O."""

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from operator import attrgetter
from typing import NamedTuple

from interhuman2mqtt.publish.message import Message, MessageKind

ROW_COST = 700
"""Bytes of memory that a message costs beside its topic and payload, as measured with CPython 3.11."""


class Row(NamedTuple):
    """A message in the outbox."""

    n: int
    """The order of acceptance."""
    message: Message
    accepted_at: float
    """On the outbox's clock, in seconds."""


class Depth(NamedTuple):
    """Size and age of all rows of the outbox."""

    rows: int
    bytes: int
    age: float
    """Seconds that the oldest row waits; 0 when there is none."""
    parked: int = 0
    """Rows whose topic the broker refuses, or that seem to break the connection; counted in `rows` too."""


by_number = attrgetter("n")
"""Orders rows by their acceptance."""


def cost(message: Message) -> int:
    """Return how many bytes a message takes while it waits; in the store's file it takes about as many."""
    return len(message.topic) + len(message.payload) + ROW_COST


class WaitingRows:
    """An ordered collection of rows; of each state's topic at most one."""

    def __init__(self) -> None:
        # Not a dict: that finds its first entry past all that were removed before it, so that a backlog of 100 000 rows
        # takes longer for each row the more of them have left.
        self._rows = OrderedDict[int, Row]()
        self._states: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows.values())

    def __contains__(self, row: Row) -> bool:
        return row.n in self._rows

    @property
    def oldest(self) -> Row | None:
        """The row that was accepted first."""
        return next(iter(self._rows.values()), None)

    def state(self, topic: str) -> Row | None:
        """Return the row of a state's topic."""
        n = self._states.get(topic)
        return None if n is None else self._rows[n]

    def append(self, row: Row) -> None:
        """Add a row that is newer than all others, or that `sort` brings to its place."""
        if row.message.kind is MessageKind.STATE:
            self._states[row.message.topic] = row.n
        self._rows[row.n] = row

    def insert(self, rows: Iterable[Row]) -> None:
        """Add rows in their place among the others."""
        for row in rows:
            self.append(row)
        self.sort()

    def sort(self) -> None:
        """Bring the rows into the order of acceptance."""
        self._rows = OrderedDict((row.n, row) for row in sorted(self._rows.values(), key=by_number))

    def remove(self, row: Row) -> Row:
        """Remove a row, and return it."""
        del self._rows[row.n]
        if row.message.kind is MessageKind.STATE:
            del self._states[row.message.topic]
        return row
