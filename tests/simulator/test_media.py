"""The reader of a session's media, fed by hand: what it finds in good media, what it answers to bad."""

import io
from collections.abc import Iterable
from contextlib import suppress

import av
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from interhuman2mqtt.simulator.demuxer import Rules, Tally, Times, inspect
from interhuman2mqtt.simulator.errors import Answer
from interhuman2mqtt.simulator.media import Chunk, Reader, Report
from simulator.helpers import as_a_browser_cuts, clip, clusters, fragments

LOOSE = Rules(video=True, audio=False)
CLOSE = 0.06
"""Seconds: a frame of picture or audio more or less."""


def read(frames: Iterable[bytes], rules: Rules | None = None, pcm_rate: int | None = None) -> list[Report]:
    """One report for each frame; the last holds what came at the end of the media too."""
    rest = iter([Chunk(payload, pcm_rate) for payload in frames])
    reports: list[Report] = []

    def fetch(report: Report) -> Chunk | None:
        reports.append(report)
        return next(rest, None)

    last = Reader(fetch, rules or Rules()).run(next(rest))
    assert last.span is None
    assert last.answers == ()
    return reports


def answers(reports: Iterable[Report]) -> list[str | None]:
    """The error id that each frame earned."""
    return [report.answers[0].error.code if report.answers else None for report in reports]


def damaged(piece: bytes, at: int, length: int = 2000) -> bytes:
    """The same box structure with rubbish in its media."""
    begin = piece.rindex(b"mdat") + at
    return piece[:begin] + b"\x5a" * length + piece[begin + length :]


def test_each_frame_is_reported_with_its_own_media() -> None:
    """Continuous framing: frame by frame the span, the key frames and the clock are those of the frame's packets."""
    reports = read(fragments(clip(6)))
    assert answers(reports) == [None] * 6
    assert [len(report.keyframes) for report in reports] == [1] * 6
    for second, report in enumerate(reports):
        assert report.span == pytest.approx((second, second + 1), abs=CLOSE)
        assert report.keyframes[0] == pytest.approx(second, abs=CLOSE)
    assert reports[-1].clock == pytest.approx(6, abs=CLOSE)


def test_decoding_everything_finds_the_same() -> None:
    """`--decode all` decodes every video and audio and reports what `keyframes` reports."""
    pieces = fragments(clip(3))
    assert read(pieces, Rules(decode_all=True)) == read(pieces)


def test_webm_continues_at_its_clusters() -> None:
    """WebM is read continuously too."""
    reports = read(clusters(clip(4, video="libvpx", audio="libopus", kind="webm")))
    assert set(answers(reports)) == {None}
    assert reports[-1].clock == pytest.approx(4, abs=CLOSE)


@pytest.mark.parametrize("about", [5000, 12_345])
def test_webm_as_browsers_cut_it(about: int) -> None:
    """Blobs that begin in the middle of a block are bytes of one stream: all of them are read, and none is rejected."""
    webm = clip(6, video="libvpx", audio="libopus", kind="webm")
    blobs = as_a_browser_cuts(webm, about)
    assert len(blobs) > 3
    assert not any(blob.startswith((b"\x1f\x43\xb6\x75", b"\xa3")) for blob in blobs[1:])
    reports = read(blobs, Rules(decode_all=True))
    assert set(answers(reports)) == {None}
    assert reports[-1].clock == pytest.approx(6, abs=CLOSE)
    whole = read([webm])
    assert sum(len(report.keyframes) for report in reports) == len(whole[0].keyframes)


def test_init_segment_alone_opens_the_stream() -> None:
    """The first frame may hold the init segment only; the media then belongs to the second."""
    first, *rest = fragments(clip(3))
    cut = first.index(b"moof") - 4
    reports = read([first[:cut], first[cut:], *rest])
    assert reports[0].span is None
    assert reports[1].span == pytest.approx((0, 1), abs=CLOSE)


def test_standalone_files_add_up() -> None:
    """Each frame a file of its own whose times begin at zero: the clock is the sum of their durations."""
    reports = read([clip(2), clip(3), clip(2)])
    assert answers(reports) == [None] * 3
    assert [report.clock for report in reports] == pytest.approx([2, 5, 7], abs=2 * CLOSE)
    assert not any(report.skipped for report in reports)


