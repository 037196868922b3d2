"""The oracle sees what is wrong, and forgives what it says it forgives."""

from collections.abc import Sequence

import pytest

from soak.archive import Scene, Sent
from soak.fault_plan import COMEBACK_S
from soak.oracle import (
    Accidents,
    Disturbance,
    Ending,
    Piece,
    Sample,
    Session,
    comebacks,
    conservation,
    growth,
    order,
    safe_until,
    unended,
)
from soak.published_log import Event, Row
from soak.spans import Span


def event(data: int, *, synthetic: bool = False) -> Event:
    return Event(f"b/c/s/{data}", "c", "t", "s", None, {"n": data}, synthetic=synthetic)


def row(data: int, *, at: float = 10.0, acked: bool = True, rank: int = 0, synthetic: bool = False) -> Row:
    made = Row(at, rank or data, 1, event(data, synthetic=synthetic))
    made.acked_at = at + 0.01 if acked else None
    return made


def sent(count: int, at: float = 10.0) -> list[Sent]:
    return [Sent(at, "t", row(n + 1).content) for n in range(count)]


def rows(*numbers: int) -> dict[int, Row]:
    return {n: row(n) for n in numbers}


def test_all_arrived() -> None:
    """A session whose events were all acknowledged, one of the daemon's own among them, is right."""
    published = {**rows(1, 2), 3: row(9, synthetic=True)}
    assert conservation(Session("s", sent(2), published, 20.0)) == []


def test_the_tail_may_be_missing() -> None:
    """What was sent shortly before the end need not have arrived, and what was sent before must have."""
    events = [*sent(2), Sent(19.5, "t", 0)]
    assert conservation(Session("s", events, rows(1, 2), 18.0)) == []
    [wrong] = conservation(Session("s", events, rows(1, 2), 19.8))
    assert "1 were never acknowledged" in wrong


@pytest.mark.parametrize(
    ("published", "says"),
    [
        (rows(1, 3), "no event [2] though there is 3"),
        ({**rows(1), 2: row(2, acked=False), 3: row(3)}, "s/2 was published, and never acknowledged"),
        ({1: row(1), 2: row(7), 3: row(3)}, "event 2 is not what the cloud sent"),
        (rows(1, 2, 3, 4), "4 events were published, and the cloud sent 3"),
        ({}, "of 3 events that reached the daemon 3 were never acknowledged"),
    ],
)
def test_what_is_lost(published: dict[int, Row], says: str) -> None:
    """A hole, an event without its acknowledgement, another content, an invention, and silence are each noticed."""
    assert says in conservation(Session("s", sent(3), published, 20.0))[0]


def test_what_a_kill_may_cost() -> None:
    """An event that was published within a second before the daemon was killed need not have been accepted."""
    published = {**rows(1), 2: row(2, acked=False)}
    session = Session("s", sent(1), published, 9.0)
    assert conservation(session, Accidents(kills=[10.5])) == []
    assert conservation(session, Accidents(kills=[12.5])) != []


def test_what_a_damaged_store_may_cost() -> None:
    """Events that waited when the store was damaged may be gone; those that came after it may not, nor be others."""
    session = Session("s", sent(3), {1: row(1), 3: row(3)}, 20.0)
    assert conservation(session, Accidents(damages=[15.0])) == []
    assert conservation(session, Accidents(damages=[5.0])) != []
    assert conservation(session._replace(rows={1: row(3), 2: row(1)}), Accidents(damages=[15.0])) != []


def test_order() -> None:
    """Ranks rise with the numbers, and lie behind the session before."""
    assert order("s", {1: row(1, rank=4), 2: row(2, rank=6)}, 3) == []
    assert len(order("s", {1: row(1, rank=6), 2: row(2, rank=4)}, 3)) == 1
    assert len(order("s", {1: row(1, rank=4), 2: row(2, rank=6)}, 5)) == 1


