"""Rows that are out of the others' way, and tried again more and more slowly. No I/O.

A lane is a topic that the broker refuses, with all its rows; or a quarantine: a message that seems to break the
connection, an event by itself, a state with its topic.

Invariants:

1. While a topic has a lane its rows keep their order, and a new one goes behind them.
2. At most one row of a lane, its oldest, is out to try it (the probe); it is not held here meanwhile.
3. The broker's good answer to any row of the topic lets all of them go; one to any row in quarantine makes all others
   in quarantine due, for what was learned of one is likely wrong of the others.
4. Nothing here drops a row: only age and size do, in the outbox.
"""

import math
from bisect import insort
from collections.abc import Iterator
from typing import NamedTuple

from interhuman2mqtt.publish.outbox.journal import Row


class RetryPolicy(NamedTuple):
    """Seconds from a failure to the next attempt: doubled from the first to the longest."""

    first: float
    longest: float


REFUSED = RetryPolicy(5.0, 300.0)
"""Each new connection is an attempt too."""
QUARANTINE = RetryPolicy(60.0, 3600.0)
"""A new connection is none: an attempt may cost it."""


class _Lane:
    """What waits together."""

    def __init__(self, pauses: RetryPolicy) -> None:
        self.rows: list[Row] = []
        self.probing = False
        self.due = 0.0
        self.pauses = pauses
        self.pause = 0.0

    def failed(self, pauses: RetryPolicy, now: float) -> None:
        """An attempt came to nothing, and made it such a lane; of several that were under way only one counts."""
        if pauses is self.pauses and self.pause and not self.probing:
            return
        self.pause = min(2 * self.pause, pauses.longest) if self.pause and pauses is self.pauses else pauses.first
        self.pauses, self.probing, self.due = pauses, False, now + self.pause


class ParkedTopics:
    """The lanes and their rows."""

    def __init__(self) -> None:
        self.lanes: dict[str | int, _Lane] = {}
        """By topic, or by the number of an event in quarantine; mostly none, so that the queue looks here first."""

    def __contains__(self, row: Row) -> bool:
        """Whether a row belongs here: by itself, or with its topic."""
        return row.n in self.lanes or row.message.topic in self.lanes

    def __iter__(self) -> Iterator[Row]:
        return (row for lane in self.lanes.values() for row in lane.rows)

    def __len__(self) -> int:
        return sum(len(lane.rows) for lane in self.lanes.values())

    @property
    def oldest(self) -> Row | None:
        """The row that came first."""
        return min((lane.rows[0] for lane in self.lanes.values() if lane.rows), default=None)

    @property
    def due(self) -> float:
        """When the next lane is to be tried; infinite where none is."""
        return min((lane.due for lane in self.lanes.values() if lane.rows and not lane.probing), default=math.inf)

    def has_topic(self, topic: str) -> bool:
        """Whether the rows of a topic belong here."""
        return topic in self.lanes

    def is_quarantined(self, key: str | int) -> bool:
        """Whether a state's topic, or an event by its number, is in quarantine, also while it is tried."""
        lane = self.lanes.get(key)
        return lane is not None and lane.pauses is QUARANTINE

    def refuse(self, row: Row, now: float) -> bool:
        """The broker refused a row; whether its topic had been fine until now."""
        self.lanes.pop(row.n, None)
        return self._fail(row.message.topic, row, REFUSED, now)

    def quarantine(self, row: Row, now: float) -> bool:
        """A row seems to break the connection; whether that is news."""
        return self._fail(row.message.topic if row.message.retain else row.n, row, QUARANTINE, now)

    def pause(self, topic: str) -> float:
        """Seconds from the last failure of a topic's lane to the next attempt."""
        return self.lanes[topic].pause

    def add(self, row: Row) -> None:
        """A row that belongs here."""
        insort(self._lane(row).rows, row)

    def remove(self, row: Row) -> None:
        """A row leaves, not to the broker."""
        self._lane(row).rows.remove(row)
        self.lanes.pop(row.n, None)

    def of(self, topic: str) -> list[Row]:
        """The rows of a topic."""
        return list(self.lanes[topic].rows) if topic in self.lanes else []

    def release(self, topic: str) -> list[Row]:
        """The broker takes the topic: its rows, which are here no longer."""
        lane = self.lanes.pop(topic, None)
        if lane is None:
            return []
        if lane.pauses is QUARANTINE:
            self._hurry()
        return lane.rows

    def acquit(self, row: Row) -> bool:
        """The broker has a row; whether that had been in quarantine by itself."""
        lane = self.lanes.pop(row.n, None)
        if lane is not None:
            self._hurry()
        return lane is not None

    def probe(self, now: float, *, connected: bool = False) -> list[Row]:
        """A row of each lane that is due at `now`, taken out to try it.

        Where we have just `connected` each topic that was refused is due.
        """
        due = [
            lane
            for lane in self.lanes.values()
            if lane.rows and not lane.probing and (lane.due <= now or (connected and lane.pauses is REFUSED))
        ]
        for lane in due:
            lane.probing = True
        return [lane.rows.pop(0) for lane in due]

    def retry(self, row: Row) -> None:
        """What was out to try a lane left another way: the next row may."""
        self.lanes.pop(row.n, None)
        if row.message.topic in self.lanes:
            self.lanes[row.message.topic].probing = False

    def reset(self) -> None:
        """A connection ended: whatever was out to try a lane comes back, or is no more."""
        for lane in self.lanes.values():
            lane.probing = False

    def _lane(self, row: Row) -> _Lane:
        return self.lanes[row.n if row.n in self.lanes else row.message.topic]

    def _fail(self, key: str | int, row: Row, pauses: RetryPolicy, now: float) -> bool:
        new = key not in self.lanes
        lane = self.lanes.setdefault(key, _Lane(pauses))
        lane.failed(pauses, now)
        insort(lane.rows, row)
        return new

    def _hurry(self) -> None:
        for lane in self.lanes.values():
            if lane.pauses is QUARANTINE:
                lane.due = -math.inf