def test_whole_recording_in_one_frame() -> None:
    """An MP4 that is not fragmented, its index at its end, may be sent as one frame."""
    source, sink = io.BytesIO(clip(3)), io.BytesIO()
    with av.open(source, "r") as container, av.open(sink, "w", format="mp4") as copy:
        tracks = {stream.index: copy.add_stream_from_template(stream) for stream in container.streams}
        for packet in container.demux():
            if packet.size:
                packet.stream = tracks[packet.stream.index]
                copy.mux(packet)
    assert inspect(sink.getvalue()).complete
    (report,) = read([sink.getvalue()])
    assert report.clock == pytest.approx(3, abs=CLOSE)


def test_missing_fragments_are_a_jump_of_the_clock() -> None:
    """The media clock is the container's: what is missing is skipped, and later times stay aligned."""
    pieces = fragments(clip(6))
    reports = read([pieces[0], pieces[1], pieces[4], pieces[5]])
    assert answers(reports) == [None] * 4
    ((start, end),) = reports[2].skipped
    assert (start, end) == pytest.approx((2, 4), abs=CLOSE)
    assert reports[-1].clock == pytest.approx(6, abs=CLOSE)


@pytest.mark.parametrize(
    ("again", "said"),
    [
        pytest.param((0, 1, 2, 1), "run back", id="repeated"),
        pytest.param((0, 2, 1, 3), "run back", id="out of order"),
    ],
)
def test_timestamps_that_run_back_are_answered(again: tuple[int, ...], said: str) -> None:
    """A fragment older than the one before it is ih5004, and so is what follows it."""
    pieces = fragments(clip(6))
    reports = read(pieces[number] for number in again)
    bad = again.index(1, 2) if again[1] == 1 else 2
    assert answers(reports)[:bad] == [None] * bad
    (answer,) = reports[bad].answers
    assert said in answer.message
    assert set(answers(reports)[bad:]) == {"ih5004"}


def test_continuation_without_a_beginning() -> None:
    """Fragments whose init segment was never sent are answered with ih5004, each."""
    assert answers(read(fragments(clip(6))[1:3])) == ["ih5004", "ih5004"]


@pytest.mark.parametrize(
    "junk",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\x00\x00\x00", id="three bytes"),
        pytest.param(b"RIFF....AVI LIST" * 20, id="another container"),
        pytest.param(b"\xff" * 5000, id="noise"),
        pytest.param(b"\x00\x00\x00\x08wide", id="unknown box"),
        pytest.param(b"\x00\x00\x00\x08ftyp", id="no moov"),
        pytest.param(b"\x00\x00\x00\x01moof\xff\xff\xff\xff\xff\xff\xff\xff", id="huge box"),
    ],
)
def test_malformed_frames_are_left_out(junk: bytes) -> None:
    """A frame that is no media at all is answered with ih5004; the stream around it goes on."""
    pieces = fragments(clip(6))
    assert answers(read([junk, *pieces[:2]])) == ["ih5004", None, None]
    assert answers(read([pieces[0], junk, pieces[1]])) == [None, "ih5004", None]


def test_frames_cut_at_arbitrary_bytes() -> None:
    """Byte splits, the classic mistake, are answered with ih5004."""
    media = clip(6)
    frames = [media[at : at + 50_000] for at in range(0, len(media), 50_000)]
    assert set(answers(read(frames))) == {"ih5004"}


def test_large_box_sizes_are_understood() -> None:
    """A box may give its size in 64 bits."""
    free = b"\x00\x00\x00\x01free" + (24).to_bytes(8, "big") + b"\0" * 8
    pieces = fragments(clip(6))
    assert answers(read([pieces[0] + free, free + pieces[1]])) == [None, None]


def test_container_must_not_change() -> None:
    """A WebM cluster does not continue an MP4 stream."""
    webm = clusters(clip(4, video="libvpx", audio="libopus", kind="webm"))
    pieces = fragments(clip(6))
    assert answers(read([pieces[0], webm[1], pieces[1]])) == [None, "ih5004", None]


@pytest.mark.parametrize("decode_all", [False, True])
def test_damaged_picture_is_found_by_decoding(*, decode_all: bool) -> None:
    """Rubbish inside a key frame is ih5002: the media is decoded, not only counted."""
    pieces = fragments(clip(6))
    reports = read([pieces[0], damaged(pieces[1], 40), pieces[2]], Rules(decode_all=decode_all))
    assert answers(reports) == [None, "ih5002", "ih5004"]


