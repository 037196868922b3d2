"""A camera and the policy: what is open while it may not stream, and how a spell of streaming ends."""

import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import trio

from cameras.helpers import RecordingPublisher, a_camera, a_context, simulated_cloud, workers
from interhuman2mqtt import config
from interhuman2mqtt.cameras import camera as spell
from interhuman2mqtt.cameras import capture_task, worker, worker_process
from interhuman2mqtt.cameras.camera import BEGIN_S, Camera
from interhuman2mqtt.cameras.session_slots import SessionSlots
from interhuman2mqtt.config.schedule import DAYS
from interhuman2mqtt.events import utc_now
from interhuman2mqtt.policy.budgets import Budgets
from interhuman2mqtt.policy.meter import Meter
from interhuman2mqtt.policy.pauses import PauseOrigin, Pauses
from interhuman2mqtt.policy.policy import Policy
from interhuman2mqtt.simulator.faults import parse_fault
from support.processes import PATIENCE_S

SECOND = timedelta(seconds=1)


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEY", "ih_live_key")


class Living(NamedTuple):
    """A camera that runs, and everything around it."""

    camera: Camera
    published: RecordingPublisher
    policy: Policy
    slots: SessionSlots

    @property
    def sent(self) -> float:
        return self.camera.counters.seconds_sent


@asynccontextmanager
async def living(
    state: Path,
    url: str,
    *,
    now: Callable[[], datetime] = utc_now,
    prepare: Callable[[Pauses], object] = lambda _: None,
    **keys: Any,
) -> AsyncIterator[Living]:
    """A camera with a real policy; `prepare` sees the pauses before anything begins."""
    published, slots = RecordingPublisher(), SessionSlots(1)
    pauses = Pauses(state)
    prepare(pauses)
    policy = Policy(pauses, Budgets(Meter(state, UTC, now=now), None), UTC, now=now)
    camera = Camera(a_camera(**keys), a_context(url, published, policy=policy, slots=slots))
    before = workers()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(policy.run)
        async with trio.open_nursery() as cameras:
            cameras.start_soon(camera.run)
            yield Living(camera, published, policy, slots)
            camera.stop()
        await policy.close()
        nursery.cancel_scope.cancel()
    assert workers() <= before


async def test_paused_while_it_streams(tmp_path: Path) -> None:
    """A pause ends the capture, the session and the place within a second, and says when the last media left."""
    before = workers()
    async with simulated_cloud() as url, living(tmp_path, url) as it:
        await it.published.wait_state("streaming")
        it.policy.pauses.pause("front", PauseOrigin.COMMAND)
        paused_at = utc_now()
        status = await it.published.wait_state("paused", "paused")
        assert workers() <= before
        assert not it.slots.holds("front")
        assert (status.session, status.last_media_at is None) == (None, False)
        assert status.last_media_at
        assert paused_at - 5 * SECOND < status.last_media_at < utc_now()
        assert "`interhuman2mqtt resume front` lifts it" in (status.detail or "")
        sent, captures = it.sent, it.camera.counters.captures
        await trio.sleep(2)
        assert (it.sent, it.camera.counters.captures) == (sent, captures)
        it.policy.pauses.resume("front")
        await it.published.wait_state("streaming", count=2)
        assert it.camera.counters.captures == captures + 1
    states = [status.state for status in it.published.statuses]
    assert "offline" not in states
    assert it.published.statuses[-1].last_media_at


async def test_paused_from_the_start(tmp_path: Path) -> None:
    """A camera that is paused when the daemon starts is not opened, not even for a moment."""

    def pause(pauses: Pauses) -> None:
        pauses.pause(None, PauseOrigin.COMMAND)

    async with simulated_cloud() as url, living(tmp_path, url, prepare=pause) as it:
        await it.published.wait_state("paused", "paused")
        await trio.sleep(1)
        assert it.camera.counters.captures == 0
        it.policy.pauses.resume(None)
        await it.published.wait_state("streaming")


async def test_nothing_begins_before_the_first_verdict(tmp_path: Path) -> None:
    """While nobody has looked whether it is paused, nothing is opened; and such a camera can be stopped."""
    published = RecordingPublisher()
    unseen = Policy(Pauses(tmp_path), Budgets(Meter(tmp_path, UTC), None), UTC)
    camera = Camera(a_camera(), a_context("ws://localhost:1/v2/stream/analyze", published, policy=unseen))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(camera.run)
        await trio.sleep(0.5)
        assert camera.counters.captures == 0
        camera.stop()
    assert published.statuses[-1].state == "stopped"