@pytest.mark.parametrize(
    ("ending", "cuts", "resets", "expected"),
    [
        (Ending(0, 50, None), [], [], 48),
        (Ending(0, 50, 40), [], [], 38),
        (Ending(0, 50, None), [Span(30, 45)], [], 28),
        (Ending(0, 90, None), [Span(30, 45)], [], 88),
        (Ending(0, 50, None), [], [20, 60], 18),
        (Ending(25, 50, None), [], [20], 48),
    ],
)
def test_until_when_events_have_arrived(ending: Ending, cuts: list[Span], resets: list[float], expected: float) -> None:
    """The end, the daemon's own leaving, a cut that the session did not survive and a reset each bound it."""
    assert safe_until(ending, cuts, resets) == expected


def piece(arrived: float, captured: float, opened: float = 0.0) -> Piece:
    return Piece(arrived, Span(captured - 1, captured), opened)


def fault(began: float, ended: float, *, new_since: float | None = None, at_source: bool = False) -> Disturbance:
    return Disturbance("f", began, ended, new_since, at_source)


def seconds(disturbances: Sequence[Disturbance], pieces: Sequence[Piece], until: float = 1000.0) -> list[object]:
    return [one.seconds for one in comebacks(disturbances, pieces, until)]


def test_what_shows_that_a_camera_is_back() -> None:
    """After a fault of the camera it is media from after it; after a reset a new session; after a cut anything."""
    pieces = [piece(11, 9.5), piece(12, 11.5), piece(14, 13, opened=10.5)]
    assert seconds([fault(9, 10, at_source=True)], pieces) == [2]
    assert seconds([fault(10, 10, new_since=10)], pieces) == [4]
    assert seconds([fault(5, 10)], pieces) == [1]


def test_the_next_fault_ends_the_wait() -> None:
    """A camera that had no time to come back before the next fault is not measured, and not late."""
    found = comebacks([fault(5, 10), fault(60, 70)], [piece(200, 200)], 1000.0)
    assert [(one.seconds, one.late) for one in found] == [(None, False), (130, True)]


def test_late() -> None:
    """Who is not back in time undisturbed is late, also where it never came back; the end of the run forgives."""
    assert [one.late for one in comebacks([fault(5, 10)], [], 10 + COMEBACK_S + 1)] == [True]
    assert [one.late for one in comebacks([fault(5, 10)], [], 10 + COMEBACK_S - 1)] == [False]
    assert [one.late for one in comebacks([fault(5, 10)], [piece(10 + COMEBACK_S - 1, 0)], 1000)] == [False]


def samples(memory: Sequence[float], descriptors: int = 20) -> list[Sample]:
    return [Sample(30.0 * n, 1, "daemon", int(value), descriptors, 3) for n, value in enumerate(memory)]


def test_growth() -> None:
    """The last quarter is compared with the first, and a figure may grow within its allowance only."""
    steady, grown = growth(samples([50e6] * 8), 60.0), growth(samples([50e6] * 6 + [80e6] * 2), 60.0)
    assert all(one.ok for one in steady)
    assert [one.figure for one in grown if not one.ok] == ["memory"]
    leak = [*samples([50e6] * 6), *(s._replace(descriptors=26) for s in samples([50e6] * 8)[6:])]
    assert [one.figure for one in growth(leak, 60.0) if not one.ok] == ["descriptors"]


def test_growth_needs_time() -> None:
    """Samples that are too few or too near say nothing."""
    assert growth(samples([1, 2, 3]), 60.0) == []
    assert growth(samples([1, 2, 3, 4]), 600.0) == []


def test_a_frame_dates_itself() -> None:
    """The last time before a given one at which the camera showed it."""
    scene = Scene(10, 6000, live=True)
    assert scene.captured_at(1234, 100_000.0) == pytest.approx(99_723.4)  # 166 times 600 s, and 123.4
    assert scene.captured_at(4000, 100_000.0) == pytest.approx(100_000.0)
    assert scene.captured_at(4001, 100_000.0) == pytest.approx(99_400.1)


def test_signals_that_never_end() -> None:
    """Each is a violation, unless it was killed before it was written down, or the store was damaged since."""
    signals: dict[tuple[str | None, str], float] = {("s1", "stress"): 10.0}
    assert unended(signals, Accidents()) == ["s1: stress never ended"]
    assert unended(signals, Accidents(kills=[9.0, 12.0], damages=[9.0])) == ["s1: stress never ended"]
    assert unended(signals, Accidents(kills=[10.5])) == unended(signals, Accidents(damages=[50.0])) == []
