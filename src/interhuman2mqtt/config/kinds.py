"""What a value of the TOML file may be: how it is read, and how it is written back.

A kind stands beside its type in `config.py`: `Annotated[float, duration("5s", "1h")]`.
"""

import re
import zoneinfo
from collections.abc import Callable, Collection
from typing import Any, NamedTuple, TypeVar

from interhuman2mqtt.config import schedule, shards, units
from interhuman2mqtt.config.problems import BadValueError, shown
from interhuman2mqtt.config.suggest import did_you_mean

Quantity = TypeVar("Quantity", int, float)

RESERVED_NAMES = ("all", "bridge")
"""`bridge` is the topic beside the cameras', `all` the file that pauses them all."""

_NAME = re.compile(r"[a-z0-9_-]{1,64}")
_GLOB = re.compile(r"[a-z0-9_*?\[\]!-]+")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CREDENTIAL = re.compile(r"[A-Za-z0-9._-]{1,255}")
_API_KEY_PREFIX = "ih_live_"


class Kind(NamedTuple):
    """Reads a value of TOML into what our types hold, and writes it back; `read` raises BadValueError."""

    read: Callable[[Any], Any]
    write: Callable[[Any], Any] = lambda value: value


def named(value: object) -> str:
    """What a value of TOML is, without its content."""
    names = {
        bool: "true or false",
        int: "a number",
        float: "a decimal number",
        str: "a string",
        list: "a list",
        dict: "a table",
    }
    return names.get(type(value), "a date or time")


def number(value: object) -> float:
    """Any number but NaN, the infinities and the absurd."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadValueError(f"must be a number, not {named(value)}")
    if not abs(value) < 2**63:
        raise BadValueError("must be a number that can be reckoned with")
    return float(value)


def whole(value: object) -> int:
    """A whole number of 64 bits."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadValueError(f"must be a whole number, not {named(value)}")
    if not abs(value) < 2**63:
        raise BadValueError("must be a number of at most 64 bits")
    return value


def show_number(value: float) -> float:
    """A number as people write it: 15, not 15.0."""
    return int(value) if value.is_integer() else value


def boolean(value: object) -> bool:
    """`true` or `false`."""
    if not isinstance(value, bool):
        raise BadValueError(f"must be true or false without quotes, not {named(value)}")
    return value


def text(value: object) -> str:
    """Some printable text on one line."""
    if not isinstance(value, str):
        raise BadValueError(f"must be a string, not {named(value)}")
    if not value.strip():
        raise BadValueError("must not be empty")
    if not value.isprintable():
        raise BadValueError("must be one line of printable characters")
    return value


def choice(*allowed: str) -> Kind:
    """One of a few words."""
    *most, last = [f'"{word}"' for word in allowed]
    expected = f"{', '.join(most)} or {last}" if most else last

    def chosen(value: object) -> str:
        if not isinstance(value, str):
            raise BadValueError(f"must be {expected}, not {named(value)}")
        if value not in allowed:
            raise BadValueError(f"must be {expected}, not {shown(value)}{did_you_mean(value, allowed)}")
        return value

    return Kind(chosen)


def between(
    read: Callable[[object], Quantity], low: str | int, high: str | int, show: Callable[[Quantity], Any]
) -> Kind:
    """A quantity within limits, which are written as the user writes them."""
    smallest, largest = read(low), read(high)

    def quantity(value: object) -> Quantity:
        found = read(value)
        if not smallest <= found <= largest:
            raise BadValueError(f"must be from {low} to {high}, not {show(found)}")
        return found

    return Kind(quantity, show)


def duration(low: str, high: str) -> Kind:
    """Seconds, written as "5s"."""
    return between(units.parse_duration, low, high, units.show_duration)


def size(low: str, high: str) -> Kind:
    """Bytes, written as "64MiB"."""
    return between(units.parse_size, low, high, units.show_size)


def bitrate(low: str, high: str) -> Kind:
    """Bits a second, written as "1.5M"."""
    return between(units.parse_bitrate, low, high, units.show_bitrate)


def checked(check: Callable[[str], object], *, may_be_empty: bool = False) -> Kind:
    """Some text that `check` finds nothing wrong with; kept as it was written."""

    def read(value: object) -> str:
        found = "" if may_be_empty and value == "" else text(value)
        check(found)
        return found

    return Kind(read)


def check_name(name: str) -> None:
    """A name of a box or a camera, which is a level of its topics."""
    if not _NAME.fullmatch(name):
        raise BadValueError(f"{shown(name)} must be 1 to 64 of a-z, 0-9, _ and -: it becomes part of topics")
    if name in RESERVED_NAMES:
        raise BadValueError(f'"{name}" is reserved; choose another name')


def _check_glob(pattern: str) -> None:
    if not _GLOB.fullmatch(pattern):
        raise BadValueError(f'must be a pattern for names of boxes such as "lobby-*", {shown(pattern)} can match none')


def _check_variable(name: str) -> None:
    if name.startswith(_API_KEY_PREFIX) or not _VARIABLE.fullmatch(name):
        raise BadValueError("must be the name of an environment variable; the secret itself never stands in this file")


def _check_credential(name: str) -> None:
    if name.startswith(_API_KEY_PREFIX) or not _CREDENTIAL.fullmatch(name):
        raise BadValueError("must be the name of a systemd credential; the secret itself never stands in this file")


def _check_path(path: str) -> None:
    if not path.startswith("/"):
        raise BadValueError("must be a whole path, from / on")


def _check_timezone(name: str) -> None:
    try:
        zoneinfo.ZoneInfo(name)
    except (OSError, ValueError, zoneinfo.ZoneInfoNotFoundError):  # a folder, a path with .., not there
        hint = _timezone_hint(name, zoneinfo.available_timezones())
        raise BadValueError(f"{shown(name)} is no time zone such as Europe/Copenhagen{hint}") from None


def _timezone_hint(name: str, known: Collection[str]) -> str:
    if not known:
        return "; this machine knows no time zones, install tzdata"
    by_city = {zone.rpartition("/")[2].lower(): zone for zone in sorted(known)}
    return did_you_mean(by_city.get(name.lower(), name), known, likeness=0.8)


def _check_topic(topic: str) -> None:
    if set(topic) & set("+# "):
        raise BadValueError("must not hold the wildcards + and #, nor blanks")
    if topic.startswith("$") or "" in topic.split("/"):
        raise BadValueError("must be one or more words with / between them, without $ at its start")


def _check_client_id(name: str) -> None:
    if " " in name or len(name) > 128:
        raise BadValueError("must be at most 128 characters without blanks")


NAME = checked(check_name)
BOX_PATTERN = checked(_check_glob)
ENVIRONMENT_VARIABLE = checked(_check_variable)
CREDENTIAL_NAME = checked(_check_credential)
FILE = checked(_check_path)
TIMEZONE = checked(_check_timezone)
TOPIC = checked(_check_topic)
CLIENT_ID = checked(_check_client_id)
SCHEDULE = checked(schedule.parse)
PICTURE_SIZE = Kind(units.parse_picture, units.show_picture)
SHARD_INDEX = between(shards.index, 0, 9_999, int)
SHARD_COUNT = between(shards.count, 1, 10_000, int)
TEXT = Kind(text)
