"""An outage that is longer than the buffer: what the stream missed is analysed all the same, and that is published."""

import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import pytest
import trio

from integration import oracle
from integration.helpers import GAP, KEY, Box, Json, Peers, box, run_peers
from support.clips import Clip, frame_numbers
from support.netproxy import Network, network
from support.rtsp import RtspServer, rtsp_server

pytestmark = pytest.mark.full
CLIP = Clip(fps=10, gop=5, seconds=160)
"""GOPs of half a second, and no frame twice in any run of these tests."""
TESTS = Path(__file__).parents[1]
FILLED = "coverage.filled"
AGREEMENT_S = 0.1
REPLAY_FRAMES = 20
KEYS = ("--key", f"{KEY}=interhumanai.stream,interhumanai.upload", "--job-queued", "0.2", "--job-running", "0.2")


class Run(NamedTuple):
    """A camera, a box, and a cloud that goes away."""

    camera: RtspServer
    daemon: Box
    peers: Peers
    net: Network

    async def lose_cloud(self) -> None:
        """From now on nobody answers."""
        await self.net.refuse()
        self.net.reset()

    @property
    def spool(self) -> list[Path]:
        """The segments on the disk."""
        return sorted((self.daemon.folder / "spool").rglob("*.mp4"))

    def late(self, type_: str | None = None) -> list[Json]:
        """The late events so far, or those of a type."""
        found = [json.loads(m.payload) for m in self.peers.subscriber.messages if "/front/late/" in m.topic]
        return [event for event in found if type_ in {None, event["type"]}]

    def uploaded(self) -> list[list[int]]:
        """The numbers of the frames of each upload."""
        files = [self.peers.cloud.folder / line["file"] for line in self.peers.cloud.happened("uploaded")]
        return [[number for _, number in frame_numbers(file) if number is not None] for file in files]

    def streamed(self) -> list[list[int]]:
        """Those of each session."""
        return [[frame.number for frame in session.frames] for session in oracle.received(self.peers.cloud)]

    async def wait_idle(self, uploads: int = 1) -> None:
        """Until the spool was uploaded, and is empty."""
        with trio.fail_after(90):
            while self.spool or len(self.peers.cloud.happened("uploaded")) < uploads:  # noqa: ASYNC110 - files
                await trio.sleep(0.2)
            await trio.sleep(1.5)


@asynccontextmanager
async def running(folder: Path, *options: str, **keys: object) -> AsyncIterator[Run]:
    """A box whose only camera is spooled."""
    async with (
        rtsp_server({"/cam": CLIP}) as camera,
        run_peers(folder, *KEYS, *options) as peers,
        network(to=peers.cloud.port) as net,
    ):
        source: Json = {"source": camera.url("/cam"), "buffer": "5s", "backfill": "64MiB", "replay": "1s"}
        source |= {"backfill_rate": "20M", **keys}
        config = peers.config(
            {"front": source}, interhuman={"url": f"ws://127.0.0.1:{net.port}/v2/stream/analyze", "chunk": "500ms"}
        )
        async with box(folder, config, {"PYTHONPATH": str(TESTS)}, program="support.quick_backfill") as daemon:
            yield Run(camera, daemon, peers, net)


def seconds_between(event: Json) -> float:
    """How long what an event is about lasted."""
    start, end = datetime.fromisoformat(event["start_at"]), datetime.fromisoformat(event["end_at"])
    return (end - start).total_seconds()


def assert_dated(run: Run) -> None:
    """Each upload is dated as its first frame was captured, by the log of the camera itself."""
    started = [event for event in run.late("engagement.updated") if event["data"]["start"] == 0]
    by_job = {line["job"]: run.peers.cloud.folder / line["file"] for line in run.peers.cloud.happened("uploaded")}
    assert len(started) == len(by_job)
    for event in started:
        _, number = next(frame_numbers(by_job[event["id"].split("/")[2]]))
        assert number is not None
        captured = run.camera.captured_at("/cam", number)
        assert datetime.fromisoformat(event["start_at"]).timestamp() == pytest.approx(captured, abs=AGREEMENT_S)


async def test_an_outage_is_filled(tmp_path: Path) -> None:
    """Every frame is seen by stream or upload, the gaps are told, and told filled, and nothing acts on what is late."""
    async with running(tmp_path) as run:
        await run.peers.cloud.wait_happened("chunk", index=8)
        await run.lose_cloud()
        await trio.sleep(25)
        await run.net.accept()
        await run.wait_idle()
        last_event = (await run.peers.retained())["front/state/last_event"]
        assert await run.daemon.stop() == 0
        streamed, uploaded = run.streamed(), run.uploaded()
        times = Counter(number for numbers in (*streamed, *uploaded) for number in numbers)
        assert sorted(times) == list(range(len(times)))
        twice = [number for number, count in times.items() if count > 1]
        assert len(twice) <= REPLAY_FRAMES, (twice, streamed, uploaded)
        gaps = {event["id"]: event for event in run.peers.events("front", GAP)}
        filled = Counter[str]()
        for event in run.late(FILLED):
            filled[event["data"]["gap"]] += event["data"]["seconds"]
            assert event["data"]["seconds"] == pytest.approx(seconds_between(event), abs=0.01)
        outages = [event for event in gaps.values() if event["data"]["reason"] != "starting"]
        assert sum(event["data"]["seconds"] for event in outages) > 15
        for gap in outages:
            assert filled[gap["id"]] == pytest.approx(gap["data"]["seconds"], abs=0.2)
        assert {event["late"] for event in run.late()} == {True}
        assert {event["origin"] for event in run.late()} == {"upload"}
        assert json.loads(last_event)["origin"] == "stream"
        assert_dated(run)
