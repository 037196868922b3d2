"""Pauses are files: one per paused camera, by its name, or `all`, in a folder that is read anew all the time.

That a file is there is the pause; what stands in it only tells who made it and when, so that one that is empty, half
written or somebody else's pauses as well. A folder that cannot be read pauses every camera.

The folder of the state may be read-only: then a pause is written to that of the runtime, which lasts until the machine
is started anew, and moved over once that can be done. After such a start all cameras are paused, unless the folder of
the state can be written: nobody knows what was lost. A full disk refuses no pause, so it is no doubt. Everything here
blocks.
"""

import errno
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from interhuman2mqtt.errors import Interhuman2MqttError
from interhuman2mqtt.events import utc_now
from interhuman2mqtt.policy.pause_folder import ALL, BY, FULL, NAME, Pause, PauseFolder, PauseOrigin
from interhuman2mqtt.policy.pause_wording import are, are_lifted, holding, owner, service_user, shown
from interhuman2mqtt.runtime import state_dir

__all__ = [
    "ALL",
    "NAME",
    "NOTHING",
    "Outcome",
    "Pause",
    "PauseError",
    "PauseOrigin",
    "Paused",
    "Pauses",
    "doubtful",
]

# A file per pause, and not a row in a database, a retained topic or a key of the configuration. Whoever stands before
# the box may have a shell and no broker, and the daemon may be down: a file can be made by `touch`, seen by `ls` and
# lifted by `rm`. It needs no parser to count, so that what is damaged still pauses. A database that cannot be
# opened, or a topic that a broker lost, would have to be taken for "not paused". The folder is read anew at each look:
# to keep the pauses in memory and write them through would miss what another process does, which is what the command
# is.
FOLDER = "paused"
"""Within the folder of the state, and that of the runtime."""
BOOT = ".boot"
"""Which start of the machine a daemon last wrote to the folder in."""
NOTHING: Mapping[str, Pause] = {}


class Paused(NamedTuple):
    """The pauses that hold, out of all folders."""

    pauses: Mapping[str, Pause] = NOTHING
    """By camera, or ALL."""
    doubt: str | None = None
    """Why it cannot be told, in a sentence; then all are paused."""

    def why(self, camera: str) -> str | None:
        """Return a sentence, where the camera is paused."""
        if self.doubt:
            return self.doubt
        if ALL in self.pauses:
            return f"all cameras are paused {self.pauses[ALL]}; `interhuman2mqtt resume` lifts it"
        if camera in self.pauses:
            return f"paused {self.pauses[camera]}; `interhuman2mqtt resume {camera}` lifts it"
        return None


class Outcome(NamedTuple):
    """The outcome of a wish to pause or resume."""

    changed: tuple[str, ...]
    """The pauses that were made or lifted; ALL may be among them."""
    in_force: tuple[str, ...]
    """Those that hold now, of any camera."""
    sentence: str
    """Both in a sentence."""


class PauseError(Interhuman2MqttError):
    """A pause could not be written down or lifted; says why, and what to do."""

    def __init__(self, sentence: str, *, permission: bool) -> None:
        super().__init__(sentence)
        self.permission = permission
        """Whether another user could."""


