"""`coverage.json`: what a later life of the daemon has to know of the gap trackers. Everything here blocks.

Its times are seconds of BOOTTIME in the boot that `saved` names, so that nothing that is done to the wall clock moves
them; `saved` says what the wall clock showed at one of them, which leads from one boot to the next.
"""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Literal

import msgspec
import structlog
from msgspec import Struct, structs

from interhuman2mqtt.cameras.gaps import GapTracker, Interruption
from interhuman2mqtt.errors import Reason
from interhuman2mqtt.events import ActiveSignal, utc_now
from interhuman2mqtt.runtime import state_dir
from interhuman2mqtt.runtime.clock import Instant, Seconds, is_unset

log = structlog.get_logger(__name__)


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


class CoverageFile:
    """The file in the folder of the state."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self, now: Instant) -> KeptCoverage:
        """Return what an earlier life left; nothing where there is no file. A damaged one is quarantined."""
        try:
            content = self.path.read_bytes()
            if msgspec.json.decode(content, type=_Format).schema == 1:
                return _upgraded(msgspec.json.decode(content, type=_Kept1), now)
            return msgspec.json.decode(content, type=KeptCoverage)
        except FileNotFoundError:
            return KeptCoverage(2, now)
        except (OSError, msgspec.MsgspecError, ValueError, OverflowError) as error:
            what = self._quarantine()
            detail = f"{self.path} cannot be read ({error}); {what}, and the gap before it is not published"
            log.error("coverage is lost", detail=detail)  # noqa: TRY400 - no traceback: it is the file's fault
            return KeptCoverage(2, now)

    def _quarantine(self) -> str:
        try:
            return f"it is now {state_dir.quarantine(self.path, f'{utc_now():%Y%m%dT%H%M%SZ}').name}"
        except OSError as error:
            return f"it cannot be moved away ({error.strerror or error})"

    def save(self, kept: KeptCoverage) -> None:
        """Write it, for good; raises OSError."""
        state_dir.replace(self.path, msgspec.json.encode(kept))


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
    return KeptCoverage(2, saved, cameras, active=active)
