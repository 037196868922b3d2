"""The media clock of a session on the clock of the captures."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interhuman2mqtt.cloud.event_mapper import MediaClock

EPOCH = 5000.0

pieces = st.lists(
    st.tuples(st.floats(0.1, 20.0), st.floats(0.0, 600.0)), min_size=1, max_size=30
)  # length of each piece, and what is missing before it; seconds


def seconds(instant: float | None) -> float:
    assert instant is not None
    return instant - EPOCH


@given(pieces, st.floats(-100.0, 20_000.0))
def test_continuous_framing_never_drifts(lengths: list[tuple[float, float]], media: float) -> None:
    """Where skipped ranges keep the media clock running, every time is the epoch plus the media, gaps or not."""
    timeline, start = MediaClock(), 0.0
    for length, gap in lengths:
        start += gap
        timeline.append(start, EPOCH + start)
        start += length
    assert seconds(timeline.start(media)) == pytest.approx(media, abs=1e-5)
    assert seconds(timeline.end(media)) == pytest.approx(media, abs=1e-5)


@given(pieces, st.data())
def test_standalone_framing_finds_the_gaps(lengths: list[tuple[float, float]], data: st.DataObject) -> None:
    """Where the cloud's clock leaves the gaps out, a time within a piece is that piece's own time."""
    timeline, media, utc = MediaClock(), 0.0, 0.0
    spans = []
    for length, gap in lengths:
        utc += gap
        timeline.append(media, EPOCH + utc)
        spans.append((media, utc, length))
        media, utc = media + length, utc + length
    start, at, length = data.draw(st.sampled_from(spans))
    inside = data.draw(st.floats(0.01, 0.99)) * length
    assert seconds(timeline.start(start)) == pytest.approx(at, abs=1e-5)
    assert seconds(timeline.start(start + inside)) == pytest.approx(at + inside, abs=1e-5)
    assert seconds(timeline.end(start + inside)) == pytest.approx(at + inside, abs=1e-5)


def test_the_seam_of_two_pieces() -> None:
    """What ends on the seam ended before the gap, what starts on it started after."""
    timeline = MediaClock()
    timeline.append(0.0, EPOCH)
    timeline.append(3.0, EPOCH + 10)
    assert seconds(timeline.end(3.0)) == 3.0
    assert seconds(timeline.start(3.0)) == 10.0


def test_before_the_first_and_after_the_last_piece() -> None:
    """The nearest piece is extended on both sides."""
    timeline = MediaClock()
    timeline.append(4.0, EPOCH + 4)
    timeline.append(8.0, EPOCH + 20)
    assert [seconds(timeline.start(media)) for media in (-1.0, 0.0, 9.0, 3600.0)] == [-1.0, 0.0, 21.0, 3612.0]
    assert [seconds(timeline.end(media)) for media in (-1.0, 4.0, 9.0)] == [-1.0, 4.0, 21.0]


@pytest.mark.parametrize("media", [1e300, -1e300, float("nan"), float("inf")])
def test_times_beyond_any_clock(media: float) -> None:
    """What no clock will ever show is no error: whoever dates it sees that no calendar holds it."""
    timeline = MediaClock()
    timeline.append(0.0, EPOCH)
    for instant in (timeline.start(media), timeline.end(media)):
        assert instant is not None
        assert math.isnan(instant) or abs(instant) >= 1e300


def test_before_any_media() -> None:
    """Until something was sent nothing can be dated."""
    assert MediaClock().start(0.0) is None
    assert MediaClock().end(0.0) is None
