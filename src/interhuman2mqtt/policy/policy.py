"""The policy: looks at pauses, schedules and budgets all the time, and informs the permits when a decision changes."""

import logging
from collections.abc import Callable, Collection, Mapping
from datetime import datetime, tzinfo
from functools import partial
from math import inf
from pathlib import Path
from types import TracebackType
from typing import Self
from zoneinfo import ZoneInfo

import structlog
import trio

from interhuman2mqtt import config
from interhuman2mqtt.errors import Reason
from interhuman2mqtt.events import utc_now
from interhuman2mqtt.policy.budgets import Budgets
from interhuman2mqtt.policy.decision import Decision, DecisionContext, judge
from interhuman2mqtt.policy.meter import Meter
from interhuman2mqtt.policy.pause_wording import are, holding
from interhuman2mqtt.policy.pauses import (
    ALL,
    NOTHING,
    Outcome,
    Pause,
    Paused,
    PauseError,
    PauseOrigin,
    Pauses,
    checked,
    doubtful,
)
from interhuman2mqtt.runtime import state_dir
from interhuman2mqtt.runtime.beats import sleep_until_beat
from interhuman2mqtt.runtime.blocking import Blocking
from interhuman2mqtt.runtime.folder_watch import FolderWatch
from interhuman2mqtt.runtime.watchdog import Heartbeat

LOOK_S = 0.5
"""A pause takes effect within a second, the end of the capture included."""
UNSEEN_S = 5.0
"""Though the kernel says that nothing changed, the folders are read so often: one may have been replaced from above."""
DOUBT_S = 3.0
"""A folder that cannot be read in this time pauses all cameras."""

log = structlog.get_logger(__name__)


class Permit:
    """The permission of one camera; it counts for as long as it is entered."""

    def __init__(self, camera: config.CameraConfig, policy: "Policy") -> None:
        self.camera = camera
        self.verdict: Decision | None = None
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

    def update(self, verdict: Decision) -> None:
        """Judged anew."""
        if verdict != self.verdict:
            self.verdict = verdict
            self._news.set()
            self._news = trio.Event()

    async def wait_other(self, known: Decision | None) -> Decision:
        """Wait for another decision than the one that is known, and return it."""
        return await self._wait(lambda verdict: verdict != known)

    async def wait_refused(self) -> Decision:
        """Wait until it may stream no longer, and return why."""
        return await self._wait(lambda verdict: not verdict.allowed)

    async def wait_paused(self) -> Decision:
        """Wait until it is paused."""
        return await self._wait(lambda verdict: verdict.reason is Reason.PAUSED)

    async def _wait(self, wanted: Callable[[Decision], bool]) -> Decision:
        while self.verdict is None or not wanted(self.verdict):
            await self._news.wait()
        return self.verdict


