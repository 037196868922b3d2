"""Chunks of a recording are one film, two recordings in a row are the whole film, and what is lost is reported."""

from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import pytest

from capture.material import SMALL, Captured, captured, crafted, media, numbers
from support.clips import OPTIONS, Clip, add_video, draw, opened

B_FRAMES = SMALL._replace(b_frames=2)
SILENT = SMALL._replace(audio=None)


class Row(NamedTuple):
    """What must not change about a packet on its way; seconds are from the key frame's DTS."""

    pts_s: float
    dts_s: float
    size: int
    key: bool


def rows(payload: Path | bytes, kind: str) -> list[Row]:
    """The packets of a track from the first frame's DTS on, as they are in the file."""
    with opened(payload) as file:
        zero: Fraction | None = None
        found = []
        video = file.streams.video[0]
        for packet in file.demux(video, *file.streams.audio):
            if not packet.size:
                continue
            assert packet.pts is not None
            assert packet.dts is not None
            if packet.stream is video and zero is None:
                zero = Fraction(packet.dts) * packet.time_base
            if packet.stream.type == kind:
                pts, dts = packet.pts * packet.time_base, packet.dts * packet.time_base
                found.append((pts, dts, packet.size, packet.is_keyframe))
    assert zero is not None
    return [Row(float(pts - zero), float(dts - zero), size, key) for pts, dts, size, key in found if dts >= zero]


def sounds(payload: Path | bytes) -> list[Row]:
    """The packets of audio; but not at the first key frame's own instant: a rounding may put it before."""
    return [row for row in rows(payload, "audio") if row.dts_s > 0.001]


def assert_same(got: list[Row], wanted: list[Row]) -> None:
    assert [row[2:] for row in got] == [row[2:] for row in wanted]
    for mine, theirs in zip(got, wanted, strict=True):
        assert mine[:2] == pytest.approx(theirs[:2], abs=0.001)


@pytest.mark.parametrize("clip", [SMALL, B_FRAMES, SILENT], ids=["plain", "b-frames", "silence"])
def test_all_chunks_together_are_the_source(clip: Clip) -> None:
    """Concatenated they are one valid MP4 whose packets have the times, the sizes and the number of the source's."""
    whole = captured(clip)
    cuts = list(whole.chunks(whole.record(), source_ended=True))
    assert [head.last for head, _ in cuts] == [False, False, False, True]
    assert [head.index for head, _ in cuts] == [0, 1, 2, 3]
    film = media(cuts)
    assert_same(rows(film, "video"), rows(clip.path(), "video"))
    if clip.audio:
        assert_same(sounds(film), sounds(clip.path()))
    assert numbers(film) == list(range(clip.frames))


def test_the_second_recording_goes_on_where_the_first_ended() -> None:
    """Begun at the end of the first it holds every later frame: none twice and none missing, in video and audio."""
    whole = captured(SMALL)
    first = whole.record()
    begin = [cut for cut in (whole.pull(first), whole.pull(first)) if cut]
    first.is_finishing = True
    begin += list(whole.chunks(first))
    assert begin[-1][0].last
    second = list(whole.chunks(whole.record(from_s=begin[-1][0].end_s), source_ended=True))
    assert numbers(media(begin)) + numbers(media(second)) == list(range(SMALL.frames))
    sizes = [row.size for row in sounds(media(begin)) + rows(media(second), "audio")]
    assert sizes == [row.size for row in sounds(SMALL.path())]
    assert second[0][0].start_s == begin[-1][0].end_s
    assert second[0][0].lost == ()


def test_standalone_chunks_decode_alone_and_start_at_zero() -> None:
    """Each is a file of its own; `media_s` counts on through all of them."""
    whole = captured(SMALL)
    cuts = list(whole.chunks(whole.record("standalone"), source_ended=True))
    assert [numbers(payload) for _, payload in cuts] == [list(range(n, n + 30)) for n in (0, 30, 60, 90)]
    for _, payload in cuts:
        assert rows(payload, "video")[0].pts_s == 0
        assert 0 <= rows(payload, "audio")[0].pts_s < 0.03
    assert [head.media_s for head, _ in cuts] == pytest.approx([0, 2, 4, 6])


def test_media_time_is_the_time_in_the_file() -> None:
    """`media_s` of a chunk is where its first frame stands in the continuous file."""
    whole = captured(B_FRAMES)
    cuts = list(whole.chunks(whole.record(), source_ended=True))
    shown = [row.pts_s for row in rows(media(cuts), "video") if row.key]
    assert [head.media_s for head, _ in cuts] == pytest.approx(shown[::2], abs=0.001)


def test_only_what_is_asked_for_is_cut() -> None:
    """One pull gets one chunk, and none as long as nothing is whole."""
    whole = captured(SMALL)
    recording = whole.record(chunk_s=4.0)
    assert recording.next_chunk(whole.tracks, source_ended=False) is None
    assert whole.pull(recording)
    assert recording.next_chunk(whole.tracks, source_ended=False) is None
    assert whole.pull(recording)
    assert whole.pull(recording) is None


