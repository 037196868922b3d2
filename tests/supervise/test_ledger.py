"""The gap ledger: what of a camera's time was seen, and why the rest was not."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interhuman2mqtt.cameras.ledger import Cause, Gap, Ledger, split
from interhuman2mqtt.errors import Reason
from interhuman2mqtt.events import MediaChunk

EPOCH = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
LOST, DOWN, PAUSED = Reason.CONNECTION_LOST, Reason.UNREACHABLE, Reason.PAUSED
FIRST, SECOND = object(), object()
Spans = tuple[tuple[float, float], ...]


def at(seconds: float) -> datetime:
    """An instant, by its distance from the beginning."""
    return EPOCH + timedelta(seconds=seconds)


def chunk(start: float, end: float, *, zero: float = 0.0, holes: Spans = ()) -> MediaChunk:
    """Media of a source whose second 0 was `zero`."""
    return MediaChunk(
        payload=b"",
        media_start=0.0,
        media_end=end - start,
        start_at=at(zero + start),
        last=False,
        source_start=start,
        source_end=end,
        holes=holes,
    )


def gap(start: float, end: float, reason: Reason) -> Gap:
    return Gap(at(start), at(end), reason)


def test_media_without_a_hole() -> None:
    """Chunk after chunk there is nothing to tell."""
    ledger = Ledger(at(0))
    assert [ledger.delivered(FIRST, chunk(n, n + 2)) for n in (0, 2, 4)] == [(), (), ()]
    assert (ledger.until, ledger.delivered_s) == (at(6), 6.0)


def test_what_is_sent_again_counts_once() -> None:
    """A replay neither makes a gap nor adds to what was delivered."""
    ledger = Ledger(at(0))
    for piece in (chunk(0, 4), chunk(2, 6), chunk(1, 3)):
        assert ledger.delivered(FIRST, piece) == ()
    assert (ledger.until, ledger.delivered_s) == (at(6), 6.0)


def test_a_hole_while_all_is_well() -> None:
    """Media that left the ring unsent while the session stood is the uplink's fault."""
    ledger = Ledger(at(0))
    ledger.delivered(FIRST, chunk(0, 2))
    assert ledger.delivered(FIRST, chunk(5, 7)) == (gap(2, 5, Reason.UPLINK_TOO_SLOW),)
    assert ledger.gap_s == {Reason.UPLINK_TOO_SLOW: 3.0}


def test_a_camera_that_stood_still() -> None:
    """A hole in what the camera gave is its own, within a chunk as between two, and whatever else was wrong."""
    ledger = Ledger(at(0))
    ledger.because(LOST, at(3))
    ledger.because(None, at(4))
    assert ledger.delivered(FIRST, chunk(0, 9, holes=((2, 5),))) == (gap(2, 5, Reason.PICTURE_MISSING),)
    assert ledger.delivered(FIRST, chunk(12, 15, holes=((9, 12), (13, 14)))) == (
        gap(9, 12, Reason.PICTURE_MISSING),
        gap(13, 14, Reason.PICTURE_MISSING),
    )
    assert (ledger.until, ledger.delivered_s) == (at(15), 8.0)


def test_a_hole_that_was_told() -> None:
    """What is sent again tells its holes no second time, and of a hole that was reached only the rest."""
    ledger = Ledger(at(0))
    ledger.delivered(FIRST, chunk(0, 9, holes=((2, 5),)))
    assert ledger.delivered(FIRST, chunk(1, 9, holes=((2, 5),))) == ()
    assert ledger.delivered(FIRST, chunk(4, 14, holes=((4, 5), (8, 12)))) == (gap(9, 12, Reason.PICTURE_MISSING),)
    assert ledger.delivered_s == 8.0


def test_a_hole_behind_what_was_lost() -> None:
    """Media that left the ring unsent and a camera that then stood still are two gaps, each with its own reason."""
    ledger = Ledger(at(0))
    ledger.delivered(FIRST, chunk(0, 2))
    assert ledger.delivered(FIRST, chunk(10, 12, holes=((7, 10),))) == (
        gap(2, 7, Reason.UPLINK_TOO_SLOW),
        gap(7, 10, Reason.PICTURE_MISSING),
    )


def test_a_change_of_format() -> None:
    """The moment in which a camera changes its format is no gap."""
    ledger = Ledger(at(0))
    ledger.delivered(FIRST, chunk(0, 2))
    assert ledger.delivered(FIRST, chunk(2.04, 4, holes=((2, 2.04),))) == ()
    assert ledger.delivered_s == 4.0


def test_reasons_that_change_within_a_moment() -> None:
    """A reason that held for less than a tenth of a second is part of its neighbour, so no gap is shorter."""
    causes = [Cause(at(0.04), DOWN), Cause(at(5), LOST), Cause(at(5.05), DOWN), Cause(at(9.95), PAUSED)]
    assert split(at(0), at(10), [Cause(at(-1), LOST), *causes], LOST) == (gap(0, 10, DOWN),)


