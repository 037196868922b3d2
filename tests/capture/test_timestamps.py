"""Each lie that cameras tell about time is mended by its rule, and the honest are left alone."""

from collections import Counter
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interhuman2mqtt.capture.clock_anchor import ANCHOR_BUCKET_S, ANCHOR_BUCKETS, ClockAnchor
from interhuman2mqtt.capture.timestamps import JUMP_S, REORDER_MAX_S, Stamp, TimestampRepair

TICKS = 1000
"""A second of the tests' tracks: times read as milliseconds."""
Claim = tuple[int | None, int | None]


class Track:
    """A timeline that is fed claims at stated times."""

    def __init__(self, anchor: ClockAnchor | None = None) -> None:
        self.repairs: Counter[str] = Counter()
        self.anchor = anchor or ClockAnchor()
        self.timeline = TimestampRepair(Fraction(1, TICKS), self.anchor, self.repairs)

    def put(self, pts: int | None, dts: int | None, arrival: float) -> Stamp:
        return self.timeline.place(pts, dts, arrival)

    def steady(self, count: int, first: int = 0, step: int = 40) -> list[Stamp]:
        """Honest packets that arrive on time."""
        return [self.put(ms, ms, ms / TICKS) for ms in range(first, first + count * step, step)]


@pytest.fixture
def track() -> Track:
    return Track()


def test_honest_packets_are_left_alone(track: Track) -> None:
    """A stream that tells the truth keeps every timestamp, and nothing counts as mended."""
    assert track.steady(5) == [Stamp(ms, ms) for ms in (0, 40, 80, 120, 160)]
    assert track.repairs == {}


def test_b_frames_keep_their_order_and_their_distance(track: Track) -> None:
    """PTS that lie ahead of rising DTS are not touched."""
    claims = [(80, 0), (200, 40), (120, 80), (160, 120), (320, 160)]
    assert [track.put(pts, dts, 0.2) for pts, dts in claims] == claims
    assert track.repairs == {}


def test_a_missing_dts_is_the_pts(track: Track) -> None:
    """A packet without DTS that is shown far from the one before it is decoded when it is shown."""
    track.steady(3)
    assert track.put(1900, None, 1.9) == (1900, 1900)
    assert track.repairs == {"no_dts": 1}


def test_the_first_b_frames_of_an_rtsp_camera_keep_their_pts(track: Track) -> None:
    """FFmpeg tells no DTS at first, where there are B-frames: no PTS suffers from that."""
    claims: list[Claim] = [(None, None), (180, None), (300, None), (240, 180), (420, 240), (360, 300)]
    stamps = [track.put(pts, dts, n * 0.06) for n, (pts, dts) in enumerate(claims)]
    assert [stamp.pts for stamp in stamps] == [0, 180, 300, 240, 420, 360]
    assert_ordered(stamps)
    assert track.repairs == {"no_stamps": 1, "no_dts": 2}


def test_a_missing_pts_is_the_dts(track: Track) -> None:
    """Without B-frames a frame is shown when it is decoded."""
    track.steady(3)
    assert track.put(None, 120, 0.12) == (120, 120)
    assert track.repairs == {"no_pts": 1}


def test_a_packet_without_any_time_follows_the_one_before_it(track: Track) -> None:
    """It stands as far behind its predecessor as that stands behind its own."""
    track.steady(3)
    assert track.put(None, None, 0.12) == (120, 120)
    assert track.put(160, 160, 0.16) == (160, 160)
    assert track.repairs == {"no_stamps": 1}


def test_the_first_packet_without_any_time_is_at_zero(track: Track) -> None:
    """FFmpeg's RTSP tells nothing about its first frame: it is where the source begins."""
    track.timeline.begin(0.0, 0.0)
    assert track.put(None, None, 5.0) == (0, 0)
    assert track.put(40, 40, 5.04) == (40, 40)


def test_a_repeated_dts_is_one_tick_later(track: Track) -> None:
    """A DTS that does not rise is placed right behind the one before it; the next true one stands."""
    track.steady(3)
    assert [track.put(80, 80, 0.1), track.put(80, 80, 0.1), track.put(120, 120, 0.12)] == [
        (81, 81),
        (82, 82),
        (120, 120),
    ]
    assert track.repairs == {"repeated": 2}


