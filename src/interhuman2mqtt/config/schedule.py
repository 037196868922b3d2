"""Schedules such as `Mon-Fri 08:00-18:00`: parsed, open at an instant or not, and when next.

The next opening is found on the wall's clock, through the nights in which clocks change.
"""

import re
from collections.abc import Iterable
from datetime import datetime, timedelta, tzinfo
from functools import lru_cache
from typing import NamedTuple

from interhuman2mqtt.config.problems import BadValueError, shown

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_MINUTES = 24 * 60
EXPECTED = 'must be days and hours such as "Mon-Fri 08:00-18:00" or "Sat,Sun 22:00-02:00"'

PATTERN = "[0-9]?[0-9]:[0-5][0-9] ?- ?[0-9]?[0-9]:[0-5][0-9] *$"
"""As much of an entry as a JSON Schema needs to know."""
_ENTRY = re.compile(r"(?:([A-Za-z,-]+) +)?(\d\d?):(\d\d) ?- ?(\d\d?):(\d\d)")


class Window(NamedTuple):
    """Hours of some days of the week, in local time; it may run past midnight into the next day."""

    days: frozenset[int]
    """On which it begins; 0 is Monday."""
    start: int
    """Minutes since midnight."""
    end: int
    """Minutes since midnight, 1 to 1440; at or before `start`: of the next day."""

    def covers(self, at: datetime) -> bool:
        """Return whether a local time lies within; the start does, the end does not."""
        minute, today = at.hour * 60 + at.minute, at.weekday()
        if self.start < self.end:
            return today in self.days and self.start <= minute < self.end
        yesterday = (today - 1) % 7
        return (today in self.days and minute >= self.start) or (yesterday in self.days and minute < self.end)


def covers(windows: Iterable[Window], at: datetime) -> bool:
    """Return whether any of the windows covers a local time."""
    return any(window.covers(at) for window in windows)


def parse(entry: str) -> Window:
    """One entry of `schedule`; without days it means every day. Raises BadValueError."""
    match = _ENTRY.fullmatch(entry.strip())
    if match is None:
        raise BadValueError(f"{EXPECTED}, not {shown(entry)}")
    days, start, end = _days(match[1]), _minutes(match[2], match[3]), _minutes(match[4], match[5])
    if start % DAY_MINUTES == end % DAY_MINUTES and (start, end) != (0, DAY_MINUTES):
        raise BadValueError(f'{shown(entry)} ends when it begins; a whole day is "00:00-24:00"')
    return Window(days, start % DAY_MINUTES, end or DAY_MINUTES)


def _days(text: str | None) -> frozenset[int]:
    if text is None:
        return frozenset(range(7))
    return frozenset(day for part in text.split(",") for day in _range(part))


def _range(text: str) -> list[int]:
    """Return the days of `Wed` or `Fri-Mon`, which may run past Sunday."""
    ends = [_day(name) for name in text.split("-")]
    if len(ends) > 2:
        raise BadValueError(f"{shown(text)} is no range of days; write Mon-Fri")
    length = (ends[-1] - ends[0]) % 7 + 1
    return [(ends[0] + offset) % 7 for offset in range(length)]


def _day(name: str) -> int:
    if name.lower() not in DAYS:
        raise BadValueError(f"{shown(name)} is no day; write Mon, Tue, Wed, Thu, Fri, Sat or Sun")
    return DAYS.index(name.lower())


def _minutes(hours: str, minutes: str) -> int:
    total = int(hours) * 60 + int(minutes)
    if int(minutes) > 59 or total > DAY_MINUTES:
        raise BadValueError(f"{hours}:{minutes} is no time of day; write 00:00 to 24:00")
    return total


MINUTE = timedelta(minutes=1)
AHEAD_MINUTES = 8 * 24 * 60
"""More than a week: an hour that a change of the clock leaves out comes again a week later."""
DAY_NAMES = [day.capitalize() for day in DAYS]


def local(at: datetime, zone: tzinfo | None) -> datetime:
    """Return what the wall shows at an instant; without a zone the host's."""
    return at.astimezone(zone)


def is_open(entries: tuple[str, ...], at: datetime, zone: tzinfo | None) -> bool:
    """Return whether a schedule covers an instant; an empty one always does."""
    return not entries or covers(parsed(entries), local(at, zone))


def next_open(entries: tuple[str, ...], at: datetime, zone: tzinfo | None) -> datetime | None:
    """Return the first whole minute after an instant that a schedule covers, as the wall will show it.

    An hour that comes twice counts twice, one that is left out never comes: None where there is none in eight days.
    """
    return _next_open(entries, at.replace(second=0, microsecond=0), zone)


@lru_cache(maxsize=64)
def _next_open(entries: tuple[str, ...], minute: datetime, zone: tzinfo | None) -> datetime | None:
    """Find it once a minute for all cameras of a schedule: a week of minutes takes milliseconds."""
    windows = parsed(entries)
    starts = {window.start for window in windows}
    before = local(minute, zone)
    for _ in range(AHEAD_MINUTES):
        minute += MINUTE
        wall = local(minute, zone)
        may_begin = wall.hour * 60 + wall.minute in starts or wall.utcoffset() != before.utcoffset()
        if may_begin and covers(windows, wall):
            return wall
        before = wall
    return None


def show_time(wall: datetime) -> str:
    """Return a time for people: Mon 2026-11-23 08:00."""
    return f"{DAY_NAMES[wall.weekday()]} {wall:%Y-%m-%d %H:%M}"


@lru_cache(maxsize=256)
def parsed(entries: tuple[str, ...]) -> tuple[Window, ...]:
    """Return the windows of a schedule that `check` has found good."""
    return tuple(parse(entry) for entry in entries)