class Pauses:
    """The pauses of this box that are written down; who makes and lifts them need not be the daemon.

    Args:
        state: The folder of the daemon's state, `state_dir.find()`.
        runtime: What lasts until the next start of the machine, `state_dir.find_runtime()`; None: there is nothing.
    """

    def __init__(self, state: Path, runtime: Path | None = None) -> None:
        self.folder = state / FOLDER
        self._state = PauseFolder(self.folder)
        self._runtime = None if runtime is None else PauseFolder(runtime / FOLDER)

    @property
    def folders(self) -> list[Path]:
        """Where pauses may be written down."""
        return [folder.path for folder in self._folders()]

    def prepare(self) -> None:
        """Make the folders, where they are not there; what goes wrong with that is told by `read`."""
        for folder in self._folders():
            with suppress(OSError):
                folder.make()

    def is_doubtful(self) -> bool:
        """Return whether pauses of an earlier life of the daemon may be lost; where not, that is written down."""
        was = _read_text(self.folder / BOOT)
        try:
            state_dir.replace(self.folder / BOOT, state_dir.boot_id().encode())
        except OSError as error:
            same = was == state_dir.boot_id() and self._runtime is not None and self._runtime.path.exists()
            return error.errno not in FULL and not same
        return False

    def is_used(self) -> bool:
        """Return whether a daemon has ever kept its pauses here."""
        return (self.folder / BOOT).exists()

    def tend(self, held: Mapping[str, Pause] = NOTHING) -> tuple[Paused, frozenset[str]]:
        """Write down what could not be written before, and keep spare files; returns what holds, and what is written.

        Args:
            held: Pauses that only the daemon knows.
        """
        with suppress(OSError):
            self._state.keep_spares()
        if self._runtime is not None:
            with suppress(OSError):
                self._move_over(self._runtime)
        written = frozenset(name for name, pause in held.items() if self._is_written(name, pause))
        return self.read(), written

    def _move_over(self, runtime: PauseFolder) -> None:
        """Bring pauses to where they last, from where they do not."""
        for name in runtime.names():
            self._state.create(name, runtime.read(name))
            runtime.remove([name])

    def _is_written(self, name: str, pause: Pause) -> bool:
        if pause.origin is PauseOrigin.DOUBT:
            return not self.is_doubtful()
        try:
            self._write(name, pause)
        except OSError:
            return False  # as was said when it was made; it is tried again
        return True

    def read(self) -> Paused:
        """Return what holds now."""
        try:
            pauses = {name: self._state.read(name) for name in self._state.names()}
        except OSError as error:
            return doubtful(
                f"{self.folder} cannot be read: {error.strerror}; it must be a folder that {service_user()} may read"
            )
        try:
            return Paused({**self._of_runtime(), **pauses})
        except OSError as error:
            return doubtful(f"{error.filename} cannot be read: {error.strerror}")

    def _of_runtime(self) -> Mapping[str, Pause]:
        with suppress(FileNotFoundError):
            if self._runtime is not None:
                return {name: self._runtime.read(name) for name in self._runtime.names()}
        return NOTHING

    def pause(self, camera: str | None, origin: PauseOrigin, held: Mapping[str, Pause] = NOTHING) -> Outcome:
        """Pause a camera, or all of them; raises PauseError. `held` are pauses that only the daemon knows."""
        name = checked(camera) or ALL
        try:
            made = self._write(name, Pause(origin, utc_now()))
        except OSError as error:
            raise self._failure(f"the pause of {shown(name)} cannot be written down", error) from error
        return self._outcome((name,) if made else (), f"{are(name)} {'paused' if made else 'paused already'}", held)

    def _write(self, name: str, pause: Pause) -> bool:
        """Write a pause down, where it lasts or where that is not possible; returns False where there was one."""
        try:
            return self._state.create(name, pause)
        except OSError:
            if self._runtime is None:
                raise
            with suppress(OSError):
                return self._runtime.create(name, pause) and not self._state.has(name)
            raise

    def resume(self, camera: str | None, held: Mapping[str, Pause] = NOTHING) -> Outcome:
        """Lift the pause of a camera; without one that of the box and those of all cameras. Raises PauseError."""
        try:
            name = checked(camera)
            lifted = self._remove(None if name is None else [name])
        except OSError as error:
            raise self._failure(f"{shown(camera or ALL)} cannot be resumed", error) from error
        lifted += tuple(other for other in held if camera in {None, other} and other not in lifted)
        stay = {other: pause for other, pause in held.items() if other not in lifted}
        if camera is None:
            return self._outcome(lifted, are_lifted(lifted), stay)
        sentence = f"the pause of {camera} is lifted" if lifted else f"{camera} itself is not paused"
        return self._outcome(lifted, sentence, stay)

    def _remove(self, names: list[str] | None) -> tuple[str, ...]:
        """Lift these pauses, or all, wherever they are written: what cannot be lifted where it lasts stays whole."""
        lifted: dict[str, None] = {}
        for folder in self._folders():
            if folder is self._state or folder.path.exists():
                wanted = sorted(folder.names(), key=lambda name: name == ALL) if names is None else names
                lifted |= dict.fromkeys(folder.remove(wanted))
        return tuple(lifted)

    def resume_level(self, camera: str, held: Mapping[str, Pause] = NOTHING) -> Outcome:
        """Lift the pause of a camera that `pause/set` made, and no other: a retained OFF comes again and again."""
        name = checked(camera) or ALL
        made = [folder.read(name).origin for folder in self._folders() if folder.has(name)]
        made += [held[name].origin] if name in held else []
        meant = [origin for origin in made if origin is not PauseOrigin.PAUSE_SET]
        if not made:
            return self._outcome((), f"{camera} itself is not paused", held)
        if meant:
            return self._outcome((), f"the pause of {camera} stays: it was made {BY[meant[0]]}, not by pause/set", held)
        return self.resume(camera, held)

    def _folders(self) -> list[PauseFolder]:
        return [self._state] if self._runtime is None else [self._state, self._runtime]

    def _outcome(self, changed: tuple[str, ...], sentence: str, held: Mapping[str, Pause]) -> Outcome:
        """Return what was done, and what holds after it, be it other than what was wished."""
        paused = self.read()
        if paused.doubt:
            return Outcome(changed, (ALL,), f"{sentence}; {paused.doubt}")
        in_force = tuple(sorted({*paused.pauses, *held}, key=lambda name: (name != ALL, name)))
        return Outcome(changed, in_force, f"{sentence}; {holding(in_force)}")

    def _failure(self, what: str, error: OSError) -> PauseError:
        permission = error.errno in {errno.EACCES, errno.EPERM}
        remedy = f"; do it as {owner(self.folder)} or with sudo" if permission else ""
        return PauseError(f"{what}: {error.filename or self.folder}: {error.strerror}{remedy}", permission=permission)


def doubtful(trouble: str) -> Paused:
    """Return that all are paused, because it cannot be told whether they are."""
    return Paused(doubt=f"whether it is paused is not known, so it is: {trouble}")


def checked(camera: str | None) -> str | None:
    """Return the name of a camera, which comes from anywhere and becomes that of a file; raises PauseError."""
    if camera is not None and not NAME.fullmatch(camera):
        raise PauseError("that is no name of a camera: they are of a-z, 0-9, _ and -", permission=False)
    return camera


def _read_text(file: Path) -> str:
    try:
        return file.read_text()
    except (OSError, ValueError):
        return ""