def test_a_small_step_back_is_taken_as_repeated(track: Track) -> None:
    """A DTS that runs backwards a little does not shift what follows it."""
    track.steady(10)
    assert track.put(200, 200, 0.4) == (361, 361)
    assert track.put(400, 400, 0.4) == (400, 400)
    assert track.repairs == {"repeated": 1}


def test_a_repeated_dts_leaves_a_true_pts_alone(track: Track) -> None:
    """Mending the DTS does not move the frame."""
    track.steady(3)
    assert track.put(160, 80, 0.12) == (160, 81)


def test_a_jump_back_begins_a_new_claim(track: Track) -> None:
    """A camera that restarts its clock goes on where it was, and its further packets follow at their own distance."""
    track.steady(100)
    stamps = [track.put(ms, ms, 4.0 + ms / TICKS) for ms in (0, 40, 80)]
    assert stamps == [(4000, 4000), (4040, 4040), (4080, 4080)]
    assert track.repairs == {"jump_back": 1}


def test_a_jump_ahead_begins_a_new_claim_at_its_arrival(track: Track) -> None:
    """Packets from the future stand where they arrived."""
    track.steady(100)
    stamps = [track.put(ms, ms, 4.0 + n * 0.04) for n, ms in enumerate((9_000_000, 9_000_040))]
    assert stamps == [(4000, 4000), (4040, 4040)]
    assert track.repairs == {"jump_ahead": 1}


def test_the_pts_jump_with_the_dts(track: Track) -> None:
    """A frame's way from decoding to showing survives a jump."""
    track.steady(100)
    assert track.put(9_000_080, 9_000_000, 4.0) == (4080, 4000)


def test_a_correction_by_rtcp_is_kept(track: Track) -> None:
    """A sender report moves a track by less than a jump; the camera knows better than we do."""
    track.steady(10)
    assert track.put(1_200, 1_200, 0.4) == (1200, 1200)
    assert track.repairs == {}


def test_a_burst_after_a_stall_is_not_a_jump(track: Track) -> None:
    """What a network held back for ten seconds comes at once and keeps the camera's times."""
    track.steady(10)
    stamps = [track.put(ms, ms, 10.4) for ms in range(400, 10_400, 40)]
    assert stamps == [(ms, ms) for ms in range(400, 10_400, 40)]
    assert track.repairs == {}


def test_a_pause_of_the_source_is_not_a_jump(track: Track) -> None:
    """A source that really was silent for ten seconds says so, and is believed."""
    track.steady(10)
    assert track.put(10_400, 10_400, 10.4) == (10_400, 10_400)
    assert track.repairs == {}


def test_late_first_packets_are_not_jumps(track: Track) -> None:
    """While FFmpeg looks at a stream it holds packets back for two seconds, and gives all of them at once."""
    assert [track.put(ms, ms, 2.0) for ms in range(0, 2000, 40)] == [(ms, ms) for ms in range(0, 2000, 40)]
    assert track.steady(5, first=2000)[-1] == (2160, 2160)
    assert track.repairs == {}
    assert track.anchor.seconds == pytest.approx(0.0, abs=0.05)


def test_tracks_begin_where_they_are_told() -> None:
    """`begin` puts the source's own zero anywhere."""
    track = Track()
    track.timeline.begin(5000.0, 3.0)
    assert track.put(5_000_040, 5_000_000, 100.0) == (3040, 3000)


def test_a_clock_that_stands_still_does_not_stop_ours(track: Track) -> None:
    """Packets that all claim one time are never more than a jump behind their arrival."""
    track.steady(10)
    stamps = [track.put(400, 400, ms / TICKS) for ms in range(400, 20_400, 40)]
    assert all(ms - stamp.dts <= JUMP_S * TICKS for ms, stamp in zip(range(400, 20_400, 40), stamps, strict=True))
    assert_ordered(stamps)
    assert track.repairs.keys() == {"repeated", "frozen"}


def test_a_pts_beyond_belief_is_the_dts(track: Track) -> None:
    """No frame waits for a day to be shown; its neighbours are left alone."""
    track.steady(3)
    assert track.put(86_400_000, 120, 0.12) == (120, 120)
    assert track.put(200, 160, 0.16) == (200, 160)
    assert track.repairs == {"far_pts": 1}


