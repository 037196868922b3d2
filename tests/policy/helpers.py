"""Policies whose clock and disk a test holds in its hands."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import trio

from interhuman2mqtt.policy.budgets import Budgets
from interhuman2mqtt.policy.meter import Meter
from interhuman2mqtt.runtime.blocking import Blocking

Result = TypeVar("Result")
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
"""A Tuesday."""


class InlineBlocking(Blocking):
    """Makes the call where it stands: a mock clock does not see threads. It may be told to fail."""

    def __init__(self) -> None:
        super().__init__(0)
        self.calls = 0
        self.error: OSError | None = None

    async def run(self, call: Callable[[], Result]) -> Result:
        """What the call returns."""
        await trio.lowlevel.checkpoint()
        self.calls += 1
        if self.error is not None:
            raise self.error
        return call()


class Wall:
    """A clock on the wall that can be set, and the time since the boot, which cannot."""

    def __init__(self, at: datetime = NOON) -> None:
        self.at = at
        self.boottime = 0.0

    def __call__(self) -> datetime:
        return self.at

    def turn(self, **by: float) -> None:
        """So much time passes."""
        self.set(**by)
        self.boottime += timedelta(**by).total_seconds()

    def set(self, **by: float) -> None:
        """Set it on, or back."""
        self.at += timedelta(**by)


async def opened(state: Path, wall: Wall, disk: Blocking, box: float | None = None, **limits: float) -> Budgets:
    """Budgets that have read their file."""
    budgets = Budgets(Meter(state, UTC, now=wall, boottime=lambda: wall.boottime, blocking=disk), box)
    for camera, per_day in limits.items():
        budgets.limit(camera, per_day)
    await budgets.meter.open()
    return budgets
