"""The gap ledger: what of a camera's time was seen, and why the rest was not."""

from itertools import pairwise
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from interhuman2mqtt.cameras.gaps import Gap, GapTracker, Interruption, split
from interhuman2mqtt.errors import Reason
from interhuman2mqtt.events import MediaChunk
from support.clocks import Clocks

CLOCK = Clocks().box_clock()
LOST, DOWN, PAUSED = Reason.CONNECTION_LOST, Reason.UNREACHABLE, Reason.PAUSED
FIRST, SECOND = object(), object()
Spans = tuple[tuple[float, float], ...]


def chunk(start: float, end: float, *, zero: float = 0.0, holes: Spans = ()) -> MediaChunk:
    """Media of a source whose second 0 was `zero`."""
    return MediaChunk(
        payload=b"",
        media_start=0.0,
        media_end=end - start,
        captured_from=zero + start,
        last=False,
        source_start=start,
        source_end=end,
        holes=holes,
    )


def gap(start: float, end: float, reason: Reason) -> Gap:
    return Gap(start, end, reason)


def test_media_without_a_hole() -> None:
    """Chunk after chunk there is nothing to report."""
    ledger = GapTracker(CLOCK, 0)
    assert [ledger.delivered(FIRST, chunk(n, n + 2)) for n in (0, 2, 4)] == [(), (), ()]
    assert (ledger.until, ledger.delivered_s) == (6, 6.0)


def test_what_is_sent_again_counts_once() -> None:
    """A replay neither makes a gap nor adds to what was delivered."""
    ledger = GapTracker(CLOCK, 0)
    for piece in (chunk(0, 4), chunk(2, 6), chunk(1, 3)):
        assert ledger.delivered(FIRST, piece) == ()
    assert (ledger.until, ledger.delivered_s) == (6, 6.0)


def test_a_hole_while_all_is_well() -> None:
    """Media that left the ring unsent while the session stood is the uplink's fault."""
    ledger = GapTracker(CLOCK, 0)
    ledger.delivered(FIRST, chunk(0, 2))
    assert ledger.delivered(FIRST, chunk(5, 7)) == (gap(2, 5, Reason.UPLINK_TOO_SLOW),)
    assert ledger.gap_s == {Reason.UPLINK_TOO_SLOW: 3.0}


def test_a_microphone_that_gave_nothing() -> None:
    """Of a source that is used for its audio alone it is the audio that was missing."""
    heard = structs.replace(chunk(0, 9, holes=((2, 5),)), has_video=False)
    assert GapTracker(CLOCK, 0).delivered(FIRST, heard) == (gap(2, 5, Reason.AUDIO_MISSING),)


def test_a_camera_that_stood_still() -> None:
    """A hole in what the camera gave is its own, within a chunk as between two, and whatever else was wrong."""
    ledger = GapTracker(CLOCK, 0)
    ledger.set_reason(LOST, 3)
    ledger.set_reason(None, 4)
    assert ledger.delivered(FIRST, chunk(0, 9, holes=((2, 5),))) == (gap(2, 5, Reason.PICTURE_MISSING),)
    assert ledger.delivered(FIRST, chunk(12, 15, holes=((9, 12), (13, 14)))) == (
        gap(9, 12, Reason.PICTURE_MISSING),
        gap(13, 14, Reason.PICTURE_MISSING),
    )
    assert (ledger.until, ledger.delivered_s) == (15, 8.0)


def test_a_hole_that_was_told() -> None:
    """What is sent again tells its holes no second time, and of a hole that was reached only the rest."""
    ledger = GapTracker(CLOCK, 0)
    ledger.delivered(FIRST, chunk(0, 9, holes=((2, 5),)))
    assert ledger.delivered(FIRST, chunk(1, 9, holes=((2, 5),))) == ()
    assert ledger.delivered(FIRST, chunk(4, 14, holes=((4, 5), (8, 12)))) == (gap(9, 12, Reason.PICTURE_MISSING),)
    assert ledger.delivered_s == 8.0


def test_a_hole_behind_what_was_lost() -> None:
    """Media that left the ring unsent and a camera that then stood still are two gaps, each with its own reason."""
    ledger = GapTracker(CLOCK, 0)
    ledger.delivered(FIRST, chunk(0, 2))
    assert ledger.delivered(FIRST, chunk(10, 12, holes=((7, 10),))) == (
        gap(2, 7, Reason.UPLINK_TOO_SLOW),
        gap(7, 10, Reason.PICTURE_MISSING),
    )


