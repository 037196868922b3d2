"""When the spool may be uploaded beside a live session."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from cameras.helpers import RecordingPublisher, a_camera, a_context
from interhuman2mqtt.cameras import backfill_task
from interhuman2mqtt.cameras.backfill_task import LOOK_S, WELL_S, LiveSession
from interhuman2mqtt.cameras.status import StatusTracker
from interhuman2mqtt.errors import Outage, Reason
from interhuman2mqtt.policy.pauses import Pause, Paused, PauseOrigin
from interhuman2mqtt.policy.policy import Permit, Policy

LOST = Outage(Reason.CONNECTION_LOST, "the connection broke")


class Scene(NamedTuple):
    """A camera that streams, and who looks at it."""

    live: LiveSession
    status: StatusTracker
    policy: Policy


@contextmanager
def scene() -> Iterator[Scene]:
    """A camera that has just begun to stream."""
    published, camera = RecordingPublisher(), a_camera()
    context = a_context("ws://127.0.0.1:1/v2/stream/analyze", published)
    status = StatusTracker(camera.id, published, context.coverage.tracker(camera.id), context.clock)
    with Permit(camera, context.policy) as permit:
        status.set_source("a camera")
        status.set_streaming()
        yield Scene(LiveSession(camera, context, permit, status), status, context.policy)


async def test_only_beside_a_session_that_has_gone_well_for_a_while(autojump_clock: MockClock) -> None:
    """A minute without trouble; what breaks in between begins it anew."""
    with scene() as played:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(played.live.keep_looking)
            began = trio.current_time()
            await trio.sleep(WELL_S - 5)
            played.status.set_session_failed(LOST, 1)
            await trio.sleep(3)
            played.status.set_streaming()
            await played.live.wait_well()
            assert WELL_S - 5 + 3 + WELL_S <= trio.current_time() - began <= 2 * WELL_S + 2 * LOOK_S
            nursery.cancel_scope.cancel()


async def test_a_pause_is_seen_at_once(autojump_clock: MockClock) -> None:
    """Whoever uploads is woken by it, and not only by the next look."""
    with scene() as played, trio.fail_after(100):
        async with trio.open_nursery() as nursery:
            found: list[float] = []

            async def watch() -> None:
                assert await played.live.wait_unwell() == "it may not stream"
                found.append(trio.current_time())

            nursery.start_soon(watch)
            await trio.sleep(10.25)
            paused = trio.current_time()
            played.policy.see(Paused({"front": Pause(PauseOrigin.COMMAND)}))
            await trio.testing.wait_all_tasks_blocked()
            assert found == [paused]


async def test_a_lag_and_a_complaint_are_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    """A session that lags behind needs the uplink for itself; one that the cloud complains of is none to rely on."""
    with scene() as played, trio.fail_after(100):
        played.status.set_complaint(Outage(Reason.MODEL_UNAVAILABLE, "no backend"))
        assert await played.live.wait_unwell() == "its live session is in trouble"
        played.status.set_complaint(None)
        monkeypatch.setattr(backfill_task, "LAG_S", -100.0)
        assert await played.live.wait_unwell() == "its live session lags behind"
