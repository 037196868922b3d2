"""News wakes whoever waits for it, and is not lost where nobody waits yet."""

import trio
from trio.testing import MockClock

from interhuman2mqtt.runtime.notifier import Notifier


async def test_all_who_wait_are_woken_each_time(autojump_clock: MockClock) -> None:
    """Everybody who waits is woken, and by the next news again."""
    notifier, woken = Notifier(), list[tuple[str, float]]()

    async def wait(name: str) -> None:
        for _ in range(2):
            await notifier.wait()
            woken.append((name, trio.current_time() - began))

    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait, "a")
        nursery.start_soon(wait, "b")
        for _ in range(2):
            await trio.sleep(1)
            notifier.set()
    assert sorted(woken) == [("a", 1.0), ("a", 2.0), ("b", 1.0), ("b", 2.0)]


async def test_news_before_the_wait(autojump_clock: MockClock) -> None:
    """What came while nobody waited lets one wait pass, however often it came; cleared, none."""
    notifier = Notifier()
    notifier.set()
    notifier.set()
    began = trio.current_time()
    await notifier.wait()
    assert trio.current_time() == began
    with trio.move_on_after(5) as waiting:
        await notifier.wait()
    assert waiting.cancelled_caught
    notifier.set()
    notifier.clear()
    with trio.move_on_after(5) as waiting:
        await notifier.wait()
    assert waiting.cancelled_caught


async def test_a_wait_that_is_cancelled_takes_nothing(autojump_clock: MockClock) -> None:
    """Who gives up waiting costs the next one nothing."""
    notifier = Notifier()
    with trio.move_on_after(1):
        await notifier.wait()
    notifier.set()
    with trio.fail_after(1):
        await notifier.wait()
