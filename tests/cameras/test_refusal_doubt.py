"""What was accepted before is not believed to be refused for good at once."""

import pytest
import trio
from trio.testing import MockClock

from interhuman2mqtt.cameras.session_failures import DOUBT_S, RefusalDoubt
from interhuman2mqtt.errors import Outage, Overloaded, Reason, Refused
from interhuman2mqtt.supervisor import BugBudget, Health, RetryInfo, keep_running

GONE = Refused(Reason.BAD_REQUEST, "there is no such endpoint: check url (HTTP 404)")


async def refused_for(seconds: float) -> tuple[float, list[RetryInfo]]:
    """How long a camera needs to be back that is refused for so long, from the beginning of that; what it told."""
    doubt = RefusalDoubt()
    told: list[RetryInfo] = []
    began = trio.current_time()

    async def run(_health: Health) -> bool:
        await trio.lowlevel.checkpoint()
        if trio.current_time() - began < seconds:
            raise doubt.weigh(GONE)
        doubt.clear()
        return False

    await keep_running(run, told.append, BugBudget(0))
    return trio.current_time() - began, told


@pytest.mark.parametrize("seconds", [0.5, 3.0, 12.0])
async def test_a_refusal_in_passing(autojump_clock: MockClock, seconds: float) -> None:
    """A deployment of some seconds costs little more than it takes."""
    took, told = await refused_for(seconds)
    assert took < 3 * seconds + 2
    assert {type(waiting.outage) for waiting in told} == {Outage}


async def test_a_refusal_that_lasts(autojump_clock: MockClock) -> None:
    """After a minute of a few attempts it is believed, and waited for as long as any refusal."""
    _, told = await refused_for(1000.0)
    doubted = [waiting for waiting in told if type(waiting.outage) is Outage]
    assert 4 <= len(doubted) < 40
    assert sum(waiting.seconds for waiting in doubted) < 2 * DOUBT_S
    assert type(told[-1].outage) is Refused


def test_what_is_not_doubted() -> None:
    """A spent quota, and what is no refusal at all, are what they are."""
    for outage in (Refused(Reason.QUOTA_EXHAUSTED, "spent"), Overloaded(Reason.RATE_LIMITED, "full")):
        assert RefusalDoubt().weigh(outage) is outage
