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

from interhuman2mqtt.publish.outbox.rows import Row

# MQTT has two obvious answers to a refusal: drop the message, or try it again before all others. Dropping loses what an
# ACL that is mended in a minute would let through; trying again blocks every camera of the box behind one topic that a
# typo in the ACL denies. A parked topic costs one message per attempt, and nobody else anything.


class RetryPolicy(NamedTuple):
    """Seconds from a failure to the next attempt: doubled from the first to the longest."""

    first: float
    longest: float


REFUSED = RetryPolicy(5.0, 300.0)
"""Each new connection is an attempt too."""
QUARANTINE = RetryPolicy(60.0, 3600.0)
"""A new connection is none: an attempt may cost it."""


class _Lane:
    """Rows that wait together."""

    def __init__(self, policy: RetryPolicy) -> None:
        self.rows: list[Row] = []
        self.is_probing = False
        self.due = 0.0
        self.policy = policy
        self.delay = 0.0

    def failed(self, policy: RetryPolicy, now: float) -> None:
        """Set the next attempt after one that failed, by the policy of its failure.

        Of several attempts that were under way only one counts.
        """
        is_same = policy is self.policy
        if is_same and self.delay and not self.is_probing:
            return
        self.delay = min(2 * self.delay, policy.longest) if self.delay and is_same else policy.first
        self.policy, self.is_probing, self.due = policy, False, now + self.delay


class ParkedTopics:
    """The lanes and their rows."""

    def __init__(self) -> None:
        self.lanes: dict[str | int, _Lane] = {}
        """By topic, or by the number of an event in quarantine; mostly none, so that the queue looks here first."""

    def __contains__(self, row: Row) -> bool:
        """Decide whether a row belongs here: by itself, or with its topic."""
        return row.n in self.lanes or row.message.topic in self.lanes

    def __iter__(self) -> Iterator[Row]:
        return (row for lane in self.lanes.values() for row in lane.rows)

    def __len__(self) -> int:
        return sum(len(lane.rows) for lane in self.lanes.values())

    @property
    def oldest(self) -> Row | None:
        """The row that was accepted first."""
        return min((lane.rows[0] for lane in self.lanes.values() if lane.rows), default=None)

    @property
    def due(self) -> float:
        """Time of the next attempt of any lane; infinite where there is none."""
        return min((lane.due for lane in self.lanes.values() if lane.rows and not lane.is_probing), default=math.inf)

    def has_topic(self, topic: str) -> bool:
        """Decide whether the rows of a topic belong here, also while one of them is out to try it."""
        return topic in self.lanes

    def is_behind(self, row: Row, parked: Row) -> bool:
        """Decide whether a row belongs into the lane of one that is parked."""
        return row in self and self._lane(row) is self._lane(parked)

    def is_quarantined(self, key: str | int) -> bool:
        """Decide whether a state's topic, or an event by its number, is in quarantine, also while it is tried."""
        lane = self.lanes.get(key)
        return lane is not None and lane.policy is QUARANTINE

    def refuse(self, row: Row, now: float) -> bool:
        """Park a row that the broker refused; return whether its topic had been fine until now."""
        self.lanes.pop(row.n, None)
        return self._fail(row.message.topic, row, REFUSED, now)

    def quarantine(self, row: Row, now: float) -> bool:
        """Park a row that seems to break the connection; return whether that is news."""
        return self._fail(row.message.topic if row.message.retain else row.n, row, QUARANTINE, now)

    def retry_delay(self, topic: str) -> float:
        """Return the seconds from the last failure of a topic's lane to the next attempt."""
        return self.lanes[topic].delay

    def add(self, row: Row) -> None:
        """Add a row to its lane."""
        insort(self._lane(row).rows, row)

    def remove(self, row: Row) -> None:
        """Remove a row that does not go to the broker."""
        self._lane(row).rows.remove(row)
        self.lanes.pop(row.n, None)

    def first_of(self, topic: str) -> Row | None:
        """Return the oldest row that waits with a topic."""
        lane = self.lanes.get(topic)
        return lane.rows[0] if lane and lane.rows else None

    def release_topic(self, topic: str) -> list[Row]:
        """Remove the lane of a topic that the broker takes, and return its rows."""
        lane = self.lanes.pop(topic, None)
        if lane is None:
            return []
        if lane.policy is QUARANTINE:
            self._retry_quarantine_now()
        return lane.rows

    def release_row(self, row: Row) -> bool:
        """Remove the lane of a row that the broker has; return whether it had one of its own."""
        lane = self.lanes.pop(row.n, None)
        if lane is not None:
            self._retry_quarantine_now()
        return lane is not None

    def pop_due(self, now: float, *, connected: bool = False) -> list[Row]:
        """Remove and return the probe of each lane that is due.

        Args:
            now: On the outbox's clock.
            connected: We have just connected, so that each topic that was refused is due.
        """
        due = [
            lane
            for lane in self.lanes.values()
            if lane.rows and not lane.is_probing and (lane.due <= now or (connected and lane.policy is REFUSED))
        ]
        for lane in due:
            lane.is_probing = True
        return [lane.rows.pop(0) for lane in due]

    def probe_ended(self, row: Row) -> None:
        """Handle that a probe left another way: the next row may try the lane."""
        self.lanes.pop(row.n, None)
        if row.message.topic in self.lanes:
            self.lanes[row.message.topic].is_probing = False

    def connection_ended(self) -> None:
        """Handle that every probe comes back, or is no more."""
        for lane in self.lanes.values():
            lane.is_probing = False

    def _lane(self, row: Row) -> _Lane:
        return self.lanes[row.n if row.n in self.lanes else row.message.topic]

    def _fail(self, key: str | int, row: Row, policy: RetryPolicy, now: float) -> bool:
        is_new = key not in self.lanes
        lane = self.lanes.setdefault(key, _Lane(policy))
        lane.failed(policy, now)
        insort(lane.rows, row)
        return is_new

    def _retry_quarantine_now(self) -> None:
        for lane in self.lanes.values():
            if lane.policy is QUARANTINE:
                lane.due = -math.inf
