"""`demo`: broker, cloud, daemon and screen, started in the order in which they need each other, ended in reverse."""

import os
import signal
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

import tomli_w
import trio

from interhuman2mqtt import exit_codes
from interhuman2mqtt.config import Mqtt
from interhuman2mqtt.control.inbox import Incoming
from interhuman2mqtt.demo.processes import start_broker, start_daemon
from interhuman2mqtt.demo.screen import BASE, Screen
from interhuman2mqtt.errors import Outage, Reason
from interhuman2mqtt.runtime import log, stdout
from interhuman2mqtt.runtime.sanitize import clean_lines
from interhuman2mqtt.simulator.server import serve
from interhuman2mqtt.simulator.settings import Settings
from interhuman2mqtt.supervisor import leaves
from interhuman2mqtt.watch.listening import listening, settings_for
from interhuman2mqtt.watch.screen import Terminal

BOX = "demo"
LAST_WORDS_S = 0.4
FAREWELL_S = 1.4
"""How long the daemon may drain when the demo ends; two seconds are promised for everything."""
KEY = "INTERHUMAN_API_KEY"


class Options(NamedTuple):
    """What the command line asks for."""

    source: str
    broker: str | None
    live: bool
    seconds: float | None
    """After which it ends by itself."""


def main(options: Options) -> int:
    """Until Ctrl-C; returns the exit status."""
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
            screen.say(f"broker {mqtt}, cloud {cloud or 'the real one'}, camera {options.source}; Ctrl-C ends it all")
            environment = {**os.environ, "STATE_DIRECTORY": folder, **({} if options.live else {KEY: "demo"})}
            farewell = trio.Event()
            take = partial(_show, screen, farewell)
            settings = settings_for(Mqtt(client_id="", url=mqtt, protocol=_protocol(options)), "demo")
            async with (
                listening(settings, [f"{BASE}/{BOX}/#"], take),
                start_daemon(Path(config), environment, Path(folder, "log")) as daemon,
            ):
                await _until_stopped(daemon, options.seconds, Path(folder, "log"))
                with trio.move_on_after(LAST_WORDS_S):  # which may still be on their way through the broker
                    await farewell.wait()


@asynccontextmanager
async def _cloud(*, live: bool) -> AsyncIterator[str | None]:
    """The simulator, and where it is; None for the real cloud."""
    async with trio.open_nursery() as nursery:
        if live:
            yield None
        else:
            address = await nursery.start(serve, Settings(port=0))
            yield f"{address.url}/v2/stream/analyze"
        nursery.cancel_scope.cancel()


def _show(screen: Screen, farewell: trio.Event, heard: Incoming) -> None:
    screen.show(heard)
    if heard.topic.endswith("/bridge/state") and b'"stopped"' in (heard.payload or b""):
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
    said = await trio.Path(log_file).read_text()
    raise Outage(Reason.BUG, f"the daemon ended with status {status}:\n{said[-2000:]}")


def _config(options: Options, broker: str, cloud: str | None) -> str:
    interhuman: dict[str, object] = {"api_key": {"env": KEY}}
    if cloud:
        interhuman["url"] = cloud
    mqtt = {"url": broker, "protocol": _protocol(options)}
    cameras = {"camera": {"source": options.source}}
    return tomli_w.dumps({"box": {"id": BOX}, "interhuman": interhuman, "mqtt": mqtt, "cameras": cameras})
