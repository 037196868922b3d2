"""The command `web`: the page, for one box or for all that publish to a broker."""

import os
import signal
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import NamedTuple

import structlog
import trio
from msgspec import structs

from interhuman2mqtt import exit_codes
from interhuman2mqtt.config import Log, Mqtt, Web, secrets, units, urls
from interhuman2mqtt.config import loader as configfile
from interhuman2mqtt.config.problems import BadValueError
from interhuman2mqtt.config.secrets import use_credstore
from interhuman2mqtt.errors import ConfigError
from interhuman2mqtt.events import utc_now
from interhuman2mqtt.runtime import format_versions, state_dir
from interhuman2mqtt.runtime import log as runtime_log
from interhuman2mqtt.web.acting import Acting
from interhuman2mqtt.web.actions import Actions
from interhuman2mqtt.web.app import App
from interhuman2mqtt.web.auth import Logins
from interhuman2mqtt.web.broker_session import connect_settings
from interhuman2mqtt.web.browser import BrowserCamera
from interhuman2mqtt.web.browsers import Browsers
from interhuman2mqtt.web.consumer import consume
from interhuman2mqtt.web.guard import Guard
from interhuman2mqtt.web.history import (
    NAME,
    PARTS,
    STATE,
    DamagedHistoryError,
    History,
    HistoryError,
    NewerHistoryError,
)
from interhuman2mqtt.web.history_schema import VERSION
from interhuman2mqtt.web.invites import Invites
from interhuman2mqtt.web.links import Links
from interhuman2mqtt.web.page import Page
from interhuman2mqtt.web.room import Room
from interhuman2mqtt.web.server import Listen, listen_of, run_server
from interhuman2mqtt.web.snapshots import Snapshots

log = structlog.get_logger(__name__)


class Options(NamedTuple):
    """The options of the command line."""

    config: Sequence[Path] = ()
    broker: str | None = None
    listen: str | None = None
    keep: str | None = None
    lifeline: bool = False
    """Whether to end with stdin too, whose other end is held by who started us."""


class Settings(NamedTuple):
    """The tables of the configuration that the page uses, and whether it ends with stdin."""

    mqtt: Mqtt
    web: Web
    log: Log
    lifeline: bool


def main(options: Options) -> int:
    """Serve until SIGTERM or Ctrl-C; return the exit status. Raises ConfigError and InUse."""
    settings = _settings(options)
    listen = listen_of(settings.web)
    ref = settings.web.password
    password = None if ref is None else secrets.read(ref, what="web.password").reveal()
    folder = state_dir.find(system=STATE)
    runtime_log.setup(settings.log.level, settings.log.format)
    try:
        with (
            closing(open_history(folder / NAME)) as history,
            state_dir.locked(folder / NAME, f"another page keeps its history in {folder}: stop that one first"),
        ):
            return trio.run(_run, settings, listen, password, folder, history)
    except (HistoryError, OSError) as error:  # a disk that is full, or read-only: it may be another one tomorrow
        log.error("the page cannot keep what it receives", detail=str(error))  # noqa: TRY400 - foreseen
        return exit_codes.UNAVAILABLE


