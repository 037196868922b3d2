"""Rows whose topic the broker refuses: out of the others' way, and tried again slowly, one of a topic at a time.

Invariants:

1. While a topic is parked its rows keep their order, and a new one goes behind them.
2. At most one row of a topic, its oldest, is out to try it (the probe); it is not held here meanwhile.
3. The broker's good answer to any row of the topic lets all of them go.
"""

import math
from bisect import insort
from collections.abc import Iterator

from interhuman2mqtt.publish.journal import Row

AGAIN = 300.0
"""Seconds from a refusal to the next attempt, unless a new connection comes before."""


class _Topic:
    """What is parked of one topic."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.probing = False
        self.due = 0.0


class Parking:
    """The refused topics and their rows."""

    def __init__(self) -> None:
        self._topics: dict[str, _Topic] = {}

    def __contains__(self, topic: object) -> bool:
        return topic in self._topics

    def __iter__(self) -> Iterator[Row]:
        return (row for topic in self._topics.values() for row in topic.rows)

    def __len__(self) -> int:
        return sum(len(topic.rows) for topic in self._topics.values())

    @property
    def oldest(self) -> Row | None:
        """The row that came first."""
        return min((topic.rows[0] for topic in self._topics.values() if topic.rows), default=None)

    @property
    def due(self) -> float:
        """When the next topic is to be tried; infinite where none is."""
        return min((t.due for t in self._topics.values() if t.rows and not t.probing), default=math.inf)

    def refuse(self, row: Row, now: float) -> bool:
        """The broker refused a row; whether its topic had been fine until now."""
        new = row.message.topic not in self._topics
        topic = self._topics.setdefault(row.message.topic, _Topic())
        topic.probing, topic.due = False, now + AGAIN
        insort(topic.rows, row)
        return new

    def add(self, row: Row) -> None:
        """A row of a topic that is parked."""
        insort(self._topics[row.message.topic].rows, row)

    def remove(self, row: Row) -> None:
        """A row leaves, not to the broker."""
        self._topics[row.message.topic].rows.remove(row)

    def of(self, topic: str) -> list[Row]:
        """The rows of a topic."""
        return list(self._topics[topic].rows) if topic in self._topics else []

    def release(self, topic: str) -> list[Row]:
        """The broker takes the topic: its rows, which are here no longer."""
        return self._topics.pop(topic, _Topic()).rows

    def probe(self, now: float = math.inf) -> list[Row]:
        """A row of each topic that is due at `now`, by default of each, taken out to try it."""
        due = [topic for topic in self._topics.values() if topic.rows and not topic.probing and topic.due <= now]
        for topic in due:
            topic.probing = True
        return [topic.rows.pop(0) for topic in due]

    def retry(self, topic: str) -> None:
        """What was out to try a topic left another way: the next row may."""
        if topic in self._topics:
            self._topics[topic].probing = False

    def reset(self) -> None:
        """A connection ended: whatever was out to try a topic comes back, or is no more."""
        for topic in self._topics.values():
            topic.probing = False
