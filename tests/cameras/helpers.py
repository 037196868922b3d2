"""Cameras in this process, with a real capture and the simulated cloud."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import trio

from interhuman2mqtt import config
from interhuman2mqtt.backfill.spools import Spools
from interhuman2mqtt.cameras.context import CameraContext
from interhuman2mqtt.cameras.coverage import Coverage, DatedGap
from interhuman2mqtt.cameras.gaps import AudioGap
from interhuman2mqtt.cameras.session_failures import AcceptedKeys
from interhuman2mqtt.cameras.session_slots import SessionSlots
from interhuman2mqtt.cloud.transport import Server
from interhuman2mqtt.events import CameraStatus, Event
from interhuman2mqtt.policy.budgets import Budgets
from interhuman2mqtt.policy.meter import Meter
from interhuman2mqtt.policy.pauses import Paused, Pauses
from interhuman2mqtt.policy.policy import Policy
from interhuman2mqtt.runtime.clock import BoxClock
from interhuman2mqtt.runtime.lifeline import SignalHandler
from interhuman2mqtt.runtime.watchdog import Heartbeats
from interhuman2mqtt.simulator.server import serve
from interhuman2mqtt.simulator.settings import Pace, Settings
from interhuman2mqtt.supervisor import BackoffPolicy
from support.processes import PATIENCE_S, captures

QUICK = Pace(window=2.0, stride=1.0, cadence=2.0)
AT_ONCE = BackoffPolicy(
    first=0.01, longest=0.02, lingering_longest=0.1, overloaded=0.02, overloaded_longest=0.02, refused=0.02
)


NOWHERE = Path("/nowhere")
CLOCK = BoxClock()


class RecordingPublisher:
    """Records what cameras publish."""

    def __init__(self) -> None:
        self.statuses: list[CameraStatus] = []
        self.events: list[Event] = []
        self.gaps: list[DatedGap] = []
        self._more = trio.Event()

    def publish_status(self, status: CameraStatus) -> None:
        """A camera's status changed."""
        self.statuses.append(status)
        self._wake()

    def publish_event(self, event: Event) -> None:
        """A camera's event."""
        self.events.append(event)
        self._wake()

    def publish_gap(self, _camera: str, gap: DatedGap | AudioGap) -> None:
        """Time of a camera that was not analysed."""
        if isinstance(gap, DatedGap):
            self.gaps.append(gap)
        self._wake()

    async def wait_safe(self) -> None:
        """All is safe here."""
        await trio.lowlevel.checkpoint()

    def _wake(self) -> None:
        self._more.set()
        self._more = trio.Event()

    async def wait(self, wanted: Callable[[], object], within: float = PATIENCE_S) -> None:
        """Until it is so."""
        with trio.fail_after(within):
            while not wanted():
                await self._more.wait()

    async def wait_state(self, state: str, reason: str | None = None, count: int = 1) -> CameraStatus:
        """The status that makes it so many with this state and reason, one after another not counted twice."""
        await self.wait(lambda: len(self._changes(state, reason)) >= count)
        return self._changes(state, reason)[count - 1]

    def _changes(self, state: str, reason: str | None) -> list[CameraStatus]:
        pairs = zip([None, *self.statuses], self.statuses, strict=False)
        return [
            status
            for before, status in pairs
            if (status.state, status.reason) == (state, reason)
            and (before is None or (before.state, before.reason) != (state, reason))
        ]


def a_camera(name: str = "front", **keys: Any) -> config.CameraConfig:
    """A camera as the configuration would have it."""
    values = {"source": "test:", "size": (160, 96), "fps": 10.0, "api_key": config.SecretRef(env="API_KEY")}
    return config.CameraConfig(id=name, name=name, **{**values, **keys})


def permissive_policy() -> Policy:
    """A policy that has nothing against anybody, and looks no further."""
    policy = Policy(Pauses(NOWHERE), Budgets(Meter(NOWHERE, None), None))
    policy.see(Paused())
    return policy


def a_context(url: str, published: RecordingPublisher, **changes: Any) -> CameraContext:
    """Return what cameras share, with changes."""
    context = CameraContext(
        box="lobby-1",
        server=Server(url),
        chunk_s=1.0,
        redact=frozenset(),
        slots=SessionSlots(0),
        accepted=AcceptedKeys(),
        coverage=Coverage(Path(os.devnull), published, CLOCK),
        policy=permissive_policy(),
        clock=CLOCK,
        spools=Spools(NOWHERE, CLOCK),
        publisher=published,
        heartbeats=Heartbeats(),
        program=SignalHandler(lifeline=False),
        bugs=0,
        backoff=AT_ONCE,
    )
    return context._replace(**changes)


def workers() -> set[int]:
    """The processes that this one has started and that still run."""
    return set(captures(os.getpid()))


@asynccontextmanager
async def simulated_cloud(**settings: Any) -> AsyncIterator[str]:
    """A cloud in this process, as the url of its endpoint."""
    async with trio.open_nursery() as nursery:
        address = await nursery.start(partial(serve, Settings(port=0, pace=QUICK, **settings)))
        yield f"{address.url}/v2/stream/analyze"
        nursery.cancel_scope.cancel()
