"""Days by hours: the share of the analysed time in which people were engaged. Pure."""

from bisect import bisect_right
from collections.abc import Sequence
from datetime import date, datetime, timedelta, tzinfo
from typing import NamedTuple

from interhuman2mqtt.web.timeline import NOT_KNOWN, SILENT, Span, Stretch

HOUR_S = 3600.0
ENGAGED = "engaged"


class HourOfDay(NamedTuple):
    """An hour on the wall's clock: which day of those that are shown, its number, from and to in seconds of UTC."""

    day: int
    number: int
    start: float
    end: float


class Fortnight:
    """Sums of the hours of some days, over any number of cameras.

    Args:
        days: One after the other.
        zone: Of the wall's clock; None: this machine's.
    """

    # One pass over each lane, with an hour looked up for each stretch: a fleet has millions of them in a fortnight, and
    # to ask of each hour what is in it would go over all of them 336 times.
    def __init__(self, days: Sequence[date], zone: tzinfo | None) -> None:
        self._days = days
        self._hours = [hour for index, day in enumerate(days) for hour in hours_of(index, day, zone)]
        self._starts = [hour.start for hour in self._hours]
        self._analysed = [0.0] * len(self._hours)
        self._engaged = [0.0] * len(self._hours)
        self._cameras = 0

    @property
    def span(self) -> Span:
        """From the beginning of the first day to the end of the last."""
        return self._hours[0].start, self._hours[-1].end

    def add(self, lane: Sequence[Stretch]) -> None:
        """Add a camera, by its lane of engagement; one of which nothing is known was removed before."""
        self._cameras += any(stretch.kind != NOT_KNOWN for stretch in lane)
        for stretch in lane:
            if stretch.kind in SILENT:
                continue
            index = max(0, bisect_right(self._starts, stretch.start) - 1)
            while index < len(self._hours) and self._hours[index].start < stretch.end:
                hour = self._hours[index]
                seconds = max(0.0, min(stretch.end, hour.end) - max(stretch.start, hour.start))
                self._analysed[index] += seconds
                self._engaged[index] += seconds if stretch.kind == ENGAGED else 0.0
                index += 1

    def rows(self) -> list[list[list[float] | None]]:
        """Return for each day 24 times the share that was analysed, and the share of that in which people were engaged.

        None where nothing was analysed, and where the day has no such hour because the clocks change.
        """
        sums: dict[tuple[int, int], tuple[float, float, float]] = {}
        for hour, analysed, engaged in zip(self._hours, self._analysed, self._engaged, strict=True):
            before = sums.get((hour.day, hour.number), (0.0, 0.0, 0.0))
            added = (hour.end - hour.start, analysed, engaged)
            sums[hour.day, hour.number] = (before[0] + added[0], before[1] + added[1], before[2] + added[2])
        return [[self._shares(sums.get((day, number))) for number in range(24)] for day in range(len(self._days))]

    def _shares(self, sums: tuple[float, float, float] | None) -> list[float] | None:
        if sums is None or sums[1] <= 0:
            return None
        seconds, analysed, engaged = sums
        return [round(analysed / (self._cameras * seconds), 4), round(engaged / analysed, 4)]


def hours_of(index: int, day: date, zone: tzinfo | None) -> list[HourOfDay]:
    """Return the hours of a day on the wall's clock.

    A day has 23 or 25 hours where the clocks change: one number is left out, or comes twice.
    """
    start, end = _midnight(day, zone), _midnight(day + timedelta(days=1), zone)
    found: list[HourOfDay] = []
    at = start
    while at < end:
        found.append(HourOfDay(index, datetime.fromtimestamp(at, zone).hour, at, min(at + HOUR_S, end)))
        at += HOUR_S
    return found


def _midnight(day: date, zone: tzinfo | None) -> float:
    midnight = datetime(day.year, day.month, day.day, tzinfo=zone)
    return (midnight if zone is not None else midnight.astimezone()).timestamp()
