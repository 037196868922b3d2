"""What the cloud gets over sessions that break, rotate, or hang on a slow uplink: every frame, and how often."""

import os
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest
import trio

from integration import oracle
from integration.helpers import Box, Json, Peers, box, run_peers
from integration.oracle import Received
from support.clips import Clip
from support.netproxy import Network, network
from support.processes import PATIENCE_S, in_background
from support.rtsp import RtspServer, rtsp_server

CLIP = Clip(fps=10, gop=5, seconds=160)
"""GOPs of half a second, and no frame twice in any run of these tests."""
SETTLED = 4
"""Chunks of half a second: one is replayed, two may have been under way when the network broke, and one is new."""
HEAVY = Clip(size=(640, 360), gop=15, seconds=160, bitrate=2_000_000)
"""About what a camera sends: 260 kB a second."""
SLOW_S = float(os.environ.get("SLOW_S", "25"))
"""How long the uplink is slow."""
MEMORY_MAX = 96 << 20
"""Bytes of either process; about 45 MiB were seen."""
AGREEMENT_S = 0.1


class Run(NamedTuple):
    """A camera, a box, a network that misbehaves, and the cloud behind it."""

    camera: RtspServer
    daemon: Box
    net: Network
    peers: Peers

    async def wait_chunks(self, session: int, count: int) -> None:
        """Until a session, by its number, got so many chunks."""
        await self.peers.cloud.wait_happened("chunk", session=session, index=count)


@asynccontextmanager
async def running(folder: Path, clip: Clip, *options: str, chunk: str = "500ms", **keys: object) -> AsyncIterator[Run]:
    """A box whose only camera streams through a network of the rig."""
    async with (
        rtsp_server({"/cam": clip}) as camera,
        run_peers(folder, *options) as peers,
        network(to=peers.cloud.port) as net,
    ):
        url = f"ws://127.0.0.1:{net.port}/v2/stream/analyze"
        source: Json = {"source": camera.url("/cam"), "replay": "500ms", **keys}
        config = peers.config({"front": source}, interhuman={"url": url, "chunk": chunk})
        async with box(folder, config) as daemon:
            yield Run(camera, daemon, net, peers)


def numbers(sessions: list[Received]) -> list[list[int]]:
    return [[frame.number for frame in session.frames] for session in sessions]


def assert_each_frame(sessions: list[Received], at_most: int) -> None:
    """All sessions together got each frame, from the first to the last, none more often than that."""
    times = Counter(number for session in numbers(sessions) for number in session)
    assert sorted(times) == list(range(len(times)))
    assert max(times.values()) <= at_most
    for session in numbers(sessions):
        assert session == list(range(session[0], session[-1] + 1))


def assert_replayed(run: Run, sessions: list[Received], unsure: int) -> Counter[bool]:
    """Events say `replayed` where an earlier session had got the frame that they start at, and nowhere else.

    Args:
        run: Whose events.
        sessions: What the cloud got.
        unsure: So many frames may have been sent by a session without arriving, at its end.
    """
    said: Counter[bool] = Counter()
    seen = -1
    for session in sessions:
        for event in run.peers.events("front"):
            if event["session"] == session.request_id and (start := start_of(event)) is not None:
                frame = max((f for f in session.frames if f.media <= start + 0.02), default=session.frames[0])
                if frame.number <= seen or frame.number > seen + unsure + 1:
                    assert event["replayed"] is (frame.number <= seen), (event, frame, seen)
                    said[event["replayed"]] += 1
        seen = max(seen, session.frames[-1].number)
    return said


def gaps(run: Run) -> list[str]:
    """The reasons of the gaps that were published."""
    return [event["data"]["reason"] for event in run.peers.events("front", "coverage.gap")]


def start_of(event: Json) -> float | None:
    """Where an event starts, on the media clock of its session; None where that is told by other events only."""
    data = event["data"]
    if event["type"] in {"signal.detected", "engagement.updated"}:
        return float(data["start"])
    return float(data["timeline"][0]["start"]) if event["type"] == "conversation_quality.updated" else None


