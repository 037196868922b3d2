"""The clips carry what the tests will count."""

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest
from av.video.frame import VideoFrame
from hypothesis import given
from hypothesis import strategies as st

from support.clips import Clip, draw, frame_number, frame_numbers, made, packet_times, picture
from support.tracks import tracks

SMALL = Clip(seconds=8, size=(160, 96))


def painted(number: int, size: tuple[int, int]) -> VideoFrame:
    frame = VideoFrame(*size, "gray")
    frame.planes[0].update(picture(number, frame.planes[0], bytes(range(256)) * 20))
    return frame


@given(st.integers(0, (1 << 24) - 1), st.sampled_from([(160, 96), (320, 180), (1280, 720), (98, 74)]))
def test_every_number_is_read_back(number: int, size: tuple[int, int]) -> None:
    """Any number of 24 bits is read back from a picture of any size."""
    assert number == frame_number(painted(number, size))


@pytest.mark.parametrize("size", [(160, 90), (100, 100), (1280, 720)])
def test_scaled_pictures_keep_their_number(size: tuple[int, int]) -> None:
    """A picture that was scaled still carries its number."""
    assert frame_number(painted(123456, (640, 360)).reformat(width=size[0], height=size[1])) == 123456


def test_other_pictures_have_no_number() -> None:
    """A picture without blocks, grey or black, has no number rather than a wrong one."""
    for shade in (0, 16, 128, 235):
        frame = VideoFrame(320, 180, "gray")
        frame.planes[0].update(bytes([shade]) * frame.planes[0].buffer_size)
        assert frame_number(frame) is None


@pytest.mark.parametrize(
    "clip",
    [
        SMALL,
        SMALL._replace(video="libx265"),
        SMALL._replace(video="mjpeg", audio="pcm_alaw"),
        SMALL._replace(b_frames=2, audio=None),
        SMALL._replace(bitrate=200_000, audio="pcm_mulaw"),
    ],
    ids=lambda clip: f"{clip.video}-{clip.audio}-{clip.b_frames}",
)
def test_a_clip_holds_each_frame_once(clip: Clip) -> None:
    """An encoded clip decodes to its numbers in order, each at its time, and its audio has no gap."""
    times, numbers = zip(*frame_numbers(clip.path()), strict=True)
    assert list(range(clip.frames)) == list(numbers)
    assert [pytest.approx(n / clip.fps, abs=0.002) for n in range(clip.frames)] == [time - times[0] for time in times]
    sounds = packet_times(clip.path()) if clip.audio else []
    assert all(begin + length == pytest.approx(then, abs=0.001) for (begin, length), (then, _) in pairwise(sounds))


def test_sound_alone() -> None:
    """A clip without picture is all audio."""
    clip = Clip(video=None, seconds=8)
    assert clip.frames == 0
    assert sum(length for _, length in packet_times(clip.path())) == pytest.approx(8, abs=0.05)


def test_bytes_are_as_good_as_a_file() -> None:
    """What came over a network can be counted without a file."""
    assert list(frame_numbers(SMALL.path())) == list(frame_numbers(SMALL.path().read_bytes()))


def half_made(file: Path) -> None:
    file.write_text("half")
    raise ZeroDivisionError


def well_made(file: Path) -> None:
    file.write_text("whole")


def test_made_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A file in the cache is made once, and one whose making failed is not there."""
    monkeypatch.setattr("support.clips.CACHE", tmp_path)
    with pytest.raises(ZeroDivisionError):
        made("x", half_made)
    assert not (tmp_path / "x").exists()
    made("x", well_made)
    assert made("x", half_made).read_text() == "whole"


def test_the_name_tells_clips_apart() -> None:
    """Two clips that differ in anything have two files."""
    names = {clip.file_name(".mp4") for clip in (SMALL, SMALL._replace(gop=30), SMALL._replace(audio_rate=16000))}
    assert len(names) == 3


def test_pictures_run_on_one_clock() -> None:
    """The pictures that are drawn are dated by their number."""
    pictures = draw(SMALL)
    assert [(next(pictures).pts, n) for n in range(3)] == [(n, n) for n in range(3)]
    assert next(pictures).time_base == Fraction(1, SMALL.fps)


def test_tracks_are_kept() -> None:
    """Taking a clip apart is done once, too."""
    assert tracks(SMALL) == tracks(SMALL)
