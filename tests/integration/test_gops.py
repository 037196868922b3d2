"""Cameras with key frames at every interval are streamed: real RTSP servers, the daemon, the cloud."""

from itertools import count, pairwise
from pathlib import Path
from typing import NamedTuple

import pytest

from integration import oracle
from integration.helpers import Json, Peers, box, run_peers
from interhuman2mqtt.capture.chunk_length import SHORT_OF_CHUNK
from support.clips import Clip
from support.rtsp import rtsp_server

CHUNKS = 3
TICK_S = 0.03
"""A frame of audio may stand out of a chunk, and stamps of RTP are rounded."""


class Point(NamedTuple):
    """A camera."""

    fps: int
    gop: int
    framing: str = "continuous"

    @property
    def gop_s(self) -> float:
        """Seconds from key frame to key frame."""
        return self.gop / self.fps

    @property
    def name(self) -> str:
        """Of its mount and in the configuration."""
        return f"fps-{self.fps}-gop-{self.gop}-{self.framing}"

    @property
    def clip(self) -> Clip:
        """What it sends, in whole GOPs, and as long as audio needs to loop without a seam."""
        seconds = next(seconds for seconds in count(8, 8) if seconds * self.fps % self.gop == 0)
        return Clip(size=(192, 108), fps=self.fps, gop=self.gop, seconds=seconds)


async def stream(folder: Path, chunk_s: float, *points: Point) -> None:
    """Some cameras of one box with chunks of that length, until each has sent some."""
    mounts = {f"/{point.name}": point.clip for point in points}
    async with rtsp_server(mounts) as server, run_peers(folder, "--decode", "all") as peers:
        cameras: dict[str, Json] = {
            point.name: {"source": server.url(f"/{point.name}"), "framing": point.framing} for point in points
        }
        config = peers.config(cameras, interhuman={"chunk": f"{round(chunk_s * 1000)}ms"})
        async with box(folder, config) as daemon:
            for point in points:
                await peers.wait_status(point.name, "streaming", within=3 * (chunk_s + point.gop_s) + 20)
            for point in points:
                within = CHUNKS * (chunk_s + point.gop_s) + 20
                await peers.cloud.wait_happened("decoded", within, session=session(peers, point), index=CHUNKS)
            assert await daemon.stop() == 0
        for point in points:
            judge(peers, point, chunk_s)


def session(peers: Peers, point: Point) -> int:
    """The number of a camera's only session."""
    [ours] = {status["session"] for status in peers.statuses(point.name) if status["session"]}
    [opened] = peers.cloud.happened("opened", request_id=ours)
    return int(opened["session"])


def judge(peers: Peers, point: Point, chunk_s: float) -> None:
    """What must hold of what one camera sent."""
    number = session(peers, point)
    assert peers.cloud.happened("event", session=number, type="error") == []
    assert [state for state, _ in peers.states(point.name)] == ["connecting", "streaming", "stopped"]
    shown = [frame.number for frame in oracle.frames_of(peers.cloud, number)]
    frames = point.clip.frames
    assert all(after == (before + 1) % frames for before, after in pairwise(shown)), "frames are missing, or come twice"
    least_s = 3.0 if point.framing == "standalone" else 0.0
    lengths = [line["end"] - line["start"] for line in peers.cloud.happened("decoded", session=number)]
    # the last one is what a stop leaves of it; a file has to be long enough nevertheless
    assert all(length > least_s - TICK_S for length in lengths)
    for length in lengths[:CHUNKS]:
        assert length > max(SHORT_OF_CHUNK * chunk_s, least_s) - TICK_S
        assert length < max(chunk_s, least_s) + point.gop_s + TICK_S


async def test_key_frames_at_odd_intervals(tmp_path: Path) -> None:
    """GOPs of 1.2, 1.33 and 1.75 s, none of which makes two seconds, are streamed with the default chunk."""
    await stream(tmp_path, 2.0, Point(25, 30), Point(15, 20), Point(20, 35))


async def test_chunks_that_no_gops_make_up(tmp_path: Path) -> None:
    """The usual GOP of 2 s makes chunks of 3 s or more, in both framings; no file is below the cloud's least."""
    await stream(tmp_path, 3.0, Point(15, 30), Point(15, 30, "standalone"))


@pytest.mark.full
@pytest.mark.parametrize(
    ("chunk_s", "point"),
    [
        (0.5, Point(25, 3)),
        (0.5, Point(10, 45)),
        (1.0, Point(15, 16)),
        (2.0, Point(30, 41)),
        (3.0, Point(20, 27, "standalone")),
        (5.0, Point(10, 44, "standalone")),
        (10.0, Point(10, 35)),
        (30.0, Point(25, 36)),
    ],
    ids=repr,
)
async def test_key_frames_at_every_interval(tmp_path: Path, chunk_s: float, point: Point) -> None:
    """The same for the shortest and longest GOPs and chunks."""
    await stream(tmp_path, chunk_s, point)
