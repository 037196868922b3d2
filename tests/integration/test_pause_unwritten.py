"""Whole runs with a state that is read-only: a pause is handled all the same, however it is made."""

import os
import subprocess
import sys
from pathlib import Path

from integration.requester import running
from support.disks import read_only

CAMERA = {"source": "test:", "size": "160x96", "fps": 10}


def command(state: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A command of this machine, which finds the daemon by its folder of state."""
    env = {**os.environ, "STATE_DIRECTORY": str(state)}
    line = [sys.executable, "-m", "interhuman2mqtt", *words, "--config", str(state / "interhuman2mqtt.toml")]
    return subprocess.run(line, capture_output=True, text=True, env=env, check=False, timeout=60)


async def test_a_state_that_becomes_read_only(tmp_path: Path) -> None:
    """A request and a command stop their cameras at once, and say that it is not written down; resuming works too."""
    async with running(tmp_path, {"front": CAMERA, "desk": CAMERA}) as requester:
        for camera in ("front", "desk"):
            await requester.peers.wait_status(camera, "streaming")
        with read_only(tmp_path / "paused"):
            answer = await requester.ask("pause", camera="front")
            assert (answer["status"], answer["data"]["paused"]) == ("ok", ["front"])
            assert "Read-only file system" in answer["data"]["detail"]
            await requester.peers.wait_status("front", "paused", "paused")
            done = command(tmp_path, "pause", "desk")
            assert (done.returncode, done.stderr) == (0, "")
            assert "desk is paused, for as long as this daemon lives" in done.stdout
            status = await requester.peers.wait_status("desk", "paused", "paused")
            assert "from the command line" in status["detail"]
            assert requester.daemon.workers() == {}
            assert command(tmp_path, "resume", "desk").stdout.startswith("the pause of desk is lifted")
            await requester.peers.wait_latest("desk", lambda status: status["state"] == "streaming")
        await requester.peers.subscriber.wait_for(lambda _: (tmp_path / "paused" / "front").exists())
        assert await requester.daemon.stop() == 0
    with read_only(tmp_path / "paused"):
        done = command(tmp_path, "pause", "desk")
    assert done.returncode == 73
    assert "Read-only file system; nor does a daemon hold it: no daemon is running here" in done.stderr
