"""The parser: a TOML document to typed entries; every key is read, every mistake is reported, none ends the reading.

Entries are flat, a value by its path. So files are merged by `dict.update`: tables key by key, and the later file wins.
A secret's or a budget's inline table is one value, which a later file replaces as a whole.
"""

import types
from collections.abc import Iterator, Mapping
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

from msgspec import Struct, structs

from interhuman2mqtt.config import value_types
from interhuman2mqtt.config.model import Budget, File, SecretRef, Shard
from interhuman2mqtt.config.problems import (
    BadValueError,
    KeyPath,
    Location,
    ProblemReport,
    did_you_mean,
    dotted,
    nearest,
)
from interhuman2mqtt.config.value_types import ValueType, named


class _Mark:
    """Something in the place of a value."""


INVALID: Final = _Mark()
"""There was a value; it was reported, and nothing that follows from it needs to be."""
TABLE: Final = _Mark()
"""A table of keys: they have entries of their own."""

INLINE_TABLES = {
    SecretRef: 'must say where the secret is, { credential = "NAME" }, { file = "/PATH" } or { env = "NAME" }; '
    "the secret itself never stands in this file",
    Budget: 'must be a table such as { per_day = "6h" }',
    Shard: 'must be a table such as { index = 0, count = 3 }, each a number or { env = "NAME" }',
}
_PLAIN = {
    str: value_types.TEXT,
    int: value_types.WHOLE,
    float: value_types.NUMBER,
    bool: value_types.BOOLEAN,
}


class Document(NamedTuple):
    """A file as it was parsed, and where its keys stand."""

    file: Path
    table: dict[str, Any]
    lines: Mapping[KeyPath, int]

    def place(self, path: KeyPath) -> Location:
        """Return where a key stands."""
        return Location(self.file, self.lines.get(path))


class Entry(NamedTuple):
    """A value as its type has it, INVALID, or TABLE."""

    value: Any
    place: Location


Entries = dict[KeyPath, Entry]


def entries(document: Document, report: ProblemReport) -> Entries:
    """Return all that a file says, by its path, such as ("cameras", "front", "fps")."""
    reader = _Reader(document, report)
    reader.sections(document.table)
    return reader.found


@cache
def keys_of(struct: type[Struct]) -> dict[str, Any]:
    """Return the keys of a table and their annotated types, without the None of those that may be left out."""
    return {name: _present(hint) for name, hint in get_type_hints(struct, include_extras=True).items()}


def kind_of(hint: Any) -> ValueType:
    """Return how a single value of an annotated type is read and written."""
    if get_origin(hint) is Annotated:
        return next(extra for extra in get_args(hint) if isinstance(extra, ValueType))
    if get_origin(hint) is Literal:
        return value_types.choice(*get_args(hint))
    if isinstance(hint, type) and issubclass(hint, Enum):
        words = value_types.choice(*(member.value for member in hint))
        return ValueType(lambda value: hint(words.read(value)), lambda member: str(member.value), words.schema)
    return _PLAIN[hint]


def is_list(hint: Any) -> bool:
    """Return whether a type is written as a list."""
    return get_origin(hint) is tuple


