"""`watch`: what is heard goes to the screen, or as JSON to whoever reads it, until somebody has seen enough.

Hears what is published, as any consumer would: over the same kind of connection as the service's own.
"""

import signal
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import trio
from msgspec import structs

from interhuman2mqtt import exit_codes
from interhuman2mqtt.commands import watch_output
from interhuman2mqtt.commands.watch_model import Fleet, Place, filters, place
from interhuman2mqtt.commands.watch_output import Line, line
from interhuman2mqtt.commands.watch_terminal import Screen, Terminal
from interhuman2mqtt.config import Mqtt, secrets, urls
from interhuman2mqtt.config import loader as configfile
from interhuman2mqtt.config.problems import BadValueError
from interhuman2mqtt.config.secrets import borrow_credentials
from interhuman2mqtt.control.inbox import IncomingMessage
from interhuman2mqtt.errors import ConfigError, Outage, Reason, Refused
from interhuman2mqtt.publish.mqtt import connection as mqtt
from interhuman2mqtt.publish.mqtt.connect import ConnectSettings
from interhuman2mqtt.publish.mqtt.subscriber import Take
from interhuman2mqtt.publish.mqtt.types import INCOMING_PACKET_MAX, Endpoint
from interhuman2mqtt.runtime import log, stdout
from interhuman2mqtt.runtime.sanitize import clean_lines
from interhuman2mqtt.supervisor import BackoffPolicy, BugBudget, Health, RetryInfo, keep_running

KEEPALIVE_S = 30
TIMEOUT_S = 10.0
"""For one attempt to connect, and for the answer to a subscription."""
PAUSES = BackoffPolicy(first=1.0, longest=15.0, overloaded=5.0, overloaded_longest=30.0, refused=15.0)
"""Somebody sits before it: shorter than the service's."""


def settings_for(config: Mqtt, who: str, timeout: float = TIMEOUT_S) -> ConnectSettings:
    """How to connect as a client of its own beside the service: no will, and a client id that is nobody else's.

    Raises:
        ConfigError: `mqtt.url` is none.
    """

    def read_password() -> str | None:
        return None if config.password is None else secrets.read(config.password, what="mqtt.password").reveal()

    return ConnectSettings(
        mqtt=structs.replace(config, client_id=f"interhuman-{who}-{uuid4().hex[:8]}"),
        read_password=read_password,
        endpoint=Endpoint.of(config.url),
        will=None,
        keepalive=KEEPALIVE_S,
        timeout=timeout,
    )


@asynccontextmanager
async def listening(settings: ConnectSettings, filters: Sequence[str], take: Take) -> AsyncIterator[None]:
    """One connection; the block runs once the broker has confirmed the subscription, and is cancelled with its loss.

    Raises:
        Outage: the broker does not answer, does not let us listen, or went away.
    """
    async with mqtt.connected(settings) as connection:
        with trio.move_on_after(settings.timeout) as patience:
            answers = await connection.hearing.subscribe(filters, take, INCOMING_PACKET_MAX)
        if patience.cancelled_caught:
            raise Outage(Reason.BROKER_LOST, f"the broker at {settings.endpoint} does not answer a subscription")
        if refused := [(topic, ack) for topic, ack in zip(filters, answers, strict=False) if ack.refused]:
            topic, ack = refused[0]
            raise Refused(Reason.BROKER_REFUSED, f"the broker does not let us subscribe to {topic}: {ack.text}")
        yield


async def listen_on(  # noqa: PLR0913 - what a connection tells, each named once
    settings: ConnectSettings,
    filters: Sequence[str],
    take: Take,
    *,
    begins: Callable[[], None],
    stands: Callable[[], None],
    waits: Callable[[RetryInfo], None],
) -> None:
    """One connection after another, for ever.

    Args:
        settings: How to connect.
        filters: What to listen to.
        take: Is handed what comes; must neither wait nor fail.
        begins: Called before a connection is tried: what was heard by the one before may not be true any more.
        stands: Called when it hears.
        waits: Told why it ended, or did not come about, and when it is tried again.
    """

    async def hear(health: Health) -> bool:
        begins()
        async with listening(settings, filters, take):
            health.well()
            stands()
            await trio.sleep_forever()

    await keep_running(hear, waits, BugBudget(0), PAUSES)


