"""`watch`: a live view of all boxes that publish to a broker, on the screen or as JSON.

::

    broker ──► listen ──► watch_model.Fleet ──► watch_terminal      for people, on a terminal or not
                 │        watch_output.line ────────┘
                 └──────► watch_output.message                      for scripts: --json

It receives what any consumer would, over the same kind of connection as the service's own.
"""

import os
import signal
import sys
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import trio
from msgspec import structs

from interhuman2mqtt import exit_codes
from interhuman2mqtt.commands import watch_output
from interhuman2mqtt.commands.watch_keys import parse_keys, single_keys
from interhuman2mqtt.commands.watch_model import Fleet, Place, filters, place
from interhuman2mqtt.commands.watch_output import Line, line
from interhuman2mqtt.commands.watch_subscription import keep_subscribed, settings_for
from interhuman2mqtt.commands.watch_terminal import Screen, Terminal
from interhuman2mqtt.config import Mqtt, urls
from interhuman2mqtt.config import loader as configfile
from interhuman2mqtt.config.problems import BadValueError
from interhuman2mqtt.config.secrets import use_credstore
from interhuman2mqtt.errors import ConfigError
from interhuman2mqtt.publish.mqtt.types import IncomingMessage
from interhuman2mqtt.runtime import log, stdout
from interhuman2mqtt.runtime.sanitize import clean_lines
from interhuman2mqtt.supervisor import RetryInfo

EVERY_S = 0.25
"""Between two pictures, at least."""
CLOCK_S = 1.0
"""Between two pictures, at most: ages grow."""
SETTLED_S = 0.5
"""Nothing came for so long: what the broker retains has come."""
ONCE_S = 10.0
"""For `--once`, from the subscription on: a fleet never falls silent."""
WAITING_MAX = 10_000
"""Lines that may wait to be printed; of more the oldest go, and are counted."""


class Options(NamedTuple):
    """The options of the command line."""

    broker: str | None = None
    config: Sequence[Path] = ()
    seconds: float | None = None
    """After which it ends by itself."""
    json: bool = False
    once: bool = False
    """Print how it is, and end."""


def main(options: Options) -> int:
    """Run until Ctrl-C; return the exit status. Raises ConfigError."""
    log.setup("error", "console")
    watch = _Watch(options, _mqtt(options), Screen(Terminal(), Fleet()))
    try:
        trio.run(watch.run)
    except* BrokenPipeError:  # whoever read it has seen enough
        stdout.discard()
    return watch.status


def _mqtt(options: Options) -> Mqtt:
    """Return the broker of the files, or that of the command line with the credentials of files that are named."""
    mqtt = Mqtt(client_id="")
    use_credstore()
    if options.config or options.broker is None:
        mqtt = configfile.load(configfile.find(options.config)).mqtt
    if options.broker is None:
        return mqtt
    try:
        return structs.replace(mqtt, url=urls.check_broker(options.broker))
    except BadValueError as error:
        instead = "; for watch they stand in a file that --config names, as mqtt.username and mqtt.password"
        raise ConfigError(f"--broker: {error}{instead if 'password' in str(error) else ''}") from error