class _Reader:
    def __init__(self, document: Document, report: ProblemReport) -> None:
        self._document = document
        self._report = report
        self.found: Entries = {}

    def sections(self, table: dict[str, Any]) -> None:
        for name, value in table.items():
            hint = keys_of(File).get(name)
            if hint is None:
                home = _home(name)
                hint = f"; it belongs below {home}" if home else did_you_mean(name, keys_of(File))
                self._error((name,), f"unknown table or key{hint}")
            elif get_origin(hint) is dict:
                self._named_tables((name,), value, get_args(hint)[1])
            else:
                self._table((name,), value, hint)

    def _named_tables(self, path: KeyPath, tables: object, struct: type[Struct]) -> None:
        if not isinstance(tables, dict):
            self._error(path, f"must be tables with a name each, such as [{path[0]}.front], not {named(tables)}")
            return
        for name, table in tables.items():
            self._table((*path, name), table, struct)

    def _table(self, path: KeyPath, table: object, struct: type[Struct]) -> None:
        if not isinstance(table, dict):
            self._error(path, f"must be a table, [{dotted(path)}] with its keys below, not {named(table)}")
            return
        self._put(path, TABLE)
        for key, value, hint in self._known(path, table, struct):
            self._put((*path, key), self._value((*path, key), value, hint))

    def _known(self, path: KeyPath, table: dict[str, Any], struct: type[Struct]) -> Iterator[tuple[str, Any, Any]]:
        """Return the keys of a table that it may have, with their types; report the others."""
        known = keys_of(struct)
        for key, value in table.items():
            if key in known:
                yield key, value, known[key]
            else:
                self._unknown(path, key, known)

    def _unknown(self, path: KeyPath, key: str, known: Mapping[str, Any]) -> None:
        meant = nearest(key, known)
        if meant:
            self._error((*path, key), f'unknown key; did you mean "{meant}"?')
            # It is not missed as well: one mistake, one line.
            self.found.setdefault((*path, meant), Entry(INVALID, self._document.place((*path, key))))
        elif home := _home(key):
            self._error((*path, key), f"unknown key here; it belongs below {home}")
        elif len(known) <= 6:
            self._error((*path, key), f"unknown key; known here: {', '.join(known)}")
        else:
            self._error((*path, key), "unknown key")

    def _value(self, path: KeyPath, value: object, hint: Any) -> Any:
        if is_list(hint):
            return self._list(path, value, get_args(hint)[0])
        if hint in INLINE_TABLES:
            return self._inline_table(path, value, hint)
        return self._read(path, value, kind_of(hint))

    def _list(self, path: KeyPath, values: object, hint: Any) -> Any:
        if not isinstance(values, list):
            return self._error(path, f"must be a list in brackets, not {named(values)}")
        kind = kind_of(hint)
        items = [self._read((*path, index), value, kind) for index, value in enumerate(values)]
        if INVALID in items:
            return INVALID
        if len(set(items)) < len(items):
            return self._error(path, "names the same thing twice")
        return tuple(items)

    def _inline_table(self, path: KeyPath, table: object, struct: type[Struct]) -> Any:
        if not isinstance(table, dict):
            return self._error(path, INLINE_TABLES[struct])
        keys = {key: self._value((*path, key), value, hint) for key, value, hint in self._known(path, table, struct)}
        if INVALID in keys.values() or len(keys) < len(table):
            return INVALID
        if any(field.required and field.name not in keys for field in structs.fields(struct)):
            return self._error(path, INLINE_TABLES[struct])
        try:
            return struct(**keys)
        except BadValueError as error:
            return self._error(path, str(error))

    def _read(self, path: KeyPath, value: object, kind: ValueType) -> Any:
        try:
            return kind.read(value)
        except BadValueError as error:
            return self._error(path, str(error))

    def _put(self, path: KeyPath, value: Any) -> None:
        self.found[path] = Entry(value, self._document.place(path))

    def _error(self, path: KeyPath, message: str) -> _Mark:
        self._report.error(self._document.place(path), path, message)
        return INVALID


def _home(key: str) -> str:
    """Return the tables in which a key may stand, as they are written: `[mqtt] or [cameras.NAME]`."""
    sections = {f"[{name}]": hint for name, hint in keys_of(File).items() if get_origin(hint) is not dict}
    sections["[cameras.NAME]"] = sections.pop("[defaults]")
    return " or ".join(title for title, struct in sections.items() if key in keys_of(struct))


def _present(hint: Any) -> Any:
    if get_origin(hint) in (Union, types.UnionType):
        (hint,) = (option for option in get_args(hint) if option is not type(None))
    return hint
