"""Files of the state that another version of this program wrote: none is thrown away, and none overwritten unread.

Each file says the version of its format. An older one is migrated, after a copy of it was made. A newer one, which is
there after a downgrade, is set aside whole, and an empty one begun; the version that knows it takes it in again. ::

    budget.json                             what this version reads and writes
    budget.json.format-1                    a copy, made before it was migrated from format 1
    budget.json.newer-3-20261128T110000Z    set aside: format 3, found by a version that did not know it

Pauses are the exception, with one format for ever: a file of any content pauses (`policy.pause_folder`).
"""

import glob
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from interhuman2mqtt.runtime.state_dir import replace, sync_folder

# Refusing to start would be simpler, and would keep all cameras of a box off that somebody downgrades in a hurry.
# Reading of a newer file whatever can be understood would take half of it, and hand out the rest as if it were all.
NEWER = ".newer-"
"""Between the name of a file and the format in which it was set aside, and when that was."""
_SET_ASIDE = re.compile(r"(\d{1,9})-([0-9TZ.-]{1,40})")


class SetAside(NamedTuple):
    """A file that a newer version wrote."""

    path: Path
    version: int
    stamp: str
    """When it was set aside, as `set_aside` was given it."""


def copy_before_migration(file: Path, version: int) -> Path:
    """Copy a file of an older format, for who goes back to the version that wrote it. Blocks; raises OSError."""
    copy = file.with_name(f"{file.name}.format-{version}")
    replace(copy, file.read_bytes())
    return copy


def set_aside(file: Path, version: int, stamp: str, parts: tuple[str, ...] = ("",)) -> Path:
    """Move a file of a newer format out of the way, as it is. Blocks; raises OSError.

    Args:
        file: What this version cannot read.
        version: Its format.
        stamp: When, of digits, `T`, `Z`, `-` and `.`, in a form that sorts.
        parts: Endings of the names of files that belong together.

    Returns:
        The new path of `file`.
    """
    moved = next(path for path in _names(file, version, stamp) if not path.exists())
    for part in reversed(parts):  # the file itself last: until it is moved it is found again, with what is left
        with suppress(FileNotFoundError):
            Path(f"{file}{part}").rename(f"{moved}{part}")
    sync_folder(moved.parent)
    return moved


def all_set_aside(file: Path, readable: int) -> list[SetAside]:
    """Return what was set aside of a file and can be read now, oldest first. Blocks; raises OSError.

    Args:
        file: Where this version keeps it.
        readable: The newest format that this version knows.
    """
    found = []
    for path in file.parent.glob(f"{glob.escape(file.name)}{NEWER}*"):
        named = _SET_ASIDE.fullmatch(path.name.removeprefix(f"{file.name}{NEWER}"))
        if named and int(named[1]) <= readable:
            found.append(SetAside(path, int(named[1]), named[2]))
    return sorted(found, key=lambda each: (each.stamp, each.version))


def remove(taken_in: SetAside, parts: tuple[str, ...] = ("",)) -> None:
    """Remove what was taken in. Blocks; raises OSError."""
    for part in parts:
        Path(f"{taken_in.path}{part}").unlink(missing_ok=True)
    sync_folder(taken_in.path.parent)


def sentence(file: Path, version: int, moved: Path) -> str:
    """Return for people what became of a file of a newer format."""
    return (
        f"{file} was written by a newer version of interhuman2mqtt (format {version}): it is kept whole as "
        f"{moved.name} until that version takes it in again, and an empty one is begun"
    )


def _names(file: Path, version: int, stamp: str) -> Iterator[Path]:
    number = 0
    while True:
        yield file.with_name(f"{file.name}{NEWER}{version}-{stamp}{f'.{number}' if number else ''}")
        number += 1
