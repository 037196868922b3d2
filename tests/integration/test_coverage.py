"""Nothing happened, or were we blind? Every range of a camera's time reached the cloud, or is reported as a gap."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import trio

from integration.helpers import GAP, Json, Peers, box, run_peers
from support.clips import Clip
from support.mosquitto import subscribed
from support.processes import PATIENCE_S
from support.rtsp import MOUNTS, rtsp_server

MOUNT = {"/cam": MOUNTS["/h264-aac"]}
FILE: Json = {"source": f"file:{Clip().path()}"}
NEAR = timedelta(seconds=2.5)
"""What a chunk, a GOP and their way to the cloud take together."""
COMMIT_S = 0.5
"""Within which what is active is on the disk."""
SAVED = timedelta(seconds=10) + NEAR
"""How much too early a gap may begin after a crash."""


class Span(NamedTuple):
    """A range of time."""

    start: datetime
    end: datetime


def gaps(peers: Peers, camera: str = "front") -> list[tuple[Span, str]]:
    """What was reported as not analysed, with its reason."""
    told = []
    for event in peers.events(camera, GAP):
        [span] = event["ranges_at"]
        assert (span["start_at"], span["end_at"]) == (event["start_at"], event["end_at"])
        whole = Span(datetime.fromisoformat(span["start_at"]), datetime.fromisoformat(span["end_at"]))
        assert abs((whole.end - whole.start).total_seconds() - event["data"]["seconds"]) < 0.01
        told.append((whole, event["data"]["reason"]))
    return told


def delivered(peers: Peers) -> list[Span]:
    """What the cloud got, dated by its arrival: sent live, it ends a moment before."""
    spans = []
    for chunk, decoded in zip(peers.cloud.happened("chunk"), peers.cloud.happened("decoded"), strict=True):
        arrived = datetime.fromisoformat(chunk["at"])
        spans.append(Span(arrived - timedelta(seconds=decoded["end"] - decoded["start"]), arrived))
    return spans


def assert_accounted(peers: Peers, *, tolerance: timedelta) -> None:
    """Gaps follow one another; with what was delivered they leave no hole; what they claim was not delivered."""
    told = [span for span, _ in gaps(peers)]
    assert all(before.end <= after.start for before, after in pairwise(told)), told
    everything = sorted([*told, *delivered(peers)])
    reached = everything[0].end
    for span in everything:
        assert span.start - reached < NEAR, (reached, span, told)
        reached = max(reached, span.end)
    for gap in told:
        for span in delivered(peers):
            assert min(gap.end, span.end) - max(gap.start, span.start) < tolerance, (gap, span)


async def test_a_camera_that_goes_away(tmp_path: Path) -> None:
    """The time of a camera that was away is a gap once it is back, with its reason; the status knows before."""
    async with rtsp_server(MOUNT) as camera, run_peers(tmp_path) as peers:
        async with box(tmp_path, peers.config({"front": {"source": camera.url("/cam")}})) as daemon:
            await peers.wait_event("front", "engagement.updated")
            assert peers.statuses("front")[-1]["gap"] is None
            await camera.stop()
            away = await peers.wait_latest("front", lambda status: status["state"] == "offline")
            assert away["gap"]["end_at"] is None
            await camera.start()
            await peers.wait_latest("front", lambda status: status["state"] == "streaming")
            await peers.subscriber.wait_for(lambda _: len(gaps(peers)) > 1)
            assert await daemon.stop() == 0
        assert {reason for _, reason in gaps(peers)[1:]} <= {"unreachable", "source_ended"}
        assert abs(datetime.fromisoformat(away["gap"]["start_at"]) - gaps(peers)[1][0].start) < NEAR
        assert_accounted(peers, tolerance=NEAR)


async def test_a_camera_that_stands_still(tmp_path: Path) -> None:
    """A picture that stays away for some seconds, while audio goes on, is a gap; the camera is copied as before."""
    async with rtsp_server(MOUNT) as camera, run_peers(tmp_path) as peers:
        async with box(tmp_path, peers.config({"front": {"source": camera.url("/cam")}})) as daemon:
            await peers.wait_event("front", "engagement.updated")
            before = datetime.now(UTC)
            await camera.mute("video")
            await trio.sleep(5)
            await camera.unmute("video")
            await peers.subscriber.wait_for(lambda _: "picture_missing" in [reason for _, reason in gaps(peers)])
            [still] = [span for span, reason in gaps(peers) if reason == "picture_missing"]
            assert timedelta(seconds=4) < still.end - still.start < timedelta(seconds=7)
            assert abs(still.start - before) < NEAR
            assert "h264 320x180 (copied)" in peers.statuses("front")[-1]["source"]
            assert await daemon.stop() == 0
        assert {reason for _, reason in gaps(peers)} == {"starting", "picture_missing"}
        assert len(peers.cloud.happened("opened")) == 1


async def test_stops_and_crashes_are_gaps(tmp_path: Path) -> None:
    """What passed between two lives of the daemon is reported at the next start: a stop as a stop, a crash as one."""
    async with run_peers(tmp_path) as peers:
        config = peers.config({"front": FILE})
        async with box(tmp_path, config) as first:
            await peers.wait_event("front", "signal.detected")
            assert await first.stop() == 0
        async with box(tmp_path, config) as second:
            await peers.subscriber.wait_for(lambda _: "stopped" in [reason for _, reason in gaps(peers)])
            await peers.wait_event("front", "signal.detected", count=2)
            await wait_kept(tmp_path)
            await second.kill()
        async with box(tmp_path, config) as third:
            await peers.subscriber.wait_for(lambda _: "crashed" in [reason for _, reason in gaps(peers)])
            await peers.wait_event("front", GAP, count=5)
            assert await third.stop() == 0
        assert [reason for _, reason in gaps(peers)] == ["starting", "stopped", "starting", "crashed", "starting"]
        assert_accounted(peers, tolerance=SAVED)


async def test_a_camera_that_is_removed_while_nothing_runs(tmp_path: Path) -> None:
    """The next start tells its last gap and ends its signals; then nothing of it is left on the broker."""
    async with run_peers(tmp_path) as peers:
        async with box(tmp_path, peers.config({"front": FILE, "back": FILE})) as first:
            await peers.wait_event("back", "signal.detected")
            await peers.wait_event("front", "signal.detected")
            await trio.sleep(COMMIT_S)
            await first.kill()
        async with box(tmp_path, peers.config({"front": FILE})) as second:
            await peers.wait_event("front", "session.ready", count=2)
            assert await second.stop() == 0
        assert gaps(peers, "back")[-1][1] == "crashed"
        assert still_active(peers, "back") == set()
        async with subscribed(peers.broker, "interhuman/+/back/#") as late:
            await trio.sleep(COMMIT_S)
            assert [message.topic for message in late.messages] == []


async def test_signals_that_a_crash_left_active(tmp_path: Path) -> None:
    """Whatever was active when the daemon was killed is ended by the next life, however short the one before was."""
    async with run_peers(tmp_path) as peers:
        config = peers.config({"front": FILE})
        for life in range(1, 4):
            async with box(tmp_path, config) as killed:
                await peers.wait_event("front", "signal.detected", count=detections(peers) + 1)
                await trio.sleep(0.2 * life)
                told = still_active(peers)
                await trio.sleep(COMMIT_S)
                await killed.kill()
            assert told
        async with box(tmp_path, config) as last:
            await peers.wait_event("front", "session.ready", count=4)
            assert await last.stop() == 0
        assert still_active(peers) == set()


async def wait_kept(folder: Path) -> None:
    """Until the file that survives is written anew."""
    before = (folder / "coverage.json").stat().st_mtime_ns
    with trio.fail_after(PATIENCE_S):
        while (folder / "coverage.json").stat().st_mtime_ns == before:  # noqa: ASYNC110 - a file wakes nobody
            await trio.sleep(0.1)


def detections(peers: Peers) -> int:
    """How many signals began so far."""
    return len(peers.events("front", "signal.detected"))


def still_active(peers: Peers, camera: str = "front") -> set[tuple[str, str]]:
    """The signals, by session and type, whose end nobody told."""
    active = set()
    for event in peers.events(camera):
        if event["type"] == "signal.detected":
            active.add((event["session"], event["data"]["signal_type"]))
        elif event["type"] == "signal.ended":
            active.discard((event["session"], event["data"]["signal_type"]))
    return active