class Policy:
    """Judges all cameras of a box.

    Args:
        pauses: Read anew within LOOK_S of a change.
        budgets: What may still be streamed today.
        zone: Of schedules; None: the host's.
        now: The wall clock.
        blocking: How the folder of the pauses is waited for.
        promise: Called with how long each look may last.
    """

    def __init__(  # noqa: PLR0913 - what it is made of, each named once
        self,
        pauses: Pauses,
        budgets: Budgets,
        zone: tzinfo | None = None,
        *,
        now: Callable[[], datetime] = utc_now,
        blocking: Blocking | None = None,
        promise: Heartbeat = lambda _seconds: None,
    ) -> None:
        self.pauses = pauses
        self.budgets = budgets
        self._zone = zone
        self._now = now
        self._blocking = blocking or Blocking(DOUBT_S)
        self._promise = promise
        self._watch = FolderWatch(pauses.folders)
        self._looked_at = -inf
        self._permits: list[Permit] = []
        self._paused: Paused | None = None
        """What the disk says; None: nobody has looked yet."""
        self._held: Mapping[str, Pause] = NOTHING
        """Pauses that are not written down, or are just being: they count all the same."""
        self._disk = trio.Lock()
        """Held through whatever reads or changes what is written: a look must not undo what it has not seen."""
        budgets.on_change(self._judge)

    async def run(self) -> None:
        """Look, for ever."""
        await self._prepare()
        await self.budgets.meter.open()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.budgets.meter.run)
            try:
                while True:
                    self._promise(LOOK_S + DOUBT_S)
                    await self._look_if_needed()
                    await sleep_until_beat(LOOK_S)
            finally:
                self._watch.close()

    async def _look_if_needed(self) -> None:
        """Look where something may have changed, or is still to be written; judge in any case, for time goes on."""
        is_known = self._paused is not None and not self._paused.doubt and not self._held
        is_recent = trio.current_time() - self._looked_at < UNSEEN_S
        if self._watch.may_have_changed() or not (is_known and is_recent):
            await self.look()
        else:
            self._judge()

    async def look(self) -> None:
        """Look now, and write down what could not be written before."""
        async with self._disk:
            self._looked_at = trio.current_time()
            written: Collection[str] = ()
            try:
                paused, written = await self._blocking.run(partial(self._tend, self._held))
            except OSError as error:
                paused = doubtful(f"{self.pauses.folder}: {error.strerror}")
            self._hold({name: pause for name, pause in self._held.items() if name not in written}, paused)

    def _tend(self, held: Mapping[str, Pause]) -> tuple[Paused, Collection[str]]:
        """Look; watched from before the look on, so that no change is missed."""
        self._watch.arm()
        return self.pauses.tend(held)

    async def pause(self, camera: str | None, origin: PauseOrigin) -> Outcome:
        """Pause a camera, or all of them: at once, whatever becomes of writing that down. Raises PauseError.

        That is only for a name that no camera can have.
        """
        name = checked(camera) or ALL
        before = self._held.get(name)
        if before is None or origin is not PauseOrigin.PAUSE_SET:
            self._hold({**self._held, name: Pause(origin, self._now())}, self._paused)
        async with self._disk:
            try:
                outcome = await self._blocking.run(partial(self.pauses.pause, camera, origin, self._held))
            except (OSError, PauseError) as error:
                return self._unwritten(name, str(error), is_news=before is None)
        await self.look()  # which finds it written, and from then on it counts for that alone
        return outcome

    def _unwritten(self, name: str, trouble: str, *, is_news: bool) -> Outcome:
        log.error("a pause is not written down: it ends with this life of the daemon", of=name, detail=trouble)
        sentence = (
            f"{are(name)} paused, for as long as this daemon lives, and written down once that can be done: {trouble}"
        )
        known = self._known()
        in_force = (ALL,) if known.doubt else tuple(sorted(known.pauses, key=lambda other: (other != ALL, other)))
        return Outcome((name,) if is_news else (), in_force, f"{sentence}; {holding(in_force)}")

    async def resume(self, camera: str | None, *, only_level: bool = False) -> Outcome:
        """Lift every pause of a camera, or all; `only_level`: only what `pause/set` made. Raises PauseError."""
        async with self._disk:
            try:
                if camera is not None and only_level:
                    outcome = await self._blocking.run(partial(self.pauses.resume_level, camera, self._held))
                else:
                    outcome = await self._blocking.run(partial(self.pauses.resume, camera, self._held))
            except OSError as error:
                raise PauseError(f"whether it is resumed is not known: {error.strerror}", permission=False) from error
            held = {name: pause for name, pause in self._held.items() if name not in outcome.changed}
            self._hold(held, self._paused)
        await self.look()
        return outcome

    def _hold(self, held: Mapping[str, Pause], paused: Paused | None) -> None:
        """Take over pauses that are not written down, and those that are; log and judge where that changes anything."""
        self._held = held
        if paused is None:
            return
        before, now = self._known(), Paused({**held, **paused.pauses}, paused.doubt)
        self._paused = paused
        if now != before:
            level = logging.ERROR if now.doubt else logging.INFO
            log.log(level, "pauses", of=sorted(now.pauses), doubt=now.doubt)
        self._judge()

    def _known(self) -> Paused:
        """Return what holds, as far as it is known."""
        paused = self._paused or Paused()
        return Paused({**self._held, **paused.pauses}, paused.doubt)

    def see(self, paused: Paused) -> None:
        """Read what the folder says now."""
        self._hold(self._held, paused)

    async def close(self) -> None:
        """Write what the cameras have used, which are gone."""
        await self.budgets.meter.close()

    def enter(self, permit: Permit) -> None:
        """Keep a permit informed from now on."""
        self.budgets.limit(permit.camera.id, permit.camera.budget.per_day if permit.camera.budget else None)
        self._permits.append(permit)
        self._judge()

    def leave(self, permit: Permit) -> None:
        """Let go of a permit, whose camera is over."""
        self._permits.remove(permit)
        self.budgets.limit(permit.camera.id, None)

    async def _prepare(self) -> None:
        try:
            await self._blocking.run(self.pauses.prepare)
            is_doubtful = await self._blocking.run(self.pauses.is_doubtful)
        except OSError as error:
            log.warning("the folder of the pauses was not made", detail=f"{self.pauses.folder}: {error.strerror}")
        else:
            self._held = {**self._held, **({ALL: Pause(PauseOrigin.DOUBT)} if is_doubtful else {})}

    def _judge(self) -> None:
        if self._paused is None:
            return  # nobody has looked yet
        moment = DecisionContext(self._now(), self._known(), self._zone)
        for permit in self._permits:
            camera = permit.camera.id
            budgeted, unpaid = self.budgets.is_budgeted(camera), self.budgets.why(camera)
            permit.update(judge(permit.camera, moment, budgeted=budgeted, unpaid=unpaid))


def for_box(box: config.Box, state: Path, promise: Heartbeat) -> Policy:
    """Return the policy of a box that keeps its state in this directory."""
    zone = ZoneInfo(box.timezone) if box.timezone else None
    per_day = box.budget.per_day if box.budget else None
    pauses = Pauses(state, state_dir.find_runtime(state))
    return Policy(pauses, Budgets(Meter(state, zone), per_day), zone, promise=promise)
