"""One daemon a state folder, and one that ends with its terminal."""

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from integration.helpers import KEY, Box, box, run_peers
from support.processes import PATIENCE_S

CAMERA = {"source": "test:", "size": "160x96", "fps": 10}


async def test_a_second_daemon(tmp_path: Path) -> None:
    """It ends at once with 75 and a sentence, harms nobody, and may run as soon as the first one is gone, or killed."""
    async with run_peers(tmp_path) as peers:
        config = peers.config({"front": CAMERA})
        async with box(tmp_path, config) as daemon:
            await peers.wait_status("front", "streaming")
            second = Box(tmp_path, config)
            await second.start()
            assert await second.wait() == 75
            assert "another daemon keeps its state in" in second.output[-1]
            assert len(peers.cloud.happened("opened")) == 1
            await daemon.kill()
        async with box(tmp_path, config) as daemon:
            await daemon.wait_log("started")
            assert await daemon.stop() == 0


@pytest.mark.parametrize("nohup", [False, True])
async def test_the_terminal_is_closed(tmp_path: Path, *, nohup: bool) -> None:
    """A daemon that runs on a terminal stops in order when that goes; with nohup it stays, and takes SIGHUP as ever."""
    async with run_peers(tmp_path) as peers:
        file = Box(tmp_path, peers.config({"front": CAMERA})).file
        ours, theirs = pty.openpty()
        command = [sys.executable, "-m", "interhuman2mqtt", "run", "--config", str(file)]
        env = {**os.environ, "STATE_DIRECTORY": str(tmp_path), "API_KEY": KEY}
        process = await trio.lowlevel.open_process(
            [*(["nohup"] if nohup else []), *command],
            stdin=theirs,
            stdout=theirs,
            stderr=subprocess.DEVNULL,
            env=env,
            start_new_session=True,
        )
        try:
            await peers.wait_status("front", "streaming")
            process.send_signal(signal.SIGHUP)  # as the kernel does where the terminal is the session's own
            os.close(ours)
            if nohup:
                reloaded = peers.subscriber.wait_for(lambda _: len(peers.subscriber.payloads("bridge/info")) > 1)
                await reloaded
                process.terminate()
            with trio.fail_after(PATIENCE_S):
                assert await process.wait() == 0
            await peers.wait_status("front", "stopped", "stopped")
        finally:
            process.kill()
            os.close(theirs)
