"""Days by hours: sums of what was analysed, on the wall's clock."""

from datetime import UTC, date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from interhuman2mqtt.web.fortnight import Fortnight
from interhuman2mqtt.web.history import History
from interhuman2mqtt.web.lanes import read_lanes
from interhuman2mqtt.web.rows import CameraKey, EngagementRow, GapRow, ReceivedRow
from interhuman2mqtt.web.timeline import GAP, NO_LEVEL, NOT_KNOWN, Stretch

HOUR = 3600.0
FRONT = CameraKey("lobby-1", "front")


def at(day: int, hour: float) -> float:
    return datetime(2026, 11, day, tzinfo=UTC).timestamp() + hour * HOUR


def test_shares_are_of_what_was_analysed() -> None:
    """An hour says how much of it was analysed over all cameras, and the share of that in which people were engaged."""
    found = Fortnight([date(2026, 11, 27), date(2026, 11, 28)], UTC)
    found.add([Stretch(at(27, 22), at(28, 1.5), "engaged"), Stretch(at(28, 1.5), at(28, 3), GAP, "paused")])
    found.add([Stretch(at(28, 0), at(28, 1), "neutral"), Stretch(at(28, 1), at(28, 2), NOT_KNOWN)])
    found.add([Stretch(at(27, 0), at(29, 0), NOT_KNOWN)])  # was removed earlier
    [friday, saturday] = found.rows()
    assert friday[21:] == [None, [0.5, 1.0], [0.5, 1.0]]
    assert saturday[:4] == [[1.0, 0.5], [0.25, 1.0], None, None]
    assert found.span == (at(27, 0), at(29, 0))


def test_days_on_which_the_clocks_change() -> None:
    """The hour that comes twice is one, of twice the length; the one that is left out is empty."""
    zone = ZoneInfo("Europe/Copenhagen")
    autumn = Fortnight([date(2026, 10, 25)], zone)
    autumn.add([Stretch(*autumn.span, "engaged")])
    assert autumn.span[1] - autumn.span[0] == 25 * HOUR
    assert autumn.rows() == [[[1.0, 1.0]] * 24]
    spring = Fortnight([date(2026, 3, 29)], zone)
    spring.add([Stretch(*spring.span, "engaged")])
    assert [number for number, hour in enumerate(spring.rows()[0]) if hour is None] == [2]


def test_a_level_of_before_the_range(tmp_path: Path) -> None:
    """It holds at the beginning of a range, unless a gap has come between, which the range itself does not show."""
    history = History(tmp_path / "history.sqlite")
    history.write([ReceivedRow(0, 1000), EngagementRow(FRONT, 10, "engaged"), GapRow(FRONT, 100, 200, "paused")])
    assert read_lanes(history, FRONT, (50, 90)).engagement == [Stretch(50, 90, "engaged")]
    assert read_lanes(history, FRONT, (300, 400)).engagement == [Stretch(300, 400, NO_LEVEL)]
    assert read_lanes(history, FRONT, (300, 1100), live=[(900, 1100)]).analysed == [Stretch(300, 1100, "analysed")]
