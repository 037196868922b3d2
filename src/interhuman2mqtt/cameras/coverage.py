"""The gap ledgers of all cameras, kept through restarts in `coverage.json`.

The file says up to when each camera's time is settled, what was wrong since, which signals were active, and when the
last byte of media left the box. It is written every `SAVE_S` seconds, soon after each gap, and at the end. So after a
crash or a power cut a gap may begin so much too early: time that was seen may be told as unseen, never the other way
round.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import structlog
import trio
from msgspec import Struct

from interhuman2mqtt import statefolder
from interhuman2mqtt.cameras.ledger import AudioGap, Cause, Gap, Ledger
from interhuman2mqtt.errors import Reason
from interhuman2mqtt.events import MediaChunk, utc_now
from interhuman2mqtt.log import Changes

SAVE_S, SOON_S = 10.0, 1.0
BOOT = Path("/proc/sys/kernel/random/boot_id")
"""Another one after each start of the machine (proc(5))."""

log = structlog.get_logger(__name__)


class Signal(Struct, frozen=True):
    """A signal that is active, as far as a later life has to know it."""

    type: str
    session: str | None


class Record(Struct, frozen=True):
    """One camera."""

    until: datetime
    causes: tuple[Cause, ...] = ()
    active: tuple[Signal, ...] = ()
    sent_at: datetime | None = None


class Kept(Struct, frozen=True):
    """The whole file."""

    saved_at: datetime
    machine: str
    cameras: dict[str, Record] = {}


class Coverage:
    """All ledgers of a box.

    Args:
        file: Where they are kept.
        tell: Called for each gap of a camera, once it is closed; for one of its sound alone when it begins, too.
        active: The signals of each camera that are active now.
        now: The wall clock.
    """

    def __init__(
        self,
        file: Path,
        tell: Callable[[str, Gap | AudioGap], None],
        active: Callable[[], Mapping[str, tuple[Signal, ...]]],
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._file = file
        self._tell = tell
        self._active = active
        self._now = now
        self._machine = _machine()
        self._ledgers: dict[str, Ledger] = {}
        self._written: dict[str, Record] = {}
        self._trouble = Changes(log)
        self._news = trio.Event()

    def resume(self, cameras: Mapping[str, object]) -> dict[str, tuple[Signal, ...]]:
        """Read what an earlier life left, and tell the time since as gaps; the signals that it left active. Blocks."""
        kept = self._read()
        left = {name: record for name, record in kept.cameras.items() if name in cameras}
        for name, record in left.items():
            ledger = self._ledgers[name] = Ledger(record.until, record.causes)
            ledger.sent_at = record.sent_at
            if not record.causes or record.causes[-1].reason is not Reason.STOPPED:
                crashed = kept.machine == self._machine
                ledger.because(Reason.CRASHED if crashed else Reason.POWER_CUT, max(record.until, kept.saved_at))
            self._publish(name, ledger.missed(self._now()))
        return {name: record.active for name, record in left.items() if record.active}

    def ledger(self, camera: str) -> Ledger:
        """The ledger of a camera, which begins now where there is none."""
        if camera not in self._ledgers:
            self._ledgers[camera] = Ledger(self._now())
            self._news.set()  # a crash must not forget that its time has begun
        return self._ledgers[camera]

    def because(self, camera: str, reason: Reason | None) -> None:
        """A camera does not stream for this reason; None: it does."""
        self.ledger(camera).because(reason, self._now())

    def delivered(self, camera: str, capture: object, chunk: MediaChunk) -> None:
        """A chunk of a camera reached the cloud."""
        self._publish(camera, self.ledger(camera).delivered(capture, chunk))

    def audio(self, camera: str, gap: AudioGap) -> None:
        """Silence is sent in place of a camera's sound, or was until now."""
        log.info("sound", camera=camera, missing=gap.end_at is None, reason=gap.reason)
        self._tell(camera, gap)

    def forget(self, camera: str) -> None:
        """A camera was removed: what it still owes is told as gaps, and nobody waits to see more of it."""
        if ledger := self._ledgers.pop(camera, None):
            self._publish(camera, ledger.missed(self._now()))

    async def keep(self) -> None:
        """Write what changed, at once and every `SAVE_S` seconds; a gap that was told soon, lest it is told twice."""
        while True:
            self._news = trio.Event()  # before the writing, during which a gap may come
            await self.save()
            await trio.sleep(SOON_S)
            with trio.move_on_after(SAVE_S - SOON_S):
                await self._news.wait()

    async def save(self) -> None:
        """Write what changed, if anything; what cannot be written is said, and tried again the next time."""
        active = self._active()
        records = {
            name: Record(ledger.until, ledger.causes, active.get(name, ()), ledger.sent_at)
            for name, ledger in self._ledgers.items()
        }
        if records == self._written:
            return
        content = msgspec.json.encode(Kept(self._now(), self._machine, records))
        try:
            await trio.to_thread.run_sync(statefolder.replace, self._file, content)
        except OSError as error:
            detail = f"{self._file}: {error.strerror}: after a restart the gap before it will begin too early"
            self._trouble.say("file", "unwritable", "coverage cannot be written", level="error", detail=detail)
        else:
            self._written = records
            self._trouble.say("file", "written", "coverage is written", level="debug")

    def told(self, camera: str) -> dict[str, float]:
        """Seconds of a camera since the daemon started: settled, delivered, missing; and since it was settled last."""
        ledger = self.ledger(camera)
        return {
            "live_seconds": (ledger.until - ledger.began).total_seconds(),
            "delivered_seconds": ledger.delivered_s,
            "gap_seconds": float(sum(ledger.gap_s.values())),
            "lag_seconds": (self._now() - ledger.until).total_seconds(),
        }

    def _publish(self, camera: str, gaps: tuple[Gap, ...]) -> None:
        for gap in gaps:
            log.info("gap", camera=camera, reason=gap.reason, seconds=round(gap.seconds, 1))
            self._tell(camera, gap)
            self._news.set()

    def _read(self) -> Kept:
        nothing = Kept(self._now(), self._machine)
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=Kept)
        except FileNotFoundError:
            return nothing
        except (OSError, msgspec.MsgspecError, ValueError) as error:
            aside = self._file.with_name(f"{self._file.name}.damaged")
            detail = f"{self._file} cannot be read ({error}); it is now {aside.name}, and the gap before it is not told"
            log.error("coverage is lost", detail=detail)  # noqa: TRY400 - no traceback: it is the file's fault
            _set_aside(self._file, aside)
            return nothing


def _set_aside(file: Path, aside: Path) -> None:
    try:
        file.replace(aside)
    except OSError as error:
        log.warning("a damaged file cannot be set aside", file=str(file), detail=error.strerror)


def _machine() -> str:
    try:
        return BOOT.read_text().strip()
    except OSError:
        return datetime.now(UTC).isoformat()  # never twice the same: a crash is then told as a power cut