@pytest.mark.parametrize("begins", [10**9, -(10**9)])
def test_a_track_that_begins_elsewhere_is_put_beside_the_other(track: Track, begins: int) -> None:
    """Audio whose clock counts from another zero than the video's begins when it comes, and goes on from there."""
    track.steady(50)
    sound = Track(track.anchor)
    assert sound.put(begins, begins, 2.0) == (2000, 2000)
    assert sound.put(begins + 40, begins + 40, 2.04) == (2040, 2040)
    assert sound.repairs == {"apart": 1}


def assert_ordered(stamps: list[Stamp]) -> None:
    assert all(after.dts > before.dts for before, after in pairwise(stamps))
    assert all(stamp.pts >= stamp.dts for stamp in stamps)


times = st.none() | st.integers(-(1 << 40), 1 << 40) | st.integers(-5000, 5000)


@given(st.lists(st.tuples(times, times, st.floats(0, 30)), max_size=40))
def test_whatever_comes_dts_rise_and_pts_are_not_before_them(
    claims: list[tuple[int | None, int | None, float]],
) -> None:
    """No claim, however absurd, makes a stream that a muxer would refuse."""
    track = Track()
    arrival = 1000.0
    stamps = []
    for pts, dts, waited in claims:
        arrival += waited
        stamps.append(track.put(pts, dts, arrival))
        expected = (arrival - track.anchor.seconds) * TICKS
        assert len(stamps) == 1 or stamps[-1].dts <= max(expected, stamps[-2].dts + 1) + JUMP_S * TICKS + 1
    assert_ordered(stamps)
    assert all(stamp.pts - stamp.dts <= REORDER_MAX_S * TICKS for stamp in stamps)


@given(
    st.integers(-(10**9), 10**9),
    st.lists(st.tuples(st.integers(1, 2000), st.integers(0, 500), st.floats(0, 1.5)), min_size=1, max_size=60),
)
def test_an_honest_stream_comes_out_untouched(zero: int, packets: list[tuple[int, int, float]]) -> None:
    """Rising DTS that arrive with any delay that changes by less than a jump are kept to the tick."""
    track = Track()
    track.timeline.begin(zero / TICKS, 0.0)
    dts = 0
    for step, composition, delay in packets:
        assert track.put(zero + dts + composition, zero + dts, 1000 + dts / TICKS + delay) == (dts + composition, dts)
        dts += step
    assert track.repairs == {}


@given(st.lists(st.floats(0, 2), min_size=1, max_size=200))
def test_the_anchor_is_the_least_delay(delays: list[float]) -> None:
    """However late packets are, the most punctual one tells when zero was."""
    anchor = ClockAnchor()
    for number, delay in enumerate(delays):
        anchor.observe(number * 0.1, 500 + number * 0.1 + delay)
    assert anchor.seconds == pytest.approx(500 + min(delays))


def test_the_anchor_follows_a_drifting_clock() -> None:
    """A camera whose clock is slow by 100 ppm is followed: after two hours the anchor is at most 15 ms behind."""
    anchor = ClockAnchor()
    for second in range(7200):
        anchor.observe(float(second), 500 + second * 1.0001)
    behind = 500 + 7199 * 0.0001 - anchor.seconds
    assert 0 <= behind <= 1.1 * ANCHOR_BUCKET_S * (ANCHOR_BUCKETS + 1) * 0.0001


def test_the_anchor_before_the_first_packet() -> None:
    """There is nothing to tell yet."""
    assert ClockAnchor().seconds == 0.0
    assert not ClockAnchor().is_settled


def test_the_anchor_settles_when_it_gets_no_better() -> None:
    """While a burst comes in each packet is less late than the one before; a quarter of a second later it is over."""
    anchor = ClockAnchor()
    for number in range(50):
        anchor.observe(number * 0.04, 2.0)
        assert not anchor.is_settled
    anchor.observe(2.0, 2.0)
    anchor.observe(2.2, 2.2)
    assert not anchor.is_settled
    anchor.observe(2.3, 2.3)
    assert anchor.is_settled
