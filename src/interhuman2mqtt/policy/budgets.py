"""Budgets: how much each camera, and the box, may still stream today.

What a chunk costs is on the disk before the chunk is handed out, so that no crash makes a day longer than it is. As a
disk that is written for each chunk would not live long, it is written ahead, a slice at a time: after a crash up to
`SLICE_S` of each camera that streamed are lost to it. An orderly end writes what was really used.
"""

from collections.abc import Callable, Collection
from contextlib import suppress
from datetime import date, datetime, tzinfo
from pathlib import Path
from typing import Any, TypeVar

import structlog
import trio

from interhuman2mqtt.clock import is_unset
from interhuman2mqtt.config.units import show_duration
from interhuman2mqtt.errors import Outage, Reason
from interhuman2mqtt.events import utc_now
from interhuman2mqtt.log import Changes
from interhuman2mqtt.policy import hours
from interhuman2mqtt.policy.blocking import Blocking
from interhuman2mqtt.policy.budgetfile import BudgetFile
from interhuman2mqtt.policy.usage import BOX, Usage, nothing

SLICE_S = 30.0
"""Seconds of media that are written ahead."""
WRITE_S = 5.0
"""A disk that takes longer counts as one that cannot be written."""
RETRY_S = 5.0
WARN = 0.8
"""The part of a budget at which it is warned of."""
UNREAD = "what was streamed today was not read yet"

Result = TypeVar("Result")

log = structlog.get_logger(__name__)


