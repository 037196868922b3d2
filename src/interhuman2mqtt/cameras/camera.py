"""One camera: when it may stream, and one spell of streaming after another.

While the policy does not allow it there is nothing of it but its status: no capture process, no session, no place.
"""

import math
from collections.abc import Awaitable, Callable
from functools import partial

import structlog
import trio

from interhuman2mqtt import config
from interhuman2mqtt.cameras.counters import Counters
from interhuman2mqtt.cameras.picture import NoPicture, Picture
from interhuman2mqtt.cameras.shared import Shared
from interhuman2mqtt.cameras.spell import Spell
from interhuman2mqtt.cameras.standing import Standing
from interhuman2mqtt.errors import Reason
from interhuman2mqtt.policy.policy import Permit
from interhuman2mqtt.supervise import Health, Hurry, Quarantine, Waiting, keep_running

BEGIN_S = 2.0
"""Between two times that it begins: who pauses and resumes it a hundred times a second starts no more processes."""


class Camera:
    """Captures and streams while it may, until it is stopped."""

    def __init__(self, camera: config.Camera, shared: Shared) -> None:
        self.config = camera
        self.counters = Counters()
        self.standing = Standing(camera.id, shared.publish_status, shared.coverage.ledger(camera.id), shared.clock)
        self._shared = shared
        self._bugs = Quarantine(shared.bugs)
        self._scope = trio.CancelScope()
        self._spell: Spell | None = None
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

    async def show(self, deliver: Callable[[Picture], Awaitable[None]]) -> Picture:
        """Hand what it sees now to `deliver`, as long as it may be seen. Raises NoPicture."""
        status = self.standing.status
        if self._spell is None:
            raise NoPicture(f"it is {status.state.value}: {status.detail or status.reason or 'it has just begun'}")
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
        hurry = Hurry()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_hurry_on_refusal, permit, hurry)
            run = partial(self._one_spell, permit)
            await keep_running(run, self._tell, self._bugs, self._shared.pauses, hurry=hurry)
            nursery.cancel_scope.cancel()

    async def _one_spell(self, permit: Permit, _health: Health) -> bool:
        if self._stopping or permit.verdict is None or not permit.verdict.allowed:
            return False
        self._spell = Spell(self.config, self._shared, self.standing, self.counters, self._bugs)
        try:
            await self._spell.run(permit)
        finally:
            self._spell = None
        return False

    def _tell(self, waiting: Waiting) -> None:
        self.standing.capture_failed(waiting.outage, waiting.failures)


async def _hurry_on_refusal(permit: Permit, hurry: Hurry) -> None:
    await permit.wait_refused()
    hurry.now()
