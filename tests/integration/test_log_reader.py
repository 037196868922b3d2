"""Whole runs whose log nobody can write: streaming, serving and ending do not depend on it."""

import fcntl
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import trio

from integration.helpers import KEY, Box, Peers, run_peers
from support.processes import PATIENCE_S

CAMERA = {"source": "test:", "size": "160x96", "fps": 10}


@contextmanager
def unread(*, full: bool) -> Iterator[int]:
    """The writing end of a pipe that nobody reads; full, or whose reader is gone."""
    reader, writer = os.pipe()
    if full:
        size = fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
        os.write(writer, bytes(size))
    else:
        os.close(reader)
    try:
        yield writer
    finally:
        os.close(writer)
        if full:
            os.close(reader)


@contextmanager
def full_disk() -> Iterator[int]:
    """A file that takes nothing."""
    descriptor = os.open("/dev/full", os.O_WRONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@asynccontextmanager
async def daemon(peers: Peers, name: str, stderr: int) -> AsyncIterator[trio.Process]:
    """A daemon of its own with a camera of this name."""
    folder = peers.folder / name
    folder.mkdir()
    file = Box(folder, peers.config({name: CAMERA}, box={"id": name})).file
    command = [sys.executable, "-m", "interhuman2mqtt", "run", "--config", str(file)]
    if name == "closed":
        command = ["sh", "-c", 'exec "$@" 2>&-', "sh", *command]
    env = {**os.environ, "STATE_DIRECTORY": str(folder), "API_KEY": KEY}
    process = await trio.lowlevel.open_process(command, stderr=stderr, env=env)
    try:
        yield process
    finally:
        process.kill()
        with trio.move_on_after(5, shield=True):
            await process.wait()


async def test_a_log_that_cannot_be_written(tmp_path: Path) -> None:
    """A full pipe that nobody reads, a reader that is gone, a full disk, a closed stderr: it streams, and stops."""
    with (
        unread(full=True) as stands_still,
        unread(full=False) as gone,
        full_disk() as full,
    ):
        outlets = {"still": stands_still, "gone": gone, "full": full, "closed": stands_still}
        async with run_peers(tmp_path) as peers, trio.open_nursery() as nursery:
            for name, stderr in outlets.items():
                nursery.start_soon(streams_and_stops, peers, name, stderr)
            # the log must not have gone into a file of the state, in the place of a stderr that was closed
    assert b'"event"' not in b"".join(file.read_bytes() for file in (tmp_path / "closed").glob("outbox.*"))


async def streams_and_stops(peers: Peers, name: str, stderr: int) -> None:
    async with daemon(peers, name, stderr) as process:
        await peers.wait_status(name, "streaming")
        process.send_signal(signal.SIGTERM)
        with trio.fail_after(PATIENCE_S):
            assert await process.wait() == 0
        await peers.wait_status(name, "stopped", "stopped")