@pytest.mark.parametrize(
    ("box", "at", "rubbish", "after"),
    [
        pytest.param(b"tfhd", 4, b"\xff" * 12, "ih5004", id="the demuxer fails"),
        pytest.param(b"mfhd", -4, b"\x7f\xff\xff\xff", None, id="the demuxer skips it"),
    ],
)
def test_damaged_index_is_answered(box: bytes, at: int, rubbish: bytes, after: str | None) -> None:
    """A fragment from whose index no media can be read is ih5004; where the demuxer failed nothing can follow it."""
    pieces = fragments(clip(6))
    begin = pieces[1].index(box) + at
    broken = pieces[1][:begin] + rubbish + pieces[1][begin + len(rubbish) :]
    assert answers(read([pieces[0], broken, pieces[2]])) == [None, "ih5004", after]


def test_new_init_segment_mends_everything() -> None:
    """After media that could not be used a frame that opens a file begins anew."""
    pieces = fragments(clip(6))
    reports = read([pieces[0], damaged(pieces[1], 40), pieces[2], *pieces[:2]])
    assert answers(reports) == [None, "ih5002", "ih5004", None, None]


def test_missing_picture_is_said_once() -> None:
    """Media without video is ih5001 once; what continues it is ignored."""
    sound = clip(4, video=None)
    assert answers(read([sound, *fragments(clip(6))[1:3]])) == ["ih5001", None, None]


def test_missing_sound_is_said_once() -> None:
    """Media without audio is ih5008 where audio is wanted, and fine where it is not."""
    pieces = fragments(clip(3, audio=None))
    assert answers(read(pieces)) == ["ih5008", None, None]
    assert answers(read(pieces, LOOSE)) == [None, None, None]


@pytest.mark.parametrize(("video", "audio"), [("mpeg4", "aac"), ("libx264", "libmp3lame")])
def test_codecs_that_the_cloud_does_not_take(video: str, audio: str) -> None:
    """MPEG-4 Part 2, OpenCV's default, is answered with ih5004; so is sound that is neither AAC nor Opus."""
    reports = read([clip(2, video=video, audio=audio)])
    assert answers(reports) == ["ih5004"]


def test_pcm_counts_its_samples() -> None:
    """Raw PCM has no timestamps: the clock is the number of samples, wherever the frames are cut."""
    reports = read([b"\0" * 16_000, b"\0" * 48_001], pcm_rate=16_000)
    assert reports[-1].clock == pytest.approx(2.0, abs=0.001)


def test_media_that_cannot_be_opened() -> None:
    """An EBML header with rubbish behind it is ih5002."""
    assert answers(read([b"\x1a\x45\xdf\xa3" + b"\xff" * 40])) == ["ih5002"]


def test_packets_without_times_of_their_own() -> None:
    """A packet inside a lace has no time: it is neither counted nor a mistake."""
    tally = Tally()
    Times(tally, 0.0).packet(av.Packet(b"x"))
    assert tally.span is None


def test_answers_carry_the_words_of_the_api() -> None:
    """An answer names its documented error, and links to the vendor's page."""
    error = Answer("ih6002", "too large").error
    assert error.link == "https://docs.interhuman.ai/api-reference/error-handling#ih6002-message-too-large"
    assert Answer("ih9999", "news").error.code == "ih9999"


@given(
    number=st.integers(0, 2),
    at=st.integers(0, 45_000),
    rubbish=st.binary(min_size=1, max_size=40),
    decode_all=st.booleans(),
)
@example(number=0, at=8, rubbish=b"\x80", decode_all=False)  # metadata that is not UTF-8
@example(number=0, at=331, rubbish=b"\x00", decode_all=False)  # a codec that libav does not know
@settings(max_examples=60, deadline=None)
def test_no_bytes_can_break_the_reader(number: int, at: int, rubbish: bytes, *, decode_all: bool) -> None:
    """Whatever is wrong in whichever frame, each frame has its report, and a new file can follow."""
    pieces = fragments(clip(6))[:3]
    piece = pieces[number]
    pieces[number] = piece[:at] + rubbish + piece[at + len(rubbish) :]
    reports = read([*pieces, clip(2)], Rules(decode_all=decode_all))
    assert len(reports) == 4
    assert reports[-1].span is not None


@given(st.binary(max_size=200))
def test_any_bytes_have_a_shape_or_an_answer(payload: bytes) -> None:
    """The structure of any bytes is either known or answered."""
    with suppress(Answer):
        inspect(payload)
