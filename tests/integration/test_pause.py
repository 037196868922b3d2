"""Whole runs of who may stream: pauses from the command line, hours, budgets, and all of it through restarts."""

import getpass
import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trio

from integration.helpers import Box, Json, Peers, box, run_peers

CAMERA: Json = {"source": "test:", "size": "160x96", "fps": 10}
WITHIN = timedelta(seconds=1)
"""In which a pause takes effect."""


async def command(daemon: Box, *words: str) -> str:
    """What a command of another process says; it ends well."""
    line = [sys.executable, "-m", "interhuman2mqtt", *words, "--config", str(daemon.file)]
    environment = {**os.environ, "STATE_DIRECTORY": str(daemon.folder)}
    done = await trio.run_process(line, env=environment, capture_stdout=True, stderr=subprocess.STDOUT)
    return done.stdout.decode().strip()


def arrived(peers: Peers, since: datetime) -> list[datetime]:
    """When the cloud got media after an instant."""
    chunks = (datetime.fromisoformat(line["at"]) for line in peers.cloud.happened("chunk"))
    return [at for at in chunks if at > since]


def kept(folder: Path) -> dict[str, float]:
    """What `budget.json` says of its day."""
    content = json.loads((folder / "budget.json").read_text())
    return dict(content["days"][content["day"]])


def received(peers: Peers) -> float:
    """Seconds of media that the cloud got."""
    return float(sum(line["end"] - line["start"] for line in peers.cloud.happened("decoded") if line["end"]))


async def test_pause_and_resume(tmp_path: Path) -> None:
    """A pause from the command line stops the media within a second, closes the camera, clears its state, is shown with
    the time of the last byte, survives a restart, and is lifted by `resume`, all of it without a broker too.
    """  # noqa: D205
    async with run_peers(tmp_path) as peers:
        config = peers.config({"front": CAMERA})
        async with box(tmp_path, config) as daemon:
            await peers.wait_event("front", "conversation_quality.updated")
            assert daemon.workers()
            assert await command(daemon, "pause", "front") == "front is paused; paused now: front"
            paused_at = datetime.now(UTC)
            status = await peers.wait_status("front", "paused", "paused")
            assert daemon.workers() == {}
            assert paused_at - 5 * WITHIN < datetime.fromisoformat(status["last_media_at"]) < paused_at + WITHIN
            assert status["detail"].startswith("paused from the command line since 20")
            await peers.cloud.wait_happened("closed")
            await trio.sleep(3)  # in which three chunks would have come
            assert arrived(peers, paused_at + WITHIN) == []
            assert not [topic for topic in await peers.retained() if topic.startswith("front/state/")]
            assert await daemon.stop() == 0

        async with box(tmp_path, config) as daemon:
            await peers.subscriber.wait_for(lambda _: peers.states("front")[-1] == ("paused", "paused"), 20)
            await trio.sleep(1)
            assert daemon.workers() == {}
            assert len(peers.cloud.happened("opened")) == 1
            await peers.broker.kill()
            assert await command(daemon, "resume", "front") == ("the pause of front is lifted; nothing is paused now")
            await peers.cloud.wait_happened("opened", session=2)
            await peers.cloud.wait_happened("chunk", session=2)
            await command(daemon, "pause")
            paused_at = datetime.now(UTC)
            await peers.cloud.wait_happened("closed", session=2)
            await trio.sleep(2)
            assert arrived(peers, paused_at + WITHIN) == []
            assert daemon.workers() == {}


async def test_a_camera_beside_a_paused_one(tmp_path: Path) -> None:
    """A pause concerns its camera only; one of the box is not lifted by resuming a camera, and the command says so."""
    async with run_peers(tmp_path) as peers, box(tmp_path, peers.config({"front": CAMERA, "back": CAMERA})) as daemon:
        await command(daemon, "pause", "front")
        await peers.wait_status("front", "paused", "paused")
        await peers.wait_status("back", "streaming")
        assert await command(daemon, "pause") == (
            "all cameras are paused; all cameras are paused now (`interhuman2mqtt resume` lifts that)"
        )
        await peers.wait_status("back", "paused", "paused")
        assert "all cameras are paused now" in await command(daemon, "resume", "front")
        await trio.sleep(1.5)
        assert daemon.workers() == {}
        assert await command(daemon, "resume") == "the pauses of all cameras are lifted; nothing is paused now"
        await peers.wait_latest("back", lambda status: status["state"] == "streaming")
        await peers.wait_latest("front", lambda status: status["state"] == "streaming")


