"""The outbox and its store keep every event through crashes, beside a model in plain Python."""

import shutil
import tempfile
from pathlib import Path

import pytest
import trio
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from interhuman2mqtt import config
from interhuman2mqtt.publish.message import DropReason, Message, MessageKind
from interhuman2mqtt.publish.outbox.parked import QUARANTINE, REFUSED, RetryPolicy
from interhuman2mqtt.publish.outbox.rows import Row, cost
from publish.lives import Life

MAX_SIZE = 12_000
MAX_AGE = 900.0
TOPICS = ("front/a", "front/b", "back/a")


def numbered(n: int, topic: str, size: int) -> Message:
    """The n-th event, with an id of its own."""
    return Message(
        topic=topic,
        payload=b"%d " % n + b"x" * size,
        kind=MessageKind.EVENT,
        retain=False,
        camera=topic.partition("/")[0],
        expiry=3600,
        properties=(("id", f"lobby-1/{topic}/{n}"),),
    )


class DurableMachine(RuleBasedStateMachine):
    """Any history of an outbox, commits and crashes included, beside lists that do the same."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.crashes = 0
        self.now = 0.0
        self.life = self.live(self.folder / "outbox.sqlite")
        self.put: list[tuple[Message, float]] = []
        self.on_disk: set[int] = set()
        self.begin_model(set())

    def begin_model(self, left: set[int]) -> None:
        self.waiting = sorted(left)
        self.given: dict[int, Row] = {}
        self.parked: dict[str | int, list[int]] = {}
        self.probing: set[str | int] = set()
        self.due: dict[str | int, float] = {}
        self.pause: dict[str | int, tuple[RetryPolicy, float]] = {}

    def live(self, path: Path) -> Life:
        limits = config.Outbox(max_size=MAX_SIZE, max_age=MAX_AGE)
        life = Life(path, lambda: self.now, limits).open()
        life.outbox.close()  # so that an empty one does not wait
        return life

    def topic(self, n: int) -> str:
        return self.put[n][0].topic

    def lane(self, n: int) -> str | int:
        """Where it is parked: by itself, or with its topic."""
        return n if n in self.parked else self.topic(n)

    def is_parked(self, n: int) -> bool:
        return self.lane(n) in self.parked

    @property
    def held(self) -> list[int]:
        return sorted([*self.waiting, *self.given, *(n for rows in self.parked.values() for n in rows)])

    @rule(topic=st.sampled_from(TOPICS), size=st.integers(1, 900))
    def put_event(self, topic: str, size: int) -> None:
        n = len(self.put)
        self.put.append((numbered(n, topic, size), self.now))
        self.parked.get(topic, self.waiting).append(n)
        self.life.outbox.put(self.put[n][0])
        self.enforce_limits()

    def enforce_limits(self) -> None:
        lost = []
        while sum(cost(self.put[n][0]) for n in self.held) > MAX_SIZE and (n := self.oldest()) is not None:
            lost.append((self.put[self.drop(n)][0], DropReason.OUTBOX_FULL))
        while (n := self.oldest()) is not None and self.now - self.put[n][1] > MAX_AGE:
            lost.append((self.put[self.drop(n)][0], DropReason.OUTBOX_AGE))
        assert self.life.lost == lost
        self.life.lost.clear()

    def oldest(self) -> int | None:
        return min([*self.waiting, *(n for rows in self.parked.values() for n in rows)], default=None)

    def drop(self, n: int) -> int:
        (self.waiting if n in self.waiting else self.parked[self.lane(n)]).remove(n)
        self.leave(n)
        return n

    def leave(self, n: int) -> None:
        """A row is no more."""
        self.parked.pop(n, None)
        self.probing.discard(self.topic(n))

    @rule(limit=st.integers(1, 6))
    def take(self, limit: int) -> None:
        self.try_parked()
        expected: list[int] = []
        while self.waiting and len(expected) < limit:
            n = self.waiting.pop(0)
            if self.now - self.put[n][1] <= MAX_AGE:
                expected.append(n)
            else:
                self.leave(n)
        rows = trio.run(self.life.outbox.wait_batch, limit)
        self.life.lost.clear()
        assert [row.message for row in rows] == [self.put[n][0] for n in expected]
        self.given |= dict(zip(expected, rows, strict=True))

    def try_parked(self, *, connected: bool = False) -> None:
        for lane, rows in self.parked.items():
            due = self.due[lane] <= self.now or (connected and self.pause[lane][0] is REFUSED)
            if rows and lane not in self.probing and due:
                self.probing.add(lane)
                self.waiting = sorted([*self.waiting, rows.pop(0)])

    def pick(self, index: int) -> tuple[int, Row, str]:
        n = list(self.given)[index % len(self.given)]
        return n, self.given.pop(n), self.topic(n)

    @precondition(lambda self: self.given)
    @rule(index=st.integers(0, 20))
    def ack(self, index: int) -> None:
        n, row, topic = self.pick(index)
        assert self.life.outbox.done(row) == (topic in self.parked or n in self.parked)
        if self.parked.pop(n, None) is not None:
            for lane, (pauses, _) in self.pause.items():
                if pauses is QUARANTINE:
                    self.due[lane] = 0.0
        self.waiting = sorted([*self.waiting, *self.parked.pop(topic, [])])
        self.probing.discard(topic)

    @precondition(lambda self: self.given)
    @rule(index=st.integers(0, 20))
    def refuse(self, index: int) -> None:
        n, row, topic = self.pick(index)
        self.parked.pop(n, None)
        assert self.life.outbox.park(row) == (topic not in self.parked)
        behind = [n for n in self.waiting if self.lane(n) == topic]
        self.waiting = [n for n in self.waiting if n not in behind]
        self.fail(topic, [n, *behind], REFUSED)

    @precondition(lambda self: self.given)
    @rule(index=st.integers(0, 20))
    def suspect(self, index: int) -> None:
        n, row, _ = self.pick(index)
        assert self.life.outbox.quarantine(row) == (n not in self.parked)
        self.fail(n, [n], QUARANTINE)

    def fail(self, lane: str | int, rows: list[int], pauses: RetryPolicy) -> None:
        known, pause = self.pause.get(lane, (pauses, 0.0)) if lane in self.parked else (pauses, 0.0)
        if not pause or lane in self.probing:
            self.pause[lane] = known, min(2 * pause, pauses.longest) if pause else pauses.first
            self.due[lane] = self.now + self.pause[lane][1]
        self.parked[lane] = sorted([*self.parked.get(lane, []), *rows])
        self.probing.discard(lane)

    @precondition(lambda self: self.given)
    @rule(index=st.integers(0, 20))
    def put_back(self, index: int) -> None:
        n, row, topic = self.pick(index)
        self.life.outbox.put_back(row)
        self.leave(n)
        self.parked.get(topic, self.waiting).append(n)
        self.parked.get(topic, self.waiting).sort()

    @precondition(lambda self: self.given)
    @rule(index=st.integers(0, 20))
    def lose(self, index: int) -> None:
        n, row, _ = self.pick(index)
        self.life.outbox.drop(row, DropReason.TOO_LARGE, "too large")
        assert self.life.lost == [(row.message, DropReason.TOO_LARGE)]
        self.life.lost.clear()
        self.leave(n)

    @rule()
    def rewind(self) -> None:
        again = sorted([*self.given, *self.waiting])
        self.given, self.waiting, self.probing = {}, [], set()
        for n in again:
            self.parked.get(self.lane(n), self.waiting).append(n)
        for rows in self.parked.values():
            rows.sort()
        self.try_parked(connected=True)
        self.life.outbox.rewind()

    @rule(seconds=st.integers(1, 400))
    def wait(self, seconds: int) -> None:
        self.now += seconds

    @rule(believed=st.booleans())
    def commit(self, believed: bool) -> None:  # noqa: FBT001 - Hypothesis draws it
        self.life.commit(believed=believed)
        self.on_disk = set(self.held)

    @rule()
    def commit_that_fails(self) -> None:
        journal = self.life.outbox.journal
        journal.failed(journal.next_batch())

    @rule()
    def crash(self) -> None:
        self.crashes += 1
        path = self.life.crash(self.folder / str(self.crashes))
        self.life = self.live(path)
        self.begin_model(self.on_disk)
        self.enforce_limits()
        assert self.life.messages == [self.put[n][0] for n in self.waiting]

    @invariant()
    def it_holds_what_it_should(self) -> None:
        depth = self.life.outbox.depth
        assert self.life.messages == [self.put[n][0] for n in self.held]
        assert depth.rows == len(self.held)
        assert depth.parked == sum(map(len, self.parked.values()))
        assert depth.bytes == sum(cost(self.put[n][0]) for n in self.held) <= MAX_SIZE

    def teardown(self) -> None:
        self.life.store.close()
        shutil.rmtree(self.folder)


TestDurableMachine = DurableMachine.TestCase
TestDurableMachine.settings = settings(max_examples=50, stateful_step_count=40, deadline=None)


@pytest.mark.full
def test_many_histories() -> None:
    """Fifty histories a run found a row that was lost to its lane after months; these find it at once."""
    many = settings(max_examples=1500, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(DurableMachine, settings=many)