EVERY_S = 0.25
"""Between two pictures, at least."""
CLOCK_S = 1.0
"""Between two pictures, at most: ages grow."""
SETTLED_S = 0.5
"""Nothing came for so long: what the broker retains has been told."""
ONCE_S = 10.0
"""For `--once`, from the subscription on: a fleet never falls silent."""
WAITING_MAX = 10_000
"""Lines that may wait to be printed; of more the oldest go, and are counted."""


class Options(NamedTuple):
    """What the command line asks for."""

    broker: str | None = None
    config: Sequence[Path] = ()
    seconds: float | None = None
    """After which it ends by itself."""
    json: bool = False
    once: bool = False
    """Print how it is, and end."""


def main(options: Options) -> int:
    """Until Ctrl-C; returns the exit status. Raises ConfigError."""
    log.setup("error", "console")
    watch = _Watch(options, _mqtt(options), Screen(Terminal(), Fleet()))
    try:
        trio.run(watch.run)
    except* BrokenPipeError:  # whoever read it has seen enough
        stdout.discard()
    return watch.status


def _mqtt(options: Options) -> Mqtt:
    """The broker of the files, or that of the command line, with the credentials of files that are named as well."""
    mqtt = Mqtt(client_id="")
    borrow_credentials()
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
        """Until a signal, the end of the time, or of what `--once` waits for."""
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals, self._over:
            if self._options.seconds is not None:
                self._over.deadline = trio.current_time() + self._options.seconds
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._listen)
                nursery.start_soon(self._once if self._options.once else self._follow)
                await anext(signals)
                self._over.cancel()

    async def _listen(self) -> None:
        about = filters(self._base)
        await listen_on(self._settings, about, self._take, begins=self._begin, stands=self._stand, waits=self._wait)

    async def _once(self) -> None:
        await self._stands.wait()
        with trio.move_on_after(ONCE_S):
            while await self._hears_more():
                pass
        if self._options.json:
            _write(watch_output.whole(self._screen.fleet))
        else:
            self._screen.whole()
        self._over.cancel()

    async def _hears_more(self) -> bool:
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

    def _show(self) -> None:
        if self._lost:
            sys.stderr.write(f"{self._lost} lines left out: they come faster than they can be printed\n")
            self._lost = 0
        while self._waiting:
            said = self._waiting.popleft()
            if isinstance(said, Line):
                self._screen.show(said)
            else:
                _write(said)
        if not self._options.json:
            self._screen.refresh()

    def _begin(self) -> None:
        """What was true until now may have changed unheard: it stands until the broker tells what it retains."""
        self._stale = True

    def _stand(self) -> None:
        self._renew()
        self._stands.set()
        self._tell("connected", f"{self._settings.endpoint}", "dim")

    def _wait(self, waiting: RetryInfo) -> None:
        if self._options.once:
            sys.stderr.write(f"{clean_lines(waiting.outage.detail)}\n")
            self.status = exit_codes.UNAVAILABLE
            self._over.cancel()
        self._tell("not connected", f"{waiting.outage.detail}; again in {waiting.seconds:.0f} s", "bold red")

    def _tell(self, word: str, detail: str, style: str) -> None:
        if self._options.json and not self._options.once:
            self._put(watch_output.broker(word, detail))
        elif not self._options.once:
            self._screen.say(f"{word}: {detail}", style)
            self._news.set()

    def _take(self, incoming: IncomingMessage) -> None:
        where = place(self._base, incoming.topic)
        if where is None or incoming.payload is None:
            return
        self._renew()
        is_news = self._screen.fleet.take(where, incoming.payload)
        self._news.set()
        if not self._options.once and (said := self._said(where, incoming, is_news=is_news)) is not None:
            self._put(said)

    def _said(self, where: Place, incoming: IncomingMessage, *, is_news: bool) -> Line | str | None:
        payload = incoming.payload or b""
        if self._options.json:
            return watch_output.message(where, payload)
        known = incoming.retained and self._screen.is_live  # the table tells it
        return line(where, payload) if is_news and not known else None

    def _renew(self) -> None:
        if self._stale:
            self._screen.fleet = Fleet()
            self._stale = False

    def _put(self, said: Line | str) -> None:
        self._lost += len(self._waiting) == WAITING_MAX
        self._waiting.append(said)
        self._news.set()


def _write(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
