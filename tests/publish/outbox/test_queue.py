"""The outbox keeps its invariants."""

import trio
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from trio.testing import MockClock, wait_all_tasks_blocked

from interhuman2mqtt import config
from interhuman2mqtt.publish.message import DropLog, DropReason, Message, MessageKind
from interhuman2mqtt.publish.outbox.parked import QUARANTINE, REFUSED
from interhuman2mqtt.publish.outbox.queue import OutboxQueue
from interhuman2mqtt.publish.outbox.rows import Depth, Row, cost
from publish.helpers import a_state_message, an_answer_message, an_event_message


class Store:
    """An outbox, its clock, and what it lost."""

    def __init__(self, max_size: int = 1 << 20, max_age: float = 100.0) -> None:
        self.now = 0.0
        self.lost: list[tuple[Message, DropReason]] = []
        limits = config.Outbox(max_size=max_size, max_age=max_age)
        self.outbox = OutboxQueue(limits, self, lambda: self.now)

    def report(self, message: Message | None, reason: DropReason, _detail: str, /) -> None:
        assert message is not None
        self.lost.append((message, reason))

    async def take(self, limit: int = 1000) -> list[Row]:
        """The next batch, which must be there already."""
        with trio.fail_after(1):
            return await self.outbox.wait_batch(limit)


def messages(rows: list[Row]) -> list[Message]:
    return [row.message for row in rows]


async def test_rows_come_in_order_and_leave_when_done() -> None:
    """Batches hold the rows in the order of acceptance, no more than asked for, and `done` empties the outbox."""
    store = Store()
    wanted = [an_event_message("front", n) for n in range(5)]
    for message in wanted:
        store.outbox.put(message)
    rows = [*await store.take(2), *await store.take(3)]
    assert messages(rows) == wanted
    assert store.outbox.depth.rows == 5
    for row in rows:
        store.outbox.done(row)
    assert store.outbox.depth == Depth(0, 0, 0.0)
    store.outbox.done(rows[0])
    assert store.outbox.depth == Depth(0, 0, 0.0)


async def test_a_batch_waits_for_its_first_row() -> None:
    """`wait_batch` sleeps while the outbox is empty and returns what comes, however often it is put."""
    store = Store()
    taken: list[Row] = []

    async def take() -> None:
        taken.extend(await store.outbox.wait_batch(10))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(take)
        await wait_all_tasks_blocked()
        assert taken == []
        store.outbox.put(an_event_message("front", 1))
        store.outbox.put(an_event_message("front", 2))
    assert len(taken) == 2


async def test_a_cancelled_batch_loses_nothing() -> None:
    """A task cancelled in `wait_batch`, even with rows there, leaves all of them to the next."""
    store = Store()
    store.outbox.put(an_event_message("front", 1))
    with trio.CancelScope() as scope:
        scope.cancel()
        await store.outbox.wait_batch(10)
    assert scope.cancelled_caught
    assert len(await store.take()) == 1


async def test_what_was_not_acknowledged_comes_first_again() -> None:
    """After `rewind` the rows that were given and not done come again, in order, before the waiting ones."""
    store = Store()
    for n in range(4):
        store.outbox.put(an_event_message("front", n))
    first, second, _ = await store.take(3)
    store.outbox.done(second)
    store.outbox.rewind()
    rows = await store.take()
    assert [row.n for row in rows] == [first.n, 3, 4]
    assert store.outbox.depth.rows == 3


async def test_an_answer_goes_out_once() -> None:
    """An answer keeps its place among the events; given to a connection that was lost it does not come again."""
    store = Store()
    sent, kept = an_answer_message("sent"), an_answer_message("kept")
    event = an_event_message("front", 1)
    for message in (sent, event, kept):
        store.outbox.put(message)
    assert messages(await store.take(2)) == [sent, event]
    store.outbox.rewind()
    assert messages(await store.take()) == [event, kept]
    assert store.outbox.depth.rows == 2