async def test_a_capture_that_hangs_is_paused_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A capture process that reacts to nothing is killed once it had its time to leave, which is below a second."""
    assert worker_process.LEAVE_S < 1.0
    monkeypatch.setattr(worker, "REAP_S", 60.0)
    before = workers()
    async with simulated_cloud() as url, living(tmp_path, url) as it:
        await it.published.wait_state("streaming")
        [capture] = workers() - before
        os.kill(capture, signal.SIGSTOP)
        it.policy.pauses.pause("front", PauseOrigin.COMMAND)
        await it.published.wait_state("paused", "paused")
        assert workers() <= before
        assert it.published.statuses[-1].last_media_at


async def test_the_hour_is_over(tmp_path: Path) -> None:
    """At the end of its hours the session ends in good order, and the status says when it streams again."""
    began = utc_now()
    now = [began]
    start = began - timedelta(hours=1)
    schedule = (f"{DAYS[start.weekday()]} {start:%H:%M}-{began + timedelta(minutes=2):%H:%M}",)
    async with simulated_cloud() as url, living(tmp_path, url, now=lambda: now[0], schedule=schedule) as it:
        await it.published.wait_state("streaming")
        now[0] = began + timedelta(minutes=3)
        status = await it.published.wait_state("waiting", "out_of_schedule")
        assert "; it streams again " in (status.detail or "")
        assert not it.slots.holds("front")
        assert it.published.events[-1].type == "session.ended"
        now[0] = began
        await it.published.wait_state("streaming", count=2)


async def test_the_hour_ends_while_it_connects(tmp_path: Path) -> None:
    """Without a session there is nothing to drain, and it ends at once."""
    began = utc_now()
    now = [began]
    schedule = (f"{DAYS[began.weekday()]} {began:%H:%M}-{began + timedelta(minutes=2):%H:%M}",)
    nowhere = "ws://localhost:1/v2/stream/analyze"
    async with living(tmp_path, nowhere, now=lambda: now[0], schedule=schedule) as it:
        await it.published.wait_state("connecting", "cloud_unreachable")
        now[0] = began + timedelta(minutes=3)
        await it.published.wait_state("waiting", "out_of_schedule")


async def test_a_session_that_does_not_drain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of the hours waits for a session only so long."""
    monkeypatch.setattr(spell, "DRAIN_S", 0.3)
    began = utc_now()
    now = [began]
    schedule = (f"{DAYS[began.weekday()]} {began:%H:%M}-{began + timedelta(minutes=2):%H:%M}",)
    faults = (parse_fault("slow-drain=60"),)
    async with (
        simulated_cloud(faults=faults) as url,
        living(tmp_path, url, now=lambda: now[0], schedule=schedule) as it,
    ):
        await it.published.wait_state("streaming")
        now[0] = began + timedelta(minutes=3)
        with trio.fail_after(PATIENCE_S):
            await it.published.wait_state("waiting", "out_of_schedule")


async def test_paused_while_it_drains(tmp_path: Path) -> None:
    """A pause cuts off a session that is coming to its end, too."""
    began = utc_now()
    now = [began]
    schedule = (f"{DAYS[began.weekday()]} {began:%H:%M}-{began + timedelta(minutes=2):%H:%M}",)
    faults = (parse_fault("slow-drain=60"),)
    async with (
        simulated_cloud(faults=faults) as url,
        living(tmp_path, url, now=lambda: now[0], schedule=schedule) as it,
    ):
        await it.published.wait_state("streaming")
        now[0] = began + timedelta(minutes=3)
        await trio.sleep(2)
        assert it.published.statuses[-1].state == "streaming"
        it.policy.pauses.pause("front", PauseOrigin.COMMAND)
        with trio.fail_after(PATIENCE_S):
            await it.published.wait_state("paused", "paused")


async def test_the_budget_is_spent(tmp_path: Path) -> None:
    """No second more than the budget is sent, the session ends in good order, and the status says until when."""
    budget = config.Budget(per_day=5.0)
    async with simulated_cloud() as url, living(tmp_path, url, budget=budget) as it:
        status = await it.published.wait_state("waiting", "over_budget")
        assert "its budget of 5s for " in (status.detail or "")
        assert "it streams again on the next day" in (status.detail or "")
        assert 2 < it.sent <= 5
        assert it.published.events[-1].type == "session.ended"
        assert not it.slots.holds("front")
        assert it.camera.counters.sessions == 1
        assert it.policy.budgets.as_health()["cameras"]["front"] == {"used": 5.0, "per_day": 5.0, "warned": True}
    assert it.published.statuses[-1].state == "stopped"


async def test_stopped_while_it_waits(tmp_path: Path) -> None:
    """A camera that may not stream stops at once."""

    def pause(pauses: Pauses) -> None:
        pauses.pause("front", PauseOrigin.COMMAND)

    async with living(tmp_path, "ws://localhost:1/v2/stream/analyze", prepare=pause) as it:
        await it.published.wait_state("paused", "paused")
    assert it.published.statuses[-1].state == "stopped"


async def test_a_flood_of_pauses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred ONs and OFFs a second start a process every two seconds at most, and each ON counts at once."""
    starts: list[float] = []

    def counted(*arguments: Any, **keys: Any) -> Any:
        starts.append(trio.current_time())
        return worker.start_worker(*arguments, **keys)

    monkeypatch.setattr(capture_task, "start_worker", counted)
    async with simulated_cloud() as url, living(tmp_path, url) as it:
        await it.published.wait_state("streaming")
        began = trio.current_time()
        for _ in range(200):
            await it.policy.pause("front", PauseOrigin.PAUSE_SET)
            await it.policy.resume("front")
            await trio.sleep(0.01)
        lasted = trio.current_time() - began
        assert len(starts) <= 2 + lasted / BEGIN_S
        await it.published.wait_state("streaming", count=2)
