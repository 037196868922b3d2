"""The media clock of a session in UTC."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interhuman2mqtt.cloud.timeline import Timeline

EPOCH = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)

pieces = st.lists(
    st.tuples(st.floats(0.1, 20.0), st.floats(0.0, 600.0)), min_size=1, max_size=30
)  # length of each piece, and what is missing before it; seconds


def seconds(instant: datetime | None) -> float:
    assert instant is not None
    return (instant - EPOCH).total_seconds()


@given(pieces, st.floats(-100.0, 20_000.0))
def test_continuous_framing_never_drifts(lengths: list[tuple[float, float]], media: float) -> None:
    """Where skipped ranges keep the media clock running, every time is the epoch plus the media, gaps or not."""
    timeline, start = Timeline(), 0.0
    for length, gap in lengths:
        start += gap
        timeline.append(start, EPOCH + timedelta(seconds=start))
        start += length
    assert seconds(timeline.start_at(media)) == pytest.approx(media, abs=1e-5)
    assert seconds(timeline.end_at(media)) == pytest.approx(media, abs=1e-5)


@given(pieces, st.data())
def test_standalone_framing_finds_the_gaps(lengths: list[tuple[float, float]], data: st.DataObject) -> None:
    """Where the cloud's clock leaves the gaps out, a time within a piece is that piece's own time."""
    timeline, media, utc = Timeline(), 0.0, 0.0
    spans = []
    for length, gap in lengths:
        utc += gap
        timeline.append(media, EPOCH + timedelta(seconds=utc))
        spans.append((media, utc, length))
        media, utc = media + length, utc + length
    start, at, length = data.draw(st.sampled_from(spans))
    inside = data.draw(st.floats(0.01, 0.99)) * length
    assert seconds(timeline.start_at(start)) == pytest.approx(at, abs=1e-5)
    assert seconds(timeline.start_at(start + inside)) == pytest.approx(at + inside, abs=1e-5)
    assert seconds(timeline.end_at(start + inside)) == pytest.approx(at + inside, abs=1e-5)


def test_the_seam_of_two_pieces() -> None:
    """What ends on the seam ended before the gap, what starts on it started after."""
    timeline = Timeline()
    timeline.append(0.0, EPOCH)
    timeline.append(3.0, EPOCH + timedelta(seconds=10))
    assert seconds(timeline.end_at(3.0)) == 3.0
    assert seconds(timeline.start_at(3.0)) == 10.0


def test_before_the_first_and_after_the_last_piece() -> None:
    """The nearest piece is extended on both sides."""
    timeline = Timeline()
    timeline.append(4.0, EPOCH + timedelta(seconds=4))
    timeline.append(8.0, EPOCH + timedelta(seconds=20))
    assert [seconds(timeline.start_at(media)) for media in (-1.0, 0.0, 9.0, 3600.0)] == [-1.0, 0.0, 21.0, 3612.0]
    assert [seconds(timeline.end_at(media)) for media in (-1.0, 4.0, 9.0)] == [-1.0, 4.0, 21.0]


@pytest.mark.parametrize("media", [1e300, -1e300, float("nan"), float("inf")])
def test_times_beyond_the_calendar(media: float) -> None:
    """A time that no calendar holds is no time, and no error."""
    timeline = Timeline()
    timeline.append(0.0, EPOCH)
    assert timeline.start_at(media) is None
    assert timeline.end_at(media) is None


def test_before_any_media() -> None:
    """Until something was sent nothing can be dated."""
    assert Timeline().start_at(0.0) is None
    assert Timeline().end_at(0.0) is None
