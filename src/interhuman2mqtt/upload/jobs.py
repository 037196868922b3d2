"""The record of what was sent of a recording, and what came of it: a file each, which outlives every interruption.

No idempotency key is known, so what may have been accepted must not be sent again unasked: before the last bytes of a
part go out it is on record as SENT, and what is found so later, without a job's id, is lost.
"""

import errno
import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from uuid import uuid4

import msgspec
from msgspec import Struct, structs

from interhuman2mqtt.errors import Reason, Refused
from interhuman2mqtt.runtime import format_versions, state_dir
from interhuman2mqtt.upload.result import Analysis

FORMAT = 1
KEPT = timedelta(days=30)
"""For so long a recording that is given again is not sent again, and its events have the same ids."""
READ_SIZE = 1 << 20
LOCK_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
"""Nothing is truncated, and no link followed: root runs `forget` in a folder that is the service's."""


class PartState(StrEnum):
    """State of a part, as far as it is known."""

    PENDING = "pending"
    """It was not accepted."""
    SENT = "sent"
    """It may have been accepted."""
    SUBMITTED = "submitted"
    """It has a job."""
    LOST = "lost"
    """It was accepted, or may have been, and its result is not to be had."""
    COMPLETED = "completed"


class PartRecord(Struct, frozen=True, kw_only=True):
    """A part of a recording."""

    start: float
    """Seconds from the begin of the recording."""
    end: float
    state: PartState = PartState.PENDING
    request_id: str = msgspec.field(default_factory=lambda: str(uuid4()))
    job_id: str | None = None
    completed_at: datetime | None = None
    analysis: Analysis | None = None
    joins_next: bool | None = False
    """Whether a signal goes on over the cut behind it; None: not decided yet. Records of before joined none."""


class RecordingRecord(Struct, frozen=True, kw_only=True):
    """A recording that was, or is being, analysed."""

    format: int = FORMAT
    model: str
    recorded_at: datetime | None
    """By the file itself."""
    duration: float
    notes: tuple[str, ...] = ()
    parts: tuple[PartRecord, ...]
    cameras: tuple[str, ...] = ()
    """For which it was analysed, to be forgotten with them."""
    began_at: datetime | None = None
    """When it was said last that it began; None: only the file says it, if that."""

    def with_part(self, index: int, part: PartRecord) -> "RecordingRecord":
        """Return the record with a part of it changed."""
        return structs.replace(self, parts=(*self.parts[:index], part, *self.parts[index + 1 :]))

    def of_camera(self, camera: str | None, began_at: datetime | None) -> "RecordingRecord":
        """Return the record with whose recording it is, and when that began, as far as either is said."""
        cameras = self.cameras if camera is None or camera in self.cameras else (*self.cameras, camera)
        return structs.replace(self, cameras=cameras, began_at=began_at or self.began_at)

    def touches(self, start: datetime, end: datetime) -> bool:
        """Return whether any of it may have been recorded in this time."""
        began_at = self.began_at or self.recorded_at
        try:
            return began_at is None or (began_at < end and began_at + timedelta(seconds=self.duration) > start)
        except OverflowError:  # it says that it lasts beyond the calendar
            return True


class _Version(Struct):
    format: int