async def test_in_doubt_it_is_paused(tmp_path: Path) -> None:
    """Where the folder of the pauses cannot be read nothing streams, from the start on, and the status says why."""
    (tmp_path / "paused").touch()
    async with run_peers(tmp_path) as peers, box(tmp_path, peers.config({"front": CAMERA, "back": CAMERA})) as daemon:
        for camera in ("front", "back"):
            status = await peers.wait_status(camera, "paused", "paused")
            assert status["detail"] == (
                f"whether it is paused is not known, so it is: {tmp_path}/paused cannot be read: Not a directory; "
                f"it must be a folder that {getpass.getuser()} may read"
            )
        await trio.sleep(1)
        assert daemon.workers() == {}
        (tmp_path / "paused").unlink()
        (tmp_path / "paused").mkdir()
        await peers.wait_status("front", "streaming")
        await peers.wait_status("back", "streaming")
        assert await daemon.stop() == 0


async def test_out_of_schedule(tmp_path: Path) -> None:
    """A camera outside its hours waits, says until when, and never opens its source; hours are the box's own."""
    now = datetime.now(UTC)
    schedule = [f"{now + timedelta(hours=2):%H:%M}-{now + timedelta(hours=3):%H:%M}"]
    async with run_peers(tmp_path) as peers:
        cameras = {"front": {**CAMERA, "schedule": schedule}, "back": CAMERA}
        async with box(tmp_path, peers.config(cameras, box={"timezone": "UTC"})) as daemon:
            status = await peers.wait_status("front", "waiting", "out_of_schedule")
            opens = now + timedelta(hours=2)
            assert status["detail"].endswith(f"it streams again {opens:%a %Y-%m-%d %H:%M} local time")
            await peers.wait_status("back", "streaming")
            assert len(daemon.workers()) == 1
            assert await daemon.stop() == 0
        assert ("streaming", None) not in peers.states("front")
        async with box(tmp_path, peers.config(cameras, box={"timezone": "Etc/GMT-2"})) as daemon:
            await peers.wait_status("front", "streaming")
            assert await daemon.stop() == 0


async def test_a_budget_survives_a_kill(tmp_path: Path) -> None:
    """After SIGKILL the disk says no less than the cloud got, the next life goes on from there, and an orderly end
    writes the exact figure.
    """  # noqa: D205
    async with run_peers(tmp_path) as peers:
        config = peers.config({"front": {**CAMERA, "budget": {"per_day": "1h"}}}, box={"budget": {"per_day": "2h"}})
        async with box(tmp_path, config) as daemon:
            await peers.wait_event("front", "conversation_quality.updated")
            await daemon.kill()
        first = received(peers)
        after_the_kill = kept(tmp_path)
        assert after_the_kill["front"] == after_the_kill["all"] >= first > 2
        async with box(tmp_path, config) as daemon:
            await peers.cloud.wait_happened("decoded", session=2, index=3)
            assert await daemon.stop() == 0
        exact = kept(tmp_path)
        sent = received(peers) - first
        assert abs(exact["front"] - after_the_kill["front"] - sent) < 0.5
        assert exact["front"] == exact["all"]


async def test_a_budget_is_enforced(tmp_path: Path) -> None:
    """The cloud gets no second more than the budget, is told the end in good order, and nothing after a restart."""
    async with run_peers(tmp_path) as peers:
        config = peers.config({"front": {**CAMERA, "budget": {"per_day": "6s"}}})
        async with box(tmp_path, config) as daemon:
            status = await peers.wait_status("front", "waiting", "over_budget")
            assert "its budget of 6s for " in status["detail"]
            assert any(peers.subscriber.payloads("/front/state/last_event"))
            await peers.subscriber.wait_for(lambda _: not peers.subscriber.payloads("/front/state/last_event")[-1])
            assert not [topic for topic in await peers.retained() if topic.startswith("front/state/")]
            assert daemon.workers() == {}
            assert [line for line in daemon.log if line["event"] == "budget nearly spent"]
            assert await daemon.stop() == 0
        assert 3 < received(peers) <= 6.1  # the cloud counts the frame of sound that a cut overhangs by
        assert peers.cloud.happened("event", type="session.ended")
        async with box(tmp_path, config) as daemon:
            await peers.subscriber.wait_for(lambda _: peers.states("front")[-1][0] == "waiting", 20)
            assert await daemon.stop() == 0
        assert len(peers.cloud.happened("opened")) == 1
