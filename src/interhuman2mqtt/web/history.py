"""The history of the page in SQLite: written in batches, read by range, pruned by age and size. Blocks; for a thread.

Rows of a newer version of the file are not read: who opens it says what becomes of it.
"""

import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from interhuman2mqtt.web.history_schema import ADDED, OF_PEOPLE, POINTS, PRAGMAS, SCHEMA, SPANS, VERSION
from interhuman2mqtt.web.rows import (
    TABLES,
    CameraKey,
    ContinuityRow,
    GapRow,
    HoleRow,
    LastEvent,
    QualityRow,
    ReceivedRow,
    Row,
    SignalRow,
)

NAME = "history.sqlite"
STATE = Path("/var/lib/interhuman2mqtt-web")
"""Where it is, unless $STATE_DIRECTORY says otherwise: what `StateDirectory=` of the page's unit makes."""
FAULTS = sqlite3.Error
"""What a call raises where the disk is full, or the file is damaged or held by another process."""
CLOSE_S = 5.0
PRUNED_AT_ONCE = 3600.0
"""Seconds by which the history is shortened where its file is too large."""


class HistoryError(Exception):
    """The file cannot be used; the text says which and why."""


class DamagedHistoryError(HistoryError):
    """The file is no history, or not any more."""


class NewerHistoryError(HistoryError):
    """The file was written by a newer version of this program."""

    def __init__(self, path: Path, version: int) -> None:
        super().__init__(f"{path} was written by a newer version of interhuman2mqtt")
        self.version = version


PARTS = ("", "-wal", "-shm")
"""What the names of a history's files end in."""


