"""Salvage of a damaged store: what is readable is read, then the file is quarantined; the newest two are kept.

::

    outbox.sqlite  ──►  outbox.sqlite.damaged-20261124T115420.123456Z, with its -wal and -shm

A store of a newer version is no salvage: it is set aside whole, and taken in by `set_aside` once it can be read.
"""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from interhuman2mqtt.publish.outbox import wal
from interhuman2mqtt.publish.outbox.store import (
    SELECT_ACTIVE,
    SELECT_EVENTS,
    SELECT_TOPICS,
    Damaged,
    Found,
    Newer,
    Store,
    Unavailable,
    connect,
    decode_all,
    translated,
)
from interhuman2mqtt.runtime import format_versions
from interhuman2mqtt.runtime.state_dir import quarantine

PARTS = ("", "-wal", "-shm")
PROBES = 100_000
"""Keys looked up one by one, at most, between what can be read from both ends of a damaged table."""


class OpenedStore(NamedTuple):
    """A store that is open, and what was found in it."""

    found: Found
    damage: str | None
    """Why the file is a new one, in which nothing of `found` stands yet; None: it is the old one."""


def open_or_replace(store: Store, now: datetime) -> OpenedStore:
    """Open a store, with a new file where the old one cannot be used. Blocks; raises Unavailable."""
    try:
        return OpenedStore(store.open(), None)
    except Newer as newer:
        store.close()
        with translated(store.path):
            moved = format_versions.set_aside(store.path, newer.version, _stamp(now), PARTS)
        return OpenedStore(store.open(), format_versions.sentence(store.path, newer.version, moved))
    except Damaged as damage:
        store.close()
        found = salvage(store.path)
        path = replace(store, now)
        sentence = f"{damage}; it was set aside as {path.name}, {len(found.rows)} events were saved from it"
        return OpenedStore(found, sentence)


def replace(store: Store, now: datetime) -> Path:
    """Quarantine the file, under the path that is returned, and open a new one. Blocks; raises Unavailable."""
    store.close()
    try:
        moved = quarantine(store.path, _stamp(now), PARTS)
    except OSError as error:
        raise Unavailable(f"{store.path} is damaged and cannot be set aside: {error.strerror or error}") from error
    store.open()
    return moved


def _stamp(now: datetime) -> str:
    return f"{now:%Y%m%dT%H%M%S.%fZ}"


def salvage(path: Path) -> Found:
    """Return what can still be read of a damaged file, or of one of another format."""
    with translated(path):
        rebuilt = wal.rebuild(path) if wal.damage(path) else None
    if rebuilt is None:
        return _salvaged(path, partial(connect, path))
    try:
        found = _salvaged(path, partial(_connect_to_image, rebuilt.image))
    except Unavailable:  # there is no disk that could be in the way: it is the image
        return Found([], frozenset(), [0])
    is_reported = rebuilt.is_complete or 0 in found.unreadable
    return found if is_reported else found._replace(unreadable=[*found.unreadable, 0])


def _salvaged(path: Path, connect: Callable[[], sqlite3.Connection]) -> Found:
    try:
        with translated(path), closing(connect()) as db:
            rows, complete = _rows_around_damage(db)
            topics, _ = _until_damage(db, SELECT_TOPICS)
            active, _ = _until_damage(db, SELECT_ACTIVE)
            found = decode_all(rows, topics, active)
    except Damaged:
        return Found([], frozenset(), [0])
    return found if complete else found._replace(unreadable=[*found.unreadable, 0])


def _connect_to_image(image: bytes) -> sqlite3.Connection:
    db = sqlite3.connect(":memory:", isolation_level=None)
    db.text_factory = bytes
    db.deserialize(image)
    return db


def _rows_around_damage(db: sqlite3.Connection) -> tuple[list[Any], bool]:
    """Return all rows that can be reached, in their order, and whether that is known to be all there were."""
    # A page that cannot be read ends a query. The rows behind it are reached from the other end of the table, and those
    # between by their keys, one by one. `sqlite3 .recover` does more, but Python's module has none of it, and the
    # command is not there on a box.
    forward, complete = _until_damage(db, f"{SELECT_EVENTS} ORDER BY key")
    if complete:
        return forward, True
    backward, _ = _until_damage(db, f"{SELECT_EVENTS} ORDER BY key DESC")
    if not (forward or backward):
        return [], False
    rows = {row[0]: row for row in [*forward, *backward]}
    first = forward[-1][0] + 1 if forward else backward[-1][0] - PROBES
    last = backward[-1][0] if backward else first + PROBES
    for key in range(first, min(last, first + PROBES)):
        rows |= {row[0]: row for row in _until_damage(db, f"{SELECT_EVENTS} WHERE key = {key}")[0]}
    return [rows[key] for key in sorted(rows)], False


def _until_damage(db: sqlite3.Connection, query: str) -> tuple[list[Any], bool]:
    """Return the rows of a query up to where the file cannot be read, and whether it could be to the end.

    Keys that repeat are damage too, and without this rule there might be no end of them.
    """
    rows: list[Any] = []
    try:
        for row in db.execute(query):
            if rows and row[0] == rows[-1][0]:
                return rows, False
            rows.append(row)
    except sqlite3.Error:
        return rows, False
    return rows, True
