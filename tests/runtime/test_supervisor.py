"""The one place that restarts things: when it tries again, after how long, and what it never keeps."""

from collections.abc import Awaitable, Callable, Iterator
from itertools import islice

import pytest
import trio
import trio.lowlevel
from trio.testing import MockClock

from interhuman2mqtt.errors import Outage, Overloaded, Reason, Refused
from interhuman2mqtt.supervisor import (
    HEALTHY_S,
    BackoffPolicy,
    BugBudget,
    Health,
    Quarantine,
    RetryInfo,
    RetryNow,
    backoff,
    keep_running,
)

Step = Exception | bool | Callable[[Health], Awaitable[bool]]
DOWN = Outage(Reason.UNREACHABLE, "down")
FULL = Overloaded(Reason.RATE_LIMITED, "full")
AGAIN, DONE = True, False
LOCKED = Refused(Reason.UNAUTHORIZED, "locked")


class Script:
    """A function that does one step each time it is run, and what was reported and when."""

    def __init__(self, *steps: Step) -> None:
        self.began: list[float] = []
        self.retries: list[RetryInfo] = []
        self._steps: Iterator[Step] = iter(steps)

    async def run(self, health: Health) -> bool:
        self.began.append(trio.current_time())
        step = next(self._steps, False)
        if isinstance(step, Exception):
            raise step
        return step if isinstance(step, bool) else await step(health)

    async def play(self, bugs: int = 0, pauses: BackoffPolicy = BackoffPolicy()) -> list[float]:  # noqa: B008 - a frozen value
        """Run to the end; returns the seconds between the beginnings."""
        await keep_running(self.run, self.retries.append, BugBudget(bugs), pauses)
        return [after - before for before, after in zip(self.began, self.began[1:], strict=False)]


def well_for(seconds: float) -> Step:
    """Works for so long, and is down then."""

    async def step(health: Health) -> bool:
        health.healthy()
        health.healthy()  # saying it again changes nothing
        await trio.sleep(seconds)
        raise DOWN

    return step


async def gains(health: Health) -> bool:
    """Is not well for long, and yet brings things on."""
    health.healthy()
    health.made_progress()
    await trio.sleep(1)
    raise DOWN


async def merely_started(_health: Health) -> bool:
    """Hangs for long after its start, without ever having been well."""
    await trio.sleep(1000)
    raise DOWN


def test_back_off_doubles() -> None:
    """The longest pause that chance allows doubles from the first to the longest."""
    assert list(islice(backoff(1, 60, lambda: 1.0), 8)) == [1, 2, 4, 8, 16, 32, 60, 60]


def test_back_off_is_a_matter_of_chance() -> None:
    """Full jitter: the pause is any part of it, so that a fleet spreads."""
    pauses = [next(backoff(10, 60)) for _ in range(200)]
    assert 0 <= min(pauses) < 2
    assert 8 < max(pauses) <= 10


async def test_false_ends_it(autojump_clock: MockClock) -> None:
    """A function that returns False is done."""
    script = Script(DONE)
    assert await script.play() == []
    assert script.retries == []


async def test_true_runs_it_again_at_once(autojump_clock: MockClock) -> None:
    """After a normal end there is no pause, and nothing to report."""
    script = Script(AGAIN, AGAIN, DONE)
    assert await script.play() == [0, 0]
    assert script.retries == []


async def test_who_always_succeeds_can_be_cancelled() -> None:
    """A function that succeeds without ever waiting does not keep the others from running."""
    script = Script(*[AGAIN] * 100)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(script.play)
        await trio.lowlevel.checkpoint()
        await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    assert 0 < len(script.began) < 10


async def test_an_outage_is_told_and_waited_out(autojump_clock: MockClock) -> None:
    """Each pause is reported when it begins, with its length, its reason and how many failed in a row."""
    script = Script(DOWN, DOWN, DOWN)
    gaps = await script.play()
    assert gaps == pytest.approx([waiting.seconds for waiting in script.retries])
    assert [waiting.failures for waiting in script.retries] == [1, 2, 3]
    assert {waiting.outage for waiting in script.retries} == {DOWN}
    assert all(gap <= most for gap, most in zip(gaps, (1, 2, 4), strict=True))


