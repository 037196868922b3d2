"""One camera: when it may stream, and one run of streaming after another.

While the policy does not allow it there is nothing of it but its status: no capture process, no session, no slot. A run
is a time in which it may stream, with two tasks that the supervisor restarts each by itself. One keeps a capture
process; the other keeps a session, for as long as there is a capture to pull from and a slot among the account's
sessions. A session ends with its capture; a capture goes on without a session, its ring turning. A third task waits for
the end that the policy sets: a pause cuts everything off, whatever is under way; the end of an hour or of a budget lets
the session come to its own.
"""

import math
from collections.abc import Awaitable, Callable
from functools import partial

import structlog
import trio

from interhuman2mqtt import config
from interhuman2mqtt.cameras.backfill_task import BackfillTask
from interhuman2mqtt.cameras.capture_task import CaptureTask, opened_source
from interhuman2mqtt.cameras.context import CameraContext, capture_of, session_of
from interhuman2mqtt.cameras.counters import Counters
from interhuman2mqtt.cameras.retry_triggers import SecretWatch, watch_plug
from interhuman2mqtt.cameras.session_failures import CircuitBreaker
from interhuman2mqtt.cameras.session_task import SessionTask
from interhuman2mqtt.cameras.snapshot import SnapshotError, SnapshotImage
from interhuman2mqtt.cameras.status import StatusTracker
from interhuman2mqtt.errors import Overloaded, Reason, Refused
from interhuman2mqtt.policy.policy import Permit
from interhuman2mqtt.supervisor import BugBudget, Health, Quarantine, RetryInfo, RetryNow, keep_running

DRAIN_S = 30.0
"""How long a session may drain when the hour or the budget is over."""
BEGIN_S = 2.0
"""Between two beginnings of a run: who pauses and resumes it a hundred times a second starts no more processes."""

Run = Callable[[Health], Awaitable[bool]]
log = structlog.get_logger(__name__)


class CameraRun:
    """From a decision that allows to one that does not; nothing of it is left, the ring and the slot included."""

    def __init__(
        self,
        camera: config.CameraConfig,
        context: CameraContext,
        status: StatusTracker,
        counters: Counters,
        bugs: BugBudget,
    ) -> None:
        self._camera = camera
        self._context = context
        self._status = status
        self._counters = counters
        self._bugs = bugs
        self._capture = CaptureTask(camera, context, status, counters)
        self._session = SessionTask(camera, context, self._capture, status, counters)
        self._breaker = CircuitBreaker()
        self._scope = trio.CancelScope()
        self._ended_for: str | None = None
        """Why it may not be seen any longer."""
        self._snapshots: set[trio.CancelScope] = set()

    async def run(self, permit: Permit) -> None:
        """Run until the permit is withdrawn, or `stop`."""
        capture, session = capture_of(self._camera.id), session_of(self._camera.id)
        password_watch = SecretWatch(self._camera.password)
        try:
            with self._scope, self._capture.listen():
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._end_with, permit)
                    nursery.start_soon(self._keep, capture, self._capture.run, self._on_capture_retry, password_watch)
                    nursery.start_soon(watch_plug, opened_source(self._camera), self._capture, password_watch)
                    guarded = self._breaker.guard(self._session.run)
                    await self._keep(session, guarded, self._on_session_retry, SecretWatch(self._camera.api_key))
                    nursery.cancel_scope.cancel()
        finally:
            self._cancel_snapshots()
            self._session.release()
            for stage in (capture, session):
                self._context.heartbeats.withdraw(stage)

    async def take_snapshot(self, deliver: Callable[[SnapshotImage], Awaitable[None]]) -> SnapshotImage:
        """Hand what the camera sees now to `deliver`; the end of the permit ends that too. Raise SnapshotError."""
        worker = self._capture.worker
        if self._ended_for is not None or worker is None:
            raise SnapshotError(self._ended_for or "its source is not open")
        with trio.CancelScope() as scope:
            self._snapshots.add(scope)
            try:
                snapshot = await worker.snapshot()
                await deliver(snapshot)
                return snapshot
            finally:
                self._snapshots.remove(scope)
        raise SnapshotError("it may not be seen any longer")

    def stop(self) -> bool:
        """Let `run` return once the session is drained; return False where there is none to wait for."""
        return self._session.stop()

    def _cancel_snapshots(self) -> None:
        for scope in self._snapshots:
            scope.cancel()

    async def _keep(self, stage: str, run: Run, on_retry: Callable[[RetryInfo], None], retry_now: RetryNow) -> None:
        context = self._context
        heartbeat = context.heartbeats.of(stage)
        await keep_running(run, on_retry, self._bugs, context.backoff, heartbeat=heartbeat, retry_now=retry_now)

    async def _end_with(self, permit: Permit) -> None:
        """End with the permit: at once where somebody paused the camera, whoever waits for whatever."""
        # A pause is about people who do not want to be seen, so what waits in the ring or on the way goes with it. An
        # hour or a budget that is over is about cost: the last events are worth some seconds of draining.
        decision = await permit.wait_refused()
        self._ended_for = decision.detail or "it may not be seen"
        self._cancel_snapshots()
        log.info("may not stream any longer", reason=decision.reason)
        if decision.reason is not Reason.PAUSED and self._session.stop():
            self._scope.deadline = trio.current_time() + DRAIN_S
            decision = await permit.wait_paused()
        if decision.reason is Reason.PAUSED:
            self._capture.dismiss()
        self._scope.cancel()

    def _on_capture_retry(self, retry: RetryInfo) -> None:
        self._counters.capture_failures[retry.outage.reason] += 1
        self._status.set_capture_failed(retry.outage, retry.failures)

    def _on_session_retry(self, retry: RetryInfo) -> None:
        if isinstance(retry.outage, Overloaded | Refused):
            self._session.release()  # nobody keeps a slot for long that it cannot use
        self._counters.session_failures[retry.outage.reason] += 1
        self._status.set_session_failed(retry.outage, retry.failures)


