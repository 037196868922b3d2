"""The parts of a demo that are processes: out of reach of the terminal's Ctrl-C, so that they end in order.

Each has a pipe of ours as its stdin and ends with it: nothing streams on when the terminal is closed, or the demo is
killed.
"""

import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from interhuman2mqtt.errors import Outage, Reason

START_S = 15.0
END_S = 0.5


@asynccontextmanager
async def start_broker() -> AsyncIterator[str]:
    """A broker on a free port of this machine; yields its URL."""
    port = free_port()
    command = [sys.executable, "-m", "interhuman2mqtt.demo.broker", str(port)]
    pipe, nothing = subprocess.PIPE, subprocess.DEVNULL
    process = await trio.lowlevel.open_process(command, stdin=pipe, stdout=pipe, stderr=nothing, start_new_session=True)
    async with ended(process):
        if not await _said_something(process):
            raise Outage(Reason.BROKER_UNREACHABLE, "the demo's own broker does not start: try --broker URL")
        yield f"mqtt://127.0.0.1:{port}"


async def _said_something(process: trio.Process) -> bool:
    assert process.stdout is not None  # noqa: S101 - asked for when it was started
    with trio.move_on_after(START_S):
        return bool(await process.stdout.receive_some())
    return False


@asynccontextmanager
async def start_daemon(config: Path, environment: Mapping[str, str], log: Path) -> AsyncIterator[trio.Process]:
    """`interhuman2mqtt run`, its log in a file; it ends with us, however we end."""
    command = [sys.executable, "-m", "interhuman2mqtt", "run", "--lifeline", "--config", str(config)]
    with log.open("wb") as output:
        process = await trio.lowlevel.open_process(
            command, stdin=subprocess.PIPE, stdout=output, stderr=output, env=environment, start_new_session=True
        )
    async with ended(process):
        yield process


@asynccontextmanager
async def ended(process: trio.Process) -> AsyncIterator[None]:
    """Whatever happens, the process is gone afterwards."""
    try:
        yield
    finally:
        with trio.CancelScope(shield=True):
            if process.returncode is None:
                process.terminate()
            if process.stdin is not None:
                await process.stdin.aclose()
            with trio.move_on_after(END_S):
                await process.wait()
            if process.returncode is None:
                process.kill()
                await process.wait()


def free_port() -> int:
    """A port that nobody used a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
