"""Who may stream now: looked at all the time, and told to whom it concerns when it changes."""

import logging
from collections.abc import Callable
from datetime import datetime, tzinfo
from pathlib import Path
from types import TracebackType
from typing import Self
from zoneinfo import ZoneInfo

import structlog
import trio

from interhuman2mqtt import config
from interhuman2mqtt.alive import Promise
from interhuman2mqtt.errors import Reason
from interhuman2mqtt.events import utc_now
from interhuman2mqtt.policy.blocking import Blocking
from interhuman2mqtt.policy.budgets import Budgets
from interhuman2mqtt.policy.meter import Meter
from interhuman2mqtt.policy.pauses import Paused, Pauses, doubtful
from interhuman2mqtt.policy.verdict import Moment, Verdict, judge

LOOK_S = 0.5
"""A pause takes effect within a second, the end of the capture included."""
DOUBT_S = 3.0
"""A folder that cannot be read in this time pauses all cameras."""

log = structlog.get_logger(__name__)


class Permit:
    """What one camera is told; it counts for as long as it is entered."""

    def __init__(self, camera: config.Camera, policy: "Policy") -> None:
        self.camera = camera
        self.verdict: Verdict | None = None
        """The latest; None: nobody knows yet, so it must not stream."""
        self._policy = policy
        self._news = trio.Event()

    def __enter__(self) -> Self:
        self._policy.enter(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._policy.leave(self)

    def tell(self, verdict: Verdict) -> None:
        """Judged anew."""
        if verdict != self.verdict:
            self.verdict = verdict
            self._news.set()
            self._news = trio.Event()

    async def wait_other(self, known: Verdict | None) -> Verdict:
        """The verdict, as soon as it is another than the one that is known."""
        return await self._wait(lambda verdict: verdict != known)

    async def wait_refused(self) -> Verdict:
        """As soon as it may stream no longer, and why."""
        return await self._wait(lambda verdict: not verdict.allowed)

    async def wait_paused(self) -> Verdict:
        """As soon as it is paused."""
        return await self._wait(lambda verdict: verdict.reason is Reason.PAUSED)

    async def _wait(self, wanted: Callable[[Verdict], bool]) -> Verdict:
        while self.verdict is None or not wanted(self.verdict):
            await self._news.wait()
        return self.verdict


class Policy:
    """Judges all cameras of a box.

    Args:
        pauses: Read anew every LOOK_S.
        budgets: What may still be streamed today.
        zone: Of schedules; None: the host's.
        now: The wall clock.
        blocking: How the folder of the pauses is waited for.
        promise: Told how long each look may last.
    """

    def __init__(  # noqa: PLR0913 - what it is made of, each named once
        self,
        pauses: Pauses,
        budgets: Budgets,
        zone: tzinfo | None = None,
        *,
        now: Callable[[], datetime] = utc_now,
        blocking: Blocking | None = None,
        promise: Promise = lambda _seconds: None,
    ) -> None:
        self.pauses = pauses
        self.budgets = budgets
        self._zone = zone
        self._now = now
        self._blocking = blocking or Blocking(DOUBT_S)
        self._promise = promise
        self._permits: list[Permit] = []
        self._paused: Paused | None = None
        budgets.tell(self._judge)

    async def run(self) -> None:
        """Look, for ever."""
        await self._prepare()
        await self.budgets.meter.open()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.budgets.meter.run)
            while True:
                self._promise(LOOK_S + DOUBT_S)
                await self.look()
                await trio.sleep(LOOK_S)

    async def look(self) -> None:
        """Look now: who has just paused or resumed a camera need not wait for the next time."""
        try:
            paused = await self._blocking.run(self.pauses.read)
        except OSError as error:
            paused = doubtful(f"{self.pauses.folder}: {error.strerror}")
        self.see(paused)

    def see(self, paused: Paused) -> None:
        """What the folder says now."""
        if paused != (self._paused or Paused()):
            level = logging.ERROR if paused.doubt else logging.INFO
            log.log(level, "pauses", of=sorted(paused.pauses), doubt=paused.doubt)
        self._paused = paused
        self._judge()

    async def close(self) -> None:
        """The cameras are gone: write what they have used."""
        await self.budgets.meter.close()

    def enter(self, permit: Permit) -> None:
        """From now on it is told."""
        self.budgets.limit(permit.camera.id, permit.camera.budget.per_day if permit.camera.budget else None)
        self._permits.append(permit)
        self._judge()

    def leave(self, permit: Permit) -> None:
        """Its camera is over."""
        self._permits.remove(permit)
        self.budgets.limit(permit.camera.id, None)

    async def _prepare(self) -> None:
        try:
            await self._blocking.run(self.pauses.prepare)
        except OSError as error:
            log.warning("the folder of the pauses was not made", detail=f"{self.pauses.folder}: {error.strerror}")

    def _judge(self) -> None:
        if self._paused is None:
            return  # nobody has looked yet
        moment = Moment(self._now(), self._paused, self._zone)
        for permit in self._permits:
            camera = permit.camera.id
            budgeted, unpaid = self.budgets.is_budgeted(camera), self.budgets.why(camera)
            permit.tell(judge(permit.camera, moment, budgeted=budgeted, unpaid=unpaid))


def for_box(box: config.Box, state: Path, promise: Promise) -> Policy:
    """The policy of a box that keeps its state in this folder."""
    zone = ZoneInfo(box.timezone) if box.timezone else None
    per_day = box.budget.per_day if box.budget else None
    return Policy(Pauses(state), Budgets(Meter(state, zone), per_day), zone, promise=promise)
