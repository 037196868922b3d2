"""How long the way to the broker is left alone after a refusal."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from interhuman2mqtt.config import Box, Config, Interhuman, Log, Metrics, Mqtt, Outbox, Privacy, Web
from interhuman2mqtt.control.inbox import Inbox
from interhuman2mqtt.errors import Outage, Reason, Refused
from interhuman2mqtt.publish.mqtt.types import BrokerPhase, BrokerState
from interhuman2mqtt.publish.service import REFUSALS_IN_DOUBT, PublishService
from interhuman2mqtt.publish.topics import Topics
from interhuman2mqtt.runtime.watchdog import Heartbeats

SOON_S = 32.0
"""The longest of the first pauses."""
RARELY_S = 150.0


async def pauses(folder: Path, outcomes: Iterator[Exception | None]) -> list[float]:
    """The pauses after each outcome of a connection; None: it came about, and broke."""
    config = Config(
        box=Box(id="lobby-1"),
        interhuman=Interhuman(),
        mqtt=Mqtt(url="mqtt://localhost", client_id="x"),
        outbox=Outbox(path=str(folder / "outbox.sqlite")),
        privacy=Privacy(),
        log=Log(),
        metrics=Metrics(),
        web=Web(),
        cameras={},
    )
    topics = Topics("interhuman", "lobby-1")
    service = PublishService(config, topics, Inbox(), boot_id="b", filters=(), heartbeats=Heartbeats(), bugs=0)
    began: list[float] = []
    ended: list[float] = []

    async def run_connection() -> None:
        began.append(trio.current_time())
        await trio.lowlevel.checkpoint()
        outcome = next(outcomes, ...)
        if outcome is ...:
            scope.cancel()
            await trio.sleep_forever()
        if outcome is None:
            online = BrokerState(phase=BrokerPhase.ONLINE, since=datetime.now(UTC))
            service.broker_changed(online)
            outcome = Outage(Reason.BROKER_LOST, "it broke")
        ended.append(trio.current_time())
        assert isinstance(outcome, Exception)
        raise outcome

    service.sender.run_connection = run_connection  # type: ignore[method-assign]
    with trio.CancelScope() as scope:
        await service._run()
    return [begin - end for begin, end in zip(began[1:], ended, strict=True)]


def refusal(reason: Reason = Reason.BROKER_REFUSED) -> Refused:
    return Refused(reason, "not authorized")


async def test_a_refusal_of_a_broker_that_took_us_before(tmp_path: Path, autojump_clock: MockClock) -> None:
    """It is asked again within seconds, a few times, then rarely; where it never took us, rarely at once."""
    found = await pauses(tmp_path, iter([None, *(refusal() for _ in range(REFUSALS_IN_DOUBT + 2))]))
    assert max(found[: REFUSALS_IN_DOUBT + 1]) <= SOON_S
    assert min(found[REFUSALS_IN_DOUBT + 1 :]) >= RARELY_S
    assert min(await pauses(tmp_path, iter([refusal(), refusal()]))) >= RARELY_S


@pytest.mark.parametrize("reason", [Reason.TAKEN_OVER])
async def test_a_namesake_is_left_alone(tmp_path: Path, autojump_clock: MockClock, reason: Reason) -> None:
    """Who was thrown out by another with its client id does not come again soon: they would do so for ever."""
    assert (await pauses(tmp_path, iter([None, refusal(reason)])))[-1] >= RARELY_S
