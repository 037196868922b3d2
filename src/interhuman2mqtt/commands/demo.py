"""`demo`: broker, cloud, daemon and screen, started in the order in which they need each other, ended in reverse.

Broker and daemon are processes out of reach of the terminal's Ctrl-C, so that they end in order. Each has a pipe
of ours as its stdin and ends with it: nothing streams on when the terminal is closed, or the demo is killed.
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple, Self

import tomli_w
import trio
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from interhuman2mqtt import exit_codes
from interhuman2mqtt.commands.watch_model import Camera, Fleet, place
from interhuman2mqtt.commands.watch_output import line
from interhuman2mqtt.commands.watch_subscription import settings_for, subscribed
from interhuman2mqtt.commands.watch_terminal import Terminal, as_text
from interhuman2mqtt.config import Mqtt
from interhuman2mqtt.errors import Outage, Reason, leaves
from interhuman2mqtt.publish.mqtt.types import IncomingMessage
from interhuman2mqtt.runtime import log, stdout
from interhuman2mqtt.runtime.sanitize import clean, clean_lines
from interhuman2mqtt.simulator.server import serve
from interhuman2mqtt.simulator.settings import Settings

START_S = 15.0
END_S = 0.5


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


BASE = "interhuman"


class Screen:
    """Shows what is message of one box; on something that is no terminal, the lines alone."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._fleet = Fleet()
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def print(self, text: str) -> None:
        """Something of our own."""
        self._console.print(clean_lines(text), style="dim", highlight=False, soft_wrap=True)

    def show(self, message: IncomingMessage) -> None:
        """Show a message that was published."""
        where = place(BASE, message.topic)
        if where is None or message.payload is None:
            return
        if (what := line(where, message.payload)) is not None:
            self._console.print(as_text(what, box=False), highlight=False, soft_wrap=True)
        self._fleet.apply(where, message.payload)
        if self._live:
            self._live.update(self._table(), refresh=True)

    def _table(self) -> Table:
        table = Table("camera", "state", "engagement", "signals", "quality", expand=True)
        for box in self._fleet.boxes.values():
            for name, camera in box.cameras.items():
                table.add_row(*map(Text, (clean(name, 64), *_cells(camera))))
        return table


def _cells(camera: Camera) -> tuple[str, str, str, str]:
    index = camera.quality.index if camera.quality else None
    return (
        clean(camera.status.state) if camera.status else "",
        clean(camera.engagement.state) if camera.engagement else "",
        clean(", ".join(camera.signals.signals)) if camera.signals else "",
        "" if index is None else f"{index:.0f}",
    )


BOX = "demo"
LAST_WORDS_S = 0.4
FAREWELL_S = 1.4
"""How long the daemon may drain when the demo ends; two seconds are promised for everything."""
KEY = "INTERHUMAN_API_KEY"


class Options(NamedTuple):
    """The options of the command line."""

    source: str
    broker: str | None
    live: bool
    seconds: float | None
    """After which it ends by itself."""


def main(options: Options) -> int:
    """Run until Ctrl-C; return the exit status."""
    console = Terminal()
    if options.live and not os.environ.get(KEY):
        console.print(f"--live needs an API key in {KEY}", style="bold red")
        return exit_codes.UNAVAILABLE
    log.setup("warning", "console")
    status = 0
    try:
        trio.run(_demo, options, Screen(console))
    except* Outage as group:
        for outage in leaves(group):
            console.print(clean_lines(outage), style="bold red", highlight=False)
        status = exit_codes.UNAVAILABLE
    except* BrokenPipeError:  # whoever read it has seen enough
        stdout.discard()
    return status


async def _demo(options: Options, screen: Screen) -> None:
    broker = nullcontext(options.broker) if options.broker else start_broker()
    with tempfile.TemporaryDirectory(prefix="interhuman2mqtt-") as folder, screen:
        async with broker as mqtt, _cloud(live=options.live) as cloud:
            config = trio.Path(folder, "interhuman2mqtt.toml")
            await config.write_text(_config(options, mqtt, cloud))
            screen.print(f"broker {mqtt}, cloud {cloud or 'the real one'}, camera {options.source}; Ctrl-C ends it all")
            environment = {**os.environ, "STATE_DIRECTORY": folder, **({} if options.live else {KEY: "demo"})}
            farewell = trio.Event()
            take = partial(_show, screen, farewell)
            settings = settings_for(Mqtt(client_id="", url=mqtt, protocol=_protocol(options)), "demo")
            async with (
                subscribed(settings, [f"{BASE}/{BOX}/#"], take),
                start_daemon(Path(config), environment, Path(folder, "log")) as daemon,
            ):
                await _until_stopped(daemon, options.seconds, Path(folder, "log"))
                with trio.move_on_after(LAST_WORDS_S):  # which may still be on their way through the broker
                    await farewell.wait()


@asynccontextmanager
async def _cloud(*, live: bool) -> AsyncIterator[str | None]:
    """Start the simulator, and return its URL; None for the real cloud."""
    async with trio.open_nursery() as nursery:
        if live:
            yield None
        else:
            address = await nursery.start(serve, Settings(port=0))
            yield f"{address.url}/v2/stream/analyze"
        nursery.cancel_scope.cancel()


def _show(screen: Screen, farewell: trio.Event, message: IncomingMessage) -> None:
    screen.show(message)
    if message.topic.endswith("/bridge/state") and b'"stopped"' in (message.payload or b""):
        farewell.set()


def _protocol(options: Options) -> Literal["auto", "3.1.1"]:
    """Our own broker, amqtt, speaks 3.1.1 only, and leaves who asks for more without an answer."""
    return "auto" if options.broker else "3.1.1"


async def _until_stopped(daemon: trio.Process, seconds: float | None, log_file: Path) -> None:
    """Wait for Ctrl-C or the end of the time, then let the daemon say goodbye; raises Outage if it ended before."""
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_fail_when_over, daemon, log_file)
            with trio.move_on_after(float("inf") if seconds is None else seconds):
                await anext(signals)
            nursery.cancel_scope.cancel()
    daemon.terminate()
    with trio.move_on_after(FAREWELL_S):
        await daemon.wait()


async def _fail_when_over(daemon: trio.Process, log_file: Path) -> None:
    status = await daemon.wait()
    output = await trio.Path(log_file).read_text()
    raise Outage(Reason.BUG, f"the daemon ended with status {status}:\n{output[-2000:]}")


def _config(options: Options, broker: str, cloud: str | None) -> str:
    interhuman: dict[str, object] = {"api_key": {"env": KEY}}
    if cloud:
        interhuman["url"] = cloud
    mqtt = {"url": broker, "protocol": _protocol(options)}
    cameras = {"camera": {"source": options.source}}
    return tomli_w.dumps({"box": {"id": BOX}, "interhuman": interhuman, "mqtt": mqtt, "cameras": cameras})
