"""The hours of a schedule on the wall's clock, also in the nights in which it is changed."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interhuman2mqtt.config import schedule as hours
from interhuman2mqtt.config.schedule import DAYS

ZONE = ZoneInfo("Europe/Copenhagen")
SPRING = datetime(2027, 3, 28, tzinfo=UTC)  # at 01:00 UTC the wall goes from 02:00 to 03:00
AUTUMN = datetime(2026, 10, 25, tzinfo=UTC)  # at 01:00 UTC the wall goes from 03:00 back to 02:00


def at(day: datetime, clock: str) -> datetime:
    """An instant of that day by its UTC."""
    hour, minute = clock.split(":")
    return day + timedelta(hours=int(hour), minutes=int(minute))


@pytest.mark.parametrize(
    ("day", "utc", "entry", "expected"),
    [
        (AUTUMN, "00:15", "Sun 02:00-02:30", True),
        (AUTUMN, "00:45", "Sun 02:00-02:30", False),
        (AUTUMN, "01:15", "Sun 02:00-02:30", True),
        (AUTUMN, "01:45", "Sun 02:00-02:30", False),
        (SPRING, "00:59", "Sun 02:15-02:45", False),
        (SPRING, "01:00", "Sun 02:15-02:45", False),
        (SPRING, "00:59", "Sun 02:30-03:30", False),
        (SPRING, "01:00", "Sun 02:30-03:30", True),
        (SPRING, "01:29", "Sun 02:30-03:30", True),
        (SPRING, "01:30", "Sun 02:30-03:30", False),
    ],
)
def test_the_nights_of_the_clock(day: datetime, utc: str, entry: str, *, expected: bool) -> None:
    """An hour that comes twice is covered twice, and of one that is left out only what the wall shows."""
    assert hours.is_open((entry,), at(day, utc), ZONE) is expected


@pytest.mark.parametrize(
    ("day", "utc", "entry", "expected"),
    [
        (AUTUMN, "00:45", "Sun 02:00-02:30", "2026-10-25T02:00:00+01:00"),
        (AUTUMN, "01:30", "Sun 02:00-02:30", "2026-11-01T02:00:00+01:00"),
        (SPRING, "00:30", "Sun 02:30-03:30", "2027-03-28T03:00:00+02:00"),
        (SPRING, "00:30", "Sun 02:15-02:45", "2027-04-04T02:15:00+02:00"),
        (SPRING, "00:30", "Mon 08:00-18:00", "2027-03-29T08:00:00+02:00"),
    ],
)
def test_when_it_opens_next(day: datetime, utc: str, entry: str, expected: str) -> None:
    """The next opening is found across changes of the clock, the second coming of an hour included."""
    found = hours.next_open((entry,), at(day, utc), ZONE)
    assert found is not None
    assert found.isoformat() == expected


def test_an_hour_that_is_left_out_before_it_comes_again() -> None:
    """Where the only hours of a week fall into the one that is left out, there is none within eight days."""
    assert hours.next_open(("Sun 02:15-02:45",), SPRING - timedelta(days=6), ZONE) is None


def test_without_a_schedule_it_is_always_open() -> None:
    """No entries mean no limits."""
    assert hours.is_open((), AUTUMN, ZONE)


def test_the_hosts_own_zone() -> None:
    """Without a zone the host's counts, whatever it is."""
    wall = AUTUMN.astimezone()
    entry = f"{DAYS[wall.weekday()]} {wall:%H:%M}-{wall.hour:02}:{wall.minute + 1:02}"
    assert hours.is_open((entry,), AUTUMN, None)
    assert not hours.is_open((entry,), AUTUMN + timedelta(minutes=1), None)


def test_told_for_people() -> None:
    """A time is reported with its day, without seconds."""
    assert hours.show_time(AUTUMN.astimezone(ZONE)) == "Sun 2026-10-25 02:00"


entries = st.builds(
    lambda day, start, length: (
        f"{DAYS[day]} {start // 60:02}:{start % 60:02}-{(start + length) % 1440 // 60:02}:{(start + length) % 60:02}"
    ),
    st.integers(0, 6),
    st.integers(0, 1439),
    st.integers(1, 1439),
)


@given(
    st.lists(entries, min_size=1, max_size=3),
    st.sampled_from([SPRING, AUTUMN]),
    st.integers(-3 * 1440, 2 * 1440),
    st.sampled_from(["Europe/Copenhagen", "Australia/Lord_Howe", "America/St_Johns", "Asia/Beirut", "UTC"]),
)
def test_it_opens_when_it_says_and_not_before(schedule: list[str], day: datetime, offset: int, name: str) -> None:
    """From a closed minute on, every minute is closed until the one that was told, which is open."""
    zone, now = ZoneInfo(name), day + timedelta(minutes=offset)
    windows = tuple(schedule)
    if hours.is_open(windows, now, zone):
        return
    found = hours.next_open(windows, now, zone)
    assert found is not None
    assert hours.is_open(windows, found, zone)
    minutes = int((found - now) / timedelta(minutes=1))
    assert minutes > 0
    assert not any(hours.is_open(windows, now + timedelta(minutes=n), zone) for n in range(minutes))
