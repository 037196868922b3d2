"""An outbox with its store, opened and committed step by step without trio, and what a crash leaves of it."""

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

from interhuman2mqtt import config
from interhuman2mqtt.publish.message import DropReason, Message
from interhuman2mqtt.publish.outbox.queue import OutboxQueue
from interhuman2mqtt.publish.outbox.writer import StoreWriter
from interhuman2mqtt.runtime.clock import Ages, Instant

BEGAN = 1_800_000_000.0
"""The wall clock's time when the clocks of these tests are at 0."""


class Life:
    """One life of the daemon's outbox, from opening the file to its end.

    Args:
        path: The store's file.
        clock: Seconds, for all clocks.
        present: The clocks that outlive a process; default: a clock that is right, all the time in one boot.
    """

    def __init__(
        self,
        path: Path,
        clock: Callable[[], float] = lambda: 0.0,
        limits: config.Outbox | None = None,
        present: Callable[[], Instant] | None = None,
    ) -> None:
        self.path = path
        self.lost: list[tuple[Message | None, DropReason]] = []
        self.outbox = OutboxQueue(limits or config.Outbox(), self, clock)
        present = present or (lambda: Instant(BEGAN + clock(), True, "boot-1", clock()))  # noqa: FBT003 - synced
        self.writer = StoreWriter(path, self.outbox, self, ages=lambda: Ages(present))
        self.store = self.writer._store

    def report(self, message: Message | None, loss: DropReason, _: str) -> None:
        self.lost.append((message, loss))

    def open(self) -> "Life":
        """Open the file, as the writer does."""
        self.writer._restore(self.writer._open_store())
        return self

    def commit(self, *, believed: bool = True) -> None:
        """Write all that there is to write; `believed`: whether the store is heard to say that it did."""
        batch = self.outbox.journal.next_batch()
        self.store.write(self.writer._as_changes(batch))
        if believed:
            self.outbox.journal.written(batch)
        else:
            self.outbox.journal.failed(batch)

    def crash(self, folder: Path) -> Path:
        """What kill -9 leaves: the store's file in another folder, as it is on the disk now."""
        path = left_by_a_crash(self.path, folder)
        self.store.close()
        return path

    @property
    def messages(self) -> list[Message]:
        """The events in the outbox, in their order."""
        return [row.message for row in self.outbox.events]


def left_by_a_crash(path: Path, folder: Path) -> Path:
    """A copy of a store's file in use, with what belongs to it."""
    folder.mkdir(parents=True, exist_ok=True)
    for part in ("", "-wal"):
        if Path(f"{path}{part}").exists():
            shutil.copyfile(f"{path}{part}", folder / f"{path.name}{part}")
    return folder / path.name


def events_in(path: Path, folder: Path) -> list[bytes]:
    """The payloads that stand in a store's file, read from a copy of it in `folder`."""
    db = sqlite3.connect(left_by_a_crash(path, folder))
    try:
        return [bytes(payload) for (payload,) in db.execute("SELECT payload FROM events ORDER BY key")]
    finally:
        db.close()


def destroy_a_page(path: Path) -> None:
    """Overwrite a page in the middle of a store's file."""
    content = bytearray(path.read_bytes())
    start = len(content) // 4096 // 2 * 4096
    content[start : start + 4096] = b"\xaa" * 4096
    path.write_bytes(content)
