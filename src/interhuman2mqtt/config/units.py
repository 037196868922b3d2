"""Durations, sizes, bitrates and frame sizes: from what people write to numbers, and back without loss."""

import re
from collections.abc import Mapping
from decimal import Decimal

from interhuman2mqtt.config.problems import BadValueError, shown

DURATIONS = {"ms": "0.001", "s": "1", "m": "60", "h": "3600", "d": "86400"}
SIZES = {"B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
BITRATES = {"": 1, "k": 10**3, "M": 10**6}

A_DURATION = 'a duration such as "5s", "2m", "1h" or "500ms"'
A_SIZE = 'a size such as "64MiB" or "500kB"'
A_BITRATE = 'a bitrate in bits a second such as "1.5M" or "800k"'
A_PICTURE = 'a picture size such as "1280x720"'

_QUANTITY = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?) ?([A-Za-z]*)")
_PICTURE = re.compile(r"([0-9]{1,5})x([0-9]{1,5})")
PICTURE_PATTERN = "^[0-9]{0,4}[02468]x[0-9]{0,4}[02468]$"


def parse_duration(value: object) -> float:
    """Seconds, from "5s" or a bare number of seconds; raises BadValueError."""
    return float(_quantity(value, DURATIONS, A_DURATION))


def parse_size(value: object) -> int:
    """Bytes, from "64MiB" or a bare number of bytes; raises BadValueError."""
    return _whole(_quantity(value, SIZES, A_SIZE), A_SIZE)


def parse_bitrate(value: object) -> int:
    """Bits a second, from "1.5M" or a bare number; raises BadValueError."""
    return _whole(_quantity(value, BITRATES, A_BITRATE), A_BITRATE)


def parse_picture(value: object) -> tuple[int, int]:
    """Width and height in pixels, from "1280x720"; raises BadValueError."""
    match = _PICTURE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise BadValueError(f"must be {A_PICTURE}{_not(value)}")
    width, height = int(match[1]), int(match[2])
    if width % 2 or height % 2:
        raise BadValueError(
            f"must be even both ways, {shown(match[0])} is not: H.264 stores colour for two by two pixels"
        )
    return width, height


def schema(units: Mapping[str, str | int]) -> dict[str, str]:
    """Return what JSON Schema can say of a quantity in quotes."""
    return {"type": "string", "pattern": f"^[0-9]{{1,15}}(\\.[0-9]{{1,9}})? ?({'|'.join(units)})$"}


def show_duration(seconds: float) -> str:
    """Seconds in the largest unit that leaves a whole number: 90.0 is "90s", 120.0 is "2m"."""
    return _show(Decimal(repr(seconds)), DURATIONS, "s")


def show_size(size: int) -> str:
    """Bytes in the largest unit that leaves a whole number: 67108864 is "64MiB", 1000 is "1kB"."""
    return _show(Decimal(size), SIZES, "B")


def show_bitrate(bitrate: int) -> str:
    """Bits a second, down to a tenth of the unit: 1500000 is "1.5M", 1234567 stays so."""
    for unit, scale in (("M", 10**6), ("k", 10**3)):
        if bitrate >= scale and bitrate % (scale // 10) == 0:
            return f"{Decimal(bitrate) / scale:f}{unit}"
    return str(bitrate)


def show_picture(size: tuple[int, int]) -> str:
    """Width and height: "1280x720"."""
    return "{}x{}".format(*size)


def _quantity(value: object, units: Mapping[str, str | int], expected: str) -> Decimal:
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 2**63:
        return Decimal(repr(value))
    match = _QUANTITY.fullmatch(value) if isinstance(value, str) else None
    if match is None or match[2] not in units:
        raise BadValueError(f"must be {expected}{_not(value)}{_unit_hint(match, units)}")
    return Decimal(match[1]) * Decimal(units[match[2]])


def _whole(quantity: Decimal, expected: str) -> int:
    if not quantity.is_finite() or quantity % 1:
        raise BadValueError(f"must be {expected}, and whole")
    return int(quantity)


def _not(value: object) -> str:
    return f", not {shown(value)}" if isinstance(value, str) else ""


def _unit_hint(match: re.Match[str] | None, units: Mapping[str, str | int]) -> str:
    if match is None:
        return ""
    if not match[2]:
        return "; it needs a unit, or no quotes"
    word = match[2].lower()
    near = [unit for unit in units if unit and (unit.lower().startswith(word) or word.startswith(unit.lower()))]
    return f"; did you mean {shown(match[1] + max(near, key=len))}?" if near else ""


def _show(quantity: Decimal, units: Mapping[str, str | int], base: str) -> str:
    if not quantity:
        return f"0{base}"
    for unit, scale in sorted(units.items(), key=lambda item: Decimal(item[1]), reverse=True):
        if quantity % Decimal(scale) == 0:
            return f"{quantity / Decimal(scale):.0f}{unit}"
    return f"{quantity:f}{base}"