def test_a_change_of_format() -> None:
    """The moment in which a camera changes its format is no gap."""
    ledger = GapTracker(CLOCK, 0)
    ledger.delivered(FIRST, chunk(0, 2))
    assert ledger.delivered(FIRST, chunk(2.04, 4, holes=((2, 2.04),))) == ()
    assert ledger.delivered_s == 4.0


def test_reasons_that_change_within_a_moment() -> None:
    """A reason that held for less than a tenth of a second is part of its neighbour, so no gap is shorter."""
    causes = [Interruption(0.04, DOWN), Interruption(5, LOST), Interruption(5.05, DOWN), Interruption(9.95, PAUSED)]
    assert split(0, 10, [Interruption(-1, LOST), *causes], LOST) == (gap(0, 10, DOWN),)


def test_a_better_anchor_is_no_hole() -> None:
    """Where the source goes on without a hole, UTC that moves by some milliseconds makes none."""
    ledger = GapTracker(CLOCK, 0)
    ledger.delivered(FIRST, chunk(0, 2))
    assert ledger.delivered(FIRST, chunk(2, 4, zero=0.3)) == ()
    assert ledger.delivered(FIRST, chunk(4, 6, zero=-0.2)) == ()


def test_another_capture() -> None:
    """Between two captures the time without media is a gap with the reason that the camera gave."""
    ledger = GapTracker(CLOCK, 0)
    ledger.delivered(FIRST, chunk(0, 10))
    ledger.set_reason(DOWN, 18)
    ledger.set_reason(None, 25)
    assert ledger.delivered(SECOND, chunk(0, 2, zero=26)) == (gap(10, 26, DOWN),)


def test_a_fault_is_noticed_late() -> None:
    """Time before the first reason takes that one, time after the last takes the last."""
    causes = [Interruption(5, DOWN), Interruption(8, PAUSED), Interruption(9, None)]
    assert split(0, 20, causes, LOST) == (gap(0, 8, DOWN), gap(8, 20, PAUSED))


def test_no_reason_at_all() -> None:
    """Without any reason the caller's own is reported."""
    assert split(0, 2, [Interruption(-5, None)], LOST) == (gap(0, 2, LOST),)


def test_what_was_wrong_before_counts() -> None:
    """A reason that was given before the range began still holds at its beginning."""
    assert split(0, 4, [Interruption(-9, PAUSED), Interruption(2, DOWN)], LOST) == (
        gap(0, 2, PAUSED),
        gap(2, 4, DOWN),
    )


def test_time_that_passed_without_us() -> None:
    """What an earlier life left open is closed at once, in its pieces."""
    ledger = GapTracker(CLOCK, 0, [Interruption(1, LOST)])
    ledger.set_reason(Reason.STOPPED, 3)
    assert ledger.close_until(60) == (gap(0, 3, LOST), gap(3, 60, Reason.STOPPED))
    assert ledger.close_until(59) == ()


def test_what_was_settled_stays_so() -> None:
    """Time that was settled is not settled again."""
    ledger = GapTracker(CLOCK, 100)
    assert ledger.close_until(40) == ()
    assert ledger.delivered(FIRST, chunk(0, 2, zero=50)) == ()
    assert ledger.until == 100


def test_a_camera_that_flaps_for_days() -> None:
    """What is remembered of one gap is bounded, and the gap is reported as a whole nevertheless."""
    ledger = GapTracker(CLOCK, 0)
    for n in range(10_000):
        ledger.set_reason((DOWN, LOST)[n % 2], n)
    gaps = ledger.close_until(10_000)
    assert len(gaps) <= 100
    assert (gaps[0].start, gaps[-1].end) == (0, 10_000)


@pytest.mark.parametrize("by", [20 * 86400.0, 3600.0, -3600.0, 57 * 365 * 86400.0], ids=["20 d", "1 h", "-1 h", "57 y"])
def test_a_clock_that_is_set(by: float) -> None:
    """What is done to the wall clock is no gap, hides none, and delivers nothing."""
    clocks = Clocks()
    ledger = GapTracker(clocks.box_clock(), 0)
    assert ledger.delivered(FIRST, chunk(0, 10)) == ()
    clocks.step(by)
    assert ledger.delivered(FIRST, chunk(10, 20)) == ()
    assert ledger.delivered(SECOND, chunk(0, 2, zero=26)) == (gap(20, 26, Reason.SOURCE_ENDED),)
    assert (ledger.until, ledger.delivered_s) == (28, 22)


