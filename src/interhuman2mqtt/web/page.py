"""The page's state: what comes from the broker goes to the history, to the fleet of now, and to all browsers."""

import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

import structlog
import trio

from interhuman2mqtt.commands.watch_model import BRIDGE, Fleet, Place, place
from interhuman2mqtt.publish.mqtt.types import IncomingMessage
from interhuman2mqtt.runtime.blocking import Blocking
from interhuman2mqtt.runtime.log import RateLimitedLogger
from interhuman2mqtt.web.continuity import Continuity
from interhuman2mqtt.web.fleet import camera_json, summary
from interhuman2mqtt.web.history import FAULTS, History
from interhuman2mqtt.web.ingest import Ingest
from interhuman2mqtt.web.recent import RecentHours
from interhuman2mqtt.web.rows import CameraKey, Row
from interhuman2mqtt.web.stream import Stream

WRITE_S = 0.5
"""Between two transactions: one disk write for all that came meanwhile."""
SHOW_S = 0.25
"""Between two looks at what browsers have to be sent."""
TICK_S = 5.0
REDRAW_S = 30.0
"""Ribbons move on by themselves."""
PRUNE_S = 3600.0
DISK_S = 30.0
"""For how long a call to the disk is waited for."""
PENDING_MAX = 100_000
"""Rows that wait for a disk that hangs; beyond that they go, are counted, and their time is not known."""

Result = TypeVar("Result")
log = structlog.get_logger(__name__)


