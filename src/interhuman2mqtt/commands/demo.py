"""`demo`: broker, cloud, daemon, screen and page, started as they need each other, ended in reverse."""

import os
import signal
import tempfile
from collections.abc import AsyncIterator
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
from interhuman2mqtt.commands.demo_processes import has_page, start_broker, start_daemon, start_page
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
            seen = _Seen()
            take = partial(_show, screen, seen)
            settings = settings_for(Mqtt(client_id="", url=mqtt, protocol=_protocol(options)), "demo")
            async with (
                subscribed(settings, [f"{BASE}/{BOX}/#"], take),
                start_daemon(Path(config), environment, Path(folder, "log")) as daemon,
                trio.open_nursery() as nursery,
            ):
                nursery.start_soon(_show_page, options, mqtt, Path(folder, "page"), screen, seen)
                await _until_stopped(daemon, options.seconds, Path(folder, "log"))
                with trio.move_on_after(LAST_WORDS_S):  # which may still be on their way through the broker
                    await seen.farewell.wait()
                nursery.cancel_scope.cancel()


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


class _Seen:
    """Messages that the demo itself waits for."""

    def __init__(self) -> None:
        self.event = trio.Event()
        self.farewell = trio.Event()


def _show(screen: Screen, seen: _Seen, message: IncomingMessage) -> None:
    screen.show(message)
    if "/event/" in message.topic:
        seen.event.set()
    if message.topic.endswith("/bridge/state") and b'"stopped"' in (message.payload or b""):
        seen.farewell.set()


async def _show_page(options: Options, broker: str, folder: Path, screen: Screen, seen: _Seen) -> None:
    """Start the page once there is something on it, and say where it is; it ends with the demo."""
    if not has_page():
        screen.print("for the page in a browser: pip install 'interhuman2mqtt[web]'")
        return
    await seen.event.wait()
    async with start_page(folder, broker, _protocol(options)) as url:
        screen.print(f"the page: {url}")
        await trio.sleep_forever()


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