def asleep(before: float, seconds: float) -> tuple[Clocks, GapTracker]:
    """A box that is suspended after some time; everybody looks at the clocks before."""
    clocks = Clocks()
    ledger = GapTracker(clock := clocks.box_clock(), 0)
    clocks.run(before)
    clock.look()
    clocks.suspend(seconds)
    clock.look()
    return clocks, ledger


def test_a_suspension() -> None:
    """The time in which the machine slept is a gap of its length, though the source goes on without a hole."""
    _, ledger = asleep(10, 600)
    assert ledger.delivered(FIRST, chunk(0, 8)) == ()
    assert ledger.delivered(FIRST, chunk(8, 14)) == (gap(10, 610, Reason.SUSPENDED),)
    assert (ledger.until, ledger.delivered_s) == (614, 14)


def test_a_suspension_of_a_camera_that_did_not_stream() -> None:
    """Whatever else was wrong before it and after it: both are reported beside it, each with its own reason."""
    _, ledger = asleep(10, 600)
    ledger.set_reason(PAUSED, 4)
    ledger.set_reason(DOWN, 612)
    assert ledger.close_until(620) == (
        gap(0, 10, PAUSED),
        gap(10, 610, Reason.SUSPENDED),
        gap(610, 612, PAUSED),
        gap(612, 620, DOWN),
    )


def test_a_suspension_while_the_camera_stood_still() -> None:
    """A hole in what the camera gave does not take the suspension in it."""
    _, ledger = asleep(10, 600)
    assert ledger.delivered(FIRST, chunk(0, 20, holes=((8, 13),))) == (
        gap(8, 10, Reason.PICTURE_MISSING),
        gap(10, 610, Reason.SUSPENDED),
        gap(610, 613, Reason.PICTURE_MISSING),
    )
    assert (ledger.until, ledger.delivered_s) == (620, 15)


class Step(NamedTuple):
    """Something that happens to a camera, `after` seconds later."""

    after: float
    kind: str
    reason: Reason
    length: float


KINDS = ["media", "holed", "skip", "new", "because", "well", "missed", "suspend", "set"]
STEPS = st.lists(
    st.builds(
        Step,
        st.floats(0, 100).map(lambda value: round(value, 3)),
        st.sampled_from(KINDS),
        st.sampled_from([LOST, DOWN, PAUSED]),
        st.floats(0.1, 10).map(lambda value: round(value, 3)),
    )
)


@given(STEPS)
@pytest.mark.parametrize("drift", [0.0, 0.05])
def test_delivered_and_gaps_add_up(drift: float, steps: list[Step]) -> None:
    """Whatever happens, gaps are in order, never overlap, and with what was delivered make up all settled time."""
    clocks = Clocks()
    ledger, gaps, capture, source = GapTracker(clock := clocks.box_clock(), 0), list[Gap](), object(), 0.0
    slept = 0.0
    for step in steps:
        clocks.run(step.after)
        now = clock.look().monotonic
        match step.kind:
            case "media" | "holed":
                holes = ((source - step.length / 2, source), (source + step.length / 3, source + step.length / 2))
                piece = chunk(
                    source,
                    source + step.length,
                    zero=now + drift - source,
                    holes=holes if step.kind == "holed" else (),
                )
                clocks.run(step.length)
                source += step.length
                gaps += ledger.delivered(capture, piece)
            case "skip":
                source += step.length
            case "new":
                capture, source = object(), 0.0
            case "because" | "well":
                ledger.set_reason(step.reason if step.kind == "because" else None, clock.boottime())
            case "suspend":
                clocks.suspend(step.length)
                slept += step.length
            case "set":
                clocks.step(-step.length * 1000)
            case _:
                gaps += ledger.close_until(clock.boottime())
    gaps += ledger.close_until(clock.boottime() + drift)
    assert all(before.end <= after.start for before, after in pairwise(gaps))
    assert all(each.seconds > 0 for each in gaps)
    assert ledger.gap_s[Reason.SUSPENDED] == pytest.approx(slept, abs=(drift + 1e-3) * len(steps) + 1e-6)
    settled = ledger.until - ledger.began
    assert settled == pytest.approx(
        ledger.delivered_s + sum(each.seconds for each in gaps), abs=1e-3 * len(steps) + 1e-6
    )
    assert sum(ledger.gap_s.values()) == pytest.approx(sum(each.seconds for each in gaps))