async def test_a_newer_state_replaces_the_waiting_one() -> None:
    """Of a topic's states only the newest waits, and it comes after the events before it."""
    store = Store()
    event = an_event_message("front", 1)
    for message in (a_state_message("front/status", "old"), event, a_state_message("front/status", "new")):
        store.outbox.put(message)
    assert messages(await store.take()) == [event, a_state_message("front/status", "new")]
    assert store.lost == []


async def test_a_state_on_its_way_is_not_replaced_but_not_repeated_either() -> None:
    """A state that was given stays until it is done; after `rewind` it gives way to the newer one that waits."""
    store = Store()
    old, new = a_state_message("front/status", "old"), a_state_message("front/status", "new")
    store.outbox.put(old)
    assert messages(await store.take()) == [old]
    store.outbox.put(new)
    assert store.outbox.depth.rows == 2
    store.outbox.rewind()
    assert messages(await store.take()) == [new]
    assert store.outbox.depth.rows == 1


async def test_a_state_that_the_broker_has_already_needs_no_row() -> None:
    """`settle` removes the waiting row of exactly this message, and of no newer one."""
    store = Store()
    old, new = a_state_message("front/status", "1"), a_state_message("front/status", "2")
    store.outbox.put(old)
    store.outbox.acknowledge_state(old)
    assert store.outbox.depth == Depth(0, 0, 0.0)
    store.outbox.acknowledge_state(old)
    store.outbox.put(new)
    store.outbox.acknowledge_state(old)
    assert messages(await store.take()) == [new]


async def test_when_full_the_oldest_waiting_row_goes() -> None:
    """Above `max_size` the oldest waiting rows are dropped and reported; those on their way stay."""
    size = cost(an_event_message("front", 1, b"x" * 10))
    store = Store(max_size=3 * size)
    wanted = [an_event_message("front", n, b"x" * 10) for n in range(5)]
    for message in wanted[:3]:
        store.outbox.put(message)
    (given,) = await store.take(1)
    for message in wanted[3:]:
        store.outbox.put(message)
    assert store.lost == [(wanted[1], DropReason.OUTBOX_FULL), (wanted[2], DropReason.OUTBOX_FULL)]
    assert messages(await store.take()) == wanted[3:]
    assert given.message is wanted[0]


async def test_when_all_is_on_its_way_a_new_row_goes_itself() -> None:
    """With no waiting row to give way, the new one is the oldest that waits."""
    size = cost(an_event_message("front", 1, b"x" * 10))
    store = Store(max_size=size)
    store.outbox.put(an_event_message("front", 1, b"x" * 10))
    await store.take()
    newer = an_event_message("front", 2, b"x" * 10)
    store.outbox.put(newer)
    assert store.lost == [(newer, DropReason.OUTBOX_FULL)]


async def test_a_message_that_never_fits_costs_no_other() -> None:
    """A message larger than the whole outbox is dropped alone."""
    store = Store(max_size=2000)
    store.outbox.put(an_event_message("front", 1))
    giant = an_event_message("front", 2, b"x" * 2000)
    store.outbox.put(giant)
    assert store.lost == [(giant, DropReason.OUTBOX_FULL)]
    assert len(await store.take()) == 1


async def test_rows_older_than_the_limit_go() -> None:
    """A row that waited longer than `max_age` is dropped, when another is put and when a batch is asked for."""
    store = Store(max_age=10.0)
    old, younger, new = (an_event_message("front", n) for n in range(3))
    store.outbox.put(old)
    store.now = 5.0
    store.outbox.put(younger)
    assert store.outbox.depth.age == 5.0
    store.now = 11.0
    store.outbox.put(new)
    assert store.lost == [(old, DropReason.OUTBOX_AGE)]
    store.now = 16.0
    assert messages(await store.take()) == [new]
    assert store.lost[1:] == [(younger, DropReason.OUTBOX_AGE)]


async def test_a_closed_outbox_gives_what_it_has_and_then_nothing() -> None:
    """After `close` the waiting rows still come, then an empty batch instead of a wait, also for who waits already."""
    store = Store()
    store.outbox.put(an_event_message("front", 1))
    store.outbox.close()
    assert len(await store.take()) == 1
    assert await store.take() == []
    store.outbox.put(an_event_message("front", 2))
    assert len(await store.take()) == 1


