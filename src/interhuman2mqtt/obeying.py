"""What the daemon does when it is asked to: the requests of `requests.Obeys`, in terms of its parts."""

from collections.abc import Awaitable, Callable
from typing import Any

import structlog

from interhuman2mqtt.cameras.fleet import Fleet
from interhuman2mqtt.policy.pauses import Origin, Outcome, PauseError
from interhuman2mqtt.policy.policy import Policy
from interhuman2mqtt.publish.requests import Level, LogLevelData, PauseData, PauseSet, ReloadData, RestartData
from interhuman2mqtt.publish.topics import Reload
from interhuman2mqtt.requests import NotDone
from interhuman2mqtt.runtime.log import setup as setup_log
from interhuman2mqtt.snapshots import Snapshots

log = structlog.get_logger(__name__)


class Obeying:
    """Obeys by the fleet, the pauses, the configuration files and the log.

    Args:
        fleet: The cameras.
        policy: Their pauses.
        snapshots: Their pictures.
        reload: Takes over a good configuration, and says what is wrong with a bad one.
        log_format: What `log.format` is now.
    """

    def __init__(
        self,
        fleet: Fleet,
        policy: Policy,
        snapshots: Snapshots,
        reload: Callable[[], Awaitable[Reload]],
        log_format: Callable[[], str],
    ) -> None:
        self._fleet = fleet
        self._policy = policy
        self._snapshots = snapshots
        self._reload = reload
        self._log_format = log_format

    async def pause(self, camera: str | None, *, by_command: bool = False) -> PauseData:
        """Pause a camera; None: all."""
        return await _pause_data(self._policy.pause(camera, Origin.COMMAND if by_command else Origin.REQUEST))

    async def resume(self, camera: str | None) -> PauseData:
        """Lift every pause of a camera; None: of all."""
        return await _pause_data(self._policy.resume(camera))

    async def set_pause(self, level: PauseSet) -> PauseData:
        """Pause a camera, or lift its pauses."""
        if level.on:
            return await _pause_data(self._policy.pause(level.camera, Origin.PAUSE_SET))
        return await _pause_data(self._policy.resume(level.camera, only_level=level.retained))

    async def restart(self, camera: str | None) -> RestartData:
        """Restart a camera; None: all."""
        return {"cameras": await self._fleet.restart(None if camera is None else [camera])}

    async def snapshot(self, camera: str | None, *, retain: bool) -> Any:
        """Publish what a camera sees now; None: all."""
        if camera is None:
            return await self._snapshots.take_all(tuple(self._fleet.cameras), retain=retain)
        return await self._snapshots.take(camera, retain=retain)

    async def reload(self) -> ReloadData:
        """Take over the configuration as it stands in the files now."""
        ended = await self._reload()
        if ended.problems:
            said = "\n".join(str(problem) for problem in ended.problems)
            raise NotDone(f"the configuration is rejected, the old one goes on: {said}")
        return {"stopped": ended.stopped, "started": ended.started, "needs_restart": ended.needs_restart}

    async def log_level(self, level: Level) -> LogLevelData:
        """Log from this level on, until the next start or a reload of another level."""
        if level in {"debug", "info"}:
            setup_log(level, self._log_format())
            log.info("log level changed", to=level)
        else:  # after it nobody would see it
            log.info("log level changed", to=level)
            setup_log(level, self._log_format())
        return {"level": level}


async def _pause_data(change: Awaitable[Outcome]) -> PauseData:
    """What came of a change of the pauses, for the answer; raises NotDone."""
    try:
        outcome = await change
    except PauseError as error:
        raise NotDone(str(error)) from error
    return {"changed": outcome.changed, "paused": outcome.in_force, "detail": outcome.said}
