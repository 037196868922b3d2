"""The hours of a schedule on the clock of the wall: when they come next, through the nights in which clocks change."""

from datetime import datetime, timedelta, tzinfo
from functools import lru_cache

from interhuman2mqtt.config import schedule
from interhuman2mqtt.config.schedule import Window

MINUTE = timedelta(minutes=1)
AHEAD_MINUTES = 8 * 24 * 60
"""More than a week: an hour that a change of the clock leaves out comes again a week later."""
DAYS = [day.capitalize() for day in schedule.DAYS]


def local(at: datetime, zone: tzinfo | None) -> datetime:
    """What the wall shows at an instant; without a zone the host's."""
    return at.astimezone(zone)


def is_open(entries: tuple[str, ...], at: datetime, zone: tzinfo | None) -> bool:
    """Whether a schedule covers an instant; an empty one always does."""
    return not entries or schedule.covers(parsed(entries), local(at, zone))


def next_open(entries: tuple[str, ...], at: datetime, zone: tzinfo | None) -> datetime | None:
    """The first whole minute after an instant that a schedule covers, as the wall will show it.

    An hour that comes twice counts twice, one that is left out never comes: None where there is none in eight days.
    """
    return _next_open(entries, at.replace(second=0, microsecond=0), zone)


@lru_cache(maxsize=64)
def _next_open(entries: tuple[str, ...], minute: datetime, zone: tzinfo | None) -> datetime | None:
    """The same, once a minute for all cameras of a schedule: a week of minutes takes milliseconds."""
    windows = parsed(entries)
    starts = {window.start for window in windows}
    before = local(minute, zone)
    for _ in range(AHEAD_MINUTES):
        minute += MINUTE
        wall = local(minute, zone)
        may_begin = wall.hour * 60 + wall.minute in starts or wall.utcoffset() != before.utcoffset()
        if may_begin and schedule.covers(windows, wall):
            return wall
        before = wall
    return None


def told(wall: datetime) -> str:
    """A time for people: Mon 2026-11-23 08:00."""
    return f"{DAYS[wall.weekday()]} {wall:%Y-%m-%d %H:%M}"


@lru_cache(maxsize=256)
def parsed(entries: tuple[str, ...]) -> tuple[Window, ...]:
    """The windows of a schedule that `check` has found good."""
    return tuple(schedule.parse(entry) for entry in entries)