def test_a_better_anchor_is_no_hole() -> None:
    """Where the source goes on without a hole, UTC that moves by some milliseconds makes none."""
    ledger = Ledger(at(0))
    ledger.delivered(FIRST, chunk(0, 2))
    assert ledger.delivered(FIRST, chunk(2, 4, zero=0.3)) == ()
    assert ledger.delivered(FIRST, chunk(4, 6, zero=-0.2)) == ()


def test_another_capture() -> None:
    """Between two captures the time without media is a gap with the reason that the camera gave."""
    ledger = Ledger(at(0))
    ledger.delivered(FIRST, chunk(0, 10))
    ledger.because(DOWN, at(18))
    ledger.because(None, at(25))
    assert ledger.delivered(SECOND, chunk(0, 2, zero=26)) == (gap(10, 26, DOWN),)


def test_a_fault_is_noticed_late() -> None:
    """Time before the first reason takes that one, time after the last takes the last."""
    causes = [Cause(at(5), DOWN), Cause(at(8), PAUSED), Cause(at(9), None)]
    assert split(at(0), at(20), causes, LOST) == (gap(0, 8, DOWN), gap(8, 20, PAUSED))


def test_no_reason_at_all() -> None:
    """Without any reason the caller's own is told."""
    assert split(at(0), at(2), [Cause(at(-5), None)], LOST) == (gap(0, 2, LOST),)


def test_what_was_wrong_before_counts() -> None:
    """A reason that was given before the range began still holds at its beginning."""
    assert split(at(0), at(4), [Cause(at(-9), PAUSED), Cause(at(2), DOWN)], LOST) == (
        gap(0, 2, PAUSED),
        gap(2, 4, DOWN),
    )


def test_time_that_passed_without_us() -> None:
    """What an earlier life left open is closed at once, in its pieces."""
    ledger = Ledger(at(0), [Cause(at(1), LOST)])
    ledger.because(Reason.STOPPED, at(3))
    assert ledger.missed(at(60)) == (gap(0, 3, LOST), gap(3, 60, Reason.STOPPED))
    assert ledger.missed(at(59)) == ()


def test_a_clock_that_steps_back() -> None:
    """Time that was settled is not settled again when the clock is set back."""
    ledger = Ledger(at(100))
    assert ledger.missed(at(40)) == ()
    assert ledger.delivered(FIRST, chunk(0, 2, zero=50)) == ()
    assert ledger.until == at(100)


def test_a_camera_that_flaps_for_days() -> None:
    """What is remembered of one gap is bounded, and the gap is told as a whole nevertheless."""
    ledger = Ledger(at(0))
    for n in range(10_000):
        ledger.because((DOWN, LOST)[n % 2], at(n))
    gaps = ledger.missed(at(10_000))
    assert len(gaps) <= 100
    assert (gaps[0].start_at, gaps[-1].end_at) == (at(0), at(10_000))


class Step(NamedTuple):
    """Something that happens to a camera, `after` seconds later."""

    after: float
    kind: str
    reason: Reason
    length: float


STEPS = st.lists(
    st.builds(
        Step,
        st.floats(0, 100).map(lambda value: round(value, 3)),
        st.sampled_from(["media", "holed", "skip", "new", "because", "well", "missed"]),
        st.sampled_from([LOST, DOWN, PAUSED]),
        st.floats(0.01, 10).map(lambda value: round(value, 3)),
    )
)


@given(STEPS)
@pytest.mark.parametrize("drift", [0.0, 0.05])
def test_delivered_and_gaps_add_up(drift: float, steps: list[Step]) -> None:
    """Whatever happens, gaps are in order, never overlap, and with what was delivered make up all settled time."""
    ledger, gaps, now, capture, source = Ledger(at(0)), list[Gap](), 0.0, object(), 0.0
    for step in steps:
        now += step.after
        match step.kind:
            case "media":
                gaps += ledger.delivered(capture, chunk(source, source + step.length, zero=now + drift - source))
                source, now = source + step.length, now + step.length
            case "holed":
                holes = ((source - step.length / 2, source), (source + step.length / 3, source + step.length / 2))
                piece = chunk(source, source + step.length, zero=now + drift - source, holes=holes)
                gaps += ledger.delivered(capture, piece)
                source, now = source + step.length, now + step.length
            case "skip":
                source += step.length
            case "new":
                capture, source = object(), 0.0
            case "because" | "well":
                ledger.because(step.reason if step.kind == "because" else None, at(now))
            case _:
                gaps += ledger.missed(at(now))
    assert all(before.end_at <= after.start_at for before, after in pairwise(gaps))
    assert all(each.seconds > 0 for each in gaps)
    settled = (ledger.until - ledger.began).total_seconds()
    assert settled == pytest.approx(
        ledger.delivered_s + sum(each.seconds for each in gaps), abs=1e-3 * len(steps) + 1e-6
    )
    assert sum(ledger.gap_s.values()) == pytest.approx(sum(each.seconds for each in gaps))