class RecordStore:
    """The records in a folder. All of it blocks, and raises Refused where the folder cannot be used."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def locked(self, key: str) -> Iterator[None]:
        """Keep a record from other processes; raise Refused where one has it."""
        with ExitStack() as stack:
            with self._on_disk():
                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                descriptor = os.open(self._folder / f"{key}.lock", LOCK_FLAGS, 0o600)
                stack.callback(os.close, descriptor)
                os.utime(descriptor)  # so that `prune` leaves it alone
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    raise Refused(Reason.BUSY, "another process is analysing it: wait for that one") from None
            yield

    def load(self, key: str, now: datetime) -> RecordingRecord | None:
        """Return a record; None where there is none, or one that cannot be read and was moved out of the way."""
        file = self._file(key)
        with self._on_disk():
            for newer in format_versions.all_set_aside(file, FORMAT) if not file.exists() else ():
                newer.path.replace(file)  # before a downgrade; the last of several
            if not file.exists():
                return None
            content, stamp = file.read_bytes(), f"{now:%Y%m%dT%H%M%SZ}"
            with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                version = msgspec.json.decode(content, type=_Version).format
                if version > FORMAT:
                    format_versions.set_aside(file, version, stamp)
                    return None
                return msgspec.json.decode(content, type=RecordingRecord)
            state_dir.quarantine(file, stamp)
            return None

    def save(self, key: str, record: RecordingRecord) -> None:
        """Keep a record, for good."""
        with self._on_disk():
            state_dir.replace(self._file(key), msgspec.json.encode(record))

    def prune(self, now: datetime) -> None:
        """Forget what is older than `KEPT`."""
        with self._on_disk():
            for file in (*self._folder.glob("*.json*"), *self._folder.glob("*.lock")):
                with suppress(FileNotFoundError):
                    if file.stat().st_mtime < (now - KEPT).timestamp():
                        file.unlink()

    def forget(self, camera: str, start: datetime, end: datetime) -> int:
        """Remove the records of what was recorded by a camera in this time; return how many those were.

        Raises:
            Refused: Some are in work, or cannot be read or removed; all others are gone.
        """
        gone = 0
        stay: list[Refused] = []
        try:
            files = [file for file in self._folder.iterdir() if file.suffix == ".json"]
        except OSError as error:
            raise Refused(Reason.NO_PERMISSION, f"{self._folder} cannot be read: {error.strerror}") from error
        for file in files:
            try:
                if _is_of(file, camera, start, end):
                    with self.locked(file.stem):
                        file.unlink(missing_ok=True)
                    gone += 1
            except Refused as refused:
                stay.append(Refused(refused.reason, f"{file.name}: {refused.detail}"))
            except OSError as error:
                stay.append(Refused(Reason.NO_PERMISSION, f"{file} cannot be removed: {error.strerror}"))
        if stay:
            raise Refused(stay[0].reason, f"{gone} are gone, {len(stay)} may stay, such as {stay[0].detail}")
        return gone

    @contextmanager
    def _on_disk(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            sentence = f"what was sent cannot be kept on record in {self._folder}: {error.strerror or error}"
            raise Refused(Reason.NO_PERMISSION, f"{sentence}; without it nothing is sent") from error

    def _file(self, key: str) -> Path:
        return self._folder / f"{key}.json"


def _is_of(file: Path, camera: str, start: datetime, end: datetime) -> bool:
    """Decide whether a record is of a camera and a time; raise Refused where nobody can say."""
    try:
        record = msgspec.json.decode(file.read_bytes(), type=RecordingRecord)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise Refused(Reason.NO_PERMISSION, f"it cannot be read: {error.strerror}") from error
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise Refused(Reason.DISK_FAILED, "it is damaged, so that whose it is is not known: delete it") from error
    return camera in record.cameras and record.touches(start, end)


def find_folder() -> Path:
    """Return where the records of whoever runs this command are kept; it need not exist yet."""
    is_service = "STATE_DIRECTORY" in os.environ or os.geteuid() == 0
    own = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state", "interhuman2mqtt")
    return (state_dir.find() if is_service else own) / "recordings"


def key_of(source: Path, *asked: str) -> str:
    """Return the name of a recording's record, by its content and what is asked for. Blocks; raises OSError."""
    digest = hashlib.sha256("\n".join(asked).encode())
    if source.exists() and not (source.is_file() or source.is_dir()):
        raise OSError(errno.EINVAL, "it is a device or a pipe, which may never end")
    with source.open("rb") as file:
        while piece := file.read(READ_SIZE):
            digest.update(piece)
    return digest.hexdigest()[:40]
