"""The wall clock of a running daemon is set, as on every box without a battery after each boot."""

import json
from datetime import datetime
from pathlib import Path

import pytest
import trio

from integration.helpers import GAP, Peers, box, run_peers
from support.clips import Clip
from support.wallclock import WallClock

DAY_S = 86400.0
STEPS = (20 * DAY_S, -3600.0)
"""20 days ahead, then behind the truth."""
NEAR_S = 3.0
"""What a window of the analysis, a chunk and their way take together."""
SHORT = ("--max-duration", "6")
"""So that sessions are rotated within a test."""


async def test_a_clock_that_is_set_while_it_runs(tmp_path: Path) -> None:
    """Dates follow the clock at once, through rotations and a kill -9; only the time in which nothing ran is a gap."""
    wall = WallClock(tmp_path)
    async with run_peers(tmp_path, *SHORT) as peers:
        config = peers.config({"front": {"source": f"file:{Clip().path()}"}})
        async with box(tmp_path, config, wall.env) as first:
            await peers.wait_event("front", "engagement.updated")
            for step in STEPS:
                sessions = len(peers.events("front", "session.ready"))
                wall.step_to(step)
                await peers.wait_event("front", "session.ready", count=sessions + 1)
                assert await seconds_ago(peers, wall) < NEAR_S
            assert peers.statuses("front")[-1]["gap"] is None
            since = datetime.fromisoformat(peers.statuses("front")[-1]["since"]).timestamp()
            assert 0 < wall.time() - since < 120
            assert 0 < wall.time() - online_since(peers) < 120
            await first.kill()
        died = trio.current_time()
        wall.step_to(0.0)
        async with box(tmp_path, config, wall.env) as second:
            await peers.subscriber.wait_for(lambda _: "crashed" in dict(gaps(peers)))
            down = trio.current_time() - died
            await peers.wait_event("front", GAP, count=3)
            assert await second.stop() == 0
        assert [reason for reason, _ in gaps(peers)] == ["starting", "crashed", "starting"]
        assert 0 < dict(gaps(peers))["crashed"] < down + 12.5  # up to ten seconds were not written down yet


async def test_a_machine_that_is_suspended(tmp_path: Path) -> None:
    """The time in which it slept is a gap of that length with a reason of its own, and nothing else is missing."""
    wall = WallClock(tmp_path)
    async with run_peers(tmp_path) as peers:
        config = peers.config({"front": {"source": f"file:{Clip().path()}"}})
        async with box(tmp_path, config, wall.env) as daemon:
            await peers.wait_event("front", "engagement.updated")
            wall.suspend(600)
            await peers.subscriber.wait_for(lambda _: "suspended" in dict(gaps(peers)))
            assert await seconds_ago(peers, wall) < NEAR_S
            assert await daemon.stop() == 0
        assert dict(gaps(peers))["suspended"] == pytest.approx(600, abs=0.1)
        assert [reason for reason, _ in gaps(peers)] == ["starting", "suspended"]


def online_since(peers: Peers) -> float:
    """The date of the newest `bridge/state`, which is `online`."""
    state = json.loads(peers.subscriber.payloads("/bridge/state")[-1])
    assert state["state"] == "online"
    return datetime.fromisoformat(state["since"]).timestamp()


def gaps(peers: Peers) -> list[tuple[str, float]]:
    """The reason and the length of each gap."""
    return [(event["data"]["reason"], event["data"]["seconds"]) for event in peers.events("front", GAP)]


async def seconds_ago(peers: Peers, wall: WallClock) -> float:
    """How long ago the next event of the camera happened, by its date and by what the daemon's clock shows."""
    seen = len(peers.events("front", "engagement.updated"))
    event = await peers.wait_event("front", "engagement.updated", count=seen + 1)
    received_s = wall.time() - datetime.fromisoformat(event["received_at"]).timestamp()
    assert 0 <= received_s < NEAR_S
    return (
        received_s
        + (datetime.fromisoformat(event["received_at"]) - datetime.fromisoformat(event["start_at"])).total_seconds()
    )
