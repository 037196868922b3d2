"""The ring keeps its invariants, whatever comes and in whichever order."""

from itertools import pairwise

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from interhuman2mqtt.capture.ring import AUDIO_WAIT_S, GOP_MIN_S, Gop, Packet, Ring

MS = 0.001


def a_packet(ms: int, *, key: bool = True, size: int = 10) -> Packet:
    """A packet at a millisecond; its data is its own time, so that it can be recognized."""
    return Packet(ms, ms, 40, key, size, b"%d" % ms)


def a_ring(limit_s: float = 60.0, limit_bytes: int = 1 << 20) -> Ring:
    ring = Ring(limit_s, limit_bytes)
    ring.begin_epoch(has_audio=True)
    return ring


def put_video(ring: Ring, *milliseconds: int, key: bool = False) -> None:
    for ms in milliseconds:
        ring.add_video(a_packet(ms, key=key), ms * MS)


def put_audio(ring: Ring, *milliseconds: int) -> None:
    for ms in milliseconds:
        ring.add_audio(a_packet(ms), ms * MS)


def gops(ring: Ring) -> list[Gop]:
    return [ring.gop(serial) for serial in range(ring.first, ring.first + len(ring))]


def sounds(ring: Ring) -> list[list[int]]:
    return [[int(packet.data) for _, packet in gop.audio] for gop in gops(ring)]


def test_pictures_before_the_first_key_frame_are_not_kept() -> None:
    """Nothing can be decoded before a key frame, so nothing is kept."""
    ring = a_ring()
    put_video(ring, 0, 40)
    put_audio(ring, 0)
    assert (len(ring), ring.size) == (0, 0)


def test_a_gop_is_sealed_when_the_next_begins_and_the_sound_is_there() -> None:
    """Both tracks have to have come past its end."""
    ring = a_ring()
    put_video(ring, 0, key=True)
    put_audio(ring, 0, 500)
    put_video(ring, 500)
    put_video(ring, 1000, key=True)
    assert ring.complete_end == 0
    put_audio(ring, 1000)
    assert ring.complete_end == 1
    assert ring.gop(0).end_s == 1.0


def test_without_a_sound_track_nothing_waits_for_sound() -> None:
    """A GOP is whole with the next key frame."""
    ring = a_ring()
    ring.begin_epoch(has_audio=False)
    put_video(ring, 0, 1000, key=True)
    assert ring.complete_end == 1


def test_sound_that_stops_is_waited_for_with_patience() -> None:
    """A GOP whose audio does not come is complete once the video is a second ahead."""
    ring = a_ring()
    put_video(ring, 0, key=True)
    put_audio(ring, 0)
    put_video(ring, 1000, key=True)
    put_video(ring, 1000 + round(AUDIO_WAIT_S * 1000) - 40)
    assert ring.complete_end == 0
    put_video(ring, 1000 + round(AUDIO_WAIT_S * 1000))
    assert ring.complete_end == 1


def test_sound_belongs_to_the_gop_of_its_time_not_of_its_place() -> None:
    """Audio that arrives late, or ahead of the video, still stands with the frames of its time."""
    ring = a_ring()
    put_video(ring, 0, key=True)
    put_audio(ring, 0, 400, 1200, 1600)  # ahead of the picture
    put_video(ring, 400)
    put_video(ring, 1000, key=True)
    put_audio(ring, 2100)
    put_video(ring, 2000, key=True)
    assert sounds(ring) == [[0, 400], [1200, 1600], [2100]]


def test_late_sound_goes_back_to_its_gop_as_long_as_that_is_open() -> None:
    """The video may be ahead by a key frame."""
    ring = a_ring()
    put_video(ring, 0, key=True)
    put_video(ring, 900, key=True)
    put_audio(ring, 100, 850, 950)
    assert sounds(ring) == [[100, 850], [950]]


def test_sound_too_late_for_its_gop_goes_to_the_oldest_open_one() -> None:
    """A complete GOP never changes, and no audio is lost."""
    ring = a_ring()
    put_video(ring, 0, key=True)
    put_audio(ring, 0)
    put_video(ring, 1000, 2000, 3000, key=True)
    sealed = ring.complete_end
    assert sealed > 0
    put_audio(ring, 500)
    assert sounds(ring)[:sealed] == [[0], []]
    assert sounds(ring)[sealed] == [500]


def test_the_oldest_gop_goes_when_the_seconds_are_full() -> None:
    """The ring holds whole GOPs, and never more than its limit."""
    ring = a_ring(limit_s=3.0)
    for ms in range(0, 6000, 1000):
        put_video(ring, ms, key=True)
        put_audio(ring, ms)
    assert (ring.first, ring.seconds) == (2, 3.0)


