"""Entries of `schedule`."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interhuman2mqtt.config import schedule
from interhuman2mqtt.config.problems import BadValueError
from interhuman2mqtt.config.schedule import Window

MONDAY = datetime(2026, 11, 23)  # noqa: DTZ001 - schedules are in local time
ALL = frozenset(range(7))


@pytest.mark.parametrize(
    ("entry", "window"),
    [
        ("Mon-Fri 08:00-18:00", Window(frozenset(range(5)), 480, 1080)),
        ("mon,Wed-Fri 8:30-9:00", Window(frozenset({0, 2, 3, 4}), 510, 540)),
        ("Sat-Mon 00:00-24:00", Window(frozenset({5, 6, 0}), 0, 1440)),
        ("22:00 - 02:00", Window(ALL, 1320, 120)),
        ("Sun 18:00-00:00", Window(frozenset({6}), 1080, 1440)),
        ("24:00-06:00", Window(ALL, 0, 360)),
    ],
)
def test_entries_are_read(entry: str, window: Window) -> None:
    """Ranges and lists of days, any case, hours past midnight, and no days at all are understood."""
    assert window == schedule.parse(entry)


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ("Mon-Fri 8-18", 'must be days and hours such as "Mon-Fri 08:00-18:00"'),
        ("", "must be days and hours"),
        ("Mon-Fri", "must be days and hours"),
        ("Mo-Fr 08:00-18:00", '"Mo" is no day; write Mon'),
        ("Mon, 08:00-18:00", '"" is no day'),
        ("Mon-Wed-Fri 08:00-18:00", '"Mon-Wed-Fri" is no range of days'),
        ("Mon 08:60-18:00", "08:60 is no time of day"),
        ("Mon 08:00-24:01", "24:01 is no time of day"),
        ("Mon 08:00-08:00", "ends when it begins"),
        ("Mon 00:00-00:00", 'a whole day is "00:00-24:00"'),
        ("Mon 24:00-24:00", "ends when it begins"),
    ],
)
def test_wrong_entries_are_explained(entry: str, sentence: str) -> None:
    """Each mistake gets its own sentence."""
    with pytest.raises(BadValueError) as caught:
        schedule.parse(entry)
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("entry", "hours", "inside"),
    [
        ("Mon 08:00-18:00", 8, True),
        ("Mon 08:00-18:00", 18, False),
        ("Tue 08:00-18:00", 8, False),
        ("Mon 22:00-02:00", 23, True),
        ("Mon 22:00-02:00", 25, True),
        ("Mon 22:00-02:00", 26, False),
        ("Mon 22:00-02:00", 1, False),
        ("Sun 22:00-02:00", 1, True),
        ("Mon 00:00-24:00", 23.99, True),
        ("Mon 00:00-24:00", 24, False),
    ],
)
def test_windows_cover_their_hours(entry: str, hours: float, inside: bool) -> None:  # noqa: FBT001
    """A window holds from its start up to its end, and its days are those on which it begins."""
    assert inside is schedule.parse(entry).covers(MONDAY + timedelta(hours=hours))


def test_several_windows_add_up() -> None:
    """A time is covered where any window covers it; without windows none is."""
    windows = [schedule.parse("Mon 08:00-09:00"), schedule.parse("Mon 10:00-11:00")]
    covered = [schedule.covers(windows, MONDAY + timedelta(hours=hour)) for hour in (8, 9, 10)]
    assert covered == [True, False, True]
    assert not schedule.covers([], MONDAY)


@settings(deadline=None)
@given(st.frozensets(st.integers(0, 6), min_size=1), st.integers(0, 1439), st.integers(1, 1440))
def test_a_week_has_as_much_as_its_days(days: frozenset[int], start: int, end: int) -> None:
    """Over a week a window covers its own length once for each of its days, no minute more."""
    length = end - start if end > start else end + 1440 - start
    window = Window(days, start, end)
    covered = sum(window.covers(MONDAY + timedelta(minutes=minute)) for minute in range(7 * 1440))
    assert covered == min(length, 1440) * len(days)


@settings(deadline=None)
@given(st.text(alphabet="MonTueFri-, :0123456789", max_size=25))
def test_any_text_is_read_or_explained(entry: str) -> None:
    """Nothing but BadValueError comes out, and a window that does come out makes sense."""
    try:
        window = schedule.parse(entry)
    except BadValueError:
        return
    assert window.days <= ALL
    assert 0 <= window.start < 1440
    assert 0 < window.end <= 1440
