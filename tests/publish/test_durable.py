"""The outbox and its store keep every event through crashes, beside a model in plain Python."""

import math
import shutil
import tempfile
from pathlib import Path

import trio
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from interhuman2mqtt import config
from interhuman2mqtt.publish.journal import Row
from interhuman2mqtt.publish.losses import Loss
from interhuman2mqtt.publish.message import Kind, Message, cost
from interhuman2mqtt.publish.parking import AGAIN
from publish.lives import Life

MAX_SIZE = 12_000
MAX_AGE = 900.0
TOPICS = ("front/a", "front/b", "back/a")


def numbered(n: int, topic: str, size: int) -> Message:
    """The n-th event, with an id of its own."""
    return Message(
        topic=topic,
        payload=b"%d " % n + b"x" * size,
        kind=Kind.EVENT,
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
        self.parked: dict[str, list[int]] = {}
        self.probing: set[str] = set()
        self.due: dict[str, float] = {}

    def live(self, path: Path) -> Life:
        limits = config.Outbox(max_size=MAX_SIZE, max_age=MAX_AGE)
        life = Life(path, lambda: self.now, limits).open()
        life.outbox.close()  # so that an empty one does not wait
        return life

    def topic(self, n: int) -> str:
        return self.put[n][0].topic

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
            lost.append((self.put[self.drop(n)][0], Loss.OUTBOX_FULL))
        while (n := self.oldest()) is not None and self.now - self.put[n][1] > MAX_AGE:
            lost.append((self.put[self.drop(n)][0], Loss.OUTBOX_AGE))
        assert self.life.lost == lost
        self.life.lost.clear()

    def oldest(self) -> int | None:
        return min([*self.waiting, *(n for rows in self.parked.values() for n in rows)], default=None)

    def drop(self, n: int) -> int:
        (self.waiting if n in self.waiting else self.parked[self.topic(n)]).remove(n)
        self.probing.discard(self.topic(n))
        return n

    @rule(limit=st.integers(1, 6))
    def take(self, limit: int) -> None:
        self.try_parked(self.now)
        expected: list[int] = []
        while self.waiting and len(expected) < limit:
            n = self.waiting.pop(0)
            if self.now - self.put[n][1] <= MAX_AGE:
                expected.append(n)
            else:
                self.probing.discard(self.topic(n))
        rows = trio.run(self.life.outbox.wait_batch, limit)
        self.life.lost.clear()
        assert [row.message for row in rows] == [self.put[n][0] for n in expected]
        self.given |= dict(zip(expected, rows, strict=True))

    def try_parked(self, now: float) -> None:
        for topic, rows in self.parked.items():
            if rows and topic not in self.probing and self.due[topic] <= now:
                self.probing.add(topic)
                self.waiting = sorted([*self.waiting, rows.pop(0)])

    def pick(self, index: int) -> tuple[int, Row, str]:
        n = list(self.given)[index % len(self.given)]
        return n, self.given.pop(n), self.topic(n)

    @precondition(lambda self: self.given)
    @rule(index=st.integers(0, 20))
    def ack(self, index: int) -> None:
        _, row, topic = self.pick(index)
        assert self.life.outbox.done(row) == (topic in self.parked)
        self.waiting = sorted([*self.waiting, *self.parked.pop(topic, [])])
        self.probing.discard(topic)

    @precondition(lambda self: self.given)
    @rule(index=st.integers(0, 20))
    def refuse(self, index: int) -> None:
        n, row, topic = self.pick(index)
        assert self.life.outbox.park(row) == (topic not in self.parked)
        behind = [n for n in self.waiting if self.topic(n) == topic]
        self.waiting = [n for n in self.waiting if n not in behind]
        self.parked[topic] = sorted([*self.parked.get(topic, []), n, *behind])
        self.probing.discard(topic)
        self.due[topic] = self.now + AGAIN

    @precondition(lambda self: self.given)
    @rule(index=st.integers(0, 20))
    def lose(self, index: int) -> None:
        _, row, topic = self.pick(index)
        self.life.outbox.lose(row, Loss.TOO_LARGE, "too large")
        assert self.life.lost == [(row.message, Loss.TOO_LARGE)]
        self.life.lost.clear()
        self.probing.discard(topic)

    @rule()
    def rewind(self) -> None:
        again = sorted([*self.given, *self.waiting])
        self.given, self.waiting, self.probing = {}, [], set()
        for n in again:
            self.parked.get(self.topic(n), self.waiting).append(n)
        for rows in self.parked.values():
            rows.sort()
        self.try_parked(math.inf)
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
        journal.failed(journal.take())

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
