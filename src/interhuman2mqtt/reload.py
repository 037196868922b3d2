"""Takes over a changed configuration: read and judged as a whole first, so that a bad one changes nothing."""

from collections.abc import Awaitable, Callable

import structlog
import trio

from interhuman2mqtt.cameras.fleet import Change
from interhuman2mqtt.config.loader import Loaded
from interhuman2mqtt.config.problems import ConfigFileError
from interhuman2mqtt.errors import ConfigError
from interhuman2mqtt.events import utc_now
from interhuman2mqtt.publish.topics import Mistake, ReloadInfo
from interhuman2mqtt.runtime.redaction import redact
from interhuman2mqtt.runtime.watchdog import SystemdNotifier

log = structlog.get_logger(__name__)


class Reloader:
    """Reloads when it is asked to, by whomever: one reload at a time.

    Args:
        load: Reads and judges the files; raises ConfigError.
        take_over: Makes a good configuration the one in force.
        tell: Told how each reload ended.
    """

    def __init__(
        self,
        load: Callable[[], Loaded],
        take_over: Callable[[Loaded], Awaitable[Change]],
        notify: SystemdNotifier,
        tell: Callable[[ReloadInfo], None],
    ) -> None:
        self._load = load
        self._take_over = take_over
        self._notify = notify
        self._tell = tell
        self._lock = trio.Lock()

    async def reload(self) -> ReloadInfo:
        """Take over a good configuration; a bad one changes nothing. Says how it ended, to systemd and others too."""
        async with self._lock:
            self._notify.reloading()
            try:
                ended = await self._attempt()
                self._tell(ended)
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
        change = await self._take_over(loaded)
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