async def break_off(net: Network, dice: random.Random) -> str:
    """One of the ways in which a network fails, for up to half a second."""
    seconds = dice.uniform(0.1, 0.5)
    how = dice.choice(["reset", "held back", "cut", "refused"])
    if how == "held back":  # and nobody noticed
        net.cut()
        await trio.sleep(seconds)
        net.mend()
        net.reset()
    elif how == "cut":
        net.cut()
        await trio.sleep(seconds)
        net.reset()
        net.mend()
    elif how == "refused":
        await net.refuse()
        net.reset()
        await trio.sleep(seconds)
        await net.accept()
    else:
        net.reset()
    return f"{how} {seconds:.1f} s"


@pytest.mark.parametrize("breaks", [7, pytest.param(20, marks=pytest.mark.full)])
async def test_random_disconnects(tmp_path: Path, breaks: int) -> None:
    """The union of what all sessions got is the whole capture; no frame is in more than two of them."""
    seed = int(os.environ.get("SEED", random.SystemRandom().randrange(1 << 32)))
    print(f"SEED={seed}")  # noqa: T201 - to repeat a run that failed
    dice = random.Random(seed)
    async with running(tmp_path, CLIP) as run:
        for number in range(breaks):
            await run.wait_chunks(number + 1, SETTLED)
            await trio.sleep(dice.uniform(0.0, 0.5))
            print(await break_off(run.net, dice))  # noqa: T201
        await run.wait_chunks(breaks + 1, SETTLED)
        assert await run.daemon.stop() == 0
        sessions = oracle.received(run.peers.cloud)
        assert_each_frame(sessions, at_most=2)
        assert len(sessions) == breaks + 1
        said = assert_replayed(run, sessions, unsure=10)
        print(f"{len(sessions)} sessions, {sessions[-1].frames[-1].number} frames, replayed: {said}")  # noqa: T201
        assert said[True] > 0
        assert gaps(run) == ["starting"]


@pytest.mark.parametrize("breaks", [3, pytest.param(5, marks=pytest.mark.full)])
async def test_an_uplink_that_breaks_every_six_seconds(tmp_path: Path, breaks: int) -> None:
    """Each session brings new media, nothing is lost or sent three times, and what is replayed says so."""
    async with running(tmp_path, CLIP, replay="2s") as run:
        for number in range(breaks):
            await run.peers.cloud.wait_happened("opened", session=number + 1)
            await trio.sleep(6.0)
            run.net.reset()
        await run.wait_chunks(breaks + 1, 8)
        assert await run.daemon.stop() == 0
        sessions = oracle.received(run.peers.cloud)
        assert_each_frame(sessions, at_most=2)
        ends = [session[-1] for session in numbers(sessions)]
        assert min(after - before for before, after in pairwise(ends[:-1])) >= 20  # two seconds, of the six
        said = assert_replayed(run, sessions, unsure=breaks)
        print(f"ends {ends}, replayed: {said}")  # noqa: T201
        assert min(said[True], said[False]) > 5
        assert gaps(run) == ["starting"]


