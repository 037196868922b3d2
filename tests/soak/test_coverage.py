"""Gaps and delivered media are weighed against a camera's time."""

from soak.book import Gap
from soak.coverage import SEAM_S, STALE_S, Account, judge
from soak.spans import Span

LIVE = [Span(0, 100)]


def gap(start: float, end: float, reason: str = "stalled") -> Gap:
    return Gap("hall", Span(start, end), reason)


def account(got: list[Span], *gaps: Gap, proven: list[Span] | None = None) -> Account:
    return Account("hall", LIVE, got, got if proven is None else proven, gaps)


def test_all_is_accounted_for() -> None:
    """Media and gaps that meet within a seam are right."""
    assert judge([account([Span(0, 40), Span(61, 100)], gap(39, 60))]) == []
    assert judge([account([Span(0, 40), Span(40 + SEAM_S - 0.1, 100)])]) == []


def test_an_unexplained_hole() -> None:
    """Time that neither was delivered nor told is named."""
    [wrong] = judge([account([Span(0, 40), Span(61, 100)], gap(39, 50))])
    assert "nothing is said of 50.00 to 61.00 (11.0 s)" in wrong


def test_a_gap_that_denies_media() -> None:
    """A gap over media that is known to have arrived is wrong; over media in doubt it is not."""
    got = [Span(0, 100)]
    [wrong] = judge([account(got, gap(40, 50))])
    assert "holds 10.0 s that the cloud got" in wrong
    assert judge([account(got, gap(40, 50), proven=[Span(0, 41), Span(55, 100)])]) == []


def test_after_a_crash_the_frontier_is_old() -> None:
    """The gap of a killed daemon may begin where it last wrote down how far it had come."""
    got = [Span(0, 50), Span(60, 100)]
    assert judge([account(got, gap(50 - STALE_S, 60, "crashed"))]) == []
    assert len(judge([account(got, gap(50 - STALE_S, 60, "stalled"))])) == 1


def test_what_the_next_life_tells_is_as_old() -> None:
    """So may a gap of any other reason that the next life found written down, but not one that is told later."""
    told = account([Span(0, 100)], gap(40, 50, "connection_lost")._replace(told_at=92.0))
    assert judge([told._replace(kills=[90.0])]) == []
    assert len(judge([told._replace(kills=[70.0])])) == 1
    assert len(judge([told._replace(kills=[95.0])])) == 1


def test_told_twice() -> None:
    """Gaps of one camera do not overlap, unless a kill left no time to note that the first was told."""
    told = account([Span(0, 40), Span(60, 100)], gap(40, 55)._replace(told_at=60.5), gap(50, 60, "crashed"))
    [wrong] = judge([told])
    assert "overlap" in wrong
    assert judge([told._replace(kills=[61.0])]) == []
    assert len(judge([told._replace(kills=[60.0, 63.0])])) == 1
