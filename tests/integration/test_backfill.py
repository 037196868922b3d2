"""An outage that is longer than the buffer: what the stream missed is analysed all the same, and that is published.

`OUTAGE_S=300` plays a long one, with the program as it is.
"""

import json
import os
import signal
import sys
import time
import tomllib
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import pytest
import tomli_w
import trio

from integration import oracle
from integration.helpers import GAP, KEY, Box, Json, Peers, box, run_peers
from support.clips import Clip, frame_numbers
from support.disks import tiny_disk
from support.netproxy import Network, network
from support.processes import PATIENCE_S
from support.rtsp import RtspServer, rtsp_server

pytestmark = pytest.mark.full
OUTAGE_S = int(os.environ.get("OUTAGE_S", "25"))
IS_LONG = OUTAGE_S >= 120
CLIP = Clip(fps=10, gop=5, seconds=160 if not IS_LONG else (OUTAGE_S + 400) // 8 * 8)
"""GOPs of half a second, and no frame twice in any run of these tests."""
PROGRAM = "interhuman2mqtt" if IS_LONG else "support.quick_backfill"
KEPT: Json = {"buffer": "20s" if IS_LONG else "5s", "backfill_rate": "2M" if IS_LONG else "20M"}
TESTS = Path(__file__).parents[1]
GOP_S = 0.5
FILLED = "coverage.filled"
AGREEMENT_S = 0.1
EDGE_S = 0.25
"""A frame that stands so near to an edge is judged by neither side."""
CRASH_S = 10.0
"""After a crash a gap may hold what was delivered in so many seconds before it (docs/operations.md)."""
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

    async def pause(self, *, resume: bool = False) -> None:
        """By the command of this machine."""
        command = [sys.executable, "-m", "interhuman2mqtt", "resume" if resume else "pause", "front"]
        await trio.run_process(command, env=self.daemon.environment, capture_stdout=True)

    async def wait_spooled(self, count: int) -> None:
        """Until so many segments are on the disk."""
        with trio.fail_after(60):
            while len(self.spool) < count:  # noqa: ASYNC110 - files
                await trio.sleep(0.1)

    async def wait_connects(self, count: int) -> None:
        """Until so many more connections came than there are now: sessions, uploads, and looks at jobs."""
        with trio.fail_after(60):
            before = self.net.connects
            while self.net.connects < before + count:  # noqa: ASYNC110 - nobody tells
                await trio.sleep(0.05)
        await trio.sleep(0.5)

    async def wait_idle(self, uploads: int = 1) -> None:
        """Until the spool was uploaded, and is empty."""
        with trio.fail_after(90 + OUTAGE_S):
            while self.spool or len(self.peers.cloud.happened("uploaded")) < uploads:  # noqa: ASYNC110 - files
                await trio.sleep(0.2)
            await trio.sleep(1.5)


@asynccontextmanager
async def running(folder: Path, *options: str, state: Path | None = None, **keys: object) -> AsyncIterator[Run]:
    """A box whose only camera is spooled; what that shows is the time of day, modulo the clip's length."""
    async with (
        rtsp_server({"/cam": CLIP}, live=GOP_S) as camera,
        run_peers(folder, *KEYS, *options) as peers,
        network(to=peers.cloud.port) as net,
    ):
        source: Json = {"source": camera.url("/cam"), "backfill": "64MiB", "replay": "1s", **KEPT, **keys}
        config = peers.config(
            {"front": source}, interhuman={"url": f"ws://127.0.0.1:{net.port}/v2/stream/analyze", "chunk": "500ms"}
        )
        async with box(state or folder, config, {"PYTHONPATH": str(TESTS)}, program=PROGRAM) as daemon:
            yield Run(camera, daemon, peers, net)


class Span(NamedTuple):
    """Unix time, in seconds."""

    start: float
    end: float


def spans(events: list[Json]) -> list[Span]:
    """What events are about."""
    both = [(event["start_at"], event["end_at"]) for event in events]
    return [
        Span(datetime.fromisoformat(start).timestamp(), datetime.fromisoformat(end).timestamp()) for start, end in both
    ]


def captured_at(number: int, near: float) -> float:
    """When a frame was captured, by what it shows."""
    length = CLIP.frames / CLIP.fps
    return near + (number / CLIP.fps - near + length / 2) % length - length / 2


def assert_told(run: Run, killed_at: float | None = None) -> Counter[int]:
    """Exactly what neither stream nor upload brought is told as missing; return how often each frame came.

    After a crash a gap may begin up to `CRASH_S` too early. A frame is named by its time, in frames.
    """
    times = Counter(number for numbers in (*run.streamed(), *run.uploaded()) for number in numbers)
    gaps, filled = spans(run.peers.events("front", GAP)), spans(run.late(FILLED))
    known = Counter({round(captured_at(number, gaps[-1].end) * CLIP.fps): count for number, count in times.items()})
    for frame in range(min(known), max(known)):
        at = frame / CLIP.fps
        is_missing = _is_in(at, gaps) and not _is_in(at, filled)
        if frame in known and killed_at is not None and killed_at - CRASH_S < at < killed_at:
            continue
        near_edge = any(abs(at - edge) < EDGE_S for span in (*gaps, *filled) for edge in span)
        assert near_edge or is_missing == (frame not in known), (at, frame in known, killed_at, gaps, filled)
    return known


def _is_in(at: float, those: list[Span]) -> bool:
    return any(span.start <= at < span.end for span in those)


def assert_dated(run: Run) -> None:
    """Each upload is dated as its first frame was captured."""
    started = [event for event in run.late("engagement.updated") if event["data"]["start"] == 0]
    by_job = {line["job"]: run.peers.cloud.folder / line["file"] for line in run.peers.cloud.happened("uploaded")}
    assert len(started) == len(by_job)
    for event in started:
        _, number = next(frame_numbers(by_job[event["id"].split("/")[2]]))
        assert number is not None
        start = datetime.fromisoformat(event["start_at"]).timestamp()
        assert start == pytest.approx(captured_at(number, start), abs=AGREEMENT_S)


async def test_an_outage_is_filled(tmp_path: Path) -> None:
    """Every frame is seen by stream or upload, the gaps are told, and told filled, and nothing acts on what is late."""
    async with running(tmp_path) as run:
        await run.peers.cloud.wait_happened("chunk", index=8)
        await run.lose_cloud()
        await trio.sleep(OUTAGE_S)
        await run.net.accept()
        await run.wait_idle()
        last_event = (await run.peers.retained())["front/state/last_event"]
        assert await run.daemon.stop() == 0
        times = assert_told(run)
        assert sorted(times) == list(range(min(times), max(times) + 1))
        twice = [number for number, count in times.items() if count > 1]
        assert len(twice) <= REPLAY_FRAMES, twice
        gaps = {event["id"]: event for event in run.peers.events("front", GAP)}
        filled = Counter[str]()
        for event in run.late(FILLED):
            filled[event["data"]["gap"]] += event["data"]["seconds"]
        outages = [event for event in gaps.values() if event["data"]["reason"] != "starting"]
        assert sum(event["data"]["seconds"] for event in outages) > OUTAGE_S / 2
        for gap in outages:
            assert filled[gap["id"]] == pytest.approx(gap["data"]["seconds"], abs=0.2)
        assert {event["late"] for event in run.late()} == {True}
        assert {event["origin"] for event in run.late()} == {"upload"}
        assert json.loads(last_event)["origin"] == "stream"
        assert_dated(run)


async def test_kill_9_while_it_spools(tmp_path: Path) -> None:
    """A crash in the middle of an outage costs what was in memory, and exactly that stays a gap."""
    async with running(tmp_path) as run:
        await run.peers.cloud.wait_happened("chunk", index=8)
        await run.lose_cloud()
        await run.wait_spooled(2)
        await trio.sleep(12)  # so that coverage.json knows
        await run.daemon.kill()
        await run.daemon.start()
        await trio.sleep(8)
        await run.net.accept()
        await run.wait_idle()
        assert await run.daemon.stop() == 0
        times = assert_told(run)
        assert max(times.values()) <= 2
        assert_dated(run)
        lost = sum(span.end - span.start for span in spans(run.peers.events("front", GAP)))
        assert sum(span.end - span.start for span in spans(run.late(FILLED))) > lost - 25


async def test_kill_9_while_it_uploads(tmp_path: Path) -> None:
    """A crash in the middle of an upload costs nothing: it begins anew, and no segment is accepted twice."""
    async with running(tmp_path, backfill_rate="200k") as run:
        await run.peers.cloud.wait_happened("chunk", index=8)
        await run.lose_cloud()
        await trio.sleep(OUTAGE_S)
        await run.net.accept()
        await run.peers.cloud.wait_happened("uploaded")
        before = len(run.spool)
        with trio.fail_after(PATIENCE_S):
            while len(run.spool) == before:  # noqa: ASYNC110 - files
                await trio.sleep(0.05)
        await run.wait_connects(1)
        killed_at = time.time()
        await run.daemon.kill()
        await run.daemon.start()
        await run.wait_idle(2)
        assert await run.daemon.stop() == 0
        assert_told(run, killed_at)
        uploaded = Counter(number for numbers in run.uploaded() for number in numbers)
        assert max(uploaded.values()) == 1
        assert_dated(run)


async def test_a_pause_in_the_middle(tmp_path: Path) -> None:
    """A pause ends the upload under way, uploads nothing while it lasts, and deletes nothing from before it."""
    async with running(tmp_path, backfill_rate="50k") as run:
        await run.peers.cloud.wait_happened("chunk", index=8)
        await run.lose_cloud()
        await run.wait_spooled(2)
        await run.pause()
        await run.peers.wait_status("front", "paused", "paused")
        before = run.spool
        await run.net.accept()
        await trio.sleep(6)
        assert run.spool == before
        assert run.peers.cloud.happened("uploaded") == []
        await run.pause(resume=True)
        await run.wait_connects(2)
        await run.pause()
        before = run.spool
        await trio.sleep(6)
        assert run.spool == before
        assert run.peers.cloud.happened("uploaded") == []
        await run.pause(resume=True)
        await run.wait_idle(2)
        assert await run.daemon.stop() == 0
        assert_told(run)
        assert_dated(run)


async def test_a_full_disk(tmp_path: Path) -> None:
    """What the disk has no room for stays a gap, and nothing else comes of it: the live session goes on."""
    with tiny_disk(tmp_path / "state", 72 << 10) as state:
        async with running(tmp_path, state=state) as run:
            await run.peers.cloud.wait_happened("chunk", index=8)
            free = os.statvfs(state).f_bavail * os.statvfs(state).f_frsize
            (state / "filler").write_bytes(b"x" * (free - (64 << 20) - 200_000))
            await run.lose_cloud()
            await trio.sleep(OUTAGE_S)
            await run.daemon.wait_log("media is not spooled")
            await run.net.accept()
            await run.wait_idle(2)
            assert await run.daemon.stop() == 0
            times = assert_told(run)
            assert max(times.values()) <= 2
            assert_dated(run)


async def test_forgotten_and_removed(tmp_path: Path) -> None:
    """What is forgotten is gone at once, and spooling goes on; a camera that loses its key takes its spool with it."""
    async with running(tmp_path) as run:
        await run.peers.cloud.wait_happened("chunk", index=8)
        await run.lose_cloud()
        await run.wait_spooled(2)
        modes = {path.stat().st_mode & 0o777 for path in run.spool}
        assert modes == {0o600}
        before = set(run.spool)
        command = [sys.executable, "-m", "interhuman2mqtt", "forget", "front"]
        done = await trio.run_process(command, env=run.daemon.environment, capture_stdout=True)
        assert b"were spooled, and are gone" in done.stdout
        assert before.isdisjoint(run.spool)
        await run.wait_spooled(1)
        with open_config(run.daemon.file) as config:
            del config["cameras"]["front"]["backfill"]
        run.daemon.send(signal.SIGHUP)
        await run.daemon.wait_log("a spool is deleted", camera="front")
        assert not (run.daemon.folder / "spool" / "front").exists()
        await run.net.accept()
        await run.peers.cloud.wait_happened("chunk", session=2, index=8)
        assert await run.daemon.stop() == 0
        assert run.late() == []


@contextmanager
def open_config(file: Path) -> Iterator[Json]:
    """The content of a configuration file, to be changed."""
    config = tomllib.loads(file.read_text())
    yield config
    file.write_text(tomli_w.dumps(config))
