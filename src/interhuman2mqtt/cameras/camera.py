"""One camera: when it may stream, and one spell of streaming after another.

While the policy does not allow it there is nothing of it but its status: no capture process, no session, no place.

A time in which a camera may stream: its capture, its session, and where the two meet.

Two tasks, each restarted by `supervise` alone. One keeps a capture process; the other keeps a session, for as long as
there is a capture to pull from and a place among the account's sessions. A session ends with its capture; a capture
goes on without a session, its ring turning. A third waits for the end that the policy sets: a pause cuts everything
off, whatever is under way; the end of an hour or of a budget lets the session come to its own.
"""

import math
from collections.abc import Awaitable, Callable
from functools import partial

import structlog
import trio

from interhuman2mqtt import config
from interhuman2mqtt.cameras.capture_task import CaptureTask
from interhuman2mqtt.cameras.circuit_breaker import CircuitBreaker
from interhuman2mqtt.cameras.context import CameraContext, capture_of, session_of
from interhuman2mqtt.cameras.counters import Counters
from interhuman2mqtt.cameras.retry_triggers import SecretWatch, watch_plug
from interhuman2mqtt.cameras.session_task import SessionTask
from interhuman2mqtt.cameras.snapshot import SnapshotError, SnapshotImage
from interhuman2mqtt.cameras.status import StatusTracker
from interhuman2mqtt.errors import Overloaded, Reason, Refused
from interhuman2mqtt.policy.policy import Permit
from interhuman2mqtt.supervisor import BugBudget, Health, Quarantine, RetryInfo, RetryNow, keep_running

DRAIN_S = 30.0
"""How long a session may drain when the hour or the budget is over."""

log = structlog.get_logger(__name__)


class CameraRun:
    """From a verdict that allows to one that does not; nothing of it is left, the ring and the place included."""

    def __init__(
        self,
        camera: config.CameraConfig,
        shared: CameraContext,
        standing: StatusTracker,
        counters: Counters,
        bugs: BugBudget,
    ) -> None:
        self._standing = standing
        self._counters = counters
        self._capturing = CaptureTask(camera, shared, standing, counters)
        self._streaming = SessionTask(camera, shared, self._capturing, standing, counters)
        self._config, self._camera = camera, camera.id
        self._source = camera.source
        self._mended = SecretWatch(camera.password)
        self._alive = shared.alive
        self._breaker = CircuitBreaker()
        self._pauses = shared.pauses
        self._bugs = bugs
        self._scope = trio.CancelScope()
        self._over: str | None = None
        """Why it may not be seen any longer."""
        self._showing: set[trio.CancelScope] = set()

    async def run(self, permit: Permit) -> None:
        """Until the permit is withdrawn, or `stop`."""
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._end_with, permit)
                    nursery.start_soon(self._keep_capturing)
                    nursery.start_soon(watch_plug, self._source, self._capturing, self._mended)
                    await self._keep_streaming()
                    nursery.cancel_scope.cancel()
        finally:
            self._show_no_more()
            self._streaming.release()
            for stage in (capture_of(self._camera), session_of(self._camera)):
                self._alive.withdraw(stage)

    async def show(self, deliver: Callable[[SnapshotImage], Awaitable[None]]) -> SnapshotImage:
        """Hand what the camera sees now to `deliver`; the end of the permit ends that too. Raises SnapshotError."""
        worker = self._capturing.worker
        if self._over is not None or worker is None:
            raise SnapshotError(self._over or "its source is not open")
        with trio.CancelScope() as scope:
            self._showing.add(scope)
            try:
                picture = await worker.picture()
                await deliver(picture)
                return picture
            finally:
                self._showing.remove(scope)
        raise SnapshotError("it may not be seen any longer")

    def _show_no_more(self) -> None:
        for scope in self._showing:
            scope.cancel()

    async def _keep_capturing(self) -> None:
        promise = self._alive.of(capture_of(self._camera))
        run, tell, hurry = self._capturing.run, self._tell_capture, self._mended
        await keep_running(run, tell, self._bugs, self._pauses, promise=promise, hurry=hurry)

    async def _keep_streaming(self) -> None:
        run, promise = self._breaker.guard(self._streaming.run), self._alive.of(session_of(self._camera))
        hurry = SecretWatch(self._config.api_key)
        await keep_running(run, self._tell_session, self._bugs, self._pauses, promise=promise, hurry=hurry)

    def stop(self) -> bool:
        """Let `run` return once the session is drained; False where there is none to wait for."""
        return self._streaming.stop()

    async def _end_with(self, permit: Permit) -> None:
        verdict = await permit.wait_refused()
        self._over = verdict.detail or "it may not be seen"
        self._show_no_more()
        log.info("may not stream any longer", reason=verdict.reason)
        if verdict.reason is not Reason.PAUSED and self._streaming.stop():
            self._scope.deadline = trio.current_time() + DRAIN_S
            verdict = await permit.wait_paused()
        if verdict.reason is Reason.PAUSED:
            self._capturing.dismiss()
        self._scope.cancel()

    def _tell_capture(self, waiting: RetryInfo) -> None:
        self._counters.capture_failures[waiting.outage.reason] += 1
        self._standing.capture_failed(waiting.outage, waiting.failures)

    def _tell_session(self, waiting: RetryInfo) -> None:
        if isinstance(waiting.outage, Overloaded | Refused):
            self._streaming.release()  # nobody keeps a place for long that it cannot use
        self._counters.session_failures[waiting.outage.reason] += 1
        self._standing.session_failed(waiting.outage, waiting.failures)


