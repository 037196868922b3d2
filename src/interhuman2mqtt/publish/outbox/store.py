"""The file behind the outbox: SQLite over one connection. Calls block, for a thread; no trio here.

Invariants:

1. What `write` has returned from is on the disk, all of it or, after any error, nothing: one transaction, WAL,
   synchronous=FULL.
2. A row comes back as it was written, in the order of the keys, or it is counted as unreadable: each has a checksum.
   One that is unreadable costs no other.
3. Nobody else has the file open meanwhile: a second daemon on the same file gets `Unavailable`.
4. A file that cannot be used is never overwritten; `Damaged` asks for it to be quarantined. So does one of whose log
   SQLite would leave out committed transactions without a word (`wal`). `Newer` asks for it to be set aside whole.

Format (user_version 1; another one is another format, and an older one is to be migrated after a copy of it):

    events    key INTEGER PRIMARY KEY   in the order of acceptance
              topic TEXT, payload BLOB
              envelope TEXT             JSON of Envelope
              checksum INTEGER          CRC-32 of all these
    retained  topic TEXT PRIMARY KEY    where something of ours may be retained
              checksum INTEGER          CRC-32 of it
    active    camera TEXT PRIMARY KEY   which of its signals are active
              signals TEXT              JSON of them
              checksum INTEGER          CRC-32 of both

The last table came later; whoever does not know it leaves it alone.
"""

import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from interhuman2mqtt.events import ActiveSignal
from interhuman2mqtt.publish.outbox import wal
from interhuman2mqtt.publish.outbox.row_codec import (
    Stored,
    decode,
    decode_active,
    decode_topics,
    encode,
    encode_active,
    encode_topic,
)
from interhuman2mqtt.runtime.state_dir import sync_folder

VERSION = 1
WAL_MAX = 4 << 20
"""Bytes to which the write-ahead log is cut back."""
BUSY_S = 0.5
"""Seconds to wait for a lock of somebody else's."""

_SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE events (key INTEGER PRIMARY KEY, topic TEXT NOT NULL, payload BLOB NOT NULL, envelope TEXT NOT NULL,
    checksum INTEGER NOT NULL);
CREATE TABLE retained (topic TEXT PRIMARY KEY, checksum INTEGER NOT NULL) WITHOUT ROWID;
PRAGMA user_version = {VERSION};
COMMIT;
"""
_SCHEMA_ACTIVE = """
CREATE TABLE IF NOT EXISTS active (camera TEXT PRIMARY KEY, signals TEXT NOT NULL, checksum INTEGER NOT NULL)
    WITHOUT ROWID
"""
SELECT_EVENTS = "SELECT key, topic, payload, envelope, checksum FROM events"
SELECT_TOPICS = "SELECT topic, checksum FROM retained"
SELECT_ACTIVE = "SELECT camera, signals, checksum FROM active"

_passing = {
    sqlite3.SQLITE_PERM: "it must not be written: check who owns it",
    sqlite3.SQLITE_BUSY: "another process has it open: does a second daemon run with the same outbox.path?",
    sqlite3.SQLITE_LOCKED: "another process has it open: does a second daemon run with the same outbox.path?",
    sqlite3.SQLITE_READONLY: "it must not be written: check who owns it, and whether its disk is mounted read-only",
    sqlite3.SQLITE_IOERR: "its disk fails: look into the kernel's log",
    sqlite3.SQLITE_FULL: "its disk is full: make room",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened: check that its folder exists and may be written",
    sqlite3.SQLITE_PROTOCOL: "another process has it open: does a second daemon run with the same outbox.path?",
    sqlite3.SQLITE_NOLFS: "its disk takes no file of this size: set outbox.path to another",
}
"""Codes of SQLite that say nothing about the content of the file, and what to do. Every other one means damage."""


class StoreError(Exception):
    """The store cannot be used now; the text is a sentence with the file's path."""


class Unavailable(StoreError):  # noqa: N818 - it names what happened
    """The obstacle may go away: try again later."""


class Damaged(StoreError):  # noqa: N818 - it names what happened
    """The content is not what we can use: set the file aside and begin a new one."""


class Newer(StoreError):  # noqa: N818 - it names what happened
    """The file is of a format that only a newer version of this program knows: set it aside, and begin a new one."""

    def __init__(self, path: Path, version: int) -> None:
        super().__init__(f"{path} was written by a newer version of this program (format {version})")
        self.version = version


class Found(NamedTuple):
    """Content of the file."""

    rows: list[Stored]
    """In the order of their keys."""
    retained: frozenset[str]
    unreadable: list[int]
    """Keys of rows that could not be read; 0 for a stretch of the file in which nobody knows how many there were."""
    active: Mapping[str, tuple[ActiveSignal, ...]] = {}
    """The signals that are active, by camera."""


class StoreChanges(NamedTuple):
    """Work of one transaction."""

    first: int
    """From this key on there are the rows of `new` and no others, whatever an attempt that failed may have left."""
    new: Sequence[Stored]
    """Their keys ascend from `first`."""
    removed: Sequence[int]
    """Keys."""
    retained: Mapping[str, bool]
    """Topics that are ours from now on (True), and those that are no longer."""
    active: Mapping[str, tuple[ActiveSignal, ...]] = {}
    """The signals that are active from now on, by camera."""


