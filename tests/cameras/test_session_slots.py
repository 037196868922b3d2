"""Who may hold one of the account's sessions."""

import math
from functools import partial
from itertools import pairwise

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from interhuman2mqtt.cameras.session_slots import DOUBT_S, PROBE_MAX_S, PROBE_S, SessionSlots
from interhuman2mqtt.errors import Lingering, Outage, Reason
from interhuman2mqtt.supervisor import BugBudget, Health, keep_running


class Queue:
    """Cameras that want a place, and the order in which they got one."""

    def __init__(self, slots: SessionSlots, nursery: trio.Nursery) -> None:
        self.slots = slots
        self.served: list[str] = []
        self._nursery = nursery

    async def joins(self, camera: str, priority: int = 0) -> trio.CancelScope:
        """One more camera asks; returns when it waits, or has its place."""
        scope = trio.CancelScope()
        self._nursery.start_soon(partial(self._wait, camera, priority, scope))
        await wait_all_tasks_blocked()
        return scope

    async def served_again(self, camera: str) -> None:
        """Wait until it has had a place twice, and let the cloud open its session."""
        while self.served.count(camera) < 2:  # noqa: ASYNC110 - a list wakes nobody
            await trio.sleep(0.01)
        self.slots.opened(camera)

    async def _wait(self, camera: str, priority: int, scope: trio.CancelScope) -> None:
        with scope:
            await self.slots.acquire(camera, priority)
            self.served.append(camera)


async def test_without_a_limit_nobody_waits() -> None:
    """0 means that we know of no limit."""
    slots = SessionSlots(0)
    async with trio.open_nursery() as nursery:
        queue = Queue(slots, nursery)
        for camera in "abc":
            await queue.joins(camera)
    assert queue.served == ["a", "b", "c"]
    assert slots.limit is None
    assert slots.is_free()
    assert not slots.is_learned


async def test_who_has_waited_longer_comes_first() -> None:
    """Among equals a free place goes to whom has waited longest."""
    async with trio.open_nursery() as nursery:
        queue = Queue(SessionSlots(1), nursery)
        for camera in "abc":
            await queue.joins(camera)
        assert queue.served == ["a"]
        assert not queue.slots.is_free()
        for camera in "ab":
            queue.slots.release(camera)
            await wait_all_tasks_blocked()
    assert queue.served == ["a", "b", "c"]


async def test_priority_comes_first() -> None:
    """A free place goes to the camera of the highest priority, whoever came before it."""
    async with trio.open_nursery() as nursery:
        queue = Queue(SessionSlots(1), nursery)
        await queue.joins("low", -5)
        await queue.joins("middle")
        await queue.joins("high", 7)
        for camera in ("low", "high"):
            queue.slots.release(camera)
            await wait_all_tasks_blocked()
    assert queue.served == ["low", "high", "middle"]


async def test_preempted() -> None:
    """A camera can see that a more important one waits for its place; an equal one does not count."""
    async with trio.open_nursery() as nursery:
        queue = Queue(SessionSlots(1), nursery)
        await queue.joins("hall", 3)
        await queue.joins("equal", 3)
        assert not queue.slots.preempted("hall")
        await queue.joins("desk", 4)
        assert queue.slots.preempted("hall")
        nursery.cancel_scope.cancel()


async def test_a_place_is_kept() -> None:
    """A camera that holds a place has it, however often it asks."""
    slots = SessionSlots(1)
    await slots.acquire("a", 0)
    await slots.acquire("a", 0)
    assert slots.holds("a")
    assert not slots.holds("b")


async def test_who_gives_up_waits_no_more() -> None:
    """A camera that is cancelled while it waits gets no place, and keeps nobody from one."""
    async with trio.open_nursery() as nursery:
        queue = Queue(SessionSlots(1), nursery)
        await queue.joins("a")
        impatient = await queue.joins("b", 9)
        await queue.joins("c")
        impatient.cancel()
        await wait_all_tasks_blocked()
        queue.slots.release("a")
        await wait_all_tasks_blocked()
        assert queue.served == ["a", "c"]
        assert not queue.slots.holds("b")


async def test_resize() -> None:
    """More slots are given away at once; where there are too few by now, who holds one is asked to leave."""
    async with trio.open_nursery() as nursery:
        queue = Queue(SessionSlots(1), nursery)
        for camera in "abc":
            await queue.joins(camera)
        queue.slots.resize(2)
        await wait_all_tasks_blocked()
        assert queue.served == ["a", "b"]
        assert not queue.slots.preempted("a")
        queue.slots.resize(1)
        assert queue.slots.preempted("a")
        queue.slots.release("a")
        assert not queue.slots.preempted("b")
        queue.slots.resize(0)
    assert queue.served == ["a", "b", "c"]


async def settled(slots: SessionSlots) -> None:
    """Wait until nobody can think of a session that lingers."""
    await trio.sleep(DOUBT_S)


async def test_a_refusal_is_doubted_at_first(autojump_clock: MockClock) -> None:
    """After a start, and after a session has ended, a refusal costs nobody its place; later it does."""
    slots = SessionSlots(0)
    await slots.acquire("a", 0)
    assert not slots.refused("a")
    assert slots.limit is None
    await settled(slots)
    slots.ended()
    assert not slots.refused("a")
    await settled(slots)
    assert slots.refused("a")
    assert slots.limit == 0


