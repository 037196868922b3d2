"""The spools of all cameras of a box: who has one, and what becomes of those that nobody has any more."""

from collections.abc import Collection
from datetime import datetime
from functools import partial
from pathlib import Path

import structlog

from interhuman2mqtt.backfill.segment import moment
from interhuman2mqtt.backfill.spool import DISK_S, CameraSpool, Forgotten, captured_between
from interhuman2mqtt.backfill.store import KnownGap, SpoolStore, delete_tree
from interhuman2mqtt.errors import Reason
from interhuman2mqtt.runtime.blocking import Blocking
from interhuman2mqtt.runtime.clock import BoxClock
from interhuman2mqtt.runtime.clock import now as present

log = structlog.get_logger(__name__)


def forget_without_daemon(folder: Path, camera: str, start: datetime | None, end: datetime | None) -> Forgotten:
    """Delete what a camera has spooled in the folder of all spools, where no daemon runs. Blocks; raises OSError."""
    if not folder.is_dir() or camera not in {path.name for path in folder.iterdir()}:
        return Forgotten.of(())
    return Forgotten.of(SpoolStore(folder / camera).forget(captured_between(start, end, present())))


class Spools:
    """Has a spool for each camera whose configuration asks for one.

    Args:
        folder: Of them all.
        clock: Dates them.
    """

    def __init__(self, folder: Path, clock: BoxClock) -> None:
        self._folder = folder
        self._clock = clock
        self._spools: dict[str, CameraSpool] = {}
        self._blocking = Blocking(DISK_S)

    def of(self, camera: str) -> CameraSpool:
        """Return the spool of a camera, which stays the same however often the camera is restarted."""
        if camera not in self._spools:
            self._spools[camera] = CameraSpool(camera, self._folder / camera, self._clock)
        return self._spools[camera]

    def add_gap(self, camera: str, gap_id: str, start: datetime | None, seconds: float | None, reason: Reason) -> None:
        """Note a gap that was published, where the camera has a spool; one without a date is of no use."""
        if camera in self._spools and start is not None:
            now = self._clock.instant()
            began = moment(start.timestamp() - now.wall + now.uptime, now)
            self._spools[camera].add_gap(KnownGap(gap_id, began, seconds, reason))

    async def keep_only(self, cameras: Collection[str]) -> None:
        """Delete what was spooled of all cameras but these, which run no more or are not to be spooled any more."""
        self._spools = {name: self.of(name) for name in cameras}
        try:
            for name in await self._blocking.run(self._names):
                if name not in cameras:
                    await self._delete(name)
        except OSError as error:
            log.error("spools cannot be looked through", detail=f"{self._folder}: {error.strerror}")  # noqa: TRY400

    async def forget(self, camera: str, start: datetime | None, end: datetime | None) -> Forgotten:
        """Delete what was captured between two instants; raises OSError."""
        if camera not in self._spools:
            return Forgotten(0, 0.0, 0)
        forgotten = await self._spools[camera].forget(start, end)
        log.info("spooled media is forgotten", camera=camera, segments=forgotten.segments, seconds=forgotten.seconds)
        return forgotten

    async def _delete(self, name: str) -> None:
        try:
            segments, size = await self._blocking.run(partial(delete_tree, self._folder / name))
        except OSError as error:
            detail = f"{error.filename or self._folder / name}: {error.strerror}: delete it by hand"
            log.error("a spool cannot be deleted", camera=name, detail=detail)  # noqa: TRY400 - no bug
        else:
            detail = "the configuration has no such camera any more, or no backfill for it"
            log.warning("a spool is deleted", camera=name, segments=segments, bytes=size, detail=detail)

    def _names(self) -> list[str]:
        return [path.name for path in self._folder.iterdir() if path.is_dir()] if self._folder.is_dir() else []