class Store:
    """One file. Call `open` first; every method blocks and raises StoreError."""

    # SQLite because a box is switched off at any moment: a transaction that was committed with synchronous=FULL is on
    # the disk, and Python brings the library. persist-queue, which is made for this, is made for threads, and has no
    # limit by bytes or by age; a log file of our own would need the checksums, the compaction and the recovery that
    # SQLite has, and their tests.

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection: sqlite3.Connection | None = None
        self._inode: tuple[int, int] | None = None

    def open(self) -> Found:
        """Open the file, or make it, and read all that it holds."""
        self.close()
        with translated(self.path):
            _touch(self.path)
            if damage := wal.damage(self.path):
                raise Damaged(f"{self.path} is damaged: {damage}")
            self._inode = _inode(self.path)
            self._connection = connect(self.path)
            _check(self._connection, self.path)
            _prepare(self._connection)
            rows = self._connection.execute(f"{SELECT_EVENTS} ORDER BY key")
            topics, active = self._connection.execute(SELECT_TOPICS), self._connection.execute(SELECT_ACTIVE)
            return decode_all(rows, topics, active)

    def write(self, changes: StoreChanges) -> None:
        """Write the changes; when this returns they are on the disk."""
        db = self._connection
        if db is None:
            raise Unavailable(f"{self.path} is not open")
        with translated(self.path):
            if _inode(self.path) != self._inode:
                raise Damaged(f"{self.path} was removed or replaced while it was in use")
            db.execute("BEGIN IMMEDIATE")
            try:
                _apply(db, changes)
                db.execute("COMMIT")
            except sqlite3.Error:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise

    def checkpoint(self) -> None:
        """Bring what the write-ahead log holds into the file: there it can be saved row by row, should a bit turn."""
        if self._connection is not None:
            with translated(self.path):
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def close(self) -> None:
        """Let go of the file, if it is open."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with translated(self.path):
                connection.close()


def _touch(path: Path) -> None:
    """Make sure that there is a file, which may be written; in a new one nobody else may read."""
    if path.is_dir():
        raise Unavailable(f"{path} is a folder: set outbox.path to a file")
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        sync_folder(path.parent)
    elif not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)):
        # SQLite would call a disk that is mounted read-only one that fails.
        raise Unavailable(f"{path}: {_passing[sqlite3.SQLITE_READONLY]}")


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def connect(path: Path) -> sqlite3.Connection:
    """Open a file for this connection alone."""
    db = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
    db.text_factory = bytes  # text that is damaged must not be an error of its own
    # Before the first look into the file: then there is no memory shared with others, which a full disk could break.
    db.execute("PRAGMA locking_mode = EXCLUSIVE")
    return db


def _check(db: sqlite3.Connection, path: Path) -> None:
    """Raise Newer, or Damaged where a file that is not empty is not ours, or not whole; nothing is written to it."""
    [version] = db.execute("PRAGMA user_version").fetchone()
    if version > VERSION:
        raise Newer(path, version)
    if version == 0 and db.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone():
        raise Damaged(f"{path} is a database of another program")
    # It reads the pages that are about to be read anyway: 0.1 s for 64 MiB in the page cache.
    [verdict] = db.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != b"ok":
        raise Damaged(f"{path} is damaged: {verdict.decode(errors='replace')}")


def _prepare(db: sqlite3.Connection) -> None:
    """Set how the file is written from now on, and make the tables where it is new."""
    for setting in ("journal_mode = WAL", "synchronous = FULL", f"journal_size_limit = {WAL_MAX}"):
        db.execute(f"PRAGMA {setting}").fetchall()
    if db.execute("PRAGMA user_version").fetchone() == (0,):
        db.executescript(_SCHEMA)
    db.execute(_SCHEMA_ACTIVE)


def decode_all(rows: Iterable[Any], topics: Iterable[Any], active: Iterable[Any]) -> Found:
    """Return what rows of the three tables say, and the keys of those that cannot be read."""
    pairs = [(row[0], decode(row)) for row in rows]
    unreadable = [key for key, row in pairs if row is None]
    readable = [row for _, row in pairs if row is not None]
    return Found(readable, decode_topics(topics), unreadable, decode_active(active))


def _apply(db: sqlite3.Connection, changes: StoreChanges) -> None:
    db.execute("DELETE FROM events WHERE key >= ?", (changes.first,))
    db.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?)", map(encode, changes.new))
    db.executemany("DELETE FROM events WHERE key BETWEEN ? AND ?", runs(changes.removed))
    ours = (encode_topic(topic) for topic, is_ours in changes.retained.items() if is_ours)
    db.executemany("INSERT OR REPLACE INTO retained VALUES (?, ?)", ours)
    cleared = ((topic,) for topic, is_ours in changes.retained.items() if not is_ours)
    db.executemany("DELETE FROM retained WHERE topic = ?", cleared)
    for camera, signals in changes.active.items():
        db.execute("DELETE FROM active WHERE camera = ?", (camera,))
        if signals:
            db.execute("INSERT INTO active VALUES (?, ?, ?)", encode_active(camera, signals))


def runs(keys: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Return the first and the last of each run of keys: events mostly leave as they came."""
    for _, run in groupby(enumerate(sorted(set(keys))), lambda numbered: numbered[1] - numbered[0]):
        several = [key for _, key in run]
        yield several[0], several[-1]


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Raise SQLite's and the system's errors as ours."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", None)
        if code is None:
            raise  # a mistake of ours
        advice = _passing.get(code & 0xFF)
        if advice is None:
            raise Damaged(f"{path} is damaged: {error}") from error
        raise Unavailable(f"{path}: {advice} ({error.sqlite_errorname})") from error
    except OSError as error:
        raise Unavailable(f"{path}: {error.strerror or error}") from error
