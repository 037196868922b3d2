"""Chunks come of GOPs of any length, in time, in order and none left out; on a recording alone, with the real muxer."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import accumulate, pairwise
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs

from capture.material import SMALL, Captured, PulledChunk, captured, pull
from interhuman2mqtt.capture import ipc
from interhuman2mqtt.capture.chunk_length import SHORT_OF_CHUNK, Bounds, chunk_lengths
from interhuman2mqtt.capture.clock_anchor import ClockAnchor
from interhuman2mqtt.capture.recorder import Recorder
from interhuman2mqtt.capture.ring import Packet, Ring
from interhuman2mqtt.capture.tracks import CopiedVideo, Tracks
from support.clips import opened

TICKS = 90_000
ROUNDING_S = 1e-5
GOPS_S = (0.1, 0.12, 0.3, 0.5, 0.7, 0.999, 1.001, 1.15, 1.2, 1.3, 1.33, 1.45, 1.5, 1.75, 2.0, 2.5, 3.0, 3.3, 4.5)
CHUNKS_S = (0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0)
RATES = (1.5, 5.0, 14.985, 25.0, 60.0)


class Camera:
    """A camera that copies two frames again and again, and one recording of it that is pulled all the time."""

    def __init__(self, fps: float, framing: str, chunk_s: float, least_s: float | None = None) -> None:
        whole = small()
        self.ring = Ring(60.0, 32 << 20)
        self.ring.begin_epoch(has_audio=False)
        self.tracks = {1: Tracks(whole.tracks[1].video, None)}
        assert isinstance(self.tracks[1].video, CopiedVideo)
        self._tick_s = self.tracks[1].video.tick_s
        key, other = whole.ring.gop(0).video[:2]
        self._data = {True: key.data, False: other.data}
        self._ticks = Fraction(1 / Fraction(fps).limit_denominator(1000)) / Fraction(self.tracks[1].video.time_base)
        self.anchor = ClockAnchor()
        self.anchor.observe(0.0, 0.0)
        self.anchor.observe(0.0, 1.0)
        self._command = ipc.Record(
            recording=1,
            framing="standalone" if framing == "standalone" else "continuous",
            chunk_s=chunk_s,
            from_s=0.0,
        )
        self._least_s = least_s
        self.begin(0.0)
        self.shown = 0

    def begin(self, from_s: float) -> None:
        """Begin a recording there."""
        self.recording = Recorder(structs.replace(self._command, from_s=from_s), self.ring, self.anchor)
        if self._least_s is not None:
            self.recording.limit(ipc.Limit(recording=1, least_s=self._least_s))

    @property
    def now(self) -> float:
        """The newest frame's time."""
        return self.time_of(self.shown - 1)

    def time_of(self, number: int) -> float:
        """When a frame is shown."""
        return round(number * self._ticks) * self._tick_s

    def show(self, *, key: bool) -> None:
        """One more frame."""
        at, after = round(self.shown * self._ticks), round((self.shown + 1) * self._ticks)
        data = self._data[key]
        self.ring.add_video(Packet(at, at, after - at, key, len(data), data), self.time_of(self.shown))
        self.shown += 1

    def pull(self, *, source_ended: bool = False) -> PulledChunk | None:
        """What there is now."""
        return pull(self.recording, self.tracks, source_ended=source_ended)


_small: list[Captured] = []


def small() -> Captured:
    """The clip that the frames are taken from, captured once."""
    if not _small:
        _small.append(captured(SMALL._replace(audio=None)))
    return _small[0]


class Left(NamedTuple):
    """A chunk, and when it left: the time of the newest frame."""

    head: ipc.Chunk
    payload: bytes
    at: float


def live(camera: Camera, gops: Sequence[int]) -> Iterator[Left]:
    """The chunks of GOPs of so many frames each, pulled as a session does; the last one is complete by one frame."""
    for frames in (*gops, 1):
        for number in range(frames):
            camera.show(key=number == 0)
            if number == 0 and (cut := camera.pull()):
                yield Left(*cut, camera.now)


