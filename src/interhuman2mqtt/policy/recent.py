"""What was charged lately, by when on BOOTTIME: where the wall clock is set it moves to the day that it now was on.

Else each setting of the clock would give a day once more, or take it away: a box without a battery streams on a day of
the past until NTP comes, and a clock that was a day ahead for an hour would cost tomorrow that hour, too.
"""

from collections import deque
from collections.abc import Callable
from datetime import date

from interhuman2mqtt.policy.usage import Counts, Usage

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
