"""The spool of one camera on the disk: segments, the gaps that they may fill, and the job under way. Blocks.

::

    $STATE_DIRECTORY/spool/<camera>/
      spool.json       gaps, and the job under way
      segments-<n>/    what the capture process writes into; another one after each `forget`
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec
import structlog
from msgspec import Struct, structs

from interhuman2mqtt.backfill.segment import Moment, Segment, parse
from interhuman2mqtt.errors import Reason
from interhuman2mqtt.events import utc_now
from interhuman2mqtt.runtime import format_versions, state_dir

FORMAT: Final = 1
STAMP = "%Y%m%dT%H%M%SZ"
"""Of UTC."""
FOLDER = "segments-"
GAPS_MAX = 500
"""The newest; a camera whose link flaps for a day has fewer."""

log = structlog.get_logger(__name__)


class KnownGap(Struct, frozen=True):
    """A gap that was published."""

    id: str
    """Of its event."""
    start: Moment
    seconds: float | None
    """None: nobody knows how long it was."""
    reason: Reason | None = None


class JobState(StrEnum):
    """State of the upload of a segment."""

    SUBMITTING = "submitting"
    """Its last bytes may have left, and no answer is known."""
    SUBMITTED = "submitted"


class UploadJob(Struct, frozen=True):
    """The upload under way; written before the cloud can have the whole file."""

    segment: str
    """Its file's name."""
    request: str
    """Our own UUID."""
    state: JobState
    id: str | None = None
    """The cloud's, where it is submitted."""


class Kept(Struct, frozen=True):
    """The whole file."""

    schema: int = FORMAT
    job: UploadJob | None = None
    gaps: tuple[KnownGap, ...] = ()


class SpoolStore:
    """The files of one camera."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file = folder / "spool.json"

    def open(self) -> Kept:
        """Make the folders, remove what was never whole, and return what an earlier life knew; raises OSError."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        media = self.media()
        media.mkdir(mode=0o700, exist_ok=True)
        for draft in media.glob("*.part"):
            draft.unlink(missing_ok=True)
        state_dir.sync_folder(self.folder)
        return self._load()

    def media(self) -> Path:
        """Return where segments go."""
        return max(self._folders(), key=_generation, default=self.folder / f"{FOLDER}1")

    def segments(self) -> list[Segment]:
        """Return the segments that there are, in no order; raises OSError."""
        with suppress(FileNotFoundError):
            with os.scandir(self.media()) as entries:
                found = [_segment(entry) for entry in entries]
            return [segment for segment in found if segment is not None]
        return []

    def remove(self, segments: list[Segment]) -> None:
        """Delete segments for good; raises OSError."""
        for segment in segments:
            segment.path.unlink(missing_ok=True)
        if segments:
            with suppress(FileNotFoundError):
                state_dir.sync_folder(self.media())

    def forget(self, is_meant: Callable[[Segment], bool]) -> list[Segment]:
        """Delete the segments that are meant, and return them; nothing is written into the folder of before any more.

        The rest moves into a new folder: what is just being written loses its place, and is never whole.
        """
        before = self.media()
        new = self.folder / f"{FOLDER}{_generation(before) + 1}"
        with suppress(FileNotFoundError):
            before.rename(new)
        new.mkdir(mode=0o700, exist_ok=True)
        for draft in new.glob("*.part"):
            draft.unlink(missing_ok=True)
        meant = [segment for segment in self.segments() if is_meant(segment)]
        self.remove(meant)
        state_dir.sync_folder(self.folder)
        return meant

    def save(self, kept: Kept) -> None:
        """Write what is known, for good; raises OSError."""
        state_dir.replace(self._file, msgspec.json.encode(structs.replace(kept, gaps=kept.gaps[-GAPS_MAX:])))

    def _folders(self) -> Iterator[Path]:
        return (path for path in self.folder.glob(f"{FOLDER}*") if _generation(path))

    def _load(self) -> Kept:
        with suppress(OSError):
            for file in format_versions.all_set_aside(self._file, FORMAT):
                file.path.replace(self._file)  # the newest: what the others knew is over
        try:
            content = self._file.read_bytes()
            version = msgspec.json.decode(content, type=_Format).schema
            if version > FORMAT:
                moved = format_versions.set_aside(self._file, version, f"{utc_now():{STAMP}}")
                log.warning("spool of a newer version", detail=format_versions.sentence(self._file, version, moved))
                return Kept()
            return msgspec.json.decode(content, type=Kept)
        except FileNotFoundError:
            return Kept()
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            moved = state_dir.quarantine(self._file, f"{utc_now():{STAMP}}")
            detail = f"{self._file} cannot be read ({error}); it is now {moved.name}: a segment may be uploaded twice"
            log.error("the spool's state is damaged", detail=detail)  # noqa: TRY400 - the file's fault
            return Kept()


class _Format(Struct, frozen=True):
    schema: int


def _segment(entry: os.DirEntry[str]) -> Segment | None:
    """Return the segment that an entry is; None for what the capture process did not write, or that has just gone.

    Nothing is followed or waited for that stands in its place: a link would upload a file from elsewhere, a pipe hang.
    """
    with suppress(FileNotFoundError):
        if entry.is_file(follow_symlinks=False):
            return parse(Path(entry.path), entry.stat(follow_symlinks=False).st_size)
    return None


def delete_tree(folder: Path) -> tuple[int, int]:
    """Delete all that a camera has spooled; return how many segments and bytes that was. Raises OSError."""
    store = SpoolStore(folder)
    segments = store.segments()
    if folder.is_symlink():  # to another disk: what we wrote there goes, and the link
        store.remove(segments)
        folder.unlink()
    else:
        shutil.rmtree(folder)
    state_dir.sync_folder(folder.parent)
    return len(segments), sum(segment.size for segment in segments)


def _generation(folder: Path) -> int:
    number = folder.name.removeprefix(FOLDER)
    return int(number) if number.isdecimal() else 0
