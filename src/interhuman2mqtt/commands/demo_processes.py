"""The processes of a demo: broker, daemon and page, each out of reach of the terminal's Ctrl-C, and ended by us.

Each has a pipe of ours as its stdin and ends with it: nothing streams on when the terminal is closed, or the demo is
killed.
"""

import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

import tomli_w
import trio

from interhuman2mqtt.errors import Outage, Reason

START_S = 15.0
END_S = 0.5
LOOK_S = 0.1
"""Between two looks whether the page listens."""


@asynccontextmanager
async def start_broker() -> AsyncIterator[str]:
    """Start a broker on a free port of this machine; yield its URL."""
    port = free_port()
    command = [sys.executable, "-m", "interhuman2mqtt.commands.demo_broker", str(port)]
    pipe, nothing = subprocess.PIPE, subprocess.DEVNULL
    process = await trio.lowlevel.open_process(command, stdin=pipe, stdout=pipe, stderr=nothing, start_new_session=True)
    async with ended(process):
        if not await _has_output(process):
            raise Outage(Reason.BROKER_UNREACHABLE, "the demo's own broker does not start: try --broker URL")
        yield f"mqtt://127.0.0.1:{port}"


async def _has_output(process: trio.Process) -> bool:
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
    """Return a port that nobody used a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def has_page() -> bool:
    """Return whether what the page stands on is installed."""
    return all(find_spec(name) is not None for name in ("hypercorn", "starlette"))


@asynccontextmanager
async def start_page(folder: Path, broker: str, protocol: str) -> AsyncIterator[str]:
    """Start the page on a free port of this machine; yield its URL once it listens; raises Outage where it ends.

    Args:
        folder: Made for its configuration, its state and its log.
        broker: Its URL.
        protocol: `mqtt.protocol`.
    """
    port = free_port()
    mqtt = {"url": broker, "protocol": protocol}
    tables = {"box": {"id": "page"}, "mqtt": mqtt, "web": {"listen": f"127.0.0.1:{port}"}}
    config = folder / "web.toml"
    await trio.Path(folder).mkdir()
    await trio.Path(config).write_text(tomli_w.dumps(tables))
    command = [sys.executable, "-m", "interhuman2mqtt", "web", "--lifeline", "--config", str(config)]
    environment = {**os.environ, "STATE_DIRECTORY": str(folder)}
    with (folder / "log").open("wb") as output:
        process = await trio.lowlevel.open_process(
            command, stdin=subprocess.PIPE, stdout=output, stderr=output, env=environment, start_new_session=True
        )
    async with ended(process):
        try:
            while not await _listens(port):
                if process.returncode is not None:
                    said = (await trio.Path(folder, "log").read_text(errors="replace"))[-2000:]
                    raise Outage(Reason.BUG, f"the page ended with status {process.returncode}:\n{said}")
                await trio.sleep(LOOK_S)
            yield f"http://127.0.0.1:{port}/"
        finally:
            process.kill()  # nothing of it is kept, and the demo is to be gone at once


async def _listens(port: int) -> bool:
    with suppress(OSError):
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        await stream.aclose()
        return True
    return False
