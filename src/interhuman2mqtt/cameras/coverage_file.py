"""`coverage.json`: what a later life of the daemon has to know of the gap trackers. Everything here blocks.

Its times are seconds of BOOTTIME in the boot that `saved` names, so that nothing that is done to the wall clock moves
them; `saved` says what the wall clock showed at one of them, which leads from one boot to the next.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal, NamedTuple

import msgspec
import structlog
from msgspec import Struct, structs

from interhuman2mqtt.cameras.gaps import GapTracker, Interruption
from interhuman2mqtt.errors import Reason
from interhuman2mqtt.events import ActiveSignal, utc_now
from interhuman2mqtt.runtime import format_versions, state_dir
from interhuman2mqtt.runtime.clock import Instant, Seconds, is_unset
from interhuman2mqtt.runtime.format_versions import SetAside

log = structlog.get_logger(__name__)


FORMAT: Final = 2
STAMP = "%Y%m%dT%H%M%S.%fZ"
"""Of UTC; to the microsecond, since a gap ends there."""


class CameraRecord(Struct, frozen=True):
    """One camera."""

    until: Seconds
    causes: tuple[Interruption, ...] = ()
    sent: Seconds | None = None
    sent_before: datetime | None = None

    @classmethod
    def of(cls, tracker: GapTracker) -> "CameraRecord":
        """Return what is to be kept of a tracker."""
        return cls(tracker.until, tracker.causes, tracker.sent, tracker.sent_before)

    def crashed(self, reason: Reason, saved: float) -> "CameraRecord":
        """Return it with the reason for which nothing was written after `saved`, unless the daemon was stopped."""
        if self.causes and self.causes[-1].reason is Reason.STOPPED:
            return self
        return structs.replace(self, causes=(*self.causes, Interruption(max(self.until, saved), reason)))

    def shifted(self, seconds: float) -> "CameraRecord":
        """Return it on the BOOTTIME of another boot."""
        causes = tuple(Interruption(cause.at + seconds, cause.reason) for cause in self.causes)
        return structs.replace(self, until=self.until + seconds, causes=causes)


class Owed(Struct, frozen=True):
    """The records of an earlier boot that nobody could date yet."""

    saved: Instant
    """In that boot."""
    until: Seconds
    """When the life that came next began, in this boot."""
    cameras: Mapping[str, CameraRecord]

    def only(self, camera: str) -> "Owed":
        """Return what is owed of one camera."""
        return structs.replace(self, cameras={camera: self.cameras[camera]})

    def without(self, camera: str) -> "Owed":
        """Return what is owed of the others."""
        return structs.replace(self, cameras={name: one for name, one in self.cameras.items() if name != camera})


class KeptCoverage(Struct, frozen=True, omit_defaults=True):
    """The whole file."""

    schema: Literal[2]
    saved: Instant
    cameras: Mapping[str, CameraRecord] = {}
    owed: Owed | None = None
    active: Mapping[str, tuple[ActiveSignal, ...]] = {}
    """Only out of a file of version 0.1: the signals that were active; now the outbox's store knows them."""


class _Record1(Struct, frozen=True):
    """One camera in a file of version 0.1."""

    until: datetime
    causes: tuple[tuple[datetime, Reason | None], ...] = ()
    active: tuple[ActiveSignal, ...] = ()
    sent_at: datetime | None = None


class _Kept1(Struct, frozen=True):
    """A file of version 0.1, which had the wall clock alone."""

    saved_at: datetime
    machine: str
    cameras: dict[str, _Record1] = {}


class _Format(Struct, frozen=True):
    schema: int = 1


class EarlierCoverage(NamedTuple):
    """Coverage as a newer version knew it before a downgrade."""

    kept: KeptCoverage
    until: float
    """When the life began that did not know it: the wall clock, Unix time."""


