"""Days by hours: the share of the analysed time in which people were engaged. Pure."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta, tzinfo
from typing import NamedTuple

from interhuman2mqtt.web.timeline import GAP, NOT_KNOWN, Stretch, share

HOUR_S = 3600.0
ENGAGED = "engaged"


class Hour(NamedTuple):
    """One hour of one day, over one or more cameras."""

    analysed: float
    """Seconds that were analysed, of `cameras` hours."""
    engaged: float
    """Seconds of those in which people were engaged."""
    cameras: int


def hours_of(day: date, zone: tzinfo | None) -> list[tuple[int, float, float]]:
    """Return the hours of a day on the wall's clock: number, beginning and end in seconds of UTC.

    A day has 23 or 25 hours where the clocks change: one number is left out, or comes twice.
    """
    start, end = _midnight(day, zone), _midnight(day + timedelta(days=1), zone)
    found: list[tuple[int, float, float]] = []
    at = start
    while at < end:
        found.append((datetime.fromtimestamp(at, zone).hour, at, min(at + HOUR_S, end)))
        at += HOUR_S
    return found


def _midnight(day: date, zone: tzinfo | None) -> float:
    midnight = datetime(day.year, day.month, day.day, tzinfo=zone)
    return (midnight if zone is not None else midnight.astimezone()).timestamp()


def add(hour: Hour | None, lane: Sequence[Stretch], span: tuple[float, float]) -> Hour:
    """Return an hour with one more camera in it, whose lane of engagement is given."""
    missing = share(lane, span, (GAP, NOT_KNOWN))
    analysed = (span[1] - span[0]) - missing
    before = hour or Hour(0.0, 0.0, 0)
    return Hour(before.analysed + analysed, before.engaged + share(lane, span, (ENGAGED,)), before.cameras + 1)


def hour_json(hour: Hour | None) -> list[float | None] | None:
    """Return [share that was analysed, share of that in which people were engaged or None]; None where nothing was."""
    if hour is None or hour.analysed <= 0:
        return None
    return [round(hour.analysed / (hour.cameras * HOUR_S), 4), round(hour.engaged / hour.analysed, 4)]
