"""A changed configuration: read and checked as a whole first, so that a bad one changes nothing."""

# A reload is one transaction. The files are read, merged and checked before anything is touched, because half of a
# configuration is none that anybody has written: a typo in the last camera must not stop the first. Once it is good it
# is taken over camera by camera, and only cameras whose own configuration, secrets or surroundings changed are
# restarted. A restart of the whole process was the alternative; it would cost every camera its session and the media of
# some seconds.

from collections.abc import Callable, Collection
from typing import Protocol

import structlog
import trio
from msgspec import Struct, structs

from interhuman2mqtt.cameras.fleet import Change
from interhuman2mqtt.config import Config, loader
from interhuman2mqtt.config.loader import Loaded
from interhuman2mqtt.config.problems import ConfigFileError
from interhuman2mqtt.errors import ConfigError
from interhuman2mqtt.events import utc_now
from interhuman2mqtt.publish.payloads import Mistake, ReloadInfo
from interhuman2mqtt.runtime.lifeline import SignalHandler
from interhuman2mqtt.runtime.redaction import redact
from interhuman2mqtt.runtime.watchdog import SystemdNotifier

log = structlog.get_logger(__name__)

FIXED = ("box", "mqtt", "outbox", "metrics")
"""Sections that a reload does not take over: connections, files and ports that are open stand on them."""


class RunningConfig(Struct):
    """The configuration that is in force, and what the last reload came to."""

    config: Config
    files_hash: str
    config_hash: str = ""
    """Of the effective configuration."""
    last_reload: ReloadInfo | None = None
    needs_restart: tuple[str, ...] = ()
    """Sections that differ in the files, and wait for a restart."""
    expected: frozenset[str] = frozenset()
    """Cameras that are about to be added."""

    def __post_init__(self) -> None:
        """Compute the hash once: each scrape of the metrics wants it, and it takes the whole configuration as TOML."""
        self.config_hash = loader.config_hash(self.config)

    @property
    def cameras(self) -> Collection[str]:
        """The ids of the cameras that there are, and are about to be."""
        return {*self.config.cameras, *self.expected}

    def note_fixed(self, config: Config) -> None:
        """Note which of the fixed sections differ in a configuration that is about to be taken over."""
        self.needs_restart = tuple(name for name in FIXED if getattr(config, name) != getattr(self.config, name))
        if self.needs_restart:
            log.warning("changed sections wait for a restart", needs_restart=self.needs_restart)

    def replace(self, loaded: Loaded) -> None:
        """Take over a configuration, but for the fixed sections."""
        fixed = {name: getattr(self.config, name) for name in FIXED}
        self.config, self.files_hash = structs.replace(loaded.config, **fixed), loaded.files_hash
        self.config_hash = loader.config_hash(self.config)
        self.expected = frozenset()


class Reloadable(Protocol):
    """Applies configurations: the daemon."""

    async def apply(self, loaded: Loaded) -> Change:
        """Make a good configuration the one in force."""

    def reloaded(self, reload: ReloadInfo) -> None:
        """Publish how a reload ended."""


class Reloader:
    """Reloads when it is asked to, by whomever: one reload at a time.

    Args:
        load: Reads and checks the files; raises ConfigError.
        target: Takes a good configuration over.
    """

    def __init__(self, load: Callable[[], Loaded], target: Reloadable, notify: SystemdNotifier) -> None:
        self._load = load
        self._target = target
        self._notify = notify
        self._lock = trio.Lock()

    async def run(self, stop_signals: SignalHandler) -> None:
        """Reload at each SIGHUP, for ever."""
        while True:
            await stop_signals.wait_hangup()
            await self.reload()

    async def reload(self) -> ReloadInfo:
        """Take over a good configuration; a bad one changes nothing. Return how it ended; systemd gets it too."""
        async with self._lock:
            self._notify.reloading()
            try:
                ended = await self._attempt()
                self._target.reloaded(ended)
            finally:
                self._notify.ready()  # whatever happened: systemd must not wait for ever
            return ended

    async def _attempt(self) -> ReloadInfo:
        try:
            loaded = self._load()
        except ConfigError as error:
            log.error("configuration rejected, the old one goes on", problems=str(error))  # noqa: TRY400 - no traceback
            self._notify.status(f"configuration rejected: {error}")
            return ReloadInfo(state="rejected", at=utc_now(), problems=_mistakes(error))
        change = await self._target.apply(loaded)
        return ReloadInfo(
            state="ok", at=utc_now(), stopped=change.stopped, started=change.started, needs_restart=change.needs_restart
        )


def _mistakes(error: ConfigError) -> tuple[Mistake, ...]:
    if not isinstance(error, ConfigFileError):
        return (Mistake(file=None, line=None, key="", message=redact(str(error))),)
    return tuple(
        Mistake(
            file=None if problem.file is None else str(problem.file),
            line=problem.line,
            key=problem.key,
            message=redact(problem.message),
        )
        for problem in error.problems
    )