@pytest.mark.parametrize(
    ("step", "failures"),
    [
        (well_for(HEALTHY_S + 1), [1, 2, 1]),
        (well_for(HEALTHY_S - 1), [1, 2, 3]),
        (merely_started, [1, 2, 3]),
        (gains, [1, 2, 1]),
        (True, [1, 2, 1]),
    ],
    ids=["well", "not for long enough", "merely started", "worth it", "a normal end"],
)
async def test_when_back_off_begins_anew(autojump_clock: MockClock, step: Step, failures: list[int]) -> None:
    """Only what was well for long enough, was worth it, or ended normally, has a clean record afterwards."""
    script = Script(DOWN, DOWN, step, DOWN) if step is True else Script(DOWN, DOWN, step)
    await script.play()
    assert [waiting.failures for waiting in script.retries] == failures


async def test_who_is_refused_waits_for_long(autojump_clock: MockClock) -> None:
    """A person must act: half of the longest pause at least, and no back-off."""
    gaps = await Script(LOCKED, LOCKED, LOCKED).play()
    assert all(150 <= gap <= 300 for gap in gaps)


async def test_who_is_overloaded_is_asked_less(autojump_clock: MockClock) -> None:
    """The pauses of an overload have a back-off of their own, which begins where the common one ends."""
    script = Script(FULL, FULL, DOWN)
    gaps = await script.play(pauses=BackoffPolicy(overloaded=1000, overloaded_longest=2000))
    assert gaps[2] <= 1
    assert sum(gaps[:2]) > gaps[2]


async def test_retry_after_is_honoured(autojump_clock: MockClock) -> None:
    """Where the other side says how long to wait, it is at least so long."""
    gaps = await Script(Outage(Reason.RATE_LIMITED, "later", 77.0), Refused(Reason.UNAUTHORIZED, "", 1.0)).play()
    assert 77 <= gaps[0] <= 78
    assert gaps[1] >= 150


async def test_a_bug_within_the_budget(autojump_clock: MockClock) -> None:
    """A bug that may be survived is an outage of its own reason, which does not tell what the error says."""
    script = Script(ZeroDivisionError("secret"))
    await script.play(bugs=1)
    [waiting] = script.retries
    assert waiting.outage.reason is Reason.BUG
    assert waiting.outage.detail == "a bug, see the log: ZeroDivisionError"


async def test_a_bug_beyond_the_budget(autojump_clock: MockClock) -> None:
    """One bug more than the budget ends it, with that bug."""
    script = Script(KeyError(1), DOWN, KeyError(2), KeyError(3))
    with pytest.raises(KeyError, match="3"):
        await script.play(bugs=2)


async def test_a_part_that_others_do_without_is_set_aside(autojump_clock: MockClock) -> None:
    """In a quarantine one bug too many is a refusal for an hour; then it is tried as if nothing had been."""
    script = Script(*[ZeroDivisionError()] * 4, DOWN)
    await keep_running(script.run, script.retries.append, Quarantine(3), BackoffPolicy(refused=0.0))
    kinds = [type(waiting.outage) for waiting in script.retries]
    assert kinds == [Outage, Outage, Outage, Refused, Outage]
    assert [waiting.outage.reason for waiting in script.retries] == [*[Reason.BUG] * 4, Reason.UNREACHABLE]
    assert "4 bugs within an hour" in script.retries[3].outage.detail
    assert script.began[4] - script.began[3] == pytest.approx(3600)


async def test_old_bugs_are_forgiven(autojump_clock: MockClock) -> None:
    """The budget counts the bugs of the last hour."""
    budget = BugBudget(bugs=1, window_s=3600)
    assert budget.allows()
    await trio.sleep(3601)
    assert budget.allows()
    assert not budget.allows()


