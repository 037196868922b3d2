"""Pauses are files: one per paused camera, by its name, or `all`, in a folder that is read anew all the time.

That a file is there is the pause; what stands in it only tells who made it and when, so that one that is empty, half
written or somebody else's pauses as well. A folder that cannot be read pauses every camera. Everything here blocks.
"""

import errno
import os
import pwd
import re
import stat
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec import Struct

from interhuman2mqtt import statefolder
from interhuman2mqtt.errors import Interhuman2MqttError
from interhuman2mqtt.events import utc_now

FOLDER = "paused"
"""Within the folder of the state."""
ALL = "all"
"""The pause of the whole box; no camera may be called so."""
NAME = re.compile(r"[a-z0-9_-]{1,64}")
"""What a camera can be called; other files in the folder concern nobody."""
CONTENT_MAX = 4096
READABLE = 0o644
"""The command is often root's: the service must be able to read what it leaves."""


class Origin(StrEnum):
    """Who paused."""

    COMMAND = "command"
    """`interhuman2mqtt pause`."""
    REQUEST = "request"
    """`bridge/request/pause`."""
    PAUSE_SET = "pause_set"
    """`<camera>/pause/set`: a level, which a later level may take back."""
    UNKNOWN = "unknown"
    """Nobody wrote it down, or it cannot be read."""


BY = {
    Origin.COMMAND: "from the command line",
    Origin.REQUEST: "by a request over MQTT",
    Origin.PAUSE_SET: "by pause/set over MQTT",
    Origin.UNKNOWN: "by a file of unknown origin",
}


class Pause(Struct, frozen=True):
    """What a file says."""

    origin: Origin = Origin.UNKNOWN
    at: datetime | None = None

    def __str__(self) -> str:
        since = f" since {self.at:%Y-%m-%d %H:%M:%SZ}" if self.at else ""
        return f"{BY[self.origin]}{since}"


class Paused(NamedTuple):
    """What the folder says."""

    pauses: Mapping[str, Pause] = {}
    """By camera, or ALL."""
    doubt: str | None = None
    """Why it cannot be told, in a sentence; then all are paused."""

    def why(self, camera: str) -> str | None:
        """A sentence, where the camera is paused."""
        if self.doubt:
            return self.doubt
        if ALL in self.pauses:
            return f"all cameras are paused {self.pauses[ALL]}; `interhuman2mqtt resume` lifts it"
        if camera in self.pauses:
            return f"paused {self.pauses[camera]}; `interhuman2mqtt resume {camera}` lifts it"
        return None


class Outcome(NamedTuple):
    """What came of a wish to pause or resume."""

    changed: tuple[str, ...]
    """The pauses that were made or lifted; ALL may be among them."""
    in_force: tuple[str, ...]
    """Those that hold now, of any camera."""
    said: str
    """Both in a sentence."""


class PauseError(Interhuman2MqttError):
    """A pause could not be made or lifted; says why, and what to do."""

    def __init__(self, sentence: str, *, permission: bool) -> None:
        super().__init__(sentence)
        self.permission = permission
        """Whether another user could."""