async def test_closing_wakes_who_waits() -> None:
    """A task that waits for a batch when the outbox is closed gets an empty one."""
    store = Store()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(store.take)
        await wait_all_tasks_blocked()
        store.outbox.close()


async def test_a_refused_topic_is_parked_and_the_others_go_on() -> None:
    """A refused row waits with all of its topic, also new ones, and tries it again alone, after a time."""
    store = Store(max_age=1000.0)
    refused, also, other = (an_event_message(camera, n) for n, camera in enumerate(("front", "front", "back")))
    for message in (refused, also, other):
        store.outbox.put(message)
    (row,) = await store.take(1)
    assert store.outbox.park(row) is True
    assert (store.outbox.depth.rows, store.outbox.depth.parked) == (3, 2)
    new = an_event_message("front", 3)
    store.outbox.put(new)
    (row,) = await store.take()
    assert row.message is other
    store.outbox.done(row)
    store.now = REFUSED.first
    (row,) = await store.take()
    assert row.message is refused
    assert store.outbox.park(row) is False
    store.now += REFUSED.first
    store.outbox.close()
    assert await store.take() == []
    store.now += REFUSED.first
    (row,) = await store.take()
    assert store.outbox.done(row) is True
    assert messages(await store.take()) == [also, new]


async def test_who_waits_for_a_batch_wakes_for_a_parked_topic(mock_clock: MockClock) -> None:
    """`wait_batch` returns when a parked topic is due, though nothing new came."""
    outbox = OutboxQueue(config.Outbox(), DropLog())
    outbox.put(an_event_message("front", 1))
    (row,) = await outbox.wait_batch(1)
    outbox.park(row)
    mock_clock.autojump_threshold = 0
    began = trio.current_time()
    assert await outbox.wait_batch(1) == [row]
    assert trio.current_time() - began == REFUSED.first


async def test_each_connection_tries_each_parked_topic_once() -> None:
    """After `rewind` one row of each parked topic goes first, in its place among the others."""
    store = Store()
    wanted = [an_event_message(camera, n) for n, camera in enumerate(("front", "front", "back", "side", "back"))]
    for message in wanted:
        store.outbox.put(message)
    for row in await store.take():
        if not row.message.topic.startswith("interhuman/lobby-1/side"):
            store.outbox.park(row)
    store.outbox.rewind()
    assert messages(await store.take()) == [wanted[0], wanted[2], wanted[3]]
    assert store.outbox.depth.parked == 2


async def test_a_refusal_leaves_the_row_that_tries_another_topic_on_its_way() -> None:
    """A topic whose row waits to try it is tried, also where another topic is refused just then."""
    store = Store()
    for camera in ("front", "door"):
        store.outbox.put(an_event_message(camera, 1))
    front, door = await store.take()
    store.outbox.park(door)
    store.outbox.rewind()
    [front] = await store.take(1)
    store.outbox.park(front)
    assert messages(await store.take()) == [door.message]


async def test_a_refusal_leaves_the_event_that_tries_its_quarantine_on_its_way() -> None:
    """An event that waits to be tried alone is tried, also where its topic is refused just then."""
    store = Store()
    for n in (1, 2):
        store.outbox.put(an_event_message("front", n))
    first, second = await store.take()
    store.outbox.quarantine(first)
    store.outbox.quarantine(second)
    store.now = QUARANTINE.first
    [first] = await store.take(1)
    store.outbox.park(first)
    assert messages(await store.take()) == [second.message]


async def test_a_quarantine_leaves_the_event_that_tries_its_topic_on_its_way() -> None:
    """An event that waits to try its topic is tried, also where another of the topic is quarantined just then."""
    store = Store()
    for n in (1, 2):
        store.outbox.put(an_event_message("front", n))
    [first] = await store.take(1)
    store.outbox.park(first)
    store.outbox.rewind()
    [first] = await store.take(1)
    store.outbox.quarantine(first)
    store.outbox.rewind()
    store.now = QUARANTINE.first
    [first] = await store.take(1)
    store.outbox.quarantine(first)
    assert [row.n for row in await store.take()] == [first.n + 1]


