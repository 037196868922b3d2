"""What looks again and again looks at the same moments, so that the event loop wakes once for all."""

import trio
from trio.testing import MockClock

from interhuman2mqtt.runtime.beats import sleep_until_beat


async def test_all_wake_together(autojump_clock: MockClock) -> None:
    """Whenever they began; who sleeps for half as long wakes twice as often, every second time with the others."""
    woken: list[tuple[str, float]] = []

    async def look(name: str, begin: float, every: float) -> None:
        await trio.sleep(begin)
        for _ in range(3):
            await sleep_until_beat(every)
            woken.append((name, round(autojump_clock.current_time(), 6)))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(look, "a", 0.1, 1.0)
        nursery.start_soon(look, "b", 0.7, 1.0)
        nursery.start_soon(look, "often", 0.3, 0.5)
    assert sorted(woken) == [
        *(("a", at) for at in (1.0, 2.0, 3.0)),
        *(("b", at) for at in (1.0, 2.0, 3.0)),
        *(("often", at) for at in (0.5, 1.0, 1.5)),
    ]