def judge(camera: Camera, gops: Sequence[int], chunks: list[Left], chunk_s: float, least_s: float) -> None:
    """What must hold of the chunks that have left, whatever the GOPs are like."""
    starts = [camera.time_of(frames) for frames in accumulate(gops, initial=0)]
    chunk_lengths = [end_s - start_s for start_s, end_s in pairwise(starts)]
    wanted_s = max(chunk_s, least_s)
    for before, chunk in pairwise(chunks):
        assert chunk.head.start_s == before.head.end_s, "GOPs are left out or come twice"
    for chunk in chunks:
        start_s, end_s = chunk.head.start_s, chunk.head.end_s
        assert (chunk.head.lost, chunk.head.gaps, chunk.head.last) == ((), (), False)
        assert end_s - start_s > max(chunk_s * SHORT_OF_CHUNK, least_s) - ROUNDING_S
        first_border = next((border for border in starts if border > start_s + wanted_s - ROUNDING_S), starts[-1])
        assert end_s < first_border + ROUNDING_S, "it grew beyond the first border behind what was asked"
        assert chunk.at == pytest.approx(end_s, abs=0.002), "it left later than its last GOP was whole"
    end_s = chunks[-1].head.end_s if chunks else 0.0
    assert starts[-1] - end_s < wanted_s + max(chunk_lengths), "it stays behind live"


def judge_media(camera: Camera, chunks: list[Left], *, standalone: bool, least_s: float) -> None:
    """What the cloud sees: each frame once and in order, and, of files, how long each is."""
    pictures, seconds = 0, 0.0
    for media in [chunk.payload for chunk in chunks] if standalone else [b"".join(c.payload for c in chunks)]:
        with opened(media) as file:
            packets = [packet for packet in file.demux(video=0) if packet.size]
        assert packets[0].is_keyframe
        steps = [(b.dts or 0) - (a.dts or 0) for a, b in pairwise(packets)]
        assert all(step > 0 for step in steps)
        length_s = float(sum(packet.duration or 0 for packet in packets) * packets[0].time_base)
        assert length_s > least_s - ROUNDING_S
        pictures += len(packets)
        seconds += length_s
    frame_s = float(camera._ticks) * camera._tick_s
    assert pictures == round(chunks[-1].head.end_s / frame_s)
    assert seconds == pytest.approx(chunks[-1].head.end_s, abs=0.002)


def run(fps: float, gops: Sequence[int], framing: str, chunk_s: float) -> None:
    least_s = 3.0 if framing == "standalone" else 0.0
    camera = Camera(fps, framing, chunk_s, least_s or None)
    chunks = list(live(camera, gops))
    judge(camera, gops, chunks, chunk_s, least_s)
    if chunks:
        judge_media(camera, chunks, standalone=framing == "standalone", least_s=least_s)


def grid() -> Iterator[tuple[float, int, str, float]]:
    """Every point: frames a second, frames in a GOP, framing, length that is asked for."""
    seen = set()
    for fps in RATES:
        for gop_s in GOPS_S:
            frames = max(1, round(gop_s * fps))
            if frames > 4.5 * fps:
                continue
            for framing in ("continuous", "standalone"):
                for chunk_s in CHUNKS_S:
                    if framing == "continuous" or chunk_s >= 3.0:
                        seen.add((fps, frames, framing, chunk_s))
    yield from sorted(seen)


def of_point(fps: float, frames: int, framing: str, chunk_s: float) -> None:
    seconds = 3 * max(chunk_s, 3.0) + 2 * frames / fps
    run(fps, [frames] * (1 + int(seconds * fps / frames)), framing, chunk_s)


SAMPLE = (
    (25.0, 30, "continuous", 2.0),
    (15.0, 20, "continuous", 2.0),
    (25.0, 50, "continuous", 3.0),
    (25.0, 50, "standalone", 3.0),
    (25.0, 112, "standalone", 3.0),
    (25.0, 3, "continuous", 0.5),
    (1.5, 2, "continuous", 2.0),
    (25.0, 35, "continuous", 30.0),
    (60.0, 70, "continuous", 1.0),
)


