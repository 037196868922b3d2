"""What a V4L2 camera is asked to send, on the capabilities of real cameras."""

from typing import get_args, get_type_hints

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interhuman2mqtt.capture.v4l2_formats import Format, Size
from interhuman2mqtt.capture.v4l2_mode import FORMATS, Wanted, choose_mode, format_names
from interhuman2mqtt.config.model import CameraKeys

FULL = (30.0, 24.0, 20.0, 15.0, 10.0, 7.5, 5.0)


def offer(code: str, *sizes: tuple[int, int, float], rates: tuple[float, ...] = FULL) -> Format:
    """A format with a ladder of sizes, each with those of the rates that are not above its own."""
    return Format(code, code, tuple(Size(w, h, fps, tuple(r for r in rates if r <= fps)) for w, h, fps in sizes))


C920 = (
    offer("YUYV", (640, 480, 30), (640, 360, 30), (800, 600, 24), (960, 720, 15), (1280, 720, 10), (1920, 1080, 5)),
    offer("H264", (640, 480, 30), (640, 360, 30), (1280, 720, 30), (1920, 1080, 30)),
    offer("MJPG", (640, 480, 30), (640, 360, 30), (1280, 720, 30), (1920, 1080, 30)),
)
"""Logitech C920 of the first make."""
C920E = (C920[0], C920[2])
"""Of the later makes, which have no H.264."""
C270 = (
    offer("YUYV", (640, 480, 30), (800, 600, 20), (1280, 720, 7.5), (1280, 960, 7.5)),
    offer("MJPG", (640, 480, 30), (800, 600, 30), (1280, 720, 30), (1280, 960, 30)),
)
BCM2835 = tuple(
    Format(code, code, (Size(32, 32, 90), Size(640, 480, 90), Size(1280, 720, 90), Size(2592, 1944, 90)), (2, 2))
    for code in ("YU12", "YUYV", "RGB3", "JPEG", "H264", "MJPG", "UYVY", "NV12", "BGR3", "YV12")
)
"""Raspberry Pi's camera by the legacy driver: any even size, and any rate."""
GRABBER = (
    offer("MJPG", (1920, 1080, 30), (1280, 720, 60), (640, 480, 60), rates=(60, 50, 30, 20, 10)),
    offer("YUYV", (1920, 1080, 5), (1280, 720, 10), (640, 480, 30), rates=(30, 20, 10, 5)),
)
"""HDMI grabber with MacroSilicon MS2109."""
VIVID = tuple(
    offer(code, (320, 180, 100), (640, 360, 100), (640, 480, 100), (1280, 720, 50), (1920, 1080, 30), rates=FULL)
    for code in ("YUYV", "UYVY", "NV12", "GREY", "RGB3")
)
UVCAM = (
    offer("YUYV", (640, 360, 30), (1280, 720, 10)),
    offer("MJPG", (640, 360, 30), (1280, 720, 30)),
)
FULL_HD_ONLY = (offer("MJPG", (1920, 1080, 30)),)
RAW_ONLY = (offer("YUYV", (320, 240, 30), (640, 480, 30), (1280, 720, 5)),)
TOO_FAST_ONLY = (offer("YUYV", (1280, 720, 60), rates=(60.0,)),)
INFRARED = (offer("GREY", (640, 360, 30)),)
DAY_AND_NIGHT = (offer("GREY", (1280, 720, 30)), offer("YUYV", (640, 480, 15)))
ANALOGUE = (Format("YUYV", "YUYV", ()),)
"""em28xx and its like list neither sizes nor rates."""
NO_RATES = (Format("NV12", "NV12", (Size(1280, 720, 0.0),)),)


