"""Gaps and delivered media are weighed against a camera's time."""

from soak.coverage import SEAM_S, STALE_S, Account, check
from soak.published_log import Gap
from soak.spans import Span

LIVE = [Span(0, 100)]


def gap(start: float, end: float, reason: str = "stalled") -> Gap:
    return Gap("hall", Span(start, end), reason)


def account(got: list[Span], *gaps: Gap, proven: list[Span] | None = None) -> Account:
    return Account("hall", LIVE, got, got if proven is None else proven, gaps)


def test_all_is_accounted_for() -> None:
    """Media and gaps that meet within a seam are right."""
    assert check([account([Span(0, 40), Span(61, 100)], gap(39, 60))]) == []
    assert check([account([Span(0, 40), Span(40 + SEAM_S - 0.1, 100)])]) == []


def test_an_unexplained_hole() -> None:
    """Time that neither was delivered nor lies in a gap is named."""
    [wrong] = check([account([Span(0, 40), Span(61, 100)], gap(39, 50))])
    assert "no gap covers 50.00 to 61.00 (11.0 s)" in wrong


def test_a_gap_that_denies_media() -> None:
    """A gap over media that is known to have arrived is wrong; over media in doubt it is not."""
    got = [Span(0, 100)]
    [wrong] = check([account(got, gap(40, 50))])
    assert "holds 10.0 s that the cloud got" in wrong
    assert check([account(got, gap(40, 50), proven=[Span(0, 41), Span(55, 100)])]) == []


def test_after_a_crash_the_frontier_is_old() -> None:
    """The gap of a killed daemon may begin where it last wrote down how far it had come."""
    got = [Span(0, 50), Span(60, 100)]
    assert check([account(got, gap(50 - STALE_S, 60, "crashed"))]) == []
    assert len(check([account(got, gap(50 - STALE_S, 60, "stalled"))])) == 1


def test_what_the_next_life_publishes_is_as_old() -> None:
    """So may a gap of any other reason that the next life found written down, but not one that is published later."""
    gaps = account([Span(0, 100)], gap(40, 50, "connection_lost")._replace(published_at=92.0))
    assert check([gaps._replace(kills=[90.0])]) == []
    assert len(check([gaps._replace(kills=[70.0])])) == 1
    assert len(check([gaps._replace(kills=[95.0])])) == 1


def test_published_twice() -> None:
    """Gaps of one camera do not overlap, unless a kill left no time to note that the first was published."""
    gaps = account([Span(0, 40), Span(60, 100)], gap(40, 55)._replace(published_at=60.5), gap(50, 60, "crashed"))
    [wrong] = check([gaps])
    assert "overlap" in wrong
    assert check([gaps._replace(kills=[61.0])]) == []
    assert len(check([gaps._replace(kills=[60.0, 63.0])])) == 1