@pytest.mark.parametrize("rotations", [4, pytest.param(10, marks=pytest.mark.full)])
async def test_rotations(tmp_path: Path, rotations: int) -> None:
    """Several in a row, one session at a time: nothing is missing or repeated, and no event is `replayed`."""
    async with running(tmp_path, CLIP, "--max-duration", "5", "--concurrency", "1") as run:
        await run.wait_chunks(rotations + 1, 3)
        assert await run.daemon.stop() == 0
        cloud = run.peers.cloud
        sessions = oracle.received(cloud)
        assert_each_frame(sessions, at_most=1)
        files = [file for session in sessions for file in cloud.files(session.number)]
        assert oracle.is_part_of(CLIP, files)
        assert oracle.is_part_of_audio(CLIP, files)
        assert len(sessions) > rotations
        happened = [line["what"] for line in cloud.record if line["what"] in {"opened", "closed", "refused"}]
        assert happened == ["opened", "closed"] * (len(happened) // 2)
        assert len(cloud.happened("closed", code=1000)) == len(sessions)
        assert [event for event in run.peers.events("front") if event["replayed"]] == []
        assert run.peers.states("front") == [("connecting", "starting"), ("streaming", None), ("stopped", "stopped")]
        assert gaps(run) == ["starting"]


def resident(pid: int) -> int:
    """Bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmRSS:"))


class Memory:
    """The greatest resident set of some processes."""

    def __init__(self, *pids: int) -> None:
        self.most = dict.fromkeys(pids, 0)

    async def watch(self) -> None:
        while True:
            for pid in self.most:
                self.most[pid] = max(self.most[pid], resident(pid))
            await trio.sleep(0.5)


def lag(run: Run) -> float:
    """How much later than the first chunk of a session its newest one came, in seconds behind the camera."""
    lines = [line for line in run.peers.cloud.happened("decoded", session=1) if line["end"] is not None]
    first, newest = lines[0], lines[-1]
    return float(newest["monotonic"] - first["monotonic"] - (newest["end"] - first["end"]))


async def wait_lag(run: Run, wanted: Callable[[float], bool]) -> None:
    """Until the session lags as is wanted."""
    with trio.fail_after(PATIENCE_S):
        while not wanted(lag(run)):  # noqa: ASYNC110 - a file wakes nobody
            await trio.sleep(0.2)


def assert_holes_published(run: Run, frames: list[int]) -> None:
    """Each run of missing frames is one published gap, by the camera's own log of when it captured them."""
    holes = [(before + 1, after) for before, after in pairwise(frames) if after != before + 1]
    lost = [e for e in run.peers.events("front", "coverage.gap") if e["data"]["reason"] == "uplink_too_slow"]
    assert len(lost) == len(holes) > 0
    for event, hole in zip(lost, holes, strict=True):
        for name, frame in zip(("start_at", "end_at"), hole, strict=True):
            captured = run.camera.captured_at("/cam", frame)
            assert abs(datetime.fromisoformat(event[name]).timestamp() - captured) < AGREEMENT_S, (event, hole)
    missing = sum(after - before for before, after in holes)
    print(f"{len(frames)} frames, {missing} missing in {len(holes)} holes")  # noqa: T201


async def test_a_slow_uplink(tmp_path: Path) -> None:
    """At half the bitrate one session lives on; what it loses is told to the frame, and then it is live again."""
    bytes_s = HEAVY.path().stat().st_size / HEAVY.seconds
    async with running(tmp_path, HEAVY, chunk="1s", buffer="5s", replay="2s") as run:
        await run.wait_chunks(1, 4)
        [worker] = run.daemon.workers()
        memory = Memory(run.daemon.pid, worker)
        async with in_background(memory.watch):
            run.net.rate = bytes_s / 2
            await trio.sleep(SLOW_S)
            assert lag(run) > 4
            run.net.rate = None
            await wait_lag(run, lambda seconds: seconds < 1.0)
            chunks = len(run.peers.cloud.happened("chunk", session=1))
            await run.wait_chunks(1, chunks + 4)
            assert lag(run) < 1.5
        print({pid: f"{most >> 20} MiB" for pid, most in memory.most.items()})  # noqa: T201
        assert max(memory.most.values()) < MEMORY_MAX
        assert await run.daemon.stop() == 0
        [session] = oracle.received(run.peers.cloud)
        assert_holes_published(run, [frame.number for frame in session.frames])
        assert [state for state, _ in run.peers.states("front")] == ["connecting", "streaming", "stopped"]
        assert len([line for line in run.camera.sent if line["event"] == "describe"]) == 1
