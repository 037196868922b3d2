"""A camera in this process, with a real capture, and what an earlier outage left."""

from pathlib import Path

import pytest
import trio

from backfill.helpers import SECONDS, put_segment
from cameras.helpers import CLOCK, RecordingPublisher, a_camera, a_context, simulated_cloud
from interhuman2mqtt.backfill.spools import Spools
from interhuman2mqtt.cameras import backfill_task
from interhuman2mqtt.cameras.camera import Camera
from interhuman2mqtt.events import Origin
from interhuman2mqtt.upload import client
from upload.helpers import QUICK


async def test_a_camera_uploads_beside_its_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once its session goes well, what is in the spool is published as late events, beside those of the stream."""
    monkeypatch.setenv("API_KEY", "ih_live_key")
    monkeypatch.setattr(backfill_task, "WELL_S", 0.2)
    monkeypatch.setattr(client, "POLL_S", 0.02)
    path = put_segment(tmp_path, 100)
    published = RecordingPublisher()
    async with simulated_cloud(uploads=QUICK) as url, trio.open_nursery() as nursery:
        context = a_context(url, published, spools=Spools(tmp_path, CLOCK))
        camera = Camera(a_camera(backfill=1 << 30), context)
        nursery.start_soon(camera.run)
        await published.wait(lambda: {event.origin for event in published.events} == set(Origin))
        await published.wait(lambda: camera.counters.backfilled_seconds)
        assert camera.counters.backfilled_seconds == SECONDS
        assert not path.exists()
        camera.stop()
    states = [status.state.value for status in published.statuses]
    assert states.index("streaming") < states.index("stopped")
