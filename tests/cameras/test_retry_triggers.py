"""A camera of this machine that is plugged in again is not waited for by back-off alone."""

from pathlib import Path

import pytest
import trio
import trio.testing

from cameras.helpers import RecordingPublisher, a_camera, a_context
from interhuman2mqtt.cameras.camera import Camera
from interhuman2mqtt.cameras.capture_task import CaptureTask
from interhuman2mqtt.cameras.retry_triggers import PLUG_LOOK_S, SecretWatch, watch_plug
from interhuman2mqtt.config import SecretRef
from interhuman2mqtt.runtime import state_dir
from interhuman2mqtt.supervisor import BackoffPolicy, RetryNow
from support.processes import PATIENCE_S


async def test_a_pause_ends_when_it_is_plugged_in(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    """Within the time of one look, however long the pause; while nothing changes the pause is kept."""
    node, retry_now = tmp_path / "video0", RetryNow()
    capturing = CaptureTask.__new__(CaptureTask)
    capturing.worker = None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch_plug, f"v4l2:{node}", capturing, retry_now)
        await retry_now.sleep(60)
        assert trio.current_time() >= 60
        for _ in range(2):
            node.touch()
            plugged = trio.current_time()
            await retry_now.sleep(60)
            assert trio.current_time() - plugged <= PLUG_LOOK_S
            await retry_now.sleep(60)
            assert trio.current_time() - plugged >= 60
            node.unlink()
            await trio.sleep(2 * PLUG_LOOK_S)
        nursery.cancel_scope.cancel()


async def test_a_new_token_ends_the_pause(tmp_path: Path) -> None:
    """However long it is: one that is put into the file meanwhile, and one that was put there before it began."""
    file = tmp_path / "token"
    state_dir.replace(file, b"old")
    watch = SecretWatch(SecretRef(file=str(file)))
    state_dir.replace(file, b"newer")
    with trio.fail_after(PATIENCE_S):
        await watch.sleep(1e6)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch.sleep, 1e6)
            await trio.testing.wait_all_tasks_blocked()
            state_dir.replace(file, b"newest")


async def test_it_is_tried_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A camera whose next attempt would be hours away is opened when its node appears (here: a file, which is none)."""
    monkeypatch.setenv("API_KEY", "ih_live_key")
    published, node = RecordingPublisher(), tmp_path / "video0"
    async with trio.open_nursery() as nursery:
        hours = BackoffPolicy(first=1e6, longest=1e6)
        camera = Camera(a_camera(source=f"v4l2:{node}"), a_context("ws://localhost:1/v1/x", published, backoff=hours))
        nursery.start_soon(camera.run)
        gone = await published.wait_state("offline", "not_found")
        assert "is not plugged in" in (gone.detail or "")
        node.touch()
        await published.wait_state("offline", "invalid_media")
        camera.stop()