def test_the_oldest_gop_goes_when_the_bytes_are_full() -> None:
    """The same by size."""
    ring = a_ring(limit_bytes=35)
    put_video(ring, 0, 1000, 2000, 3000, key=True)
    assert (ring.first, ring.size, len(ring)) == (1, 30, 3)


@pytest.mark.parametrize("limits", [(60.0, 95), (3.0, 1 << 20)])
def test_a_second_key_frame_that_never_comes_does_not_fill_the_memory(limits: tuple[float, int]) -> None:
    """One GOP that alone is too much goes, and what follows is lost until a key frame comes."""
    ring = a_ring(*limits)
    put_video(ring, 0, key=True)
    put_video(ring, *range(400, 8000, 400))
    assert (len(ring), ring.size) == (0, 0)
    put_video(ring, 9000, key=True)
    assert (len(ring), ring.first) == (1, 1)


def test_the_newest_and_the_first_at_a_time() -> None:
    """A cursor begins at the newest GOP, or at the first one at or after a time, or behind all."""
    ring = a_ring()
    assert (ring.newest(), ring.find(0.0), ring.end_s, ring.oldest_epoch) == (0, 0, 0.0, 1)
    put_video(ring, 0, 1000, 2000, key=True)
    assert ring.newest() == 2
    assert [ring.find(at) for at in (0.0, 0.5, 1.0, 2.0, 2.5)] == [0, 1, 1, 2, 3]


def test_a_border_is_found_however_the_take_after_it_begins() -> None:
    """An epoch that seems to begin with the last frame of the one before, or a tick earlier, is not skipped."""
    ring = a_ring()
    put_video(ring, 0, 1000, key=True)
    put_video(ring, 1500)
    ring.begin_epoch(has_audio=False)
    ring.add_video(a_packet(1500), 1.4999)
    assert ring.find(ring.gop(1).end_s) == 2


def test_going_back_for_a_replay() -> None:
    """In whole GOPs, at least as long as was asked for, a little jitter aside; not before a time, nor into an epoch."""
    ring = a_ring()
    put_video(ring, 0, 1000, 2010, 3000, key=True)
    ring.begin_epoch(has_audio=False)
    put_video(ring, 4000, 5000, 6010, 7000, 8000, key=True)
    assert [ring.rewind(8, seconds, 0.0) for seconds in (0.0, 0.5, 1.0, 2.0, 2.5, 4.0, 9.0)] == [8, 7, 7, 6, 5, 4, 4]
    assert [ring.rewind(8, 9.0, floor) for floor in (4.0, 4.5, 6.01, 7.0, 8.0, 99.0)] == [4, 5, 6, 7, 8, 8]
    assert ring.rewind(4, 2.0, 0.0) == 4
    assert ring.rewind(3, 2.0, 0.0) == 1
    assert ring.rewind(9, 2.0, 0.0) == 6  # which is not there yet, and is of this take


def test_nothing_is_replayed_from_the_older_half_of_a_full_ring() -> None:
    """It would soon cost what was never sent."""
    ring = a_ring(limit_s=8.0)
    ring.begin_epoch(has_audio=False)
    put_video(ring, *range(0, 9000, 1000), key=True)
    assert (ring.first, ring.rewind(5, 4.0, 0.0)) == (0, 1)
    put_video(ring, 9000, key=True)
    assert [ring.rewind(serial, 4.0, 0.0) for serial in (3, 5, 6, 8)] == [3, 5, 5, 5]


def test_a_new_take_begins_with_a_key_frame_and_seals_the_old() -> None:
    """What is there can be read, and nothing of the new format is added to it."""
    ring = a_ring()
    put_video(ring, 0, key=True)
    ring.begin_epoch(has_audio=False)
    assert (ring.complete_end, ring.epoch, ring.oldest_epoch) == (1, 2, 1)
    assert ring.newest() == 1  # which is not there yet: a recording of the present waits for it
    put_video(ring, 1000)
    put_video(ring, 2000, key=True)
    assert [gop.epoch for gop in gops(ring)] == [1, 2]
    assert ring.gop(0).end_s == GOP_MIN_S


def holes(ring: Ring) -> list[tuple[float, float]]:
    return [(round(start, 3), round(end, 3)) for gop in gops(ring) for start, end in gop.gaps]


def test_a_camera_that_stands_still_leaves_a_hole() -> None:
    """Within a GOP as at its end; the time without a frame makes the GOP no longer, so it is not one to encode."""
    ring = a_ring()
    put_video(ring, 0, key=True)
    put_video(ring, 40, 80, 5080, 5120)
    assert ring.growing_gop_s == pytest.approx(0.12)
    put_video(ring, 9120, key=True)
    assert holes(ring) == [(0.08, 5.08), (5.12, 9.12)]
    put_video(ring, 9080, 9160, 10_160)
    assert len(holes(ring)) == 2


