"""The types of values: how each is read from TOML, written back, and described in JSON Schema.

A value type stands beside the type of a key in `model.py`: `Annotated[float, duration("5s", "1h")]`.
"""

import re
import zoneinfo
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

from msgspec import Struct

from interhuman2mqtt.config import schedule, shards, units
from interhuman2mqtt.config.problems import BadValueError, did_you_mean, shown

Quantity = TypeVar("Quantity", int, float)

RESERVED_NAMES = ("all", "bridge")
"""`bridge` is the topic beside the cameras', `all` the file that pauses them all."""

_NAME = re.compile(r"[a-z0-9_-]{1,64}")
_GLOB = re.compile(r"[a-z0-9_*?\[\]!-]+")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CREDENTIAL = re.compile(r"[A-Za-z0-9._-]{1,255}")
_MODEL = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_LINE = r"^.*\S.*$"
_API_KEY_PREFIX = "ih_live_"


class ValueType(Struct, frozen=True, eq=False):
    """Reads a value of TOML into what our types hold, and writes it back; `read` raises BadValueError."""

    read: Callable[[Any], Any]
    write: Callable[[Any], Any] = lambda value: value
    schema: Mapping[str, Any] = {}
    """What JSON Schema can say of it, which refuses nothing that `read` takes; `title` says it to people."""


def named(value: object) -> str:
    """Return what a value of TOML is, without its content."""
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
    """Read a whole number of 64 bits."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadValueError(f"must be a whole number, not {named(value)}")
    if not abs(value) < 2**63:
        raise BadValueError("must be a number of at most 64 bits")
    return value


def show_number(value: float) -> float:
    """Write a number as people do: 15, not 15.0."""
    return int(value) if value.is_integer() else value


def boolean(value: object) -> bool:
    """Read `true` or `false`."""
    if not isinstance(value, bool):
        raise BadValueError(f"must be true or false without quotes, not {named(value)}")
    return value


def text(value: object) -> str:
    """Read some printable text on one line."""
    if not isinstance(value, str):
        raise BadValueError(f"must be a string, not {named(value)}")
    if not value.strip():
        raise BadValueError("must not be empty")
    if not value.isprintable():
        raise BadValueError("must be one line of printable characters")
    return value


def choice(*allowed: str) -> ValueType:
    """One of a few words."""
    *most, last = [f'"{word}"' for word in allowed]
    expected = f"{', '.join(most)} or {last}" if most else last

    def chosen(value: object) -> str:
        if not isinstance(value, str):
            raise BadValueError(f"must be {expected}, not {named(value)}")
        if value not in allowed:
            raise BadValueError(f"must be {expected}, not {shown(value)}{did_you_mean(value, allowed)}")
        return value

    return ValueType(chosen, schema={"enum": list(allowed)})


def between(  # noqa: PLR0913 - a quantity, its limits, and how both are written
    read: Callable[[object], Quantity],
    low: str | int,
    high: str | int,
    show: Callable[[Quantity], Any],
    *,
    title: str = "number",
    also: Mapping[str, Any] | None = None,
) -> ValueType:
    """Read a quantity within limits, which are written as the user writes them.

    Args:
        read: Reads one; raises BadValueError.
        low: The smallest.
        high: The largest.
        show: Writes one.
        title: What it is, in a word.
        also: The schema of what it may be beside a bare number.
    """
    smallest, largest = read(low), read(high)

    def quantity(value: object) -> Quantity:
        found = read(value)
        if not smallest <= found <= largest:
            raise BadValueError(f"must be from {low} to {high}, not {show(found)}")
        return found

    bare = {"type": _json_type(smallest), "minimum": smallest, "maximum": largest}
    either = bare if also is None else {"anyOf": [also, bare]}
    return ValueType(quantity, show, {"title": f"{title}, {low} to {high}", **either})


def _json_type(value: object) -> str:
    return "integer" if isinstance(value, int) else "number"


def duration(low: str, high: str) -> ValueType:
    """Seconds, written as "5s"."""
    also = units.schema(units.DURATIONS)
    return between(units.parse_duration, low, high, units.show_duration, title="duration", also=also)


def size(low: str, high: str) -> ValueType:
    """Bytes, written as "64MiB"."""
    return between(units.parse_size, low, high, units.show_size, title="size", also=units.schema(units.SIZES))


def bitrate(low: str, high: str) -> ValueType:
    """Bits a second, written as "1.5M"."""
    also = units.schema(units.BITRATES)
    return between(units.parse_bitrate, low, high, units.show_bitrate, title="bits a second", also=also)


def checked(
    check: Callable[[str], object], title: str = "text", pattern: str = _LINE, *, may_be_empty: bool = False
) -> ValueType:
    """Read a text that `check` finds nothing wrong with; kept as it was written.

    Args:
        check: Raises BadValueError.
        title: What it is, in a few words.
        pattern: As far as a regular expression can say what `check` wants.
        may_be_empty: Whether `""` says something; `pattern` has to allow it too.
    """

    def read(value: object) -> str:
        found = "" if may_be_empty and value == "" else text(value)
        check(found)
        return found

    return ValueType(read, schema={"title": title, "type": "string", "pattern": pattern})


def check_name(name: str) -> None:
    """Check a name of a box or a camera, which is a level of its topics."""
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


def check_model(name: str) -> None:
    """Check a model of the cloud, known to this version or not; raises BadValueError."""
    if not _MODEL.fullmatch(name):
        raise BadValueError('must be a name such as "inter-2"')


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


NAME = checked(check_name, "a-z, 0-9, _ and -", f"^(?!({'|'.join(RESERVED_NAMES)})$){_NAME.pattern}$")
BOX_PATTERN = checked(_check_glob, "pattern", f"^{_GLOB.pattern}$")
ENVIRONMENT_VARIABLE = checked(_check_variable, "name", f"^(?!{_API_KEY_PREFIX}){_VARIABLE.pattern}$")
CREDENTIAL_NAME = checked(_check_credential, "name", f"^(?!{_API_KEY_PREFIX}){_CREDENTIAL.pattern}$")
MODEL = checked(check_model, "name of a model", f"^{_MODEL.pattern}$")
FILE = checked(_check_path, "path from / on", "^/")
TIMEZONE = checked(_check_timezone, "time zone")
TOPIC = checked(_check_topic, "topic", "^[^+# /$][^+# /]*(/[^+# /]+)*$")
CLIENT_ID = checked(_check_client_id, "text without blanks", "^[^ ]{1,128}$")
SCHEDULE = checked(schedule.parse, "days and hours", schedule.PATTERN)
PICTURE_SIZE = ValueType(
    units.parse_picture,
    units.show_picture,
    {"title": "WIDTHxHEIGHT, both even", "type": "string", "pattern": units.PICTURE_PATTERN},
)
SHARD_INDEX = between(shards.index, 0, 9_999, int, also=shards.SCHEMA)
SHARD_COUNT = between(shards.count, 1, 10_000, int, also=shards.SCHEMA)
TEXT = ValueType(text, schema={"title": "text", "type": "string", "pattern": _LINE})
WHOLE = ValueType(whole, schema={"title": "whole number", "type": "integer"})
NUMBER = ValueType(number, schema={"title": "number", "type": "number"})
BOOLEAN = ValueType(boolean, schema={"title": "true or false", "type": "boolean"})