class Budgets:
    """The accounts of all cameras and of the box.

    Args:
        state: The folder of the state.
        box: Seconds a day of all cameras together; None: no limit.
        zone: Whose days these are; None: the host's.
        now: The wall clock.
        blocking: How the disk is waited for.
    """

    def __init__(
        self,
        state: Path,
        box: float | None,
        zone: tzinfo | None,
        *,
        now: Callable[[], datetime] = utc_now,
        blocking: Blocking | None = None,
    ) -> None:
        self.changed: Callable[[], None] = lambda: None
        """Called when it may be that a camera may stream now, or may not any more."""
        self.warnings = 0
        """How often a budget came near its end."""
        self._file = BudgetFile(state)
        self._zone = zone
        self._now = now
        self._blocking = blocking or Blocking(WRITE_S)
        self._limits = {} if box is None else {BOX: box}
        self._usage = self._kept = nothing(self._today())
        """What was used, and what the disk says, which is more or the same."""
        self._live: set[str] = set()
        """Who streamed since it was written."""
        self._trouble: str | None = UNREAD
        self._held: Path | None = None
        """A damaged file that makes the day count as spent."""
        self._loaded = False
        self._warned: dict[str, date] = {}
        self._wanted = trio.Event()
        self._writing = trio.Lock()
        self._said = Changes(log)

    def limit(self, camera: str, per_day: float | None) -> None:
        """A camera's own budget; None: it has none, or is gone."""
        self._limits.pop(camera, None)
        if per_day is not None:
            self._limits[camera] = per_day

    def is_budgeted(self, camera: str) -> bool:
        """Whether the camera or the box has a budget."""
        return bool(self._limited(camera))

    def why(self, camera: str) -> str | None:
        """Why a camera must not stream, in a sentence; None: it may, or has no budget."""
        limited = self._limited(camera)
        if not limited:
            return None
        self._turn()
        if self._trouble:
            return f"what is streamed cannot be counted: {self._trouble}"
        if self._held:
            return f"{self._held} is damaged, so today counts as spent: it waits for tomorrow, or until that is removed"
        return next((self._spent(account) for account in limited if self._left(account) <= 0), None)

    async def charge(self, camera: str, seconds: float) -> None:
        """Count media that is about to leave, and return once the disk knows of it.

        Raises:
            Outage: it must not leave: it would be more than the budget, or cannot be counted.
        """
        self._turn()
        limited = self._limited(camera)
        # what is left and too short for a chunk is given up: else it would be tried again and again
        full = {account: self._limits[account] for account in limited if 0 < self._left(account) < seconds}
        if full:
            self._usage = self._usage.put(full)
        if why := self.why(camera):
            self.changed()
            raise Outage(Reason.OVER_BUDGET, why)
        self._usage = self._usage.add(camera, seconds)
        self._live |= {camera, BOX}
        self._warn(limited)
        await self._cover(limited)

    def told(self) -> dict[str, Any]:
        """For `bridge/health`: the seconds used and allowed today, per camera and of the box."""
        self._turn()
        cameras = {*self._limits, *self._usage.today} - {BOX}
        return {
            "day": self._usage.day.isoformat(),
            "box": self._told(BOX),
            "cameras": {camera: self._told(camera) for camera in sorted(cameras)},
            "warnings": self.warnings,
            "trouble": self._trouble,
        }

    async def open(self) -> None:
        """Read the file, where that can be done now; `run` tries it again."""
        await self._tend()

    async def run(self) -> None:
        """Keep the disk ahead, for ever."""
        while True:
            with trio.move_on_after(RETRY_S):
                await self._wanted.wait()
            self._wanted = trio.Event()
            await self._tend()
            self.changed()

    async def close(self) -> None:
        """Write what was really used; after it nothing may be charged. A failure is said, and costs a slice."""
        if self._loaded:
            with suppress(Outage):
                await self._write(0.0)

    async def _tend(self) -> None:
        """Whatever is due: read the file, look for a damaged one, write ahead, or try to, where it failed before."""
        if is_unset(self._now()):
            return  # a damaged file could not be dated
        self._turn()
        with suppress(Outage):  # it is told, and tried again
            if not self._loaded:
                self._usage = self._kept = await self._call(lambda: self._file.load(self._today()), "read")
                self._loaded = True
            self._held = await self._call(lambda: self._file.held(self._today()), "read")
            if self._trouble or not self._is_ahead(self._live & self._limits.keys(), SLICE_S / 2):
                await self._write(SLICE_S)

    async def _cover(self, accounts: Collection[str]) -> None:
        """Wait until the disk knows what these accounts have used, and see to it that it stays ahead."""
        while not self._is_ahead(accounts, 0.0):
            await self._write(SLICE_S)
        if not self._is_ahead(accounts, SLICE_S / 2):
            self._wanted.set()

    async def _write(self, ahead: float) -> None:
        """Write the counts, and for those who stream so much more; who waits while another writes need not do it too.

        Raises:
            Outage: it could not be written.
        """
        before = self._kept
        async with self._writing:
            if self._kept is not before and ahead:
                return
            live, self._live = self._live, set()
            kept = self._reserving(live, ahead)
            try:
                await self._call(lambda: self._file.save(kept), "written")
            except BaseException:
                self._live |= live
                raise
            self._kept, self._trouble = kept, None
            self._said.say("file", "written", "what is streamed is counted", level="debug")

    def _reserving(self, live: set[str], ahead: float) -> Usage:
        """What to write: ahead for those who stream, and not less than before for others; but in the end what is so."""
        before = self._kept.days.get(self._usage.day, {}) if ahead else {}
        counts = {account: max(used, before.get(account, 0.0)) for account, used in self._usage.today.items()}
        counts |= {account: self._usage.used(account) + ahead for account in live & self._limits.keys()}
        return self._usage.put(counts)

    async def _call(self, call: Callable[[], Result], done: str) -> Result:
        try:
            return await self._blocking.run(call)
        except OSError as error:
            self._trouble = f"{error.filename or self._file.path} cannot be {done}: {error.strerror}"
            level = "error" if self._limits else "debug"
            self._said.say(
                "file", self._trouble, "what is streamed cannot be counted", level=level, detail=self._trouble
            )
            self.changed()
            raise Outage(Reason.OVER_BUDGET, f"what is streamed cannot be counted: {self._trouble}") from error

    def _today(self) -> date:
        return hours.local(self._now(), self._zone).date()

    def _turn(self) -> None:
        """Go by the clock's day, unless that is plainly wrong."""
        if not is_unset(self._now()):
            self._usage = self._usage.turn(self._today())

    def _limited(self, camera: str) -> list[str]:
        return [account for account in (camera, BOX) if account in self._limits]

    def _left(self, account: str) -> float:
        return self._limits[account] - self._usage.used(account)

    def _on_disk(self, account: str) -> float:
        return self._kept.days.get(self._usage.day, {}).get(account, 0.0)

    def _is_ahead(self, accounts: Collection[str], seconds: float) -> bool:
        return all(self._on_disk(account) >= self._usage.used(account) + seconds for account in accounts)

    def _spent(self, account: str) -> str:
        whose = "the box's budget" if account == BOX else "its budget"
        limit = show_duration(self._limits[account])
        return f"{whose} of {limit} for {self._usage.day} is spent: it streams again on the next day"

    def _warn(self, accounts: Collection[str]) -> None:
        """Once a day for each account."""
        for account in accounts:
            used, limit, day = self._usage.used(account), self._limits[account], self._usage.day
            if used >= WARN * limit and self._warned.get(account) != day:
                self._warned[account] = day
                self.warnings += 1
                told = {"used": show_duration(round(used)), "per_day": show_duration(limit)}
                log.warning("budget nearly spent", of="the box" if account == BOX else account, **told)

    def _told(self, account: str) -> dict[str, Any]:
        used, limit = self._usage.used(account), self._limits.get(account)
        warned = limit is not None and used >= WARN * limit
        return {"used": round(used, 1), "per_day": limit, "warned": warned}