@pytest.mark.parametrize(
    ("leaf", "reason"),
    [
        ([DOWN, LOCKED, FULL], Reason.UNAUTHORIZED),
        ([DOWN, FULL], Reason.RATE_LIMITED),
        ([DOWN, ExceptionGroup("", [DOWN, LOCKED])], Reason.UNAUTHORIZED),
        ([DOWN, ZeroDivisionError()], Reason.BUG),
    ],
    ids=["refused", "overloaded", "nested", "bug"],
)
async def test_of_several_the_gravest_counts(autojump_clock: MockClock, leaf: list[Exception], reason: Reason) -> None:
    """Where several things fail at once, what matters most is what is reported."""
    script = Script(ExceptionGroup("", leaf))
    await script.play(bugs=1)
    assert [waiting.outage.reason for waiting in script.retries] == [reason]


async def test_a_bug_in_a_group_beyond_the_budget(autojump_clock: MockClock) -> None:
    """No outage beside it hides a bug."""
    with pytest.RaisesGroup(Outage, ZeroDivisionError):
        await Script(ExceptionGroup("", [DOWN, ZeroDivisionError()])).play()


async def fails_when_cancelled() -> None:
    try:
        await trio.sleep_forever()
    finally:
        raise DOWN


async def two_tasks(_health: Health) -> bool:
    """One is cancelled, the other fails while it is."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(fails_when_cancelled)
        nursery.start_soon(trio.sleep_forever)
    return True


async def interrupted(_health: Health) -> bool:
    """Somebody presses Ctrl-C while it has tasks."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep_forever)
        await trio.lowlevel.checkpoint()
        raise KeyboardInterrupt


@pytest.mark.parametrize("step", [two_tasks, merely_started, DOWN], ids=["with an outage", "running", "pausing"])
async def test_cancellation_passes_through(autojump_clock: MockClock, step: Step) -> None:
    """Cancelled at whatever moment it ends there, and does not try again."""
    script = Script(step, AssertionError("was run again"))
    with trio.move_on_after(0.0001) as scope:
        await script.play(pauses=BackoffPolicy(first=1e6, longest=1e6))
    assert scope.cancelled_caught
    assert len(script.began) == 1


async def test_ctrl_c_passes_through(autojump_clock: MockClock) -> None:
    """What is no Exception is nobody's outage, alone or in a group."""
    with pytest.RaisesGroup(KeyboardInterrupt):
        await Script(interrupted).play()


async def test_a_fleet_does_not_stampede(autojump_clock: MockClock) -> None:
    """A hundred cameras that fail at one moment are all tried at once the first time, and then spread."""
    scripts = [Script(DOWN, FULL) for _ in range(100)]
    async with trio.open_nursery() as nursery:
        for script in scripts:
            nursery.start_soon(script.play)
    first, second, third = ([script.began[n] for script in scripts] for n in range(3))
    assert len(set(first)) == 1
    assert most_within(second, 0.1) < 40
    assert most_within(third, 1.0) < 20


def most_within(times: list[float], seconds: float) -> int:
    """How many of these fall into one such span at most."""
    return max(sum(begin <= time < begin + seconds for time in times) for begin in times)


async def test_a_pause_can_be_cut_short(autojump_clock: MockClock) -> None:
    """Who has mended something need not wait for the end of a long pause."""
    retry_now, script = RetryNow(), Script(LOCKED)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: keep_running(script.run, script.retries.append, BugBudget(0), retry_now=retry_now))
        await trio.sleep(10)
        retry_now.trigger()
    assert script.began == [0, 10] or script.began[1] - script.began[0] == pytest.approx(10)


async def test_a_pause_is_promised(autojump_clock: MockClock) -> None:
    """Each pause is promised to the watchdog before it begins, so that who pauses for long is not taken for hung."""
    script, promised = Script(LOCKED, DOWN), list[float]()
    await keep_running(script.run, script.retries.append, BugBudget(0), heartbeat=promised.append)
    assert promised[1::2] == [waiting.seconds for waiting in script.retries]
