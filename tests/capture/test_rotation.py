"""People neither lie on their side nor are squeezed, whatever a film leaves to its viewer; in a snapshot too."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest
from av.video.frame import VideoFrame

from capture import unusual_clips
from capture.material import Captured, captured, media, numbers
from capture.test_snapshot import number_of, seen
from interhuman2mqtt.capture.rotation import FrameShape, Rotator, even, sane_aspect
from support.clips import frame_numbers, opened

SQUARE = Fraction(1)


def film(whole: Captured) -> bytes:
    """All that was captured, as one file."""
    return media(list(whole.chunks(whole.record(), source_ended=True)))


def upright(path: Path, **changes: object) -> tuple[tuple[int, int], Fraction, list[int | None]]:
    """Size, aspect of the pixels and the numbers that are read in what was captured of a film."""
    got = film(captured(path, **changes))
    with opened(got) as file:
        stream = file.streams.video[0]
        assert next(file.decode(stream)).rotation == 0
        return (stream.width, stream.height), stream.sample_aspect_ratio or SQUARE, numbers(got)


ALL: list[int | None] = list(range(unusual_clips.FRAMES))


@pytest.mark.parametrize("path", [unusual_clips.on_its_side, unusual_clips.upside_down])
def test_what_lies_on_its_side_is_encoded_upright(path: Callable[[], Path]) -> None:
    """`auto` copies no H.264 that its viewer would have to turn; the numbers can be read as the cloud sees them."""
    assert upright(path()) == (unusual_clips.SIZE, SQUARE, ALL)
    opened = captured(path()).opened
    assert opened
    assert not opened.video_copied
    assert "turned by" in opened.description


def test_what_is_squeezed_is_stretched() -> None:
    """Encoded, its pixels are square; copied, the file still says that they are not."""
    assert upright(unusual_clips.squeezed(), video="h264") == (unusual_clips.SIZE, SQUARE, ALL)
    size, aspect, _ = upright(unusual_clips.squeezed())
    assert (size, aspect) == ((96, 108), Fraction(2))
    whole = captured(unusual_clips.squeezed())
    assert whole.opened
    assert whole.opened.description == "h264 96x108, pixels 2:1 (copied), silence"


def test_a_size_of_other_proportions() -> None:
    """The size that is asked for is what comes, and its pixels make up for it."""
    size, aspect, _ = upright(unusual_clips.squeezed(), video="h264", size=(96, 108))
    assert (size, aspect) == ((96, 108), Fraction(2))


def test_who_asks_for_a_copy_gets_what_the_film_says() -> None:
    """The display matrix is in what is sent, and the description tells of it."""
    whole = captured(unusual_clips.on_its_side(), video="copy")
    assert whole.opened
    assert whole.opened.description == "h264 108x192, turned by 90 degrees (copied), silence"
    with opened(film(whole)) as file:
        assert next(file.decode(video=0)).rotation == 90


@pytest.mark.parametrize("video", ["auto", "copy", "h264"])
@pytest.mark.parametrize("path", [unusual_clips.on_its_side, unusual_clips.upside_down, unusual_clips.squeezed])
def test_a_snapshot_is_upright(path: Callable[[], Path], video: str) -> None:
    """Copied or encoded, the video can be read, and has the proportions of what is seen."""
    told, jpeg = seen(captured(path(), video=video))
    assert (told.error, told.size) == (None, unusual_clips.SIZE)
    assert number_of(jpeg) == unusual_clips.FRAMES - 1
    told, jpeg = seen(captured(path(), video=video), width_max=96)
    assert told.size == (96, 54)
    with opened(jpeg) as file:
        picture = next(file.decode(video=0))
        assert (picture.width, picture.height) == (96, 54)


def test_a_source_that_changes_its_proportions() -> None:
    """A frame of other proportions than the first is fitted in between bars, and not squeezed."""
    [(_, number)] = frame_numbers(seen(captured(unusual_clips.on_its_side(), video="h264"))[1])
    assert number is not None
    frame = VideoFrame(100, 100, "yuv420p")
    for plane in frame.planes:
        plane.update(bytes([200]) * plane.buffer_size)
    fitted = Rotator((200, 100), "yuv420p").fit(frame, FrameShape((200, 100)))
    luma = bytes(fitted.planes[0])[: fitted.planes[0].line_size]
    assert (fitted.width, fitted.height) == (200, 100)
    assert [luma[x] > 100 for x in (2, 45, 55, 145, 155, 197)] == [False, False, True, True, False, False]


def test_an_aspect_ratio_that_cannot_be_true_is_none() -> None:
    """Cameras write all sorts of numbers there."""
    said = [None, Fraction(0), Fraction(1, 65535), Fraction(40), Fraction(101, 100), Fraction(64, 45)]
    assert [sane_aspect(ratio) for ratio in said] == [1, 1, 1, 1, 1, Fraction(64, 45)]
    assert [even(length) for length in (0.4, 3, 97, 98.7)] == [2, 2, 96, 98]
