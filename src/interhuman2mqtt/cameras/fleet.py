"""Start and stop the cameras of a box, and replace one by one those whose configuration changes."""

from collections.abc import Collection, Mapping
from typing import NamedTuple

import structlog
import trio

from interhuman2mqtt import config
from interhuman2mqtt.cameras.camera import Camera
from interhuman2mqtt.cameras.context import CameraContext
from interhuman2mqtt.config import secrets
from interhuman2mqtt.errors import Reason

log = structlog.get_logger(__name__)

STOP_S = 30.0
"""How long a camera may drain its session."""


class Change(NamedTuple):
    """The cameras that a new configuration stopped and started, by their ids."""

    stopped: tuple[str, ...]
    started: tuple[str, ...]
    needs_restart: tuple[str, ...] = ()
    """Sections of the configuration, which are not the fleet's."""


class _Running(NamedTuple):
    camera: Camera
    context: CameraContext
    secrets: tuple[object, ...]
    """As they were when it was started."""
    scope: trio.CancelScope
    over: trio.Event


class Fleet:
    """Runs the cameras in a nursery that it is given, which ends when they have all been stopped."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._running: dict[str, _Running] = {}
        self._leaving: dict[str, trio.Event] = {}
        self._wanted: Mapping[str, config.CameraConfig] = {}

    @property
    def cameras(self) -> Mapping[str, Camera]:
        """The cameras that run, by their ids."""
        return {name: running.camera for name, running in self._running.items()}

    async def apply(self, wanted: Mapping[str, config.CameraConfig], context: CameraContext) -> Change:
        """Stop, replace and start cameras until those that run are those that are wanted; the others are untouched."""
        self._wanted, self._context = wanted, context
        outdated = [
            name
            for name, running in self._running.items()
            if (wanted.get(name), context) != (running.camera.config, running.context)
            or _secrets(wanted[name]) != running.secrets
        ]
        # What differs is found by comparing frozen values, and not by what the file says: a profile, a default or a
        # rotated password changes cameras that no line of the diff names.
        untouched = self._running.keys() - set(outdated)
        self._launch_missing(wanted)
        await self._replace({name: Reason.RESTARTED if name in wanted else Reason.STOPPED for name in outdated})
        await self._wait_left(self._leaving)  # who forgets a camera that is gone must get nothing of it any more
        await self._start(wanted)
        return Change(tuple(outdated), tuple(name for name in wanted if name not in untouched))

    async def restart(self, names: Collection[str] | None = None) -> tuple[str, ...]:
        """Stop these cameras, or all, and start them again as they are wanted by then; return which were meant."""
        meant = tuple(self._wanted) if names is None else tuple(names)
        await self._replace({name: Reason.RESTARTED for name in meant if name in self._running})
        await self._start(meant)
        return meant

    def redate(self, _step_s: float) -> None:
        """Publish each status anew: the wall clock was set, by which each dates itself."""
        for camera in self.cameras.values():
            camera.status.redate()

    async def _replace(self, reasons: Mapping[str, Reason]) -> None:
        """Stop cameras, and start each as soon as it is over, if it is wanted: none waits for another's drain."""
        async with trio.open_nursery() as nursery:
            for name, reason in reasons.items():
                nursery.start_soon(self._replace_one, name, reason)

    async def _replace_one(self, name: str, reason: Reason) -> None:
        await self._stop({name: reason} if name in self._running else {})
        await self._start([name])

    async def stop(self) -> None:
        """Stop all cameras."""
        await self._stop(dict.fromkeys(self._running, Reason.STOPPED))

    async def _stop(self, reasons: Mapping[str, Reason]) -> None:
        """Stop cameras for a reason each, side by side; one that takes longer than `STOP_S` is cut short."""
        leaving = {name: self._running.pop(name) for name in reasons}
        for name, running in leaving.items():
            self._leaving[name] = running.over
            running.scope.deadline = trio.current_time() + STOP_S
            running.camera.stop(reasons[name])
        for running in leaving.values():
            await running.over.wait()

    async def _start(self, names: Collection[str]) -> None:
        """Start those of the wanted cameras that do not run; one that is being stopped first comes to its end."""
        await self._wait_left(names)
        self._launch_missing(names)

    def _launch_missing(self, names: Collection[str]) -> None:
        for name in names:
            leaving = name in self._leaving and not self._leaving[name].is_set()
            if name in self._wanted and name not in self._running and not leaving:
                self._launch(self._wanted[name], self._context)

    async def _wait_left(self, names: Collection[str]) -> None:
        """Wait until none of these cameras is being stopped: meanwhile another task may have stopped one anew."""
        while leaving := [over for name, over in self._leaving.items() if name in names and not over.is_set()]:
            for over in leaving:
                await over.wait()

    def _launch(self, camera: config.CameraConfig, context: CameraContext) -> None:
        running = _Running(Camera(camera, context), context, _secrets(camera), trio.CancelScope(), trio.Event())
        self._running[camera.id] = running
        self._leaving.pop(camera.id, None)
        self._nursery.start_soon(_run, running, name=f"camera {camera.id}")


def _secrets(camera: config.CameraConfig) -> tuple[object, ...]:
    """Return what its files hold now: a password that was rotated is a change too."""
    return (secrets.current(camera.password, what="password"), secrets.current(camera.api_key, what="api_key"))


async def _run(running: _Running) -> None:
    try:
        with running.scope:
            await running.camera.run()
    finally:
        running.over.set()