class Page:
    """One page for all browsers.

    Args:
        base: `mqtt.base_topic`.
        history: Open; used by one thread at a time, through `use`.
        keep: Seconds of history.
        max_size: Bytes of history.
        rationale: Whether the free text about people is kept.
        clock: Seconds of UTC.
    """

    def __init__(  # noqa: PLR0913 - each is a key of the configuration
        self,
        base: str,
        history: History,
        *,
        keep: float,
        max_size: int,
        rationale: bool,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._disk = Blocking(DISK_S)
        self.history = history
        self.fleet = Fleet()
        self.stream = Stream()
        self.cards: dict[CameraKey, dict[str, Any]] = {}
        self.broker: dict[str, Any] = {"state": "connecting", "detail": None}
        self.dropped = 0
        self._base = base
        self._keep = keep
        self._max_size = max_size
        self._clock = clock
        self._continuity = Continuity()
        self._continuity.restore(*history.continuity())
        self._log_changes = RateLimitedLogger(log)
        self._rationale = rationale
        self._pending: list[Row] = []
        self._changed: set[CameraKey] = set()
        self._last_message: dict[str, float] = {}
        self._load()

    def _load(self) -> None:
        """Take the last hours out of the history, and what is open: a restart loses none of it. Blocks."""
        self._version = self.history.version()
        recent = RecentHours()
        recent.load(self.history, self._clock())
        self.recent = recent
        self._ingest = Ingest(
            rationale=self._rationale, signals=self.history.open_signals(), gaps=self.history.open_gaps()
        )

    async def run(self) -> None:
        """Write, prune and show, for ever."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._write)
            nursery.start_soon(self._show)
            nursery.start_soon(self._tick)
            nursery.start_soon(self._prune)

    async def use(self, call: Callable[[], Result]) -> Result:
        """Use the history in a thread, one call at a time; raises OSError where the disk hangs or is full."""

        def locked() -> Result:
            with self.history.lock:
                try:
                    return call()
                except FAULTS as error:
                    raise OSError(str(error)) from error

        return await self._disk.run(locked)

    async def forget(self, camera: CameraKey, start: float, end: float) -> int:
        """Forget what is known of people before a camera in a range; return how many rows that were.

        Raises:
            OSError: The disk hangs.
        """

        def forget() -> int:
            self.history.write(self._batch())
            count = self.history.forget(camera, start, end)
            self._load()
            return count

        count = await self.use(forget)
        self._redraw()
        log.info("forgotten", box=camera.box, camera=camera.name, rows=count)
        return count

    def _redraw(self) -> None:
        """Make all browsers load everything anew, and let go of what they might still be sent."""
        self._changed |= set(self.cards)
        self.stream.reset()

    def forget_current(self) -> None:
        """Begin anew with what is retained: it may have changed while nothing was received."""
        self.fleet = Fleet()
        self._changed |= set(self.cards)

    def connected(self, *, resumed: bool) -> None:
        """Note that we are subscribed at the broker."""
        self._note(self._continuity.connected(self._clock(), resumed=resumed))
        self._set_broker("connected", None)

    def disconnected(self, detail: str) -> None:
        """Note that we are not, and why."""
        self._note(self._continuity.disconnected(self._clock()))
        self._set_broker("not connected", detail)

    async def stop(self) -> None:
        """Write what is not written yet.

        Raises:
            OSError: The disk hangs or is full.
        """
        self._note(self._continuity.disconnected(self._clock()))
        await self.use(partial(self.history.write, self._batch()))

    def _batch(self) -> list[Row]:
        """Take what is not written yet, and up to where it reaches: whoever writes one writes both, or neither.

        A process that is killed, or a power cut, then leaves what the next one needs to go on where it ended.
        """
        rows, self._pending = [*self._pending, *self._continuity.changes()], []
        return [*rows, *self._continuity.tick(self._clock())] if rows else []

    def live(self) -> list[tuple[float, float]]:
        """Return the stretch of received messages that lasts until now, which the history has a little later."""
        return self._continuity.live(self._clock())

    def receive(self, incoming: IncomingMessage) -> None:
        """Take a message of the broker."""
        where = place(self._base, incoming.topic)
        if where is None or incoming.payload is None:
            return
        key = CameraKey(where.box, where.camera)
        if where.camera == BRIDGE:
            self._changed.update(one for one in self.cards if one.box == where.box)
        else:
            self._changed.add(key)
            self._take(key, where, incoming.payload, retained=incoming.retained)
        self.fleet.apply(where, incoming.payload)
        if (box := self.fleet.boxes.get(where.box)) is not None and box.is_online:
            self._last_message[where.box] = self._clock()

    def _take(self, key: CameraKey, where: Place, payload: bytes, *, retained: bool) -> None:
        if where.about.startswith("event/") and not retained:
            event, rows = self._ingest.event(key, payload)
            self._note(rows)
            if event is not None and (number := event.scope_and_number) is not None:
                at = min(event.received_at.timestamp(), self._clock())
                self._note(self._continuity.event(key, *number, at, is_session=event.session == number[0]))
        elif where.about.startswith("late/") and not retained:
            self._note(self._ingest.late_event(key, payload))
        elif where.about == "status":
            status, rows = self._ingest.status(key, payload)
            self._note([*rows, *(self._continuity.camera(key) if status is not None else ())])
        elif where.about == "state/signals" and retained:
            self._note(self._ingest.signals(key, payload))

    def _note(self, rows: Any) -> None:
        made: list[Row] = list(rows)
        self.recent.add(made)
        self._pending += made
        if len(self._pending) > PENDING_MAX:
            self.dropped += len(self._pending)
            self._pending.clear()
            self._continuity.dropped(self._clock())

    def _set_broker(self, state: str, detail: str | None) -> None:
        self.broker = {"state": state, "detail": detail}
        self.stream.publish("broker", self.broker)

    async def _write(self) -> None:
        while True:
            await trio.sleep(WRITE_S)
            if not (rows := self._batch()):
                continue
            try:
                await self.use(partial(self.history.write, rows))
            except OSError as error:
                self._pending = rows + self._pending
                self._log_changes.emit(
                    "write", str(error), "the history is not written", level="warning", detail=str(error)
                )
            else:
                self._log_changes.emit("write", None, "the history is written", level="debug")

    async def _tick(self) -> None:
        while True:
            await trio.sleep(TICK_S)
            self.look()
            with suppress(OSError):  # the disk hangs: what is written says so
                if await self.use(self._reload_if_changed):
                    log.info("the history was changed by another process, and is taken in anew")
                    self._redraw()

    def look(self) -> None:
        """Note up to where messages were received, and of which cameras none can have come."""
        now, boxes = self._clock(), self.fleet.boxes
        there = {CameraKey(box_id, name) for box_id, box in boxes.items() if box.is_online for name in box.cameras}
        self._last_message = {box_id: at for box_id, at in self._last_message.items() if box_id in boxes}
        self._note([*self._continuity.tick(now), *self._continuity.look(now, there, self._last_message)])

    def _reload_if_changed(self) -> bool:
        """Take in what another process has made of the history (`forget`); return whether it had. Blocks."""
        if self.history.version() == self._version:
            return False
        self._load()
        return True

    async def _show(self) -> None:
        redraw_at = trio.current_time()
        while True:
            await trio.sleep(SHOW_S)
            now = self._clock()
            if trio.current_time() >= redraw_at:  # by a clock that nobody sets
                redraw_at += REDRAW_S
                self.recent.trim(now)
                self._changed |= set(self.cards)
            if self._changed:
                self._publish_changes(now)

    def _publish_changes(self, now: float) -> None:
        changed, self._changed = self._changed, set()
        self.recent.add(self._continuity.tick(now))
        for key in sorted(changed):
            card = camera_json(self.fleet, key, self.recent, now)
            if card:
                self.cards[key] = card
            elif self.cards.pop(key, None) is None:
                continue
            self.stream.publish("camera", card or {"box": key.box, "name": key.name, "state": None})
        self.stream.publish("summary", {"now": now, **summary(list(self.cards.values()))})

    async def _prune(self) -> None:
        while True:
            try:
                await self.use(partial(self.history.prune, self._clock() - self._keep, self._max_size))
            except OSError as error:
                log.warning("the history is not pruned", detail=str(error))
            await trio.sleep(PRUNE_S)