def test_a_recording_of_the_present_begins_at_the_newest_key_frame() -> None:
    """Not at the oldest."""
    whole = captured(SMALL)
    (head, payload), *_ = whole.chunks(whole.record(from_s=None), source_ended=True)
    assert (head.lost, numbers(payload)) == ((), list(range(105, 120)))


def test_gops_a_little_short_make_whole_chunks() -> None:
    """29.97 frames a second, which make GOPs of 1.001 s, are not cut into chunks of three."""
    clip = Clip(size=(64, 48), fps=30, gop=29, seconds=8, audio=None)
    whole = captured(clip)
    lengths = [head.end_s - head.start_s for head, _ in whole.chunks(whole.record())]
    assert lengths[:3] == pytest.approx([58 / 30] * 3)


def open_gops(path: Path) -> None:
    """A film whose GOPs are open: behind each key frame stand frames that are shown before it."""
    clip = SILENT._replace(b_frames=2, seconds=4)
    with av.open(str(path), "w") as file:
        stream = add_video(clip, file)
        options: dict[str, object] = dict(OPTIONS["libx264"])
        stream.options = options | {"x264-params": "open-gop=1:bframes=2:b-adapt=0", "forced-idr": "0"}
        for _, picture in zip(range(clip.frames), draw(clip), strict=False):
            file.mux(stream.encode(picture))
        file.mux(stream.encode(None))


def test_leading_pictures_of_an_open_gop_are_left_out_at_a_beginning_only() -> None:
    """Where a recording begins they cannot be decoded; where it goes on they are there."""
    film = crafted(open_gops, ".mp4")
    whole = captured(film)
    leading = [gop.video[0].pts - min(packet.pts for packet in gop.video) for gop in map(whole.ring.gop, range(4))]
    assert leading[0] == 0
    assert all(leading[1:])
    everything = media(list(whole.chunks(whole.record(chunk_s=1.0), source_ended=True)))
    assert numbers(everything) == list(range(60))
    (_, later), *_ = whole.chunks(whole.record(chunk_s=1.0, from_s=whole.ring.gop(1).start_s), source_ended=True)
    seen = numbers(later)
    assert seen == list(range(15, 15 + len(seen)))
    # the pictures of the next GOP that are shown before its key frame belong to that one
    assert len(seen) == 15 - 2


def test_a_cursor_that_falls_off_the_tail_says_exactly_what_it_lost() -> None:
    """It goes on at the oldest key frame; the media clock runs on through the gap."""
    whole = captured(SMALL)
    recording = whole.record()
    head, before = whole.next(recording)
    whole.ring.limit_s = 2.5
    whole.ring._evict()
    oldest = whole.ring.gop(whole.ring.first)
    following, after = whole.next(recording)
    assert following.lost == ((head.end_s, oldest.start_s),)
    assert following.start_s == oldest.start_s
    assert following.media_s == pytest.approx(oldest.start_s - head.start_s)
    seen = numbers(before + after)
    assert seen == [*range(30), *range(90, 120)][: len(seen)]
    assert len(seen) > 30


def test_a_camera_that_stood_still_is_told_apart_from_what_was_lost() -> None:
    """A gap in what came is the camera's, also between two formats; what left the ring before it was read is lost."""
    whole = captured(SMALL)
    recording = whole.record(chunk_s=2.0)
    whole.next(recording)
    whole.ring.gop(2).gaps.append((2.2, 2.9))
    whole.ring.gop(3).end_s -= 0.1
    fourth = whole.ring.gop(4).start_s
    held, _ = whole.next(recording)
    assert (held.lost, held.gaps) == ((), ((2.2, 2.9),))
    [(start, end)] = whole.next(recording)[0].gaps
    start = round(start, 9)
    assert (start, end) == (round(fourth - 0.1, 9), fourth)
    whole.ring.limit_s = 2.5
    whole.ring._evict()
    oldest = whole.ring.gop(whole.ring.first).start_s
    whole.ring.evicted_s -= 1.0
    again, _ = whole.next(whole.record(from_s=2.5))
    assert (again.lost, again.gaps) == (((2.5, oldest - 1.0),), ((oldest - 1.0, oldest),))


def test_a_replay_begins_before_what_is_wanted() -> None:
    """The recording has the GOPs before it as well, and tells of no loss."""
    whole = captured(SMALL)
    wanted = whole.ring.gop(5).start_s
    cuts = list(whole.chunks(whole.record(from_s=wanted, replay_s=2.0), source_ended=True))
    assert numbers(media(cuts)) == list(range(45, 120))
    floored = whole.record(from_s=wanted, replay_s=2.0, floor_s=whole.ring.gop(4).start_s)
    assert numbers(media(list(whole.chunks(floored, source_ended=True)))) == list(range(60, 120))
    assert all(head.lost == () for head, _ in cuts)