class Camera:
    """Captures and streams while it may, until it is stopped."""

    def __init__(self, camera: config.CameraConfig, context: CameraContext) -> None:
        self.config = camera
        self.counters = Counters()
        self.status = StatusTracker(camera.id, context.publisher, context.coverage.tracker(camera.id), context.clock)
        self._context = context
        self._bugs = Quarantine(context.bugs)
        self._scope = trio.CancelScope()
        self._current: CameraRun | None = None
        self._stopping = False
        self._began_at = -math.inf
        self._stopped_for = Reason.STOPPED

    async def run(self) -> None:
        """Run until `stop`: then the session has been drained and the capture is gone."""
        with structlog.contextvars.bound_contextvars(camera=self.config.id):
            try:
                with self._scope, Permit(self.config, self._context.policy) as permit:
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(self._fill, permit)
                        while not self._stopping:
                            await self._wait_allowed(permit)
                            await self._stream(permit)
                        nursery.cancel_scope.cancel()
            finally:
                self.status.set_stopped(self._stopped_for)

    def stop(self, reason: Reason = Reason.STOPPED) -> None:
        """End the recording and drain the session, if there is one, and let `run` return."""
        self._stopped_for = reason
        self._stopping = True
        if self._current is None or not self._current.stop():
            self._scope.cancel()

    async def take_snapshot(self, deliver: Callable[[SnapshotImage], Awaitable[None]]) -> SnapshotImage:
        """Hand what it sees now to `deliver`, as long as it may be seen. Raise SnapshotError."""
        status = self.status.current
        if self._current is None:
            raise SnapshotError(f"it is {status.state.value}: {status.detail or status.reason or 'it has just begun'}")
        return await self._current.take_snapshot(deliver)

    async def _fill(self, permit: Permit) -> None:
        """Upload what outages of the cloud left, if it is to be."""
        if self.config.backfill is not None:
            task = BackfillTask(
                self.config,
                self._context,
                permit=permit,
                status=self.status,
                counters=self.counters,
            )
            await task.run()

    async def _wait_allowed(self, permit: Permit) -> None:
        """Wait for the first decision, before which nothing begins, and then until one allows to stream.

        An end comes at once; a beginning comes at least `BEGIN_S` after the one before it.
        """
        decision = await permit.wait_other(None)
        while not (decision.allowed and await self._wait_begin(permit)):
            if decision.allowed:  # and no more, once it had waited
                decision = await permit.wait_other(None)
            else:
                self.status.set_not_allowed(decision)
                decision = await permit.wait_other(decision)
        self._began_at = trio.current_time()
        self.status.set_starting()

    async def _wait_begin(self, permit: Permit) -> bool:
        """Wait until it may begin again; return False where it may not stream any more by then."""
        with trio.move_on_at(self._began_at + BEGIN_S):
            await permit.wait_refused()
            return False
        return True

    async def _stream(self, permit: Permit) -> None:
        """Stream until the permit is withdrawn, or `stop`; a bug outside of both halves is this camera's too."""
        retry_now = RetryNow()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_trigger_on_refusal, permit, retry_now)
            run = partial(self._run_once, permit)
            await keep_running(run, self._on_retry, self._bugs, self._context.backoff, retry_now=retry_now)
            nursery.cancel_scope.cancel()

    async def _run_once(self, permit: Permit, _health: Health) -> bool:
        if self._stopping or permit.verdict is None or not permit.verdict.allowed:
            return False
        self._current = CameraRun(self.config, self._context, self.status, self.counters, self._bugs)
        try:
            await self._current.run(permit)
        finally:
            self._current = None
        return False

    def _on_retry(self, retry: RetryInfo) -> None:
        self.status.set_capture_failed(retry.outage, retry.failures)


async def _trigger_on_refusal(permit: Permit, retry_now: RetryNow) -> None:
    await permit.wait_refused()
    retry_now.trigger()