@pytest.mark.parametrize(
    ("camera", "wanted", "mode"),
    [
        (C920, Wanted(), "h264 1280x720 30 fps"),
        (C920, Wanted(may_copy=False), "mjpeg 1280x720 30 fps"),
        (C920, Wanted((640, 480), may_copy=False), "yuyv 640x480 30 fps"),
        (C920, Wanted((1920, 1080), 30, "yuyv"), "yuyv 1920x1080 5 fps"),
        (C920, Wanted(format="yuyv"), "yuyv 800x600 24 fps"),
        (C920E, Wanted(), "mjpeg 1280x720 30 fps"),
        (C920E, Wanted((1280, 720), 10), "yuyv 1280x720 10 fps"),
        (C920E, Wanted((1280, 720), 12), "mjpeg 1280x720 15 fps"),
        (C920E, Wanted((1280, 720), 29.97), "mjpeg 1280x720 30 fps"),
        (C920E, Wanted((1024, 576), 15), "mjpeg 1280x720 15 fps"),
        (C270, Wanted(), "mjpeg 1280x720 30 fps"),
        (C270, Wanted((1280, 720), 7), "yuyv 1280x720 7.5 fps"),
        (C270, Wanted((640, 480)), "yuyv 640x480 30 fps"),
        (BCM2835, Wanted(), "h264 1280x720 30 fps"),
        (BCM2835, Wanted((1000, 701), 12.5), "h264 1000x700 12.5 fps"),
        (BCM2835, Wanted((8000, 6000), may_copy=False), "yu12 2592x1944 30 fps"),
        (BCM2835, Wanted(format="mjpeg"), "mjpeg 1280x720 30 fps"),
        (GRABBER, Wanted(), "mjpeg 1280x720 30 fps"),
        (GRABBER, Wanted((1920, 1080), 60), "mjpeg 1920x1080 30 fps"),
        (GRABBER, Wanted((640, 480), 25), "yuyv 640x480 30 fps"),
        (VIVID, Wanted(), "yuyv 1280x720 30 fps"),
        (VIVID, Wanted((320, 180), 5), "yuyv 320x180 5 fps"),
        (VIVID, Wanted((320, 180), 5, "grey"), "grey 320x180 5 fps"),
        (UVCAM, Wanted(), "mjpeg 1280x720 30 fps"),
        (UVCAM, Wanted((640, 360)), "yuyv 640x360 30 fps"),
        (FULL_HD_ONLY, Wanted(), "mjpeg 1920x1080 30 fps"),
        (RAW_ONLY, Wanted(), "yuyv 640x480 30 fps"),
        (RAW_ONLY, Wanted((1280, 720)), "yuyv 1280x720 5 fps"),
        (TOO_FAST_ONLY, Wanted(), "yuyv 1280x720 60 fps"),
        (INFRARED, Wanted(), "grey 640x360 30 fps"),
        (DAY_AND_NIGHT, Wanted(), "yuyv 640x480 15 fps"),
        (ANALOGUE, Wanted(), "yuyv 1280x720"),
        (ANALOGUE, Wanted((720, 576), 25), "yuyv 720x576"),
        (NO_RATES, Wanted(fps=25), "nv12 1280x720"),
    ],
)
def test_what_is_taken(camera: tuple[Format, ...], wanted: Wanted, mode: str) -> None:
    """The size that is asked for, then the rate, then what costs least: H.264, raw, MJPEG."""
    assert str(choose_mode(camera, wanted)) == mode


@pytest.mark.parametrize(
    ("camera", "form"), [(C270, "h264"), (BCM2835, "grey"), ((offer("pBAA", (640, 480, 30)),), "auto"), ((), "auto")]
)
def test_what_is_not_offered_is_not_taken(camera: tuple[Format, ...], form: str) -> None:
    """Neither a format that is named and not there, nor one that FFmpeg could not read."""
    assert choose_mode(camera, Wanted(format=form)) is None


def test_formats_are_named_as_in_the_configuration() -> None:
    """Each once, what we do not know left out."""
    assert format_names(BCM2835) == ["yu12", "yuyv", "rgb3", "mjpeg", "h264", "uyvy", "nv12", "bgr3"]


SIZES = st.tuples(st.sampled_from(range(160, 4097, 16)), st.sampled_from(range(120, 2161, 8)))
RATES = st.lists(st.sampled_from([5.0, 7.5, 10.0, 15.0, 25.0, 29.97, 30.0, 60.0]), max_size=4)


@given(
    offered=st.lists(st.tuples(st.sampled_from(sorted(FORMATS)), SIZES, RATES), min_size=1, max_size=20),
    size=SIZES,
    fps=st.sampled_from([1.0, 10.0, 15.0, 30.0]),
)
def test_it_is_always_one_of_those_that_are_there(
    offered: list[tuple[str, tuple[int, int], list[float]]], size: tuple[int, int], fps: float
) -> None:
    """And nothing of the same size, neither colourless nor slower, is left out for it."""
    formats = [Format(code, code, (Size(*each, max(rates, default=0), tuple(rates)),)) for code, each, rates in offered]
    mode = choose_mode(formats, Wanted(size, fps))
    assert mode
    assert any((mode.width, mode.height) == each and (mode.fps in rates or not rates) for _, each, rates in offered)
    coloured = [each for each in offered if each[0] != "GREY" and each[1] == (mode.width, mode.height)]
    fastest = max((rate for _, _, rates in coloured for rate in rates), default=0.0)
    assert not mode.fps or mode.fps >= min(fps, fastest) * 0.9


def test_ffmpeg_knows_every_format() -> None:
    """A codec or a layout of pixels by that name, and the key `format` can name each."""
    for form in FORMATS.values():
        if form.name in {"h264", "mjpeg"}:
            assert av.Codec(form.ffmpeg, "r").type == "video"
        else:
            assert av.VideoFormat(form.ffmpeg).name == form.ffmpeg
    values = get_args(get_type_hints(CameraKeys)["format"])
    assert set(values) == {"auto", *(form.name for form in FORMATS.values())}