async def test_of_a_parked_state_only_the_newest_waits() -> None:
    """A newer state replaces the parked one of its topic, whether that waits, tries, or was just refused."""
    store = Store()
    values = [a_state_message("front/status", str(n)) for n in range(5)]
    store.outbox.put(values[0])
    (row,) = await store.take()
    store.outbox.park(row)
    store.outbox.put(values[1])
    assert store.outbox.depth.rows == store.outbox.depth.parked == 1
    store.outbox.rewind()
    store.outbox.put(values[2])
    assert store.outbox.depth.rows == 1
    (row,) = await store.take()
    assert row.message is values[2]
    store.outbox.put(values[3])
    store.outbox.park(row)
    assert (store.outbox.depth.rows, store.outbox.depth.parked) == (1, 1)
    store.outbox.rewind()
    (row,) = await store.take()
    assert row.message is values[3]
    store.outbox.put(values[4])
    store.outbox.rewind()
    (row,) = await store.take()
    assert row.message is values[4]
    store.outbox.done(row)
    assert store.outbox.depth == Depth(0, 0, 0.0)


async def test_a_state_that_got_through_another_way_lets_its_topic_go() -> None:
    """`settle` of a parked state's newer self ends the parking."""
    store = Store()
    state, newer = a_state_message("front/status", "1"), a_state_message("front/status", "2")
    store.outbox.put(state)
    (row,) = await store.take()
    store.outbox.park(row)
    store.outbox.rewind()
    store.outbox.acknowledge_state(state)
    store.outbox.put(newer)
    assert messages(await store.take()) == [newer]


async def test_a_row_may_be_too_old_wherever_it_stands() -> None:
    """A row of an earlier life that is younger than those behind it does not keep them from being dropped."""
    store = Store(max_age=100.0)
    store.now = 1000.0
    young, old = an_event_message("front", 1), an_event_message("front", 2)
    store.outbox.restore([(1, 10.0, young), (2, 101.0, old)])
    assert messages(await store.take()) == [young]
    assert store.lost == [(old, DropReason.OUTBOX_AGE)]


async def test_a_quarantine_is_left_by_the_clock_alone() -> None:
    """A suspect waits by itself, through new connections, for a minute, then two ... and one hour at most."""
    store = Store(max_age=1e9)
    store.outbox.close()  # so that an empty one does not wait
    suspect, same_topic = an_event_message("front", 1), an_event_message("front", 2)
    store.outbox.put(suspect)
    (row,) = await store.take()
    assert store.outbox.quarantine(row)
    store.outbox.put(same_topic)
    (other,) = await store.take()
    assert other.message is same_topic
    store.outbox.done(other)
    pauses = []
    for _ in range(8):
        began = store.now
        while not (rows := await store.take()):
            store.now += QUARANTINE.first
            store.outbox.rewind()
        assert rows == [row]
        assert store.outbox.parked.is_quarantined(row.n)
        store.outbox.rewind()  # the connection broke
        assert await store.take() == [row]
        pauses.append(store.now - began)
        assert not store.outbox.quarantine(row)
    assert pauses == [60, 120, 240, 480, 960, 1920, 3600, 3600]
    assert store.outbox.depth.rows == store.outbox.depth.parked == 1
    assert store.lost == []


async def test_one_that_was_taken_lets_all_suspects_be_tried() -> None:
    """The broker took what had seemed to break the line: all others in quarantine are due, states too."""
    store = Store()
    store.outbox.close()  # so that an empty one does not wait
    state = a_state_message("front/status", "1")
    for n in range(3):
        store.outbox.put(an_event_message("front", n))
    for row in await store.take():
        store.outbox.quarantine(row)
    assert store.outbox.quarantine_state(state)
    store.now = 1.0
    store.outbox.put(newer := a_state_message("front/status", "2"))
    assert await store.take() == []
    store.now = QUARANTINE.first
    (first, *_) = await store.take(1)
    assert store.outbox.done(first) is True
    assert messages(await store.take())[-1] is newer


