"""Who may hold one of the account's sessions."""

from functools import partial

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from interhuman2mqtt.cameras.places import LEARNED_S, Places


class Queue:
    """Cameras that want a place, and the order in which they got one."""

    def __init__(self, places: Places, nursery: trio.Nursery) -> None:
        self.places = places
        self.served: list[str] = []
        self._nursery = nursery

    async def joins(self, camera: str, priority: int = 0) -> trio.CancelScope:
        """One more camera asks; returns when it waits, or has its place."""
        scope = trio.CancelScope()
        self._nursery.start_soon(partial(self._wait, camera, priority, scope))
        await wait_all_tasks_blocked()
        return scope

    async def _wait(self, camera: str, priority: int, scope: trio.CancelScope) -> None:
        with scope:
            await self.places.acquire(camera, priority)
            self.served.append(camera)


async def test_without_a_limit_nobody_waits() -> None:
    """0 means that we know of no limit."""
    places = Places(0)
    async with trio.open_nursery() as nursery:
        queue = Queue(places, nursery)
        for camera in "abc":
            await queue.joins(camera)
    assert queue.served == ["a", "b", "c"]
    assert places.limit is None
    assert places.is_free()
    assert not places.is_taught


async def test_who_has_waited_longer_comes_first() -> None:
    """Among equals a free place goes to whom has waited longest."""
    async with trio.open_nursery() as nursery:
        queue = Queue(Places(1), nursery)
        for camera in "abc":
            await queue.joins(camera)
        assert queue.served == ["a"]
        assert not queue.places.is_free()
        for camera in "ab":
            queue.places.release(camera)
            await wait_all_tasks_blocked()
    assert queue.served == ["a", "b", "c"]


async def test_priority_comes_first() -> None:
    """A free place goes to the camera of the highest priority, whoever came before it."""
    async with trio.open_nursery() as nursery:
        queue = Queue(Places(1), nursery)
        await queue.joins("low", -5)
        await queue.joins("middle")
        await queue.joins("high", 7)
        for camera in ("low", "high"):
            queue.places.release(camera)
            await wait_all_tasks_blocked()
    assert queue.served == ["low", "high", "middle"]


async def test_outranked() -> None:
    """A camera can see that a more important one waits for its place; an equal one does not count."""
    async with trio.open_nursery() as nursery:
        queue = Queue(Places(1), nursery)
        await queue.joins("hall", 3)
        await queue.joins("equal", 3)
        assert not queue.places.outranked("hall")
        await queue.joins("desk", 4)
        assert queue.places.outranked("hall")
        nursery.cancel_scope.cancel()


async def test_a_place_is_kept() -> None:
    """A camera that holds a place has it, however often it asks."""
    places = Places(1)
    await places.acquire("a", 0)
    await places.acquire("a", 0)
    assert places.holds("a")
    assert not places.holds("b")


async def test_who_gives_up_waits_no_more() -> None:
    """A camera that is cancelled while it waits gets no place, and keeps nobody from one."""
    async with trio.open_nursery() as nursery:
        queue = Queue(Places(1), nursery)
        await queue.joins("a")
        impatient = await queue.joins("b", 9)
        await queue.joins("c")
        impatient.cancel()
        await wait_all_tasks_blocked()
        queue.places.release("a")
        await wait_all_tasks_blocked()
        assert queue.served == ["a", "c"]
        assert not queue.places.holds("b")


async def test_resize() -> None:
    """More places are given away at once; where there are too few by now, who holds one is asked to leave."""
    async with trio.open_nursery() as nursery:
        queue = Queue(Places(1), nursery)
        for camera in "abc":
            await queue.joins(camera)
        queue.places.resize(2)
        await wait_all_tasks_blocked()
        assert queue.served == ["a", "b"]
        assert not queue.places.outranked("a")
        queue.places.resize(1)
        assert queue.places.outranked("a")
        queue.places.release("a")
        assert not queue.places.outranked("b")
        queue.places.resize(0)
    assert queue.served == ["a", "b", "c"]


async def test_the_cloud_teaches_a_limit(autojump_clock: MockClock) -> None:
    """Refused although it held a place, a camera learns that the others' sessions are all there are, for a while."""
    async with trio.open_nursery() as nursery:
        queue = Queue(Places(0), nursery)
        for camera in "abc":
            await queue.joins(camera)
        queue.places.refused()
        queue.places.release("c")
        assert queue.places.limit == 2
        assert queue.places.is_taught
        began = trio.current_time()
        nursery.start_soon(queue.places.acquire, "c", 0)
    assert trio.current_time() - began == pytest.approx(LEARNED_S)
    assert queue.places.holds("c")
    assert queue.places.limit == 3


async def test_our_own_limit_stays(autojump_clock: MockClock) -> None:
    """What the cloud teaches can lower `max_sessions`, and in time it is forgotten; it never raises it."""
    places = Places(2)
    await places.acquire("a", 0)
    await places.acquire("b", 0)
    places.refused()
    assert (places.limit, places.is_taught) == (1, True)
    await trio.sleep(10 * LEARNED_S)
    assert (places.limit, places.is_taught) == (2, False)


async def test_alone_and_refused(autojump_clock: MockClock) -> None:
    """Where somebody else has all sessions of the account there is no place here, until we try again."""
    places = Places(0)
    await places.acquire("a", 0)
    places.refused()
    places.release("a")
    assert (places.limit, places.is_free()) == (0, False)
    began = trio.current_time()
    await places.acquire("a", 0)
    assert trio.current_time() - began == pytest.approx(LEARNED_S)
