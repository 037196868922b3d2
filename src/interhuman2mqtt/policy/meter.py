"""The meter: what was streamed, in memory and on the disk, where it is never less.

As a disk that is written for each chunk would not live long, it is written ahead, a slice at a time: after a crash up
to SLICE_S of each account that was in use are lost to it. An orderly end writes what was really used.

What was charged lately is kept by when it was on BOOTTIME: where the wall clock is set it moves to the day that it now
was on. Else each setting of the clock would give a day once more, or take it away: a box without a battery streams on a
day of the past until NTP comes, and a clock that was a day ahead for an hour would cost tomorrow that hour, too.
"""

import time
from collections import deque
from collections.abc import Callable, Collection
from contextlib import suppress
from datetime import UTC, date, datetime, tzinfo
from pathlib import Path
from typing import TypeVar

import structlog
import trio

from interhuman2mqtt.config import schedule
from interhuman2mqtt.errors import Outage, Reason
from interhuman2mqtt.events import utc_now
from interhuman2mqtt.policy.budget_store import BOX, BudgetFile, Counts, Usage, nothing
from interhuman2mqtt.runtime.blocking import Blocking
from interhuman2mqtt.runtime.clock import is_unset
from interhuman2mqtt.runtime.log import RateLimitedLogger

# Counting after a chunk was sent would be exact as long as nothing crashes; each crash would give away what was not
# written yet, and a box that restarts every minute would stream without any limit. To write each chunk before it leaves
# is exact too, and costs an fsync every two seconds for each camera, on flash that is to last for years. So a slice is
# charged in advance: a crash costs the user up to a slice, never the limit.
DAY_S = 25 * 3600.0
"""The longest local day. What is older belongs to no present day, whatever the clock shows."""
TOGETHER_S = 60.0
"""Charges of so many seconds are one."""


class _Charges:
    """Of a minute, on one day."""

    def __init__(self, at: float, day: date) -> None:
        self.at = at
        self.day = day
        self.counts: Counts = {}


class Recent:
    """The charges of this life of the daemon, as far as they may belong to the present day."""

    def __init__(self) -> None:
        self._charges: deque[_Charges] = deque()

    def note(self, at: float, day: date, counts: Counts) -> None:
        """So much was charged at `at` (BOOTTIME), which counts for this day."""
        while self._charges and self._charges[0].at < at - DAY_S:
            self._charges.popleft()
        last = self._charges[-1] if self._charges else None
        if last is None or last.day != day or at - last.at >= TOGETHER_S:
            self._charges.append(last := _Charges(at, day))
        for account, seconds in counts.items():
            last.counts[account] = last.counts.get(account, 0.0) + seconds

    def redate(self, usage: Usage, day_of: Callable[[float], date]) -> Usage:
        """Return the usage with each charge on the day on which it was, by the clock as it is set now.

        Args:
            usage: With each on the day that it was noted for.
            day_of: The local day at a time of BOOTTIME.
        """
        for charges in self._charges:
            if (day := day_of(charges.at)) != charges.day:
                usage = usage.move(charges.counts, charges.day, day)
                charges.day = day
        return usage


SLICE_S = 30.0
"""Seconds of media that are written ahead."""
WRITE_S = 5.0
"""A disk that takes longer counts as one that cannot be written."""
RETRY_S = 5.0
SET_S = 1.0
"""By less nobody sets a clock that would matter to a day."""

Result = TypeVar("Result")

log = structlog.get_logger(__name__)


