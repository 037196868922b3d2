"""Clouds that do what none should, played by the simulator over a real socket, and what becomes of the camera."""

from itertools import pairwise

import pytest
import trio

from cameras.helpers import RecordingPublisher, a_camera, a_context, simulated_cloud
from interhuman2mqtt.cameras.camera import Camera
from interhuman2mqtt.simulator.faults import parse_fault
from interhuman2mqtt.simulator.settings import Limits
from interhuman2mqtt.supervisor import BackoffPolicy

KEY = "ih_live/key"


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEY", KEY)


async def test_a_cloud_that_echoes_the_key() -> None:
    """However the cloud writes the key that it was asked with, no event that is published repeats it."""
    published = RecordingPublisher()
    async with simulated_cloud(faults=(parse_fault("echo-key@chunk2"),)) as url, trio.open_nursery() as nursery:
        camera = Camera(a_camera(), a_context(url, published))
        nursery.start_soon(camera.run)
        await published.wait(lambda: sum(event.type == "error" for event in published.events) == 3)
        camera.stop()
    messages = [event.data["message"] for event in published.events if event.type == "error"]
    assert messages[:2] == ["***", "***"]
    assert messages[2].endswith("***")
    assert KEY not in str(published.events)


async def test_a_message_beyond_all_bounds() -> None:
    """A message of 16 MiB ends the session with a sentence, before it is whole; the camera streams on in the next."""
    published = RecordingPublisher()
    async with simulated_cloud(faults=(parse_fault("huge@chunk2"),)) as url, trio.open_nursery() as nursery:
        camera = Camera(a_camera(), a_context(url, published))
        nursery.start_soon(camera.run)
        status = await published.wait_state("connecting", "protocol")
        assert "the cloud sent a message of more than 256 KiB" in (status.detail or "")
        await published.wait_state("streaming", count=2)
        camera.stop()


@pytest.mark.parametrize(("code", "reason"), [("ih4004", "media_rejected"), ("ih1001", "cloud_error")])
async def test_a_cloud_that_rejects_every_chunk(code: str, reason: str) -> None:
    """Errors that the session outlives show on the status, and lead to a new session, and then to a refusal."""
    published = RecordingPublisher()
    async with simulated_cloud(faults=(parse_fault(f"reject={code},every"),)) as url, trio.open_nursery() as nursery:
        camera = Camera(a_camera(replay=0.0), a_context(url, published))
        nursery.start_soon(camera.run)
        complained = await published.wait_state("streaming", reason)
        assert code in (complained.detail or "")
        given_up = await published.wait_state("connecting", reason)
        assert "5 errors in a row, and nothing was analysed" in (given_up.detail or "")
        refused = await published.wait_state("refused", reason, count=1)
        assert "this is the third time in 5 minutes" in (refused.detail or "")
        camera.stop()
    if reason == "media_rejected":  # an error of the cloud's own says nothing about what became of the media
        gaps = [gap for gap in published.gaps if gap.reason == reason]
        lost = sum(gap.seconds or 0.0 for gap in gaps)
        assert lost == pytest.approx(camera.counters.seconds_sent, abs=2.5)
        assert all(
            before.end_at <= after.start_at for before, after in pairwise(gaps) if before.end_at and after.start_at
        )


async def test_a_complaint_in_passing() -> None:
    """One error is shown until something is analysed again, and ends nothing."""
    published = RecordingPublisher()
    async with simulated_cloud(faults=(parse_fault("error=ih1001@chunk2"),)) as url, trio.open_nursery() as nursery:
        camera = Camera(a_camera(), a_context(url, published))
        nursery.start_soon(camera.run)
        await published.wait_state("streaming", "cloud_error")
        await published.wait_state("streaming", count=2)
        camera.stop()
    assert {status.reason for status in published.statuses if status.state == "connecting"} == {"starting"}


async def test_sessions_of_a_second() -> None:
    """A cloud that allows sessions of a second is not asked for one after the other, and the status says why."""
    published = RecordingPublisher()
    async with simulated_cloud(limits=Limits(max_duration=1)) as url, trio.open_nursery() as nursery:
        camera = Camera(a_camera(), a_context(url, published, backoff=BackoffPolicy(first=1000.0, longest=1000.0)))
        nursery.start_soon(camera.run)
        status = await published.wait_state("connecting", "session_limit")
        assert status.attempts == 1
        camera.stop()


async def test_the_clouds_own_words_survive() -> None:
    """What the cloud said before it closed is part of why, also where the error by itself ends nothing."""
    published = RecordingPublisher()
    fault = parse_fault("error=ih6001@chunk2,close=1008")
    async with simulated_cloud(faults=(fault,)) as url, trio.open_nursery() as nursery:
        camera = Camera(a_camera(), a_context(url, published))
        nursery.start_soon(camera.run)
        status = await published.wait_state("connecting", "protocol")
        assert "close code 1008" in (status.detail or "")
        assert "before it ih6001: Invalid message" in (status.detail or "")
        camera.stop()


async def test_a_cloud_that_wants_longer_chunks() -> None:
    """A cloud that calls chunks too short is sent longer ones in the same session, and goes on with it."""
    published = RecordingPublisher()
    fault = parse_fault("error=ih5006@chunk2")
    async with simulated_cloud(faults=(fault,)) as url, trio.open_nursery() as nursery:
        camera = Camera(a_camera(), a_context(url, published))
        nursery.start_soon(camera.run)
        await published.wait_state("streaming", "media_rejected")
        await published.wait(lambda: camera.counters.chunks_sent >= 5)
        assert camera.counters.seconds_sent / camera.counters.chunks_sent > 1.5
        camera.stop()
    assert sum(event.type == "session.ready" for event in published.events) == 1
