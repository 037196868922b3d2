"""Media that is rejected again and again is not sent for ever."""

import pytest
import trio
from trio.testing import MockClock

from interhuman2mqtt.cameras.session_failures import WINDOW_S, CircuitBreaker
from interhuman2mqtt.errors import Outage, Reason, Refused
from interhuman2mqtt.supervisor import BackoffPolicy, BugBudget, Health, RetryInfo, keep_running

REJECTED = Outage(Reason.MEDIA_REJECTED, "the cloud could not read the media of this camera (ih5004)")
BROKEN = Outage(Reason.CONNECTION_LOST, "the connection to the cloud broke")


async def kinds_of(outages: list[Outage | None], every: float) -> list[type[Outage]]:
    """What becomes of these outages, that far apart; None ends in good order."""
    left = iter(outages)
    told: list[RetryInfo] = []

    async def run(_health: Health) -> bool:
        await trio.sleep(every)
        outage = next(left, None)
        if outage is None:
            return False
        raise outage

    await keep_running(
        CircuitBreaker().guard(run), told.append, BugBudget(0), BackoffPolicy(first=0.0, longest=0.0, refused=0.0)
    )
    return [type(waiting.outage) for waiting in told]


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
