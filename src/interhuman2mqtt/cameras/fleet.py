"""The cameras of a box: started, stopped, and replaced one by one when their configuration changes."""

from collections.abc import Collection, Mapping
from typing import NamedTuple

import structlog
import trio

from interhuman2mqtt import config
from interhuman2mqtt.cameras.camera import Camera
from interhuman2mqtt.cameras.shared import Shared

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
    scope: trio.CancelScope
    over: trio.Event


class Fleet:
    """Runs the cameras in a nursery that it is given, which ends when they have all been stopped."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._running: dict[str, _Running] = {}
        self._leaving: dict[str, trio.Event] = {}
        self._wanted: Mapping[str, config.Camera] = {}

    @property
    def cameras(self) -> Mapping[str, Camera]:
        """The cameras that run, by their ids."""
        return {name: running.camera for name, running in self._running.items()}

    async def apply(self, wanted: Mapping[str, config.Camera], shared: Shared) -> Change:
        """Stop, replace and start cameras until those that run are those that are wanted; the others are untouched."""
        self._wanted, self._shared = wanted, shared
        outdated = [
            name
            for name, running in self._running.items()
            if wanted.get(name) != running.camera.config or shared != running.shared
        ]
        await self.stop(outdated)
        return Change(tuple(outdated), await self._start(wanted))

    async def restart(self, names: Collection[str] | None = None) -> tuple[str, ...]:
        """Stop these cameras, or all, and start them again as they are wanted by then; returns which were meant."""
        meant = tuple(self._wanted) if names is None else tuple(names)
        await self.stop([name for name in meant if name in self._running])
        await self._start(meant)
        return meant

    async def stop(self, names: list[str] | None = None) -> None:
        """Stop these cameras, or all, side by side; one that takes longer than `STOP_S` is cut short."""
        leaving = [self._running.pop(name) for name in (list(self._running) if names is None else names)]
        for running in leaving:
            self._leaving[running.camera.config.id] = running.over
            running.scope.deadline = trio.current_time() + STOP_S
            running.camera.stop()
        for running in leaving:
            await running.over.wait()

    async def _start(self, names: Collection[str]) -> tuple[str, ...]:
        """Start those of the wanted cameras that do not run; one that is being stopped first comes to its end."""
        for name in names:
            if name in self._leaving and name not in self._running:
                await self._leaving[name].wait()
        missing = tuple(name for name in names if name in self._wanted and name not in self._running)
        for name in missing:
            self._launch(self._wanted[name], self._shared)
        return missing

    def _launch(self, camera: config.Camera, shared: Shared) -> None:
        running = _Running(Camera(camera, shared), shared, trio.CancelScope(), trio.Event())
        self._running[camera.id] = running
        self._leaving.pop(camera.id, None)
        self._nursery.start_soon(_run, running, name=f"camera {camera.id}")


async def _run(running: _Running) -> None:
    try:
        with running.scope:
            await running.camera.run()
    finally:
        running.over.set()
