"""Damaged files of the store: what is readable is saved, then they are set aside; the newest two are kept.

::

    outbox.sqlite  ──►  outbox.sqlite.damaged-20261124T115420.123456Z, with its -wal and -shm
"""

from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from interhuman2mqtt.publish.outbox.store import Damaged, Found, Store, Unavailable, salvage
from interhuman2mqtt.runtime.state_dir import sync_folder

KEPT = 2
"""Files that were set aside: more would fill the disk of a box whose disk damages them."""

_PARTS = ("", "-wal", "-shm")


class OpenedStore(NamedTuple):
    """A store that is open."""

    found: Found
    damage: str | None
    """Why the file is a new one, in which nothing of `found` stands yet; None: it is the old one."""


def open_or_replace(store: Store, now: datetime) -> OpenedStore:
    """Open a store, with a new file where the old one is damaged. Blocks; raises Unavailable."""
    try:
        return OpenedStore(store.open(), None)
    except Damaged as damage:
        store.close()
        found = salvage(store.path)
        aside = replace(store, now)
        said = f"{damage}; it was set aside as {aside.name}, {len(found.rows)} events were saved from it"
        return OpenedStore(found, said)


def replace(store: Store, now: datetime) -> Path:
    """Set the file aside, under the path that is returned, and open a new one. Blocks; raises Unavailable."""
    store.close()
    aside = store.path.with_name(f"{store.path.name}.damaged-{now:%Y%m%dT%H%M%S.%fZ}")
    try:
        _make_room(store.path)
        for part in _PARTS:
            with suppress(FileNotFoundError):
                Path(f"{store.path}{part}").rename(f"{aside}{part}")
        sync_folder(aside.parent)
    except OSError as error:
        raise Unavailable(f"{store.path} is damaged and cannot be set aside: {error.strerror or error}") from error
    store.open()
    return aside


def _make_room(path: Path) -> None:
    for old in sorted(path.parent.glob(f"{path.name}.damaged-*Z"))[: 1 - KEPT]:
        for part in _PARTS:
            Path(f"{old}{part}").unlink(missing_ok=True)
