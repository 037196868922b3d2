"""The commands `pause` and `resume`: they need neither a running daemon nor a broker.

A pause is written down first, which a daemon that hangs finds as soon as it looks; where it cannot be, the daemon is
asked to hold it. An end of pauses is asked of the daemon first: it may hold some that are not written down.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TextIO

from interhuman2mqtt import exit_codes
from interhuman2mqtt.commands import restart
from interhuman2mqtt.commands.restart import NotAsked
from interhuman2mqtt.config import loader as configfile
from interhuman2mqtt.config.problems import ConfigFileError, did_you_mean, shown
from interhuman2mqtt.policy.pauses import ALL, NAME, PauseError, PauseOrigin, Pauses
from interhuman2mqtt.runtime import state_dir
from interhuman2mqtt.runtime.sanitize import clean_lines


def why_paused(camera: str) -> str | None:
    """Return why a camera is paused; None where it is not, or where no service has made the folder yet. Blocks."""
    state = state_dir.find()
    pauses = Pauses(state, state_dir.find_runtime(state))
    try:
        pauses.folder.stat()
    except FileNotFoundError:
        return None
    except OSError:
        pass  # which reading it tells better
    return pauses.read().why(camera)


ASK_S = 10.0


def pause_command(camera: str | None, arguments: Sequence[Path], box: str | None, out: TextIO, err: TextIO) -> int:
    """Pause a camera, or all; says what was done and what holds now."""
    return _command(_pause, "pause", camera, arguments, box, out=out, err=err)


def resume_command(camera: str | None, arguments: Sequence[Path], box: str | None, out: TextIO, err: TextIO) -> int:
    """Resume a camera, or all; says what was done and what holds now."""
    return _command(_resume, "resume", camera, arguments, box, out=out, err=err)


def _command(  # noqa: PLR0913 - what a command line says, and where to answer
    act: Callable[[Pauses, str | None, Callable[[], str]], str],
    command: str,
    camera: str | None,
    arguments: Sequence[Path],
    box: str | None,
    *,
    out: TextIO,
    err: TextIO,
) -> int:
    camera = None if camera == ALL else camera
    state = state_dir.find()
    pauses = Pauses(state, state_dir.find_runtime(state))
    if camera and (unknown := _unknown(camera, arguments, box, pauses, err)):
        print(unknown, file=err)
        return exit_codes.USAGE
    request = {"command": command} | ({"camera": camera} if camera else {})
    try:
        print(clean_lines(act(pauses, camera, partial(_ask, state, request))), file=out)
    except PauseError as error:
        print(clean_lines(error), file=err)
        return exit_codes.NO_PERMISSION if error.permission else exit_codes.CANNOT_CREATE
    if not pauses.is_used():
        print(f"no daemon has run with {state} yet: is that its folder? See STATE_DIRECTORY", file=err)
    return 0


def _pause(pauses: Pauses, camera: str | None, ask: Callable[[], str]) -> str:
    try:
        return pauses.pause(camera, PauseOrigin.COMMAND).sentence
    except PauseError as error:
        try:
            return ask()
        except NotAsked as unasked:
            both = f"{error}; nor does a daemon hold it: {unasked}"
            raise PauseError(both, permission=error.permission) from error


def _resume(pauses: Pauses, camera: str | None, ask: Callable[[], str]) -> str:
    try:
        return ask()
    except NotAsked:
        return pauses.resume(camera).sentence


def _ask(state: Path, request: Mapping[str, str]) -> str:
    """Ask the daemon, and return what it did, in a sentence; raises NotAsked, also where it did not do it."""
    answer = restart.ask(state, request, ASK_S)
    if answer["status"] != "ok":
        raise NotAsked(answer["error"])
    return str(answer["data"]["detail"])


def _unknown(camera: str, arguments: Sequence[Path], box: str | None, pauses: Pauses, err: TextIO) -> str | None:
    """Return why a name cannot be meant; a file with mistakes is no reason: the daemon may run by an older one."""
    if not NAME.fullmatch(camera):
        return f"{shown(camera)} is no name of a camera: they are of a-z, 0-9, _ and -"
    try:
        config = configfile.load(configfile.find(arguments), box)
    except ConfigFileError as error:
        print(f"the name is not checked, because the configuration cannot be used:\n{error}", file=err)
        return None
    if camera in config.cameras or camera in pauses.read().pauses:
        return None
    known = ", ".join(config.cameras) or "none"
    hint = did_you_mean(camera, config.cameras)
    return f"box {config.box.id} has no camera {shown(camera)}{hint or f'; its cameras: {known}'}"