def test_what_was_only_to_be_replayed_is_not_lost() -> None:
    """Where it falls off the ring, exactly what was wanted counts as lost, also where the recording begins too late."""
    whole = captured(SMALL)
    replayed, wanted = whole.record(from_s=4.0, replay_s=3.0), whole.record(from_s=1.0)
    whole.ring.limit_s = 2.0
    whole.ring._evict()
    oldest = whole.ring.gop(whole.ring.first).start_s
    assert oldest > 5.0
    assert whole.next(replayed)[0].lost == ((4.0, oldest),)
    assert whole.next(wanted)[0].lost == ((1.0, oldest),)
    assert whole.next(whole.record(from_s=oldest, replay_s=3.0))[0].lost == ()


def test_a_change_of_format_ends_a_recording() -> None:
    """It holds the GOPs of one epoch; the next epoch belongs to the next recording."""
    whole = captured(SMALL)
    whole.read(SILENT._replace(size=(128, 72)).path())
    whole.ring.close()
    first, second = whole.record(), whole.record(from_s=whole.ring.gop(8).start_s)
    cuts = list(whole.chunks(first))
    assert cuts[-1][0].last
    assert numbers(media(cuts)) == list(range(120))
    film = media(list(whole.chunks(second, source_ended=True)))
    assert numbers(film) == list(range(120))
    with opened(film) as file:
        assert file.streams.video[0].width == 128


def test_a_recording_whose_take_fell_off_ends_empty() -> None:
    """What it could go on with has another format."""
    whole = captured(SMALL)
    recording = whole.record(chunk_s=1.0)
    whole.pull(recording)
    whole.read(SILENT.path())
    while whole.ring.oldest_epoch == 1:
        whole.ring.limit_bytes = whole.ring.size - 1
        whole.ring._evict()
    (head, payload), *_ = whole.chunks(recording)
    assert (head.last, payload) == (True, b"")


def test_a_take_that_brought_nothing_yet_ends_a_recording() -> None:
    """The source was opened anew: the recording need not wait for what the new epoch sends."""
    whole = captured(SMALL)
    recording = whole.record(chunk_s=8.0)
    whole.pull(recording)
    whole.ring.begin_epoch(has_audio=True)
    head, payload = whole.next(recording)
    assert (head.last, payload) == (True, b"")


def test_finishing_gives_a_last_chunk_even_if_it_is_empty() -> None:
    """Where nothing is left since the chunk before, the last one says only that it is the last."""
    whole = captured(SMALL)
    recording = whole.record(chunk_s=8.0)
    head, _ = whole.next(recording)
    recording.is_finishing = True
    last, payload = whole.next(recording)
    assert (last.last, payload, last.start_s, last.end_s) == (True, b"", head.end_s, head.end_s)
    assert recording.is_ended


def test_a_recording_without_any_gop() -> None:
    """A source that never showed a frame has one chunk, the last and empty."""
    nothing = Captured()
    recording = nothing.record()
    assert nothing.pull(recording) is None
    head, payload = nothing.next(recording, source_ended=True)
    assert (head.index, head.last, head.lost, payload) == (0, True, (), b"")


def test_the_first_chunk_waits_until_it_is_known_when_it_was() -> None:
    """A recording has one anchor, so it begins only when that is as good as it gets."""
    whole = captured(SMALL)
    whole.anchor = type(whole.anchor)()
    whole.anchor.observe(0.0, 5.0)
    recording = whole.record()
    assert whole.pull(recording) is None
    whole.anchor.observe(1.0, 5.5)
    whole.anchor.observe(1.2, 5.7)
    assert whole.pull(recording) is None
    whole.anchor.observe(1.3, 5.8)
    head, _ = whole.next(recording)
    assert head.anchor_s == 4.5


def test_the_anchor_does_not_move_within_a_recording() -> None:
    """It may get better, and the next recording has the better one."""
    whole = captured(SMALL)
    first = whole.record()
    before, _ = whole.next(first)
    whole.anchor.observe(100.0, 0.0)
    whole.anchor.observe(101.0, 1.0)
    after, _ = whole.next(first)
    later, _ = whole.next(whole.record())
    assert before.anchor_s == after.anchor_s > later.anchor_s == -100.0


def test_a_recording_that_begins_behind_the_growing_gop_waits() -> None:
    """Where the newest GOP began before the recording shall begin, it waits for the next; there is none to look at."""
    whole = Captured()
    whole.read(SMALL.path())
    growing = whole.ring.newest()
    assert growing >= whole.ring.complete_end
    recording = whole.record(from_s=whole.ring.end_s + 1)
    assert whole.pull(recording) is None
    head, payload = whole.next(recording, source_ended=True)
    assert (head.last, payload) == (True, b"")
