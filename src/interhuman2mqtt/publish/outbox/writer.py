"""Keeps the store in step with the outbox: opens it, commits in groups, and goes on without it where it fails.

Publishing does not wait for any of this. While the store fails the events wait in memory, and all of them are written
once it works again.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import structlog
import trio

from interhuman2mqtt.config import Outbox as OutboxConfig
from interhuman2mqtt.events import utc_now
from interhuman2mqtt.publish.message import DropReason, DropReporter
from interhuman2mqtt.publish.outbox import salvage, set_aside
from interhuman2mqtt.publish.outbox.journal import Batch
from interhuman2mqtt.publish.outbox.queue import OutboxQueue
from interhuman2mqtt.publish.outbox.row_codec import Stored
from interhuman2mqtt.publish.outbox.rows import Row
from interhuman2mqtt.publish.outbox.store import Damaged, Store, StoreChanges, StoreError, Unavailable
from interhuman2mqtt.runtime import state_dir
from interhuman2mqtt.runtime.clock import Ages

# Group commit. A commit of its own for each event costs an fsync each, some milliseconds on an SSD and tens of them on
# an SD card, which wears out by them: 50 events a second would be 50 flushes of the flash. And it would be for nothing,
# as the broker's PUBACK mostly comes within a round trip of a few milliseconds. So new rows are gathered for 50 ms, and
# of those only what is older than 25 ms is written: that is ten round trips of a local broker, and no more than a
# person notices of a power cut. An event that neither the broker nor the disk has is at most some 75 ms old.
GATHER_S = 0.05
"""Seconds for which new rows are gathered into one commit."""
OLD_ENOUGH_S = 0.025
"""Seconds that a row waits for its PUBACK before it is written."""
DELETE_S = 1.0
"""Seconds for which deletions are gathered: what comes back after a crash is repeated with the same id."""
CHECKPOINT_S = 60.0
"""Seconds without anything to write after which the write-ahead log is brought into the file."""
RETRY_S = 10.0
"""Seconds between two attempts with a store that fails."""
DISK_TIMEOUT_S = 30.0
"""Seconds after which a disk that does not answer counts as one that fails."""
LAST_COMMIT_S = 5.0
"""Seconds for the last commits."""

Result = TypeVar("Result")
log = structlog.get_logger(__name__)


def path_of(config: OutboxConfig) -> Path:
    """Return where the outbox is stored."""
    return Path(config.path) if config.path is not None else state_dir.find() / "outbox.sqlite"


class StoreWriter:
    """Writes an outbox to its store.

    Args:
        path: The store's file, which need not exist.
        outbox: What is kept; its `trouble` is set here.
        drops: Takes the events that the file held and that cannot be read any more.
        ages: Turns ages into instants that a later life can read, and back.
        retry: Seconds between two attempts with a store that fails.
    """

    def __init__(
        self,
        path: Path,
        outbox: OutboxQueue,
        drops: DropReporter,
        ages: Callable[[], Ages] = Ages,
        retry: float = RETRY_S,
    ) -> None:
        self._store = Store(path)
        self._outbox = outbox
        self._journal = outbox.journal
        self._drops = drops
        self._ages = ages
        self._retry = retry
        self._is_open = False
        self._has_wal = False
        """True where something was committed since the write-ahead log was brought into the file."""
        self._damage: Damaged | None = None
        self._one_at_a_time = trio.CapacityLimiter(1)

    async def open(self) -> None:
        """Read what an earlier life left into the outbox; where that fails, `run` tries it again."""
        try:
            opened = await self._in_thread(self._open_store)
        except StoreError as error:
            self._report(error)
            return
        self._is_open = True
        self._restore(opened)
        self._report(None)

    def _open_store(self) -> salvage.OpenedStore:
        """Open the store, with what a newer version had left before a downgrade. Blocks; raises StoreError."""
        now = utc_now()
        opened = salvage.open_or_replace(self._store, now)
        if opened.damage is not None:
            return opened  # what was saved does not stand in the new file yet: the next start takes in the rest
        taken_in = set_aside.take_in(self._store, opened.found, now)
        for name in taken_in.names:
            log.info("events of a newer version are taken in again", file=name)
        for trouble in taken_in.troubles:
            log.error("events of a newer version are not taken in", detail=f"{trouble}; it is tried at the next start")
        return opened._replace(found=taken_in.found)

    async def run(self) -> None:
        """Commit what comes and goes, until cancelled; then all that is left, and close the store."""
        try:
            while True:
                await self._wait_for_work()
                if not await self._commit(OLD_ENOUGH_S):
                    await trio.sleep(self._retry)
        finally:
            with trio.move_on_after(LAST_COMMIT_S, shield=True):
                await self._finish()
            self._log_unsent()

    async def _wait_for_work(self) -> None:
        if self._has_wal:
            with trio.move_on_after(CHECKPOINT_S) as quiet:
                await self._journal.wait(urgent=False)
            if quiet.cancelled_caught:
                await self._checkpoint()
        if not self._is_open or self._damage is not None:
            await trio.lowlevel.checkpoint()
            return
        await self._journal.wait(urgent=False)
        with trio.move_on_after(DELETE_S):
            await self._journal.wait(urgent=True)
        await trio.sleep(GATHER_S)

    async def _commit(self, min_age: float) -> bool:
        """Write what there is, of the rows those that are so old, or open the store first; return whether it worked."""

        def old_enough(row: Row) -> bool:
            return self._outbox.age(row) >= min_age

        if not self._is_open:
            await self.open()
            return self._is_open
        if self._damage is not None:
            return await self._replace_file(self._damage)
        if not self._journal.has_work(old_enough):
            return True
        batch = self._journal.next_batch(old_enough)
        try:
            await self._write(batch)
        except Damaged as damage:
            self._damage = damage
            return True
        except StoreError as error:
            self._report(error)
            return False
        self._report(None)
        return True

    async def _checkpoint(self) -> None:
        """Bring the write-ahead log into the file; where that fails all is safe in the log, and it is tried again."""
        self._has_wal = False
        try:
            await self._in_thread(self._store.checkpoint)
        except Damaged as damage:
            self._damage = damage
        except StoreError as error:
            log.warning("the outbox file's log cannot be brought into it", detail=str(error))

    async def _write(self, batch: Batch) -> None:
        written = False
        try:
            await self._in_thread(partial(self._store.write, self._as_changes(batch)))
            written = True
        finally:
            if written:
                self._has_wal = True
                self._journal.written(batch)
            else:
                self._journal.failed(batch)

    def _as_changes(self, batch: Batch) -> StoreChanges:
        ages = self._ages()
        rows = [Stored(key, ages.instant(self._outbox.age(row)), row.message) for key, row in batch.new]
        return StoreChanges(batch.first, rows, batch.removed, batch.topics, batch.active)

    async def _replace_file(self, damage: Damaged) -> bool:
        """Replace a file that broke while it was in use: all that it held is in the outbox too."""
        try:
            path = await self._in_thread(partial(salvage.replace, self._store, utc_now()))
        except StoreError as error:
            self._report(error)
            return False
        log.error("outbox file set aside", detail=f"{damage}; it was set aside as {path.name}, and nothing is lost")
        self._damage = None
        self._journal.write_all(self._outbox.events)
        return True

    def _restore(self, opened: salvage.OpenedStore) -> None:
        found, ages = opened.found, self._ages()
        for key in found.unreadable:
            where = f"row {key}" if key else "a stretch of the file, with nobody knows how many rows,"
            self._drops.report(None, DropReason.DAMAGED, f"{where} in {self._store.path} is unreadable")
        if opened.damage is not None:
            log.error("outbox file set aside", detail=opened.damage)
        else:
            self._journal.delete(key for key in found.unreadable if key)
        in_file = opened.damage is None
        self._outbox.restore((row.key if in_file else None, ages.age(row.accepted), row.message) for row in found.rows)
        self._journal.topics.restore(dict.fromkeys(found.retained, True))
        self._journal.signals.restore(found.active)
        if not in_file:
            self._journal.topics.write_all()
            self._journal.signals.write_all()
        if found.rows:
            log.info("events of an earlier life", events=len(found.rows))

    async def _finish(self) -> None:
        """Commit what is left; what cannot be is logged by `_log_unsent`."""
        while self._journal.pending and await self._commit(0.0):
            pass
        await self._in_thread(self._store.close)

    def _log_unsent(self) -> None:
        lost = self._journal.unwritten
        kept = len(self._outbox.events) - lost
        if kept:
            log.info("events are kept for the next start", events=kept)
        if lost:
            log.error("events are lost with this stop", events=lost, detail=self._outbox.trouble)

    async def _in_thread(self, call: Callable[[], Result]) -> Result:
        """Call the store in a thread; one that a dying disk holds up is abandoned, and the next waits for its end."""
        with trio.move_on_after(DISK_TIMEOUT_S):
            return await trio.to_thread.run_sync(call, limiter=self._one_at_a_time, abandon_on_cancel=True)
        raise Unavailable(f"{self._store.path}: its disk has not answered for {DISK_TIMEOUT_S:g} s")

    def _report(self, error: StoreError | None) -> None:
        trouble = None if error is None else f"events are not safe from a restart: {error}"
        if trouble == self._outbox.trouble:
            return
        self._outbox.trouble = trouble
        if trouble is None:
            log.info("outbox file is in order again", path=str(self._store.path))
        else:
            log.error("outbox file", detail=trouble)