def _boottime() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Meter:
    """Counts by local day, and keeps the counts through restarts.

    Args:
        state: The folder of the state.
        zone: Whose days these are; None: the host's.
        now: The wall clock.
        boottime: Seconds since the boot, which nothing sets.
        blocking: How the disk is waited for.
    """

    def __init__(
        self,
        state: Path,
        zone: tzinfo | None,
        *,
        now: Callable[[], datetime] = utc_now,
        boottime: Callable[[], float] = _boottime,
        blocking: Blocking | None = None,
    ) -> None:
        self.changed: Callable[[], None] = lambda: None
        """Called when it may be that `doubt` is another, or the day."""
        self.trouble: str | None = "what was streamed today was not read yet"
        """Why the disk does not serve."""
        self._file = BudgetFile(state)
        self._zone = zone
        self._now = now
        self._boottime = boottime
        self._set_at = self._utc_offset_s()
        self._recent = Recent()
        self._blocking = blocking or Blocking(WRITE_S)
        self._usage = self._kept = nothing(self._today())
        """What was used, and what the disk says."""
        self._in_use: set[str] = set()
        """The accounts for which it must be written ahead."""
        self._held: Path | None = None
        """A file that could not be read, which makes the day count as spent."""
        self._loaded = False
        self._wanted = trio.Event()
        self._writing = trio.Lock()
        self._log_changes = RateLimitedLogger(log)

    @property
    def usage(self) -> Usage:
        """On the day that it is now; a clock that is plainly wrong turns no page."""
        if not is_unset(self._now()):
            self._follow_clock()
            self._usage = self._usage.turn(self._today())
        return self._usage

    @property
    def doubt(self) -> str | None:
        """Why nobody can tell how much was used, in a sentence."""
        if self.trouble:
            return f"what is streamed cannot be counted: {self.trouble}"
        if self._held:
            return (
                f"{self._held} could not be read, so today counts as spent, until tomorrow or until that is moved away"
            )
        return None

    def count(self, usage: Usage) -> None:
        """So much is used now."""
        self._usage = usage

    def charge(self, camera: str, seconds: float) -> None:
        """Charge so much more to a camera, and so to the box."""
        self._usage = self.usage.add(camera, seconds)
        self._recent.note(self._boottime(), self._usage.day, {camera: seconds, BOX: seconds})

    async def cover(self, accounts: Collection[str]) -> None:
        """Return once the disk says what these accounts have used, at least; it is kept ahead from now on.

        Raises:
            Outage: it cannot be written.
        """
        self._in_use.update(accounts)
        while not self._is_ahead(accounts, 0.0):
            await self._write(SLICE_S)
        if not self._is_ahead(accounts, SLICE_S / 2):
            self._wanted.set()

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
        """Write what was really used, and count no more. A failure is said, and costs a slice."""
        if self._loaded:
            with suppress(Outage):
                await self._write(0.0)

    async def _tend(self) -> None:
        """Whatever is due: read the file, look for a damaged one, write ahead, or try to, where it failed before."""
        if is_unset(self._now()):
            return  # a damaged file could not be dated
        with suppress(Outage):  # it is told, and tried again
            if not self._loaded:
                self._usage = self._kept = await self._call(lambda: self._file.load(self._today()), "read")
                self._loaded = True
            self._held = await self._call(lambda: self._file.held(self._today()), "read")
            if self.trouble or not self._is_ahead(self._in_use, SLICE_S / 2):
                await self._write(SLICE_S)

    async def _write(self, ahead: float) -> None:
        """Write the counts, and of those in use so much more; who waits while another writes need not do it too."""
        before = self._kept
        async with self._writing:
            if self._kept is not before and ahead:
                return
            in_use, self._in_use = self._in_use, set()
            kept = self._reserving(in_use, ahead)
            try:
                await self._call(lambda: self._file.save(kept), "written")
            except BaseException:
                self._in_use |= in_use
                raise
            self._kept, self.trouble = kept, None
            self._log_changes.emit("file", "written", "what is streamed is counted", level="debug")

    def _reserving(self, in_use: set[str], ahead: float) -> Usage:
        """Return what to write: ahead for those in use, for others not less than before; but in the end what is so."""
        usage = self.usage
        before = self._kept.days.get(usage.day, {}) if ahead else {}
        counts = {account: max(used, before.get(account, 0.0)) for account, used in usage.today.items()}
        return usage.put(counts | {account: usage.used(account) + ahead for account in in_use})

    async def _call(self, call: Callable[[], Result], done: str) -> Result:
        try:
            return await self._blocking.run(call)
        except OSError as error:
            self.trouble = f"{error.filename or self._file.path} cannot be {done}: {error.strerror}"
            self._log_changes.emit("file", self.trouble, "nothing can be counted", level="warning", detail=self.trouble)
            self.changed()
            raise Outage(Reason.OVER_BUDGET, self.doubt or self.trouble) from error

    def _follow_clock(self) -> None:
        """Move what was used lately to the day that it is by now, where the wall clock was set."""
        offset_s = self._utc_offset_s()
        if abs(offset_s - self._set_at) > SET_S:
            self._set_at = offset_s
            self._usage = self._recent.redate(self._usage, self._day_of)

    def _utc_offset_s(self) -> float:
        return self._now().timestamp() - self._boottime()

    def _day_of(self, boottime: float) -> date:
        return schedule.local(datetime.fromtimestamp(boottime + self._set_at, UTC), self._zone).date()

    def _today(self) -> date:
        return schedule.local(self._now(), self._zone).date()

    def _is_ahead(self, accounts: Collection[str], seconds: float) -> bool:
        usage = self.usage
        known = self._kept.days.get(usage.day, {})
        return all(known.get(account, 0.0) >= usage.used(account) + seconds for account in accounts)
