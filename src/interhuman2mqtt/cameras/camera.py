"""One camera: its capture, its session, and where the two meet.

Two tasks, each restarted by `supervise` alone. One keeps a capture process; the other keeps a session, for as long as
there is a capture to pull from and a place among the account's sessions. A session ends with its capture; a capture
goes on without a session, its ring turning.
"""

import structlog
import trio

from interhuman2mqtt import config
from interhuman2mqtt.cameras.breaker import Breaker
from interhuman2mqtt.cameras.capturing import Capturing
from interhuman2mqtt.cameras.shared import Counters, Shared, capture_of, session_of
from interhuman2mqtt.cameras.standing import Standing
from interhuman2mqtt.cameras.streaming import Streaming
from interhuman2mqtt.errors import Reason
from interhuman2mqtt.supervise import BugBudget, Waiting, keep_running


class Camera:
    """Captures and streams until it is stopped."""

    def __init__(self, camera: config.Camera, shared: Shared) -> None:
        self.config = camera
        self.counters = Counters()
        self.standing = Standing(camera.id, shared.publish_status, shared.coverage.ledger(camera.id))
        self._capturing = Capturing(camera, shared, self.standing, self.counters)
        self._streaming = Streaming(camera, shared, self._capturing, self.standing, self.counters)
        self._pauses = shared.pauses
        self._alive = shared.alive
        self._bugs = BugBudget(shared.bugs)
        self._breaker = Breaker()
        self._scope = trio.CancelScope()
        self._stopped_for = Reason.STOPPED

    async def run(self) -> None:
        """Until `stop`: then the session has been drained and the capture is gone."""
        with structlog.contextvars.bound_contextvars(camera=self.config.id):
            try:
                with self._scope:
                    await self._capture_and_stream()
            finally:
                self._streaming.release()
                self._alive.withdraw(session_of(self.config.id))
                self._alive.withdraw(capture_of(self.config.id))
                self.standing.stopped(self._stopped_for)

    async def _capture_and_stream(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._keep_capturing)
            await keep_running(
                self._breaker.guard(self._streaming.run),
                self._tell_session,
                self._bugs,
                self._pauses,
                promise=self._alive.of(session_of(self.config.id)),
            )
            nursery.cancel_scope.cancel()

    async def _keep_capturing(self) -> None:
        promise = self._alive.of(capture_of(self.config.id))
        await keep_running(self._capturing.run, self._tell_capture, self._bugs, self._pauses, promise=promise)

    def stop(self, reason: Reason = Reason.STOPPED) -> None:
        """End the recording and drain the session, if there is one, and let `run` return."""
        self._stopped_for = reason
        if not self._streaming.stop():
            self._scope.cancel()

    def _tell_capture(self, waiting: Waiting) -> None:
        self.standing.capture_failed(waiting.outage, waiting.failures)

    def _tell_session(self, waiting: Waiting) -> None:
        self.standing.session_failed(waiting.outage, waiting.failures)
