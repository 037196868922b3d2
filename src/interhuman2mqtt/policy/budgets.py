"""Budgets: how much each camera, and the box, may still stream today.

What a chunk costs is on the disk before the chunk is handed out, so that no crash makes a day longer than it is.
"""

from collections.abc import Callable
from datetime import date

import structlog

from interhuman2mqtt.config.units import show_duration
from interhuman2mqtt.errors import Outage, Reason
from interhuman2mqtt.policy.budget_store import BOX, Account, BudgetTable
from interhuman2mqtt.policy.meter import Meter

WARN = 0.8
"""The part of a budget at which it is warned of."""

log = structlog.get_logger(__name__)


class Budgets:
    """The limits of the cameras and of the box, and what is left of them.

    Args:
        meter: What was used.
        box: Seconds a day of all cameras together; None: no limit.
    """

    def __init__(self, meter: Meter, box: float | None) -> None:
        self.meter = meter
        self.warnings = 0
        """How often a budget came near its end."""
        self._limits = {} if box is None else {BOX: box}
        self._warned: dict[str, date] = {}
        self._changed = _nobody

    def on_change(self, changed: Callable[[], None]) -> None:
        """Call this whenever it may be that a camera may stream now, or may not any more."""
        self._changed = self.meter.changed = changed

    def limit(self, camera: str, per_day: float | None) -> None:
        """Return a camera's own budget; None: it has none, or is gone."""
        self._limits.pop(camera, None)
        if per_day is not None:
            self._limits[camera] = per_day

    def is_budgeted(self, camera: str) -> bool:
        """Return whether the camera or the box has a budget."""
        return bool(self._limited(camera))

    def why(self, camera: str) -> str | None:
        """Return why a camera must not stream, in a sentence; None: it may, or has no budget."""
        limited = self._limited(camera)
        if not limited:
            return None
        return self.meter.doubt or next((self._spent(account) for account in limited if self._left(account) <= 0), None)

    def has_left(self, camera: str, seconds: float) -> bool:
        """Return whether so much may be streamed today, and more than that."""
        return self.why(camera) is None and all(self._left(account) > seconds for account in self._limited(camera))

    async def charge(self, camera: str, seconds: float) -> None:
        """Count media that is about to leave, and return once the disk knows of it.

        Raises:
            Outage: it must not leave: it would be more than the budget, or cannot be counted.
        """
        limited = self._limited(camera)
        # what is left and too short for a chunk is given up: else it would be tried again and again
        full = {account: self._limits[account] for account in limited if 0 < self._left(account) < seconds}
        if full:
            self.meter.count(self.meter.usage.put(full))
        if why := self.why(camera):
            self._changed()
            raise Outage(Reason.OVER_BUDGET, why)
        self.meter.charge(camera, seconds)
        for account in limited:
            self._warn(account, self.meter.usage.day)
        await self.meter.cover(limited)

    def as_health(self) -> BudgetTable:
        """Return all budgets for `bridge/health`."""
        usage = self.meter.usage
        cameras = {*self._limits, *usage.today} - {BOX}
        return {
            "day": usage.day.isoformat(),
            "box": self._account(BOX),
            "cameras": {camera: self._account(camera) for camera in sorted(cameras)},
            "warnings": self.warnings,
            "trouble": self.meter.trouble,
        }

    def _limited(self, camera: str) -> list[str]:
        return [account for account in (camera, BOX) if account in self._limits]

    def _left(self, account: str) -> float:
        return self._limits[account] - self.meter.usage.used(account)

    def _is_near(self, account: str) -> bool:
        return account in self._limits and self.meter.usage.used(account) >= WARN * self._limits[account]

    def _spent(self, account: str) -> str:
        whose = "the box's budget" if account == BOX else "its budget"
        limit, day = show_duration(self._limits[account]), self.meter.usage.day
        return f"{whose} of {limit} for {day} is spent: it streams again on the next day"

    def _warn(self, account: str, day: date) -> None:
        """Once a day."""
        if self._is_near(account) and self._warned.get(account) != day:
            self._warned[account] = day
            self.warnings += 1
            used = show_duration(round(self.meter.usage.used(account)))
            limit = show_duration(self._limits[account])
            log.warning("budget nearly spent", of="the box" if account == BOX else account, used=used, per_day=limit)

    def _account(self, account: str) -> Account:
        used = round(self.meter.usage.used(account), 1)
        return {"used": used, "per_day": self._limits.get(account), "warned": self._is_near(account)}


def _nobody() -> None:
    """Nobody wants to know."""