def open_history(path: Path) -> History:
    """Open the history, and join it with what a newer version had left before a downgrade.

    One that is damaged is quarantined, and one of a newer version set aside; then a new one begins.

    Raises:
        ConfigError: It belongs to somebody else.
        HistoryError, OSError: It cannot be made or written now.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        history = _opened(path, f"{utc_now():%Y%m%dT%H%M%SZ}")
        for file in format_versions.all_set_aside(path, VERSION):
            _take_in(history, file)
    except PermissionError as error:
        raise ConfigError(
            f"{error.filename}: {error.strerror}: only the page's own user and root may use it: sudo interhuman2mqtt "
            "web ..., or set STATE_DIRECTORY to a folder of your own"
        ) from error
    return history


def _opened(path: Path, stamp: str) -> History:
    try:
        return History(path)
    except DamagedHistoryError as error:
        moved = state_dir.quarantine(path, stamp, PARTS)
        log.error("the history begins anew", detail=str(error), kept=str(moved))  # noqa: TRY400 - foreseen
    except NewerHistoryError as error:
        moved = format_versions.set_aside(path, error.version, stamp, PARTS)
        log.warning("the history begins anew", detail=format_versions.sentence(path, error.version, moved))
    return History(path)


def _take_in(history: History, file: format_versions.SetAside) -> None:
    try:
        history.take_in(file.path)
    except HistoryError as error:
        log.error("the history of a newer version is not taken in", detail=str(error))  # noqa: TRY400 - foreseen
    else:
        format_versions.remove(file, PARTS)
        log.info("the history of a newer version is taken in again", file=file.path.name)


def _settings(options: Options) -> Settings:
    """Return the tables of the files; with a broker on the command line no file is needed."""
    use_credstore()
    mqtt, web, logs = Mqtt(client_id=""), Web(), Log()
    if options.config or options.broker is None:
        config = configfile.load(configfile.find(options.config))
        mqtt, web, logs = config.mqtt, config.web, config.log
    try:
        if options.broker is not None:
            mqtt = structs.replace(mqtt, url=urls.check_broker(options.broker))
        if options.listen is not None:
            urls.listen_address(options.listen)
            web = structs.replace(web, listen=options.listen)
        if options.keep is not None:
            web = structs.replace(web, keep=units.parse_duration(options.keep))
    except BadValueError as error:
        raise ConfigError(str(error)) from error
    return Settings(mqtt, web, logs, options.lifeline)


async def _run(settings: Settings, listen: Listen, password: str | None, folder: Path, history: History) -> int:
    web, base = settings.web, settings.mqtt.base_topic
    page = Page(base, history, keep=web.keep, max_size=web.max_size, rationale=web.rationale)
    connect = connect_settings(folder, settings.mqtt, web.keep)
    actions = Actions(base)
    secure = listen.tls or web.behind_proxy
    logins = Logins(password, time.monotonic)
    links = Links(Invites(folder))
    room = Room(links, page, actions, logins, details=web.room_details)
    browsers = Browsers(state_dir.find_browsers(), links)
    camera = BrowserCamera(links, browsers, page)
    public = listen.is_local and not web.behind_proxy
    acting = Acting(page, actions, Snapshots(settings.mqtt))
    app = App(page, acting, logins, public=public, secure=secure).asgi([*room.routes(), *camera.routes()])
    guarded = Guard(app, [*web.hosts, listen.host], tls=secure)
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(page.run)
            nursery.start_soon(browsers.run)
            try:
                await nursery.start(run_server, guarded, web, listen)
            except OSError as error:
                log.error("the page cannot be served", listen=web.listen, detail=str(error))  # noqa: TRY400 - foreseen
                nursery.cancel_scope.cancel()
                return exit_codes.UNAVAILABLE  # noqa: ASYNC121 - cancelled just before
            log.info("the page is served", url=listen.url)
            nursery.start_soon(partial(consume, connect, base, page, actions, may_act=password is not None))
            await _end(signals, lifeline=settings.lifeline)
            nursery.cancel_scope.cancel()
        await _stop(page)
    return 0


async def _end(signals: AsyncIterator[int], *, lifeline: bool) -> None:
    """Wait for a signal, or for the end of who started us."""
    async with trio.open_nursery() as nursery:
        if lifeline:
            nursery.start_soon(_wait_stdin_ends, nursery.cancel_scope)
        await anext(signals)
        nursery.cancel_scope.cancel()


async def _wait_stdin_ends(scope: trio.CancelScope) -> None:
    async with trio.lowlevel.FdStream(os.dup(0)) as stdin:
        async for _ in stdin:
            pass
    scope.cancel()


async def _stop(page: Page) -> None:
    """Write what is known."""
    try:
        await page.stop()
    except OSError as error:
        log.warning("the last moments are not written, and will not be known", detail=str(error))
