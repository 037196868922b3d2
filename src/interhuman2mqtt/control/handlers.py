"""The handlers of requests, in terms of the daemon's parts: the cameras, their pauses, what is kept of them, the log.

A snapshot is taken by a camera's worker, published at once, and stored nowhere on the box.
"""

from collections.abc import Awaitable, Collection
from typing import Any, Protocol

import msgspec
import structlog
import trio

from interhuman2mqtt.backfill.spools import Spools
from interhuman2mqtt.cameras.fleet import Fleet
from interhuman2mqtt.cameras.snapshot import SnapshotError, SnapshotImage
from interhuman2mqtt.config import Config
from interhuman2mqtt.control.dispatcher import CommandError
from interhuman2mqtt.control.requests import (
    ForgetData,
    ForgetRequest,
    Level,
    LogLevelData,
    PauseData,
    PauseSet,
    ReloadData,
    RestartData,
)
from interhuman2mqtt.policy.pauses import Outcome, PauseError, PauseOrigin
from interhuman2mqtt.policy.policy import Policy
from interhuman2mqtt.publish.message import Message
from interhuman2mqtt.publish.mqtt.direct import NotDelivered
from interhuman2mqtt.publish.payloads import ReloadInfo
from interhuman2mqtt.publish.publisher import EventPublisher
from interhuman2mqtt.publish.topics import Topics
from interhuman2mqtt.runtime.log import setup as setup_log

log = structlog.get_logger(__name__)


class UnqueuedPublisher(Protocol):
    """Publishes beside the outbox."""

    async def publish_at_once(self, message: Message) -> None:
        """Return when the broker has the message; raise NotDelivered."""


class SupportsReload(Protocol):
    """Reads the configuration files anew."""

    async def reload(self) -> ReloadInfo:
        """Take over a good configuration; return what is wrong with a bad one."""


class HasConfig(Protocol):
    """Has the configuration that is in force."""

    @property
    def config(self) -> Config:
        """The configuration."""


class SnapshotHandler:
    """Publishes what the cameras of a box see now.

    Args:
        fleet: The cameras.
        topics: Where snapshots go.
        publisher: Clears those that are retained, once their camera may not be seen.
        service: Sends them.
    """

    def __init__(self, fleet: Fleet, topics: Topics, publisher: EventPublisher, service: UnqueuedPublisher) -> None:
        self._fleet = fleet
        self._topics = topics
        self._publisher = publisher
        self._service = service

    async def take(self, camera: str, *, retain: bool) -> dict[str, Any]:
        """Publish what a camera sees now; return the data of the answer, raise CommandError."""
        found = self._fleet.cameras.get(camera)
        if found is None:
            raise CommandError(f"no snapshot of {camera}: it is just being stopped or started")
        snapshots: dict[str, Any] = {}

        async def deliver(image: SnapshotImage) -> None:
            message = self._topics.snapshot(camera, image.jpeg, image.taken_at, retain=retain)
            if retain:
                self._publisher.snapshot_retained(camera)
            await self._service.publish_at_once(message)
            snapshots.update(topic=message.topic)

        try:
            image = await found.take_snapshot(deliver)
        except (SnapshotError, NotDelivered) as error:
            raise CommandError(f"no snapshot of {camera}: {error}") from error
        log.info("snapshot", camera=camera, bytes=len(image.jpeg), retained=retain)
        width, height = image.size
        return {
            "size": f"{width}x{height}",
            "taken_at": msgspec.to_builtins(image.taken_at),
            "bytes": len(image.jpeg),
            "topic": snapshots["topic"],
        }

    async def take_all(self, cameras: Collection[str], *, retain: bool) -> dict[str, Any]:
        """Take snapshots of several, side by side, by camera; raises CommandError where one of them cannot be seen."""
        snapshots: dict[str, Any] = {}
        refused: list[str] = []

        async def one(camera: str) -> None:
            try:
                snapshots[camera] = await self.take(camera, retain=retain)
            except CommandError as error:
                refused.append(str(error))

        async with trio.open_nursery() as nursery:
            for camera in cameras:
                nursery.start_soon(one, camera)
        if refused:
            raise CommandError("; ".join(refused), {"snapshots": snapshots})
        return {"snapshots": snapshots}


