"""What is retained on the broker is what this box publishes now, and nothing of what it once was."""

from pathlib import Path

from integration.helpers import Json, Peers, box, run_peers
from support.clips import Clip

FILE: Json = {"source": f"file:{Clip().path()}"}


async def cameras_of(peers: Peers) -> set[str]:
    """The cameras of which anything is retained."""
    return {topic.partition("/")[0] for topic, payload in (await peers.retained()).items() if payload} - {"bridge"}


async def test_cameras_removed_while_the_daemon_was_off(tmp_path: Path) -> None:
    """A camera that was removed or renamed while nothing ran leaves no topic behind."""
    async with run_peers(tmp_path) as peers:
        async with box(tmp_path, peers.config({"old": FILE, "gone": FILE, "kept": FILE})) as first:
            for camera in ("old", "gone", "kept"):
                await peers.wait_event(camera, "engagement.updated")
            assert await first.stop() == 0
        assert await cameras_of(peers) == {"old", "gone", "kept"}
        async with box(tmp_path, peers.config({"new": FILE, "kept": FILE})) as second:
            await peers.wait_event("new", "engagement.updated")
            await peers.wait_event("kept", "session.ready", count=2)
            assert await cameras_of(peers) == {"new", "kept"}
            assert await second.stop() == 0


async def test_a_box_that_was_renamed(tmp_path: Path) -> None:
    """A box with another name takes all that stands under its old one away."""
    async with run_peers(tmp_path) as peers:
        async with box(tmp_path, peers.config({"front": FILE})) as first:
            await peers.wait_status("front", "streaming")
            assert await first.stop() == 0
        assert await cameras_of(peers) == {"front"}
        config = peers.config({"front": FILE}, box={"id": "attic"})
        async with box(tmp_path, config) as second:
            await peers.subscriber.wait_topic("attic/front/status")
            topic = "interhuman/lobby-1/bridge/state"
            await peers.subscriber.wait_for(
                lambda seen: [m.payload for m in seen if m.topic == topic][-1:] == [b""], within=20
            )
            assert await second.stop() == 0
