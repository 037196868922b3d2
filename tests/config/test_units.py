"""Durations, sizes, bitrates and picture sizes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interhuman2mqtt.config import units
from interhuman2mqtt.config.problems import BadValueError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5),
        ("5s", 5.0),
        ("2m", 120.0),
        ("1h", 3600.0),
        ("7d", 604800.0),
        ("1.5h", 5400.0),
        (5, 5.0),
        (0.2, 0.2),
    ],
)
def test_durations_are_read_in_their_units(text: str | float, seconds: float) -> None:
    """Each unit of a duration means what it says, and a bare number means seconds."""
    assert seconds == units.parse_duration(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("64MiB", 64 << 20),
        ("32KiB", 32 << 10),
        ("1GB", 10**9),
        ("500kB", 500_000),
        ("1.5GiB", 3 << 29),
        ("9B", 9),
        (7, 7),
    ],
)
def test_sizes_are_read_in_their_units(text: str | int, size: int) -> None:
    """Each unit of a size means what it says, and a bare number means bytes."""
    assert size == units.parse_size(text)


@pytest.mark.parametrize(("text", "bitrate"), [("1.5M", 1_500_000), ("800k", 800_000), (900, 900), ("900", 900)])
def test_bitrates_are_read_in_their_units(text: str | int, bitrate: int) -> None:
    """Bitrates are bits a second, by thousands."""
    assert bitrate == units.parse_bitrate(text)


def test_picture_sizes_are_width_and_height() -> None:
    """`1280x720` is 1280 wide and 720 high."""
    assert units.parse_picture("1280x720") == (1280, 720)


@pytest.mark.parametrize("value", ["5", "5 sec", "s", "-5s", "1e3s", "", True, None, [5], float("nan"), 1 << 64, 1e300])
def test_what_is_no_duration_is_refused(value: object) -> None:
    """A value that is not plainly a duration is refused, also where Python could make a number of it."""
    with pytest.raises(BadValueError, match="must be a duration such as"):
        units.parse_duration(value)


@pytest.mark.parametrize(
    ("value", "hint"),
    [("5 sec", '"5s"'), ("10min", '"10m"'), ("3hours", '"3h"'), ("20msec", '"20ms"'), ("5", "it needs a unit")],
)
def test_a_misspelt_unit_is_recognized(value: str, hint: str) -> None:
    """The message names the duration that was probably meant."""
    with pytest.raises(BadValueError) as caught:
        units.parse_duration(value)
    assert hint in str(caught.value)


@pytest.mark.parametrize(("value", "hint"), [("64mb", '"64MB"'), ("64M", '"64MiB"'), ("1g", '"1GiB"')])
def test_a_misspelt_size_is_recognized(value: str, hint: str) -> None:
    """The message names the size that was probably meant."""
    with pytest.raises(BadValueError) as caught:
        units.parse_size(value)
    assert f"did you mean {hint}?" in str(caught.value)


def test_a_unit_like_no_other_gets_no_hint() -> None:
    """Where nothing is near, nothing is guessed."""
    with pytest.raises(BadValueError) as caught:
        units.parse_size("5 parsecs")
    assert "did you mean" not in str(caught.value)


@pytest.mark.parametrize("value", ["0.5B", 1.5, "1.0001kB"])
def test_half_a_byte_is_refused(value: object) -> None:
    """Sizes are whole bytes."""
    with pytest.raises(BadValueError, match="and whole"):
        units.parse_size(value)


@pytest.mark.parametrize("value", ["1280", "1280*720", "1280X720", "x", 1280, "-2x2"])
def test_what_is_no_picture_size_is_refused(value: object) -> None:
    """Only WIDTHxHEIGHT is a picture size."""
    with pytest.raises(BadValueError, match='such as "1280x720"'):
        units.parse_picture(value)


def test_odd_picture_sizes_are_refused() -> None:
    """H.264 with 4:2:0 colour cannot be odd, and the encoder would say so far less clearly."""
    with pytest.raises(BadValueError, match="must be even"):
        units.parse_picture("1281x720")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (60.0, "1m"),
        (90.0, "90s"),
        (604800.0, "7d"),
        (0.5, "500ms"),
        (0.0, "0s"),
        (0.0001, "0.0001s"),
        (144000.0, "40h"),
    ],
)
def test_durations_are_shown_for_people(seconds: float, text: str) -> None:
    """The largest unit that leaves a whole number is chosen."""
    assert text == units.show_duration(seconds)


@pytest.mark.parametrize(("size", "text"), [(64 << 20, "64MiB"), (1000, "1kB"), (1023, "1023B"), (0, "0B")])
def test_sizes_are_shown_for_people(size: int, text: str) -> None:
    """The largest unit that leaves a whole number is chosen."""
    assert text == units.show_size(size)


@pytest.mark.parametrize(
    ("bitrate", "text"), [(1_500_000, "1.5M"), (800_000, "800k"), (1_234_567, "1234567"), (50, "50")]
)
def test_bitrates_are_shown_for_people(bitrate: int, text: str) -> None:
    """At most one decimal is used, else the number stays as it is."""
    assert text == units.show_bitrate(bitrate)


@given(st.floats(0, 1e9))
def test_no_duration_is_lost_in_writing(seconds: float) -> None:
    """Whatever is shown is read back as the very same number, down to a nanosecond."""
    rounded = round(seconds, 9)
    assert rounded == units.parse_duration(units.show_duration(rounded))


@given(st.integers(0, 1 << 48))
def test_no_size_or_bitrate_is_lost_in_writing(number: int) -> None:
    """Whatever is shown is read back as the very same number."""
    assert number == units.parse_size(units.show_size(number)) == units.parse_bitrate(units.show_bitrate(number))


@given(st.integers(0, 49999), st.integers(0, 49999))
def test_no_picture_size_is_lost_in_writing(width: int, height: int) -> None:
    """Whatever is shown is read back as the very same size."""
    size = (2 * width, 2 * height)
    assert size == units.parse_picture(units.show_picture(size))