class History:
    """One file; to be used by one thread at a time.

    Args:
        path: Made where it is missing, for its owner alone.

    Raises:
        NewerHistoryError: A newer version wrote it.
        DamagedHistoryError: It is none.
        HistoryError: It cannot be used for another reason, such as a disk that is full.
        OSError: It cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self.lock = threading.Lock()
        """Held by whoever uses it: SQLite must not be closed under a call of a thread that was left to itself."""
        path.touch(mode=0o600)
        try:
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        except sqlite3.Error as error:
            raise HistoryError(f"{path} cannot be used: {error}") from error
        try:
            self._prepare(path)
        except sqlite3.OperationalError as error:
            self._db.close()
            raise HistoryError(f"{path} cannot be used: {error}") from error
        except sqlite3.DatabaseError as error:
            self._db.close()
            raise DamagedHistoryError(f"{path} is damaged, or is no history: {error}") from error
        self._ids = self._read_ids()

    def _prepare(self, path: Path) -> None:
        [version] = self._db.execute("PRAGMA user_version").fetchone()
        if version > VERSION:
            self._db.close()
            raise NewerHistoryError(path, version)
        # WAL with NORMAL may lose the last seconds in a power cut, never the file: those seconds are then not known,
        # which is what the page says of them. FULL would sync a disk for every batch, and buy nothing that is promised.
        self._db.executescript(PRAGMAS)
        if version == 0:
            self._db.executescript(SCHEMA)
        self._db.executescript(ADDED)

    def close(self) -> None:
        """Close the file, once nobody uses it; one that hangs is left to the end of the process."""
        if self.lock.acquire(timeout=CLOSE_S):
            self._db.close()
            self.lock.release()

    def take_in(self, path: Path) -> None:
        """Add the rows of another file of this format, where there is none of the same key; all or nothing.

        Raises:
            HistoryError: It cannot be read.
        """
        try:
            self._db.execute("ATTACH ? AS other", (str(path),))
            with self._transaction():
                self._db.execute("INSERT OR IGNORE INTO camera (box, name) SELECT box, name FROM other.camera")
                self._db.execute("INSERT OR IGNORE INTO received SELECT * FROM other.received")
                for table in (*SPANS, *POINTS):
                    self._take_in(table)
        except sqlite3.Error as error:
            raise HistoryError(f"{path} cannot be read: {error}") from error
        finally:
            with suppress(sqlite3.Error):  # where it could not be attached
                self._db.execute("DETACH other")
        self._ids = self._read_ids()

    def _take_in(self, table: str) -> None:
        if not self._db.execute("SELECT 1 FROM other.sqlite_master WHERE name = ?", (table,)).fetchone():
            return  # an older version wrote it
        columns = [f"theirs.{row[1]}" for row in self._db.execute(f"PRAGMA table_info({table})")][1:]
        self._db.execute(
            f"INSERT OR IGNORE INTO {table} SELECT ours.id, {', '.join(columns)} FROM other.{table} AS theirs"  # noqa: S608
            " JOIN other.camera AS its ON its.id = theirs.camera JOIN main.camera AS ours USING (box, name)"
        )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Do all of a block, or nothing of it: a transaction that stayed open would fail all those after it."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            with self._db:  # commits, or rolls back, also where the commit fails
                yield
        except BaseException:
            self._ids = self._read_ids()  # a number that was rolled back will be another camera's
            raise

    def _read_ids(self) -> dict[CameraKey, int]:
        rows = self._db.execute("SELECT id, box, name FROM camera")
        return {CameraKey(box, name): number for number, box, name in rows}

    def cameras(self) -> list[CameraKey]:
        """Return all cameras that anything is known of."""
        return sorted(self._ids)

    def write(self, rows: Iterable[Row]) -> None:
        """Write rows in one transaction; a row of the same key replaces the one that was there."""
        with self._transaction():
            for row in rows:
                self._write(row)

    def _write(self, row: Row) -> None:
        match row:
            case ReceivedRow(start, end):
                self._db.execute("INSERT OR REPLACE INTO received VALUES (?, ?)", (start, end))
            case QualityRow(camera, at, scores):
                self._replace("quality", camera, (at, *scores))
            case ContinuityRow(camera, last, unproven):
                self._replace("continuity", camera, (json.dumps(last), *(unproven or (None,) * 3)[1:]))
            case HoleRow(camera, start, end) if end <= start:
                self._db.execute("DELETE FROM hole WHERE camera = ? AND start = ?", (self._id(camera), start))
            case _:
                self._replace(TABLES[type(row)], row.camera, row[1:])

    def _replace(self, table: str, camera: CameraKey, values: tuple[object, ...]) -> None:
        marks = ", ".join("?" * (len(values) + 1))
        self._db.execute(f"INSERT OR REPLACE INTO {table} VALUES ({marks})", (self._id(camera), *values))  # noqa: S608 - a name of ours

    def _id(self, camera: CameraKey) -> int:
        if camera not in self._ids:
            self._db.execute("INSERT INTO camera (box, name) VALUES (?, ?)", camera)
            [self._ids[camera]] = self._db.execute("SELECT last_insert_rowid()").fetchone()
        return self._ids[camera]

    def spans(self, table: str, camera: CameraKey, start: float, end: float) -> list[tuple[Any, ...]]:
        """Return the rows of a table of `SPANS` that overlap a range, oldest first, without the camera."""
        query = f"SELECT * FROM {table} WHERE camera = ? AND start < ? AND (end IS NULL OR end > ?) ORDER BY start"  # noqa: S608
        return [row[1:] for row in self._db.execute(query, (self._ids.get(camera, -1), end, start))]

    def points(self, table: str, camera: CameraKey, start: float, end: float) -> list[tuple[Any, ...]]:
        """Return the rows of a table of `POINTS` within a range, and the last one before it, oldest first."""
        at = POINTS[table]
        number = self._ids.get(camera, -1)
        before = f"SELECT * FROM {table} WHERE camera = ? AND {at} < ? ORDER BY {at} DESC LIMIT 1"  # noqa: S608
        within = f"SELECT * FROM {table} WHERE camera = ? AND {at} >= ? AND {at} < ? ORDER BY {at}"  # noqa: S608
        rows = [*self._db.execute(before, (number, start)), *self._db.execute(within, (number, start, end))]
        return [row[1:] for row in rows]

    def received(self, start: float, end: float) -> list[tuple[float, float]]:
        """Return the stretches in which this process was subscribed that overlap a range."""
        query = "SELECT start, end FROM received WHERE start < ? AND end > ? ORDER BY start"
        return list(self._db.execute(query, (end, start)))

    def continuity(self) -> tuple[ReceivedRow | None, list[ContinuityRow]]:
        """Return the last stretch that was received, and up to where the events of each camera were."""
        last = self._db.execute("SELECT start, end FROM received ORDER BY start DESC LIMIT 1").fetchone()
        rows = self._db.execute("SELECT box, name, last, start, end FROM continuity JOIN camera ON camera = id")
        return last and ReceivedRow(*last), [_continuity(CameraKey(*row[:2]), *row[2:]) for row in rows]

    def open_signals(self) -> list[SignalRow]:
        """Return the signals that are active, as far as is known."""
        query = "SELECT box, name, key, type, start, end, probability, rationale FROM signal JOIN camera ON camera = id"
        return [SignalRow(CameraKey(*row[:2]), *row[2:]) for row in self._db.execute(f"{query} WHERE end IS NULL")]

    def open_gaps(self) -> list[GapRow]:
        """Return the gaps that last, as far as is known."""
        query = "SELECT box, name, start, end, reason FROM gap JOIN camera ON camera = id WHERE end IS NULL"
        return [GapRow(CameraKey(*row[:2]), *row[2:]) for row in self._db.execute(query)]

    def forget(self, camera: CameraKey, start: float, end: float) -> int:
        """Remove all that is known of people before a camera in a range, which is then not known.

        What is removed is overwritten in the file too (`secure_delete`), as is the write-ahead log. Gaps stay: they say
        nothing of people, and one that reaches out of the range would turn into time that was analysed.

        Returns:
            How many rows that were.
        """
        if camera not in self._ids:
            return 0
        number, (oldest, newest) = self._ids[camera], self.bounds()
        with self._transaction():
            within = "WHERE camera = ? AND start < ? AND (end IS NULL OR end > ?)"
            count = self._db.execute(f"DELETE FROM signal {within}", (number, end, start)).rowcount  # noqa: S608
            self._db.execute(f"DELETE FROM filled {within}", (number, end, start))  # noqa: S608 - it is a gap again
            for table, at in POINTS.items():
                query = f"DELETE FROM {table} WHERE camera = ? AND {at} >= ? AND {at} <= ?"  # noqa: S608
                count += self._db.execute(query, (number, start, end)).rowcount if table in OF_PEOPLE else 0
            if (low := max(start, oldest)) < (high := min(end, newest)):
                self._replace("hole", camera, (low, high))
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return count

    def version(self) -> int:
        """Return a number that changes whenever another process has written to the file."""
        return self._pragma("data_version")

    def prune(self, before: float, max_size: int) -> float:
        """Remove what ended before a moment, and then the oldest until the file is small enough.

        Returns:
            The moment from which on everything is kept.
        """
        self._prune(before)
        oldest, newest = self.bounds()
        while self._size() > max_size and before < newest:
            before = max(before, oldest) + PRUNED_AT_ONCE
            self._prune(before)
        return before

    def _prune(self, before: float) -> None:
        with self._transaction():
            for table in SPANS:
                self._db.execute(f"DELETE FROM {table} WHERE end < ?", (before,))  # noqa: S608
            self._db.execute("DELETE FROM received WHERE end < ?", (before,))
            for table, at in POINTS.items():
                # The last one before it still holds at it.
                self._db.execute(
                    f"DELETE FROM {table} WHERE {at} < ? AND EXISTS (SELECT 1 FROM {table} AS later"  # noqa: S608
                    f" WHERE later.camera = {table}.camera AND later.{at} > {table}.{at} AND later.{at} <= ?)",
                    (before, before),
                )
        self._db.executescript("PRAGMA incremental_vacuum;")  # a step for each page, of which execute() makes one
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def bounds(self) -> tuple[float, float]:
        """Return the first and the last moment that rows begin or end at."""
        columns = [(table, column) for table in (*SPANS, "received") for column in ("start", "end")]
        columns += POINTS.items()
        query = " UNION ALL ".join(f"SELECT min({at}), max({at}) FROM {table}" for table, at in columns)  # noqa: S608
        [found] = self._db.execute(f"SELECT min(a), max(b) FROM (SELECT NULL AS a, NULL AS b UNION ALL {query})")  # noqa: S608
        return found[0] or 0.0, found[1] or 0.0

    def _size(self) -> int:
        return self._pragma("page_count") * self._pragma("page_size")

    def _pragma(self, name: str) -> int:
        [value] = self._db.execute(f"PRAGMA {name}").fetchone()
        return int(value)


def _continuity(camera: CameraKey, last: str, start: float | None, end: float | None) -> ContinuityRow:
    scopes = {scope: LastEvent(*event) for scope, event in json.loads(last).items()}
    return ContinuityRow(camera, scopes, None if start is None or end is None else HoleRow(camera, start, end))
