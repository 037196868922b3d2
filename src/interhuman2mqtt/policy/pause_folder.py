"""A folder of pauses on one disk: a file per pause, made even where the disk has neither a block nor an inode left.

For that a few spare files lie ready: renaming one takes nothing that a full disk does not have. Everything here blocks,
and raises OSError.
"""

import errno
import os
import re
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from enum import StrEnum
from pathlib import Path

import msgspec
from msgspec import Struct

from interhuman2mqtt.runtime import state_dir

NAME = re.compile(r"[a-z0-9_-]{1,64}")
"""What a camera can be called; other files in the folder concern nobody."""
ALL = "all"
"""The pause of the whole box; no camera may be called so."""
# To create a file takes an inode and a block of the folder, and a full disk has neither: a pause would be refused just
# when a box is in trouble. Reserving blocks in one file (fallocate) covers the content and not the name. A rename
# within the folder takes nothing, so eight files lie ready, which are written over and renamed.
SPARES = tuple(f".spare-{number}" for number in range(8))
SPARE_SIZE = 128
"""Bytes: more than any `Pause` has, so that writing one over them takes no further block."""
CONTENT_MAX = 4096
READABLE = 0o644
"""The command is often root's: the service must be able to read what it leaves."""
FULL = {errno.ENOSPC, errno.EDQUOT}


class PauseOrigin(StrEnum):
    """The source of a pause."""

    COMMAND = "command"
    """`interhuman2mqtt pause`."""
    REQUEST = "request"
    """`bridge/request/pause`."""
    PAUSE_SET = "pause_set"
    """`<camera>/pause/set`: a level, which a later level may take back."""
    DOUBT = "doubt"
    """Nobody: it cannot be known what was paused before the machine was started. It is never written down."""
    UNKNOWN = "unknown"
    """Nobody wrote it down, or it cannot be read."""


BY = {
    PauseOrigin.COMMAND: "from the command line",
    PauseOrigin.REQUEST: "by a request over MQTT",
    PauseOrigin.PAUSE_SET: "by pause/set over MQTT",
    PauseOrigin.DOUBT: (
        "because the folder of the state cannot be written since the machine was started, so that nobody knows whether "
        "a pause from before was lost"
    ),
    PauseOrigin.UNKNOWN: "by a file of unknown origin",
}


class Pause(Struct, frozen=True):
    """The content of a pause's file."""

    origin: PauseOrigin = PauseOrigin.UNKNOWN
    at: datetime | None = None

    def __str__(self) -> str:
        since = f" since {self.at:%Y-%m-%d %H:%M:%SZ}" if self.at else ""
        return f"{BY[self.origin]}{since}"


class PauseFolder:
    """The pauses in one folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def make(self) -> None:
        """Make the folder where it is not there; what root makes for somebody else's daemon becomes theirs."""
        try:
            self.path.mkdir(parents=True)
        except FileExistsError:
            return
        if os.geteuid() == 0:
            above = self.path.parent.stat()
            os.chown(self.path, above.st_uid, above.st_gid)
        state_dir.sync_folder(self.path.parent)

    def keep_spares(self) -> None:
        """Make the spare files that are missing."""
        for name in set(SPARES) - set(os.listdir(self.path)):  # noqa: PTH208 - names are all
            with (self.path / name).open("xb") as spare:
                os.fchmod(spare.fileno(), READABLE)
                spare.write(b" " * SPARE_SIZE)

    def names(self) -> list[str]:
        """Return what is paused here."""
        return [name for name in os.listdir(self.path) if NAME.fullmatch(name)]  # noqa: PTH208 - names are all

    def has(self, name: str) -> bool:
        """Return whether there is anything of this name, which is a pause, whatever it is. Never raises."""
        return os.path.lexists(self.path / name)

    def read(self, name: str) -> Pause:
        """Return what a file says; it pauses all the same where it says nothing. Never raises."""
        try:
            with open(self.path / name, "rb", opener=_at_once) as opened:
                return msgspec.json.decode(opened.read(CONTENT_MAX), type=Pause)
        except (OSError, msgspec.MsgspecError, ValueError, RecursionError):
            return Pause()

    def create(self, name: str, pause: Pause) -> bool:
        """Make a pause; returns False where there was one already.

        That stays as it is, but for one that a level set, and that somebody means now.
        """
        self.make()
        content = msgspec.json.encode(pause)
        file = self.path / name
        try:
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, READABLE)
        except FileExistsError:
            if pause.origin is not PauseOrigin.PAUSE_SET and self.read(name).origin is PauseOrigin.PAUSE_SET:
                state_dir.replace(file, content, READABLE)
            return False
        except OSError as error:
            if error.errno not in FULL or not self._use_spare(file, content):
                raise
        else:
            _fill(descriptor, content)
        state_dir.sync_folder(self.path)
        return True

    def _use_spare(self, file: Path, content: bytes) -> bool:
        """Make a spare file the pause; returns False where none is left."""
        for spare in SPARES:
            with suppress(FileNotFoundError):
                (self.path / spare).rename(file)
                with suppress(OSError):  # it pauses, whatever stands in it
                    _fill(os.open(file, os.O_WRONLY), content.ljust(SPARE_SIZE))
                return True
        return False

    def remove(self, names: Iterable[str]) -> tuple[str, ...]:
        """Lift pauses; returns those that there were."""
        lifted = []
        for name in filter(self.has, names):  # a disk that is read-only refuses to remove even what is not there
            with suppress(FileNotFoundError):
                (self.path / name).unlink()
                lifted.append(name)
        if lifted:
            state_dir.sync_folder(self.path)
        return tuple(lifted)


def _fill(descriptor: int, content: bytes) -> None:
    """Write what a new file says; that it is there pauses already."""
    with open(descriptor, "wb") as opened, suppress(OSError):
        os.fchmod(descriptor, READABLE)
        opened.write(content)
        opened.flush()
        os.fsync(descriptor)


def _at_once(file: str, flags: int) -> int:
    return os.open(file, flags | os.O_NONBLOCK)  # were it a pipe, opening it would hang