async def test_what_the_broker_has_no_room_for_waits_in_its_place() -> None:
    """`put_back` keeps the order; a state that a newer one has overtaken goes."""
    store = Store()
    wanted = [a_state_message("front/status", "0"), *(an_event_message("front", n) for n in range(3))]
    for message in wanted:
        store.outbox.put(message)
    rows = await store.take()
    store.outbox.put(newer := a_state_message("front/status", "1"))
    for row in reversed(rows):
        store.outbox.put_back(row)
    assert messages(await store.take()) == [*wanted[1:], newer]
    assert store.outbox.depth.rows == 4


async def test_parked_rows_obey_the_limits() -> None:
    """Parked rows go by age and by size as the others do, the oldest first."""
    size = cost(an_event_message("front", 1, b"x" * 10))
    store = Store(max_size=3 * size, max_age=50.0)
    parked, waiting = an_event_message("front", 1, b"x" * 10), an_event_message("back", 2, b"x" * 10)
    store.outbox.put(parked)
    (row,) = await store.take()
    store.outbox.park(row)
    store.now = 20.0
    for _ in range(3):
        store.outbox.put(waiting)
    assert store.lost == [(parked, DropReason.OUTBOX_FULL)]


TOPICS = ["front/status", "back/status"]


class OutboxMachine(RuleBasedStateMachine):
    """Any history of an outbox beside a plain list that does the same."""

    def __init__(self) -> None:
        super().__init__()
        self.store = Store(max_size=8000, max_age=50.0)
        self.put: list[Message] = []
        self.out: list[Message] = []
        self.given: list[Row] = []
        self.waiting: list[Message] = []

    @rule(camera=st.sampled_from(["front", "back"]), size=st.integers(1, 900))
    def put_event(self, camera: str, size: int) -> None:
        message = an_event_message(camera, len(self.put), b"x" * size)
        self.accept(message)

    @rule(name=st.sampled_from(TOPICS), value=st.text(max_size=5))
    def put_state(self, name: str, value: str) -> None:
        message = a_state_message(name, value)
        self.waiting = [m for m in self.waiting if m.topic != message.topic]
        self.accept(message)

    def accept(self, message: Message) -> None:
        self.put.append(message)
        self.waiting.append(message)
        self.store.outbox.put(message)
        self.forget_lost()

    def forget_lost(self) -> None:
        """Whatever goes by a rule is the oldest that waits."""
        for message, _ in self.store.lost:
            assert self.waiting.pop(0) is message
        self.store.lost.clear()

    @rule(limit=st.integers(1, 5))
    def take(self, limit: int) -> None:
        self.store.outbox._enforce_limits()
        self.forget_lost()
        if not self.waiting:
            return
        rows = trio.run(self.store.take, limit)
        assert messages(rows) == self.waiting[:limit]
        self.waiting = self.waiting[limit:]
        self.given += rows

    @precondition(lambda self: self.given)
    @rule(index=st.integers(0, 20))
    def done(self, index: int) -> None:
        self.store.outbox.done(self.given.pop(index % len(self.given)))

    @rule()
    def rewind(self) -> None:
        again = [*messages(self.given), *self.waiting]
        newest = {m.topic: m for m in again if m.kind is MessageKind.STATE}
        self.waiting = [m for m in again if m.kind is MessageKind.EVENT or newest[m.topic] is m]
        self.given = []
        self.store.outbox.rewind()

    @rule(seconds=st.integers(1, 40))
    def wait(self, seconds: int) -> None:
        self.store.now += seconds

    @invariant()
    def it_holds_what_it_should(self) -> None:
        held = [*messages(self.given), *self.waiting]
        depth = self.store.outbox.depth
        assert depth.rows == len(held)
        assert depth.bytes == sum(map(cost, held))
        assert depth.bytes <= 8000


TestOutboxMachine = OutboxMachine.TestCase
TestOutboxMachine.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