class CoverageFile:
    """The file in the folder of the state."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self, now: Instant) -> KeptCoverage:
        """Return what an earlier life left; nothing where there is no file.

        One of version 0.1 is copied before it is read, a damaged one is quarantined, one of a newer version set aside.
        """
        nothing = KeptCoverage(FORMAT, now)
        try:
            content = self.path.read_bytes()
            version = msgspec.json.decode(content, type=_Format).schema
            if version < FORMAT:
                self._copy(version)
            if version > FORMAT:
                moved = format_versions.set_aside(self.path, version, _stamp(utc_now()))
                log.warning("coverage of a newer version", detail=format_versions.sentence(self.path, version, moved))
                return nothing
            return _decode(content, now)
        except FileNotFoundError:
            return nothing
        except (OSError, msgspec.MsgspecError, ValueError, OverflowError, RecursionError) as error:
            what = self._quarantine(self.path)
            detail = f"{self.path} cannot be read ({error}); {what}, and the gap before it is not published"
            log.error("coverage is lost", detail=detail)  # noqa: TRY400 - no traceback: it is the file's fault
            return nothing

    def take_in(self, now: Instant) -> Iterator[EarlierCoverage]:
        """Yield what was set aside before a downgrade, oldest first; each is removed once the next is asked for."""
        for file in self._set_aside():
            try:
                kept = _decode(file.path.read_bytes(), now)
                until = _set_aside_at(file)
            except (OSError, msgspec.MsgspecError, ValueError, OverflowError, RecursionError) as error:
                detail = f"{file.path} cannot be read ({error}); {self._quarantine(file.path)}"
                log.error("coverage of a newer version is lost", detail=detail)  # noqa: TRY400 - as above
                continue
            log.info("coverage of a newer version is taken in again", file=file.path.name)
            yield EarlierCoverage(kept, until)
            try:
                format_versions.remove(file)
            except OSError as error:
                log.warning("a file that was taken in stays", file=str(file.path), detail=str(error))

    def _copy(self, version: int) -> None:
        try:
            format_versions.copy_before_migration(self.path, version)
        except OSError as error:  # as much room is missing to replace it, so that it stays meanwhile
            log.warning("an old file is not copied", file=str(self.path), detail=str(error))

    def _set_aside(self) -> list[SetAside]:
        """Return what a version before this one did not know; 0.1.0 called it damaged, and knew no formats."""
        found = format_versions.all_set_aside(self.path, FORMAT)
        by_0_1 = self.path.with_name(f"{self.path.name}.damaged")
        with suppress(OSError, msgspec.MsgspecError, ValueError):
            version = msgspec.json.decode(by_0_1.read_bytes(), type=_Format).schema
            if 1 < version <= FORMAT:
                renamed = datetime.fromtimestamp(by_0_1.stat().st_ctime, UTC)
                found.append(SetAside(by_0_1, version, _stamp(renamed)))
        return sorted(found, key=lambda each: each.stamp)

    def _quarantine(self, file: Path) -> str:
        try:
            return f"it is now {state_dir.quarantine(file, _stamp(utc_now())).name}"
        except OSError as error:
            return f"it cannot be moved away ({error.strerror or error})"

    def save(self, kept: KeptCoverage) -> None:
        """Write it, for good; raises OSError."""
        state_dir.replace(self.path, msgspec.json.encode(kept))


def _stamp(at: datetime) -> str:
    return f"{at:{STAMP}}"


def _set_aside_at(file: SetAside) -> float:
    """Return when a file was set aside, Unix time; raises ValueError."""
    return datetime.strptime(file.stamp.partition("Z")[0] + "Z", STAMP).replace(tzinfo=UTC).timestamp()


def _decode(content: bytes, now: Instant) -> KeptCoverage:
    if msgspec.json.decode(content, type=_Format).schema == 1:
        return _upgraded(msgspec.json.decode(content, type=_Kept1), now)
    return msgspec.json.decode(content, type=KeptCoverage)


def _upgraded(old: _Kept1, now: Instant) -> KeptCoverage:
    """Convert a file of version 0.1, whose clock is taken for right, as that did."""
    wall = old.saved_at.timestamp()
    saved_s = min(max(wall - now.wall + now.uptime, 0.0), now.uptime)
    saved = Instant(wall, not is_unset(old.saved_at), old.machine, saved_s)

    def uptime(at: datetime) -> float:
        return at.timestamp() - wall + saved.uptime

    cameras = {
        name: CameraRecord(
            uptime(record.until),
            tuple(Interruption(uptime(at), reason) for at, reason in record.causes),
            sent_before=record.sent_at,
        )
        for name, record in old.cameras.items()
    }
    active = {name: record.active for name, record in old.cameras.items() if record.active}
    return KeptCoverage(FORMAT, saved, cameras, active=active)