class ForgetHandler:
    """Forgets what this box keeps of a camera: what it has spooled, and what the broker retains for it.

    Nothing else of people is kept on a box, but for the events that wait for a broker that is away. What is retained
    is of now, whatever the range: the next event of a camera that streams sets it anew.

    Args:
        publisher: Clears what is retained.
        spools: Have the media that is to be uploaded.
    """

    def __init__(self, publisher: EventPublisher, spools: Spools) -> None:
        self._publisher = publisher
        self._spools = spools

    async def forget(self, request: ForgetRequest) -> ForgetData:
        """Forget; return what was cleared and deleted. Raises CommandError."""
        cleared = self._publisher.forget(request.camera)
        try:
            gone = await self._spools.forget(request.camera, request.since, request.until)
        except OSError as error:
            what = f"what is spooled of {request.camera} may still be there: {error.strerror or error}"
            raise CommandError(what, {"cleared": cleared}) from error
        return {"cleared": cleared, "spooled_segments": gone.segments, "spooled_seconds": round(gone.seconds, 1)}


class CommandHandlers:
    """Handles requests by the fleet, the pauses, the configuration files and the log.

    Args:
        fleet: The cameras.
        policy: Their pauses.
        snapshots: Their snapshots.
        forgetting: What is kept of them.
        reloader: The configuration files.
        running: The configuration in force.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - each is what some request is about
        self,
        fleet: Fleet,
        policy: Policy,
        snapshots: SnapshotHandler,
        forgetting: ForgetHandler,
        reloader: SupportsReload,
        running: HasConfig,
    ) -> None:
        self._fleet = fleet
        self._policy = policy
        self._snapshots = snapshots
        self._forgetting = forgetting
        self._reloader = reloader
        self._running = running

    async def pause(self, camera: str | None, *, by_command: bool = False) -> PauseData:
        """Pause a camera; None: all."""
        return await _pause_data(self._policy.pause(camera, PauseOrigin.COMMAND if by_command else PauseOrigin.REQUEST))

    async def resume(self, camera: str | None) -> PauseData:
        """Lift every pause of a camera; None: of all."""
        return await _pause_data(self._policy.resume(camera))

    async def set_pause(self, level: PauseSet) -> PauseData:
        """Pause a camera, or lift its pauses."""
        if level.on:
            return await _pause_data(self._policy.pause(level.camera, PauseOrigin.PAUSE_SET))
        return await _pause_data(self._policy.resume(level.camera, only_level=level.retained))

    async def restart(self, camera: str | None) -> RestartData:
        """Restart a camera; None: all."""
        return {"cameras": await self._fleet.restart(None if camera is None else [camera])}

    async def snapshot(self, camera: str | None, *, retain: bool) -> Any:
        """Publish what a camera sees now; None: all."""
        if camera is None:
            return await self._snapshots.take_all(tuple(self._fleet.cameras), retain=retain)
        return await self._snapshots.take(camera, retain=retain)

    async def forget(self, request: ForgetRequest) -> ForgetData:
        """Clear what this box keeps of a camera."""
        return await self._forgetting.forget(request)

    async def reload(self) -> ReloadData:
        """Take over the configuration as it stands in the files now."""
        ended = await self._reloader.reload()
        if ended.problems:
            problems = "\n".join(map(str, ended.problems))
            raise CommandError(f"the configuration is rejected, the old one goes on: {problems}")
        return {"stopped": ended.stopped, "started": ended.started, "needs_restart": ended.needs_restart}

    async def log_level(self, level: Level) -> LogLevelData:
        """Log from this level on, until the next start or a reload of another level."""
        log_format = self._running.config.log.format
        if level in {"debug", "info"}:
            setup_log(level, log_format)
            log.info("log level changed", to=level)
        else:  # after it nobody would see it
            log.info("log level changed", to=level)
            setup_log(level, log_format)
        return {"level": level}


async def _pause_data(change: Awaitable[Outcome]) -> PauseData:
    """Return what came of a change of the pauses, for the answer; raises CommandError."""
    try:
        outcome = await change
    except PauseError as error:
        raise CommandError(str(error)) from error
    return {"changed": outcome.changed, "paused": outcome.in_force, "detail": outcome.sentence}