class _Watch:
    def __init__(self, options: Options, mqtt: Mqtt, screen: Screen) -> None:
        self.status = 0
        self._options = options
        self._base = mqtt.base_topic
        self._settings = settings_for(mqtt, "watch")
        self._screen = screen
        self._waiting: deque[Line | str] = deque(maxlen=WAITING_MAX)
        self._lost = 0
        self._stale = True
        self._stands = trio.Event()
        self._news = trio.Event()
        self._over = trio.CancelScope()

    async def run(self) -> None:
        """Run until a signal, the end of the time, or of what `--once` waits for."""
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals, self._over:
            if self._options.seconds is not None:
                self._over.deadline = trio.current_time() + self._options.seconds
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._listen)
                nursery.start_soon(self._once if self._options.once else self._follow)
                if self._screen.is_live and not (self._options.once or self._options.json):
                    nursery.start_soon(self._read_keys, sys.stdin.fileno())
                await anext(signals)
                self._over.cancel()

    async def _listen(self) -> None:
        about = filters(self._base)
        await keep_subscribed(
            self._settings,
            about,
            self._receive,
            on_attempt=self._begin,
            on_subscribed=self._on_subscribed,
            on_retry=self._on_retry,
        )

    async def _once(self) -> None:
        await self._stands.wait()
        with trio.move_on_after(ONCE_S):
            while await self._waits_for_more():
                pass
        if self._options.json:
            _write(watch_output.snapshot(self._screen.fleet))
        else:
            self._screen.print_all()
        self._over.cancel()

    async def _waits_for_more(self) -> bool:
        self._news = trio.Event()
        with trio.move_on_after(SETTLED_S):
            await self._news.wait()
        return self._news.is_set()

    async def _follow(self) -> None:
        with self._screen:
            try:
                while True:
                    self._news = trio.Event()
                    self._show()
                    await trio.sleep(EVERY_S)
                    with trio.move_on_after(CLOCK_S - EVERY_S):
                        await self._news.wait()
            finally:
                self._show()

    async def _read_keys(self, descriptor: int) -> None:
        with single_keys(descriptor) as can_read:
            while can_read:
                await trio.lowlevel.wait_readable(descriptor)
                typed = os.read(descriptor, 256)
                if not typed:
                    return
                if any(self._screen.view.press(key) for key in parse_keys(typed)):
                    self._over.cancel()
                self._news.set()

    def _show(self) -> None:
        if self._lost:
            sys.stderr.write(f"{self._lost} lines left out: they come faster than they can be printed\n")
            self._lost = 0
        while self._waiting:
            line_shown = self._waiting.popleft()
            if isinstance(line_shown, Line):
                self._screen.show(line_shown)
            else:
                _write(line_shown)
        if not self._options.json:
            self._screen.refresh()

    def _begin(self) -> None:
        """Forget what may have changed while nothing was received, until the broker sends what it retains."""
        self._stale = True

    def _on_subscribed(self) -> None:
        self._renew()
        self._stands.set()
        self._log_broker("connected", f"{self._settings.endpoint}", "dim")

    def _on_retry(self, waiting: RetryInfo) -> None:
        if self._options.once:
            sys.stderr.write(f"{clean_lines(waiting.outage.detail)}\n")
            self.status = exit_codes.UNAVAILABLE
            self._over.cancel()
        self._log_broker("not connected", f"{waiting.outage.detail}; again in {waiting.seconds:.0f} s", "bold red")

    def _log_broker(self, word: str, detail: str, style: str) -> None:
        if self._options.json and not self._options.once:
            self._print(watch_output.broker(word, detail))
        elif not self._options.once:
            self._screen.print_status(f"{word}: {detail}", style)
            self._news.set()

    def _receive(self, incoming: IncomingMessage) -> None:
        where = place(self._base, incoming.topic)
        if where is None or incoming.payload is None:
            return
        self._renew()
        is_news = self._screen.fleet.apply(where, incoming.payload)
        self._news.set()
        if not self._options.once and (line_shown := self._line_of(where, incoming, is_news=is_news)) is not None:
            self._print(line_shown)

    def _line_of(self, where: Place, incoming: IncomingMessage, *, is_news: bool) -> Line | str | None:
        payload = incoming.payload or b""
        if self._options.json:
            return watch_output.message(where, payload)
        known = incoming.retained and self._screen.is_live  # the table tells it
        return line(where, payload) if is_news and not known else None

    def _renew(self) -> None:
        if self._stale:
            self._screen.fleet = Fleet()
            self._stale = False

    def _print(self, line_shown: Line | str) -> None:
        self._lost += len(self._waiting) == WAITING_MAX
        self._waiting.append(line_shown)
        self._news.set()


def _write(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
