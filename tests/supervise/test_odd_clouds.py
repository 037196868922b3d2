"""Clouds that do what none should, played by the simulator over a real socket, and what becomes of the camera."""

import pytest
import trio

from interhuman2mqtt.cameras.camera import Camera
from interhuman2mqtt.simulator.faults import parse_fault
from supervise.parts import Heard, a_camera, shared, simulated_cloud

KEY = "ih_live/key"


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEY", KEY)


async def test_a_cloud_that_echoes_the_key() -> None:
    """However the cloud writes the key that it was asked with, no event that is published repeats it."""
    heard = Heard()
    async with simulated_cloud(faults=(parse_fault("echo-key@chunk2"),)) as url, trio.open_nursery() as nursery:
        camera = Camera(a_camera(), shared(url, heard))
        nursery.start_soon(camera.run)
        await heard.wait(lambda: sum(event.type == "error" for event in heard.events) == 3)
        camera.stop()
    messages = [event.data["message"] for event in heard.events if event.type == "error"]
    assert messages[:2] == ["***", "***"]
    assert messages[2].endswith("***")
    assert KEY not in str(heard.events)


async def test_a_message_beyond_all_bounds() -> None:
    """A message of 16 MiB ends the session with a sentence, before it is whole; the camera streams on in the next."""
    heard = Heard()
    async with simulated_cloud(faults=(parse_fault("huge@chunk2"),)) as url, trio.open_nursery() as nursery:
        camera = Camera(a_camera(), shared(url, heard))
        nursery.start_soon(camera.run)
        status = await heard.wait_state("connecting", "protocol")
        assert "the cloud sent a message of more than 256 KiB" in (status.detail or "")
        await heard.wait_state("streaming", count=2)
        camera.stop()