def test_a_camera_of_few_pictures_has_no_holes() -> None:
    """One frame in five seconds is its way; what is five times as long is a gap again, and so is the next one."""
    ring = a_ring(limit_s=600)
    put_video(ring, 0, 5000, 10_000, 15_000, key=True)
    assert holes(ring) == []
    put_video(ring, 45_000, 50_000, 80_000, key=True)
    assert holes(ring) == [(15.0, 45.0), (50.0, 80.0)]


def test_the_end_of_what_was_let_go() -> None:
    """The ring knows up to when its media left it, so that nobody takes that for a gap of the camera's."""
    ring = a_ring(limit_s=2.5)
    put_video(ring, 0, 1000, 2000, 3000, key=True)
    assert (ring.first, ring.evicted_s) == (1, 1.0)


def test_the_length_of_a_last_frame_counts() -> None:
    """A single frame that gets a length as the source ends takes the ring no further than its limit."""
    ring = a_ring(limit_s=4.0005)
    put_video(ring, 0, 4000, key=True)
    ring.close()
    assert ring.first == 1
    assert ring.seconds == pytest.approx(GOP_MIN_S)


class Flood(RuleBasedStateMachine):
    """Random packets, epochs and closes against a ring with small limits."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0
        self.frozen: dict[int, tuple[object, ...]] = {}
        self.put = 0

    @initialize(limit_s=st.floats(0.5, 8.0), limit_bytes=st.integers(20, 2000), has_audio=st.booleans())
    def begin(self, limit_s: float, limit_bytes: int, has_audio: bool) -> None:  # noqa: FBT001 - Hypothesis's
        self.ring = Ring(limit_s, limit_bytes)
        self.ring.begin_epoch(has_audio=has_audio)

    @rule(step=st.integers(1, 1500), key=st.booleans(), size=st.integers(1, 200), early=st.integers(0, 4000))
    def picture(self, step: int, key: bool, size: int, early: int) -> None:  # noqa: FBT001 - Hypothesis's
        self.now += step
        at = max(self.now - early, 0)
        self.ring.add_video(a_packet(at, key=key, size=size), at * MS)

    @rule(offset=st.integers(-3000, 3000), size=st.integers(1, 50))
    def sound(self, offset: int, size: int) -> None:
        at = max(self.now + offset, 0)
        self.ring.add_audio(a_packet(at, size=size), at * MS)

    @rule(has_audio=st.booleans())
    def begin_epoch(self, has_audio: bool) -> None:  # noqa: FBT001 - Hypothesis's
        self.ring.begin_epoch(has_audio=has_audio)

    @precondition(lambda self: len(self.ring) > 0)
    @rule()
    def close(self) -> None:
        self.ring.close()
        assert self.ring.complete_end == self.ring.first + len(self.ring)

    @invariant()
    def gops_are_whole_and_in_order(self) -> None:
        found = gops(self.ring)
        assert all(gop.video[0].key and not any(p.key for p in gop.video[1:]) for gop in found)
        assert all(after.start_s >= before.end_s for before, after in pairwise(found))

    @invariant()
    def a_border_names_one_gop(self) -> None:
        ring = self.ring
        for serial in range(ring.first, ring.complete_end):
            assert ring.find(ring.gop(serial).start_s) == serial
            assert ring.find(ring.gop(serial).end_s) == serial + 1

    @invariant()
    def complete_gops_never_change(self) -> None:
        ring = self.ring
        assert ring.first <= ring.complete_end <= ring.first + len(ring)
        for serial in range(ring.first, ring.complete_end):
            gop = ring.gop(serial)
            content = gop.start_s, gop.end_s, gop.epoch, tuple(gop.video), tuple(gop.audio), gop.size
            assert self.frozen.setdefault(serial, content) == content

    @invariant()
    def limits_hold(self) -> None:
        ring = self.ring
        assert ring.seconds <= ring.limit_s
        assert ring.size <= ring.limit_bytes
        packets = [p for gop in gops(ring) for p in (*gop.video, *(packet for _, packet in gop.audio))]
        assert ring.size == sum(packet.size for packet in packets) == sum(gop.size for gop in gops(ring))

    @invariant()
    def audio_of_growing_gops_is_in_its_time(self) -> None:
        ring = self.ring
        growing = gops(ring)[ring.complete_end - ring.first :]
        for number, gop in enumerate(growing):
            assert number == 0 or all(seconds >= gop.start_s for seconds, _ in gop.audio)
            assert gop is growing[-1] or all(seconds < gop.end_s for seconds, _ in gop.audio)


TestFlood = Flood.TestCase
TestFlood.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