async def test_the_cloud_teaches_a_limit(autojump_clock: MockClock) -> None:
    """Believed, a refusal means that the others' sessions are all there are; one more is tried within seconds."""
    async with trio.open_nursery() as nursery:
        queue = Queue(SessionSlots(0), nursery)
        for camera in "abc":
            await queue.joins(camera)
        await settled(queue.slots)
        assert queue.slots.refused("c")
        queue.slots.release("c")
        assert (queue.slots.limit, queue.slots.is_learned) == (2, True)
        began = trio.current_time()
        await queue.joins("c")
        await queue.joins("d")
        await queue.served_again("c")
    assert trio.current_time() - began == pytest.approx(PROBE_S)
    assert queue.served == ["a", "b", "c", "c", "d"]


async def test_one_more_is_tried_later_and_later(autojump_clock: MockClock) -> None:
    """While the account stays full, one camera at a time tries for one more, at last once in a minute."""
    slots = SessionSlots(0)
    await slots.acquire("a", 0)
    await settled(slots)
    at = []
    for _ in range(7):
        await slots.acquire("a", 0)
        at.append(trio.current_time())
        assert slots.refused("a")
        slots.release("a")
    waits = [after - before for before, after in pairwise(at)]
    assert waits == [5, 10, 20, 40, PROBE_MAX_S, PROBE_MAX_S]


async def test_who_has_a_session_keeps_it_while_another_tries(autojump_clock: MockClock) -> None:
    """A probe that is refused says nothing about those that are open, though one of them has just been cut off."""
    slots = SessionSlots(0)
    for camera in "abc":
        await slots.acquire(camera, 0)
    await settled(slots)
    assert slots.refused("c")
    slots.release("c")
    await slots.acquire("c", 0)
    slots.ended()
    assert not slots.refused("a")
    assert slots.refused("c")
    slots.release("c")
    assert slots.limit == 2


async def test_our_own_limit_stays(autojump_clock: MockClock) -> None:
    """What the cloud teaches can lower `max_sessions`, and success makes it forgotten; it never raises it."""
    slots = SessionSlots(2)
    await slots.acquire("a", 0)
    await slots.acquire("b", 0)
    await settled(slots)
    assert slots.refused("b")
    slots.release("b")
    assert (slots.limit, slots.is_learned) == (1, True)
    await slots.acquire("b", 0)
    slots.opened("b")
    assert (slots.limit, slots.is_learned) == (2, False)


class Account:
    """A cloud that counts a session for `linger` seconds after it was cut off."""

    def __init__(self, limit: int, linger: float) -> None:
        self.limit, self.linger = limit, linger
        self.open = self.asked = 0

    def take(self) -> bool:
        self.asked += 1
        if self.open >= self.limit:
            return False
        self.open += 1
        return True

    async def cut(self) -> None:
        await trio.sleep(self.linger)
        self.open -= 1


class OneCamera:
    """What a camera does with its place, its sessions being nothing but time."""

    def __init__(self, name: str, slots: SessionSlots, account: Account, cut: trio.Event) -> None:
        self.name, self.slots, self.account, self.cut = name, slots, account, cut
        self.back_at = math.inf

    async def run(self, health: Health) -> bool:
        await self.slots.acquire(self.name, 0)
        if not self.account.take():
            if self.slots.refused(self.name):
                self.slots.release(self.name)
            raise Lingering(Reason.CONCURRENCY_LIMIT, "full")
        self.slots.opened(self.name)
        health.healthy()
        if self.cut.is_set():
            self.back_at = trio.current_time()
            return False
        await self.cut.wait()
        self.slots.ended()
        raise Outage(Reason.CONNECTION_LOST, "cut")


async def seconds_until_back(cameras: int, linger: float) -> tuple[list[float], Account]:
    """How long after a cut of all of them each camera is back, on an account with a session for each."""
    slots, account, cut = SessionSlots(0), Account(cameras, linger), trio.Event()
    fleet = [OneCamera(str(number), slots, account, cut) for number in range(cameras)]
    async with trio.open_nursery() as nursery:
        for camera in fleet:
            nursery.start_soon(keep_running, camera.run, lambda _waiting: None, BugBudget(0))
        await trio.sleep(1000)
        cut.set()
        at = trio.current_time()
        for _ in fleet:
            nursery.start_soon(account.cut)
    return sorted(camera.back_at - at for camera in fleet), account


@pytest.mark.parametrize("cameras", [1, 4, 6])
@pytest.mark.parametrize("linger", [0.1, 5.0, 30.0, 50.0])
async def test_sessions_that_linger_lose_nothing(autojump_clock: MockClock, cameras: int, linger: float) -> None:
    """However many cameras are cut off at once, each is back before a buffer of 60 s is full, a few tries later."""
    back, account = await seconds_until_back(cameras, linger)
    assert back[-1] < linger + 6
    assert account.asked < cameras * (linger + 12)


@pytest.mark.parametrize("cameras", [1, 6])
async def test_sessions_that_linger_for_long(autojump_clock: MockClock, cameras: int) -> None:
    """A cloud that counts dead sessions until its idle timeout has all cameras back about a minute later."""
    back, account = await seconds_until_back(cameras, 300.0)
    assert back[-1] < 300 + PROBE_MAX_S + 2 * PROBE_S
    assert account.asked < cameras * 150
