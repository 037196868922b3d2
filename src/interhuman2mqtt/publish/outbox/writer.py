"""Keeps the store in step with the outbox: opens it, commits in groups, and goes on without it where it fails.

What comes is gathered for a moment and then written by one transaction, so that a row whose PUBACK comes within that
moment costs the disk nothing. Publishing does not wait for any of this. While the store fails the events wait in
memory, and all of them are written once it works again.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import structlog
import trio

from interhuman2mqtt.config import Outbox as OutboxConfig
from interhuman2mqtt.events import utc_now
from interhuman2mqtt.publish.message import DropReason, OnDrop
from interhuman2mqtt.publish.outbox import quarantine
from interhuman2mqtt.publish.outbox.journal import Row, Taken
from interhuman2mqtt.publish.outbox.queue import OutboxQueue
from interhuman2mqtt.publish.outbox.row_codec import Stored
from interhuman2mqtt.publish.outbox.store import Damaged, Store, StoreChanges, StoreError, Unavailable
from interhuman2mqtt.runtime import state_dir
from interhuman2mqtt.runtime.clock import Ages

GATHER = 0.05
"""Seconds for which new rows are gathered into one commit."""
RIPE = 0.025
"""Seconds that a row waits for its PUBACK before it is worth a commit."""
QUIET = 60.0
"""Seconds without anything to write after which the write-ahead log is brought into the file."""
LAZY = 1.0
"""Seconds for which deletions are."""
AGAIN = 10.0
"""Seconds between two attempts with a store that fails."""
PATIENCE = 30.0
"""Seconds after which a disk that does not answer is called one that fails."""
FAREWELL = 5.0
"""Seconds for the last commit."""

Result = TypeVar("Result")
log = structlog.get_logger(__name__)


def path_of(config: OutboxConfig) -> Path:
    """Where the outbox is stored."""
    return Path(config.path) if config.path is not None else state_dir.find() / "outbox.sqlite"


class StoreWriter:
    """The one who works with the store of an outbox.

    Args:
        path: The store's file, which need not exist.
        outbox: What is kept; its `trouble` is set here.
        on_loss: Told of each event that the file held and that cannot be read any more.
        ages: How old what is found is, and what to write of what is new.
        again: Seconds between two attempts with a store that fails.
    """

    def __init__(
        self, path: Path, outbox: OutboxQueue, on_loss: OnDrop, ages: Callable[[], Ages] = Ages, again: float = AGAIN
    ) -> None:
        self._store = Store(path)
        self._outbox = outbox
        self._journal = outbox.journal
        self._on_loss = on_loss
        self._ages = ages
        self._again = again
        self._is_open = False
        self._has_log = False
        """Whether something was committed since the log was brought into the file."""
        self._damage: Damaged | None = None
        self._one_at_a_time = trio.CapacityLimiter(1)

    async def open(self) -> None:
        """Read what an earlier life left into the outbox; where that fails, `run` tries it again."""
        try:
            opened = await self._in_thread(partial(quarantine.open_or_replace, self._store, utc_now()))
        except StoreError as error:
            self._tell(error)
            return
        self._is_open = True
        self._restore(opened)
        self._tell(None)

    async def run(self) -> None:
        """Commit what comes and goes, until cancelled; then all that is left, and close the store."""
        try:
            while True:
                await self._wait_for_work()
                if not await self._commit(RIPE):
                    await trio.sleep(self._again)
        finally:
            with trio.move_on_after(FAREWELL, shield=True):
                await self._finish()
            self._say_farewell()

    async def _wait_for_work(self) -> None:
        if self._has_log:
            with trio.move_on_after(QUIET) as quiet:
                await self._journal.wait(urgent=False)
            if quiet.cancelled_caught:
                await self._checkpoint()
        if not self._is_open or self._damage is not None:
            await trio.lowlevel.checkpoint()
            return
        await self._journal.wait(urgent=False)
        with trio.move_on_after(LAZY):
            await self._journal.wait(urgent=True)
        await trio.sleep(GATHER)

    async def _commit(self, ripe_after: float) -> bool:
        """Write what there is, of the rows those that are so old, or open the store first; whether that went well."""

        def ripe(row: Row) -> bool:
            return self._outbox.age(row) >= ripe_after

        if not self._is_open:
            await self.open()
            return self._is_open
        if self._damage is not None:
            return await self._begin_anew(self._damage)
        if not self._journal.worth(ripe):
            return True
        taken = self._journal.take(ripe)
        try:
            await self._write(taken)
        except Damaged as damage:
            self._damage = damage
            return True
        except StoreError as error:
            self._tell(error)
            return False
        self._tell(None)
        return True

    async def _checkpoint(self) -> None:
        """Not urgent, and tried again after the next commit: what fails here is safe in the log."""
        self._has_log = False
        try:
            await self._in_thread(self._store.checkpoint)
        except Damaged as damage:
            self._damage = damage
        except StoreError as error:
            log.warning("the outbox file's log cannot be brought into it", detail=str(error))

    async def _write(self, taken: Taken) -> None:
        written = False
        try:
            await self._in_thread(partial(self._store.write, self._as_changes(taken)))
            written = True
        finally:
            if written:
                self._has_log = True
                self._journal.written(taken)
            else:
                self._journal.failed(taken)

    def _as_changes(self, taken: Taken) -> StoreChanges:
        ages = self._ages()
        rows = [Stored(key, ages.instant(self._outbox.age(row)), row.message) for key, row in taken.new]
        return StoreChanges(taken.first, rows, taken.gone, taken.topics, taken.active)

    async def _begin_anew(self, damage: Damaged) -> bool:
        """The file broke while it was in use: all that it held is in the outbox too."""
        try:
            path = await self._in_thread(partial(quarantine.replace, self._store, utc_now()))
        except StoreError as error:
            self._tell(error)
            return False
        log.error("outbox file set aside", detail=f"{damage}; it was set aside as {path.name}, and nothing is lost")
        self._damage = None
        self._journal.begin_anew(self._outbox.events)
        return True

    def _restore(self, opened: quarantine.OpenedStore) -> None:
        found, ages = opened.found, self._ages()
        for key in found.unreadable:
            where = f"row {key}" if key else "a stretch of the file, with nobody knows how many rows,"
            self._on_loss(None, DropReason.DAMAGED, f"{where} in {self._store.path} is unreadable")
        if opened.damage is not None:
            log.error("outbox file set aside", detail=opened.damage)
        else:
            self._journal.delete(key for key in found.unreadable if key)
        in_file = opened.damage is None
        self._outbox.restore((row.key if in_file else None, ages.age(row.accepted), row.message) for row in found.rows)
        self._journal.ledger.restore(found.retained)
        self._journal.activity.restore(found.active)
        if not in_file:
            self._journal.ledger.tell_all()
            self._journal.activity.tell_all()
        if found.rows:
            log.info("events of an earlier life", events=len(found.rows))

    async def _finish(self) -> None:
        """The last commits; whatever they cannot do is told by `_say_farewell`."""
        while self._journal.pending and await self._commit(0.0):
            pass
        await self._in_thread(self._store.close)

    def _say_farewell(self) -> None:
        lost = self._journal.unwritten
        kept = len(self._outbox.events) - lost
        if kept:
            log.info("events are kept for the next start", events=kept)
        if lost:
            log.error("events are lost with this stop", events=lost, detail=self._outbox.trouble)

    async def _in_thread(self, call: Callable[[], Result]) -> Result:
        """One call of the store's; one that a dying disk holds up is left behind, and nothing else begins before."""
        with trio.move_on_after(PATIENCE):
            return await trio.to_thread.run_sync(call, limiter=self._one_at_a_time, abandon_on_cancel=True)
        raise Unavailable(f"{self._store.path}: its disk has not answered for {PATIENCE:g} s")

    def _tell(self, error: StoreError | None) -> None:
        trouble = None if error is None else f"events are not safe from a restart: {error}"
        if trouble == self._outbox.trouble:
            return
        self._outbox.trouble = trouble
        if trouble is None:
            log.info("outbox file is in order again", path=str(self._store.path))
        else:
            log.error("outbox file", detail=trouble)