@pytest.mark.parametrize("point", SAMPLE, ids=repr)
def test_gops_of_one_length(point: tuple[float, int, str, float]) -> None:
    """GOPs of 1.2 s, of 1.33 s, of 2 s for chunks of 3 s and the like: chunks leave in time and near what was asked."""
    of_point(*point)


@pytest.mark.full
@pytest.mark.parametrize("fps", RATES)
def test_gops_of_every_length(fps: float) -> None:
    """The same for every length of GOPs and chunks, rate and framing."""
    for point in grid():
        if point[0] == fps:
            of_point(*point)


@given(
    st.sampled_from(RATES),
    st.lists(st.floats(0.1, 4.5), min_size=1, max_size=12),
    st.sampled_from(("continuous", "standalone")),
    st.floats(0.5, 30.0),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_gops_of_irregular_lengths(fps: float, chunk_lengths: list[float], framing: str, chunk_s: float) -> None:
    """Whatever the lengths of GOPs are, one after the other, chunks leave in time, and no GOP is left out."""
    chunk_s = max(chunk_s, 3.0) if framing == "standalone" else chunk_s
    gops = [max(1, min(round(length * fps), int(4.5 * fps))) for length in chunk_lengths]
    many = 1 + int(3 * chunk_s * fps / sum(gops))
    run(fps, gops * many, framing, chunk_s)


def test_an_odd_gop_costs_nothing() -> None:
    """One of 1.3 s among many of 2 s makes one chunk longer; all others are as they were, and none waits."""
    camera = Camera(10.0, "continuous", 2.0)
    chunk_lengths = [
        round(chunk.head.end_s - chunk.head.start_s, 3) for chunk in live(camera, [20, 20, 13, 20, 20, 20])
    ]
    assert chunk_lengths == [2.0, 2.0, 3.3, 2.0, 2.0]


def test_what_is_asked_for_is_what_comes_where_the_gops_allow_it() -> None:
    """Short GOPs make chunks of the length asked for, and not of three quarters of it."""
    for frames, wanted in ((1, 2.0), (2, 2.0), (5, 2.0), (6, 1.8), (7, 2.1), (10, 2.0), (12, 2.4), (15, 1.5)):
        camera = Camera(10.0, "continuous", 2.0)
        [first, *_] = live(camera, [frames] * (1 + 60 // frames))
        assert first.head.end_s == pytest.approx(wanted), frames


def test_a_backlog_is_cut_as_live_media_is() -> None:
    """Of many GOPs that are there, each chunk takes as many as make up its length."""
    camera = Camera(10.0, "continuous", 2.0)
    for number in range(12 * 20 + 1):
        camera.show(key=number % 12 == 0)
    chunk_lengths = []
    while cut := camera.pull():
        chunk_lengths.append(round(cut[0].end_s - cut[0].start_s, 3))
    assert chunk_lengths == [2.4] * 10


def test_what_the_ring_cannot_hold_leaves_before_it_falls_off() -> None:
    """Chunks are shorter than asked where the ring is too small for them, in bytes or in seconds; nothing is lost."""
    for limit_s, gops, longest in ((31.0, 1000, 20.0), (60.0, 6, 14.0)):
        camera = Camera(25.0, "continuous", 30.0)
        limit_bytes = gops * gop_size(camera, 112)
        camera.ring.limit_s, camera.ring.limit_bytes = limit_s, limit_bytes
        camera.recording.limit(ipc.Limit(recording=1))
        chunks = list(live(camera, [112] * 30))
        assert len(chunks) > 5
        assert all(chunk.head.lost == () for chunk in chunks)
        assert max(chunk.head.end_s - chunk.head.start_s for chunk in chunks) <= longest


def test_what_the_cloud_takes() -> None:
    """A chunk heeds the least and the most that the session tells, in seconds and in bytes, in both framings."""
    camera = Camera(10.0, "continuous", 2.0, least_s=5.0)
    assert [round(c.head.end_s - c.head.start_s, 3) for c in live(camera, [20] * 10)] == [6.0] * 3
    camera = Camera(10.0, "continuous", 30.0)
    camera.recording.limit(ipc.Limit(recording=1, most_s=5.0))
    assert [round(c.head.end_s - c.head.start_s, 3) for c in live(camera, [20] * 10)] == [4.0] * 5
    camera = Camera(10.0, "continuous", 30.0)
    camera.recording.limit(ipc.Limit(recording=1, most_bytes=4 * gop_size(camera, 20) + 1))
    assert [round(c.head.end_s - c.head.start_s, 3) for c in live(camera, [20] * 10)][:2] == [6.0] * 2


def gop_size(camera: Camera, frames: int) -> int:
    return len(camera._data[True]) + (frames - 1) * len(camera._data[False])


def test_a_rest_that_is_too_short_is_the_next_recordings() -> None:
    """At a rotation nothing below the cloud's least is sent, and the next recording begins with it."""
    camera = Camera(10.0, "standalone", 3.0, least_s=3.0)
    chunks = list(live(camera, [20] * 3))
    assert [chunk.head.end_s for chunk in chunks] == pytest.approx([4.0])
    camera.recording.is_finishing = True
    last = camera.pull()
    assert last is not None
    assert (last[0].last, last[0].start_s, last[0].end_s, last[1]) == (True, 4.0, 4.0, b"")
    camera.begin(from_s=4.0)
    assert [round(chunk.head.start_s, 3) for chunk in live(camera, [20])] == [4.0]


def test_a_rest_that_is_too_short_when_the_source_ends() -> None:
    """It is not sent: what is below the cloud's least would be answered with an error."""
    camera = Camera(10.0, "standalone", 3.0, least_s=3.0)
    list(live(camera, [20] * 3))
    camera.ring.close()
    cut = camera.pull(source_ended=True)
    assert cut is not None
    assert (cut[0].last, cut[1]) == (True, b"")
    enough = Camera(10.0, "standalone", 3.0, least_s=3.0)
    list(live(enough, [20] * 4))
    enough.show(key=False)
    enough.ring.close()
    cut = enough.pull(source_ended=True)
    assert cut is not None
    assert (cut[0].last, bool(cut[1])) == (True, False)


def test_a_rest_before_another_format_is_a_hole() -> None:
    """No recording ever sends it; the one that begins with it tells it, and goes on with the new format."""
    camera = Camera(10.0, "standalone", 3.0, least_s=3.0)
    list(live(camera, [20] * 3))
    camera.ring.begin_epoch(has_audio=False)
    camera.tracks[2] = camera.tracks[1]
    last = camera.pull()
    assert last is not None
    assert (last[0].last, last[1]) == (True, b"")
    camera.begin(from_s=last[0].end_s)
    assert camera.pull() is None
    [chunk] = live(camera, [20] * 3)
    assert chunk.head.gaps == ((4.0, chunk.head.start_s),)
    assert chunk.payload


def test_a_camera_that_stood_still_is_no_long_picture() -> None:
    """The last frame of a chunk lasts until the next GOP, but not through a gap, which the cloud shall see."""
    camera = Camera(10.0, "continuous", 2.0)
    for number in range(20):
        camera.show(key=number == 0)
    camera.shown += 50
    camera.show(key=True)
    cut = camera.pull()
    assert cut is not None
    [hole] = cut[0].gaps
    assert hole == pytest.approx((1.9, 7.0))
    with opened(cut[1]) as file:
        assert file.duration == pytest.approx(2.0 * 1e6, rel=0.01)


def test_chunks_are_foretold() -> None:
    """`probe` says how long chunks will be by the same rule, out of the GOPs that it saw."""
    assert chunk_lengths([1.2] * 5, Bounds(2.0)) == pytest.approx([2.4, 2.4])
    assert chunk_lengths([2.0, 2.0, 1.3, 2.0], Bounds(2.0)) == pytest.approx([2.0, 2.0, 3.3])
    assert chunk_lengths([2.0] * 4, Bounds(3.0, 3.0)) == pytest.approx([4.0, 4.0])
