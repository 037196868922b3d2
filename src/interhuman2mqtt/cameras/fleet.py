"""The cameras of a box: started, stopped, and replaced one by one when their configuration changes."""

from collections.abc import Mapping
from typing import NamedTuple

import structlog
import trio

from interhuman2mqtt import config
from interhuman2mqtt.cameras.camera import Camera
from interhuman2mqtt.cameras.shared import Shared
from interhuman2mqtt.config import secrets
from interhuman2mqtt.errors import Reason

log = structlog.get_logger(__name__)

STOP_S = 30.0
"""How long a camera may drain its session."""


class Change(NamedTuple):
    """What a new configuration means for the cameras, by their ids."""

    stopped: tuple[str, ...]
    started: tuple[str, ...]


class _Running(NamedTuple):
    camera: Camera
    shared: Shared
    secrets: tuple[object, ...]
    """As they were when it was started."""
    scope: trio.CancelScope
    over: trio.Event


class Fleet:
    """Runs the cameras in a nursery that it is given, which ends when they have all been stopped."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._running: dict[str, _Running] = {}

    @property
    def cameras(self) -> Mapping[str, Camera]:
        """The cameras that run, by their ids."""
        return {name: running.camera for name, running in self._running.items()}

    async def apply(self, wanted: Mapping[str, config.Camera], shared: Shared) -> Change:
        """Stop, replace and start cameras until those that run are those that are wanted; the others are untouched."""
        outdated = [
            name
            for name, running in self._running.items()
            if (wanted.get(name), shared) != (running.camera.config, running.shared)
            or _secrets(wanted[name]) != running.secrets
        ]
        await self._stop({name: Reason.RESTARTED if name in wanted else Reason.STOPPED for name in outdated})
        missing = [name for name in wanted if name not in self._running]
        for name in missing:
            self._start(wanted[name], shared)
        return Change(tuple(outdated), tuple(missing))

    async def stop(self) -> None:
        """Stop all cameras."""
        await self._stop(dict.fromkeys(self._running, Reason.STOPPED))

    async def _stop(self, reasons: Mapping[str, Reason]) -> None:
        """Stop cameras for a reason each, side by side; one that takes longer than `STOP_S` is cut short."""
        leaving = {name: self._running.pop(name) for name in reasons}
        for name, running in leaving.items():
            running.scope.deadline = trio.current_time() + STOP_S
            running.camera.stop(reasons[name])
        for running in leaving.values():
            await running.over.wait()

    def _start(self, camera: config.Camera, shared: Shared) -> None:
        running = _Running(Camera(camera, shared), shared, _secrets(camera), trio.CancelScope(), trio.Event())
        self._running[camera.id] = running
        self._nursery.start_soon(_run, running, name=f"camera {camera.id}")


def _secrets(camera: config.Camera) -> tuple[object, ...]:
    """What its files hold now: a password that was rotated is a change too."""
    return (secrets.current(camera.password, what="password"), secrets.current(camera.api_key, what="api_key"))


async def _run(running: _Running) -> None:
    try:
        with running.scope:
            await running.camera.run()
    finally:
        running.over.set()