class Pauses:
    """The pauses of this box; who makes and lifts them need not be the daemon.

    Args:
        state: The folder of the daemon's state, `statefolder.find()`.
    """

    def __init__(self, state: Path) -> None:
        self.folder = state / FOLDER

    def prepare(self) -> None:
        """Make the folder, where it is not there; what goes wrong with that is told by `read`."""
        with suppress(OSError):
            _make(self.folder)

    def read(self) -> Paused:
        """What holds now."""
        try:
            return Paused({name: _read(self.folder / name) for name in self._names()})
        except OSError as error:
            return doubtful(
                f"{self.folder} cannot be read: {error.strerror}; it must be a folder that {_we()} may read"
            )

    def pause(self, camera: str | None, origin: Origin) -> Outcome:
        """Pause a camera, or all of them; raises PauseError.

        A pause that is there already stays as it is, but for one that a level set, and that somebody means now.
        """
        name = _checked(camera) or ALL
        try:
            _make(self.folder)
            made = self._create(name, origin)
            statefolder.sync_folder(self.folder)
        except OSError as error:
            raise self._failure(f"{shown(name)} cannot be paused", error) from error
        return self._outcome((name,) if made else (), f"{are(name)} {'paused' if made else 'paused already'}")

    def resume(self, camera: str | None) -> Outcome:
        """Lift the pause of a camera; without one that of the box and those of all cameras. Raises PauseError."""
        try:
            name = _checked(camera)
            wanted = sorted(self._names(), key=lambda name: name == ALL) if name is None else [name]
            lifted = self._remove(wanted)
        except OSError as error:
            raise self._failure(f"{shown(camera or ALL)} cannot be resumed", error) from error
        if camera is None:
            return self._outcome(lifted, _lifted(lifted))
        return self._outcome(lifted, f"the pause of {camera} is lifted" if lifted else f"{camera} itself is not paused")

    def resume_level(self, camera: str) -> Outcome:
        """Lift the pause of a camera that `pause/set` made, and no other: a retained OFF comes again and again."""
        if (origin := _read(self.folder / (_checked(camera) or ALL)).origin) is Origin.PAUSE_SET:
            return self.resume(camera)
        if not os.path.lexists(self.folder / camera):
            return self._outcome((), f"{camera} itself is not paused")
        return self._outcome((), f"the pause of {camera} stays: it was made {BY[origin]}, not by pause/set")

    def _names(self) -> list[str]:
        return [name for name in os.listdir(self.folder) if NAME.fullmatch(name)]  # noqa: PTH208 - names are all

    def _create(self, name: str, origin: Origin) -> bool:
        """Make the file, first of all; whether there was none."""
        file = self.folder / name
        content = msgspec.json.encode(Pause(origin, utc_now()))
        try:
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, READABLE)
        except FileExistsError:
            if origin is not Origin.PAUSE_SET and _read(file).origin is Origin.PAUSE_SET:
                statefolder.replace(file, content)
            return False
        with open(descriptor, "wb") as opened, suppress(OSError):  # it pauses, whatever stands in it  # noqa: PTH123
            os.fchmod(descriptor, READABLE)
            opened.write(content)
            opened.flush()
            os.fsync(descriptor)
        return True

    def _remove(self, names: Iterable[str]) -> tuple[str, ...]:
        lifted = []
        for name in names:
            with suppress(FileNotFoundError):
                (self.folder / name).unlink()
                lifted.append(name)
        if lifted:
            statefolder.sync_folder(self.folder)
        return tuple(lifted)

    def _outcome(self, changed: tuple[str, ...], said: str) -> Outcome:
        """What was done, and what holds after it, be it other than what was wished."""
        paused = self.read()
        if paused.doubt:
            return Outcome(changed, (ALL,), f"{said}; {paused.doubt}")
        in_force = tuple(sorted(paused.pauses, key=lambda name: (name != ALL, name)))
        return Outcome(changed, in_force, f"{said}; {_holding(in_force)}")

    def _failure(self, what: str, error: OSError) -> PauseError:
        permission = error.errno in {errno.EACCES, errno.EPERM}
        remedy = f"; do it as {_owner(self.folder)} or with sudo" if permission else ""
        return PauseError(f"{what}: {error.filename or self.folder}: {error.strerror}{remedy}", permission=permission)


def doubtful(trouble: str) -> Paused:
    """All are paused, because it cannot be told whether they are."""
    return Paused(doubt=f"whether it is paused cannot be told, so it is: {trouble}")


def _checked(camera: str | None) -> str | None:
    """The name of a camera, which comes from anywhere and becomes that of a file."""
    if camera is not None and not NAME.fullmatch(camera):
        raise PauseError("that is no name of a camera: they are of a-z, 0-9, _ and -", permission=False)
    return camera


def shown(name: str) -> str:
    """A pause's name for people."""
    return "all cameras" if name == ALL else name


def are(name: str) -> str:
    """The same with its verb."""
    return "all cameras are" if name == ALL else f"{name} is"


def _lifted(names: tuple[str, ...]) -> str:
    return f"the pauses of {', '.join(map(shown, names))} are lifted" if names else "nothing was paused"


def _holding(names: tuple[str, ...]) -> str:
    if ALL in names:
        return "all cameras are paused now (`interhuman2mqtt resume` lifts that)"
    return f"paused now: {', '.join(names)}" if names else "nothing is paused now"


def _read(file: Path) -> Pause:
    try:
        with open(file, "rb", opener=_at_once) as opened:
            return msgspec.json.decode(opened.read(CONTENT_MAX), type=Pause)
    except (OSError, msgspec.MsgspecError, ValueError):
        return Pause()


def _at_once(file: str, flags: int) -> int:
    return os.open(file, flags | os.O_NONBLOCK)  # were it a pipe, opening it would hang


def _make(folder: Path) -> None:
    """Make a folder; where root does it for somebody else's daemon, it becomes theirs as the one above it is."""
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        return
    if os.geteuid() == 0:
        above = folder.parent.stat()
        os.chown(folder, above.st_uid, above.st_gid)
    statefolder.sync_folder(folder.parent)


def _we() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:  # a container may know its user by number only
        return f"user {os.geteuid()}"


def _owner(folder: Path) -> str:
    """Whose the folder is, or the nearest above it that can be seen."""
    for place in (folder, *folder.parents):
        with suppress(OSError, KeyError):
            status = place.stat()
            if stat.S_ISDIR(status.st_mode):
                return pwd.getpwuid(status.st_uid).pw_name
    return "root"
