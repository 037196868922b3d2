"""A refusal of what was accepted before is doubted; media that is rejected again and again is not sent for ever."""

import statistics

import pytest
import trio
from trio.testing import MockClock

from interhuman2mqtt.cameras.session_failures import DOUBT_S, WINDOW_S, CircuitBreaker, RefusalDoubt
from interhuman2mqtt.errors import Outage, Overloaded, Reason, Refused
from interhuman2mqtt.supervisor import BackoffPolicy, BugBudget, Health, RetryInfo, keep_running

GONE = Refused(Reason.BAD_REQUEST, "there is no such endpoint: check url (HTTP 404)")


async def refused_for(seconds: float) -> tuple[float, list[RetryInfo]]:
    """How long a camera needs to be back that is refused for so long, from the beginning of that; what it reported."""
    doubt = RefusalDoubt()
    retries: list[RetryInfo] = []
    began = trio.current_time()

    async def run(_health: Health) -> bool:
        await trio.lowlevel.checkpoint()
        if trio.current_time() - began < seconds:
            raise doubt.weigh(GONE)
        doubt.clear()
        return False

    await keep_running(run, retries.append, BugBudget(0))
    return trio.current_time() - began, retries


@pytest.mark.parametrize("seconds", [0.5, 3.0, 12.0])
async def test_a_refusal_in_passing(autojump_clock: MockClock, seconds: float) -> None:
    """A deployment of some seconds costs little more than it takes; as pauses are random, so it is for most cameras."""
    attempts = [await refused_for(seconds) for _ in range(101)]
    assert statistics.median(took for took, _ in attempts) < 2 * seconds + 1
    assert {type(waiting.outage) for _, retries in attempts for waiting in retries} == {Outage}


async def test_a_refusal_that_lasts(autojump_clock: MockClock) -> None:
    """After a minute of a few attempts it is believed, and waited for as long as any refusal."""
    _, retries = await refused_for(1000.0)
    doubted = [waiting for waiting in retries if type(waiting.outage) is Outage]
    assert 4 <= len(doubted) < 40
    assert sum(waiting.seconds for waiting in doubted) < 2 * DOUBT_S
    assert type(retries[-1].outage) is Refused


def test_what_is_not_doubted() -> None:
    """A spent quota, and what is no refusal at all, are what they are."""
    for outage in (Refused(Reason.QUOTA_EXHAUSTED, "spent"), Overloaded(Reason.RATE_LIMITED, "full")):
        assert RefusalDoubt().weigh(outage) is outage


REJECTED = Outage(Reason.MEDIA_REJECTED, "the cloud could not read the media of this camera (ih5004)")
BROKEN = Outage(Reason.CONNECTION_LOST, "the connection to the cloud broke")


async def kinds_of(outages: list[Outage | None], every: float) -> list[type[Outage]]:
    """What becomes of these outages, that far apart; None ends in good order."""
    left = iter(outages)
    retries: list[RetryInfo] = []

    async def run(_health: Health) -> bool:
        await trio.sleep(every)
        outage = next(left, None)
        if outage is None:
            return False
        raise outage

    await keep_running(
        CircuitBreaker().guard(run), retries.append, BugBudget(0), BackoffPolicy(first=0.0, longest=0.0, refused=0.0)
    )
    return [type(waiting.outage) for waiting in retries]


async def test_the_third_rejection_is_a_refusal(autojump_clock: MockClock) -> None:
    """Three rejections in five minutes, whatever is between them, mean that a person has to look."""
    assert await kinds_of([REJECTED, REJECTED, BROKEN, REJECTED, REJECTED], 1) == [
        Outage,
        Outage,
        Outage,
        Refused,
        Refused,
    ]


async def test_rare_rejections_are_outages(autojump_clock: MockClock) -> None:
    """Rejections that are further apart are tried again soon."""
    assert await kinds_of([REJECTED] * 5, WINDOW_S / 2 + 1) == [Outage] * 5


async def test_the_sentence_keeps_what_the_cloud_said(autojump_clock: MockClock) -> None:
    """The refusal says what was rejected and how often."""

    async def run(_health: Health) -> bool:
        await trio.lowlevel.checkpoint()
        raise REJECTED

    guarded = CircuitBreaker().guard(run)
    for _ in range(2):
        with pytest.raises(Outage):
            await guarded(Health())
    with pytest.raises(Refused, match=r"ih5004\); this is the third time in 5 minutes"):
        await guarded(Health())