BEGIN_S = 2.0
"""Between two times that it begins: who pauses and resumes it a hundred times a second starts no more processes."""


class Camera:
    """Captures and streams while it may, until it is stopped."""

    def __init__(self, camera: config.CameraConfig, shared: CameraContext) -> None:
        self.config = camera
        self.counters = Counters()
        self.standing = StatusTracker(camera.id, shared.publisher, shared.coverage.ledger(camera.id), shared.clock)
        self._shared = shared
        self._bugs = Quarantine(shared.bugs)
        self._scope = trio.CancelScope()
        self._spell: CameraRun | None = None
        self._stopping = False
        self._began_at = -math.inf
        self._stopped_for = Reason.STOPPED

    async def run(self) -> None:
        """Until `stop`: then the session has been drained and the capture is gone."""
        with structlog.contextvars.bound_contextvars(camera=self.config.id):
            try:
                with self._scope, Permit(self.config, self._shared.policy) as permit:
                    while not self._stopping:
                        await self._wait_allowed(permit)
                        await self._stream(permit)
            finally:
                self.standing.stopped(self._stopped_for)

    def stop(self, reason: Reason = Reason.STOPPED) -> None:
        """End the recording and drain the session, if there is one, and let `run` return."""
        self._stopped_for = reason
        self._stopping = True
        if self._spell is None or not self._spell.stop():
            self._scope.cancel()

    async def show(self, deliver: Callable[[SnapshotImage], Awaitable[None]]) -> SnapshotImage:
        """Hand what it sees now to `deliver`, as long as it may be seen. Raises SnapshotError."""
        status = self.standing.status
        if self._spell is None:
            raise SnapshotError(f"it is {status.state.value}: {status.detail or status.reason or 'it has just begun'}")
        return await self._spell.show(deliver)

    async def _wait_allowed(self, permit: Permit) -> None:
        """The first verdict is waited for: nothing begins before it.

        An end is obeyed at once; a beginning comes at least `BEGIN_S` after the one before it.
        """
        verdict = await permit.wait_other(None)
        while not (verdict.allowed and await self._rests(permit)):
            if verdict.allowed:  # and no more, once it had rested
                verdict = await permit.wait_other(None)
            else:
                self.standing.held(verdict)
                verdict = await permit.wait_other(verdict)
        self._began_at = trio.current_time()
        self.standing.begins()

    async def _rests(self, permit: Permit) -> bool:
        """Wait until it may begin again; returns False where it may not stream any more by then."""
        with trio.move_on_at(self._began_at + BEGIN_S):
            await permit.wait_refused()
            return False
        return True

    async def _stream(self, permit: Permit) -> None:
        """Stream until the permit is withdrawn, or `stop`; a bug outside of both halves is this camera's too."""
        hurry = RetryNow()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_hurry_on_refusal, permit, hurry)
            run = partial(self._one_spell, permit)
            await keep_running(run, self._tell, self._bugs, self._shared.pauses, hurry=hurry)
            nursery.cancel_scope.cancel()

    async def _one_spell(self, permit: Permit, _health: Health) -> bool:
        if self._stopping or permit.verdict is None or not permit.verdict.allowed:
            return False
        self._spell = CameraRun(self.config, self._shared, self.standing, self.counters, self._bugs)
        try:
            await self._spell.run(permit)
        finally:
            self._spell = None
        return False

    def _tell(self, waiting: RetryInfo) -> None:
        self.standing.capture_failed(waiting.outage, waiting.failures)


async def _hurry_on_refusal(permit: Permit, hurry: RetryNow) -> None:
    await permit.wait_refused()
    hurry.now()
