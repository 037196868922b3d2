"""Promises to move, and who breaks them."""

import trio
from trio.testing import MockClock

from interhuman2mqtt.runtime.watchdog import SLACK_S, Heartbeats


async def test_a_promise_that_is_kept(autojump_clock: MockClock) -> None:
    """Who promises anew in time is never stuck."""
    alive = Heartbeats()
    promise = alive.of("publisher")
    for _ in range(100):
        promise(1.0)
        await trio.sleep(1.0 + SLACK_S / 2)
        assert alive.stuck() == ()


async def test_a_promise_that_is_broken(autojump_clock: MockClock) -> None:
    """Who does not is named, with since when; who is longest overdue comes first."""
    alive = Heartbeats()
    alive.promise("publisher", 20.0)
    alive.promise("outbox", 10.0)
    alive.promise("policy", 1000.0)
    await trio.sleep(20.0 + SLACK_S + 5.0)
    assert [(stuck.stage, round(stuck.seconds)) for stuck in alive.stuck()] == [("outbox", 15), ("publisher", 5)]


async def test_a_promise_that_is_withdrawn(autojump_clock: MockClock) -> None:
    """Nobody is blamed for a stage that is over."""
    alive = Heartbeats()
    alive.promise("camera front: session", 1.0)
    alive.withdraw("camera front: session")
    alive.withdraw("camera front: session")
    await trio.sleep(1000)
    assert alive.stuck() == ()
