"""The commands `pause` and `resume`: they need neither a running daemon nor a broker, only the folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from interhuman2mqtt import exits, statefolder
from interhuman2mqtt.config import file as configfile
from interhuman2mqtt.config.problems import ConfigFileError, shown
from interhuman2mqtt.config.suggest import did_you_mean
from interhuman2mqtt.policy.pauses import ALL, NAME, Origin, PauseError, Pauses


def pause_command(camera: str | None, arguments: Sequence[Path], box: str | None, out: TextIO, err: TextIO) -> int:
    """Pause a camera, or all; says what was done and what holds now."""
    return _command(camera, arguments, box, out, err, resume=False)


def resume_command(camera: str | None, arguments: Sequence[Path], box: str | None, out: TextIO, err: TextIO) -> int:
    """Resume a camera, or all; says what was done and what holds now."""
    return _command(camera, arguments, box, out, err, resume=True)


def _command(  # noqa: PLR0913 - what a command line says, and where to answer
    camera: str | None, arguments: Sequence[Path], box: str | None, out: TextIO, err: TextIO, *, resume: bool
) -> int:
    camera = None if camera == ALL else camera
    pauses = Pauses(statefolder.find())
    if camera and (unknown := _unknown(camera, arguments, box, pauses, err)):
        print(unknown, file=err)
        return exits.USAGE
    try:
        outcome = pauses.resume(camera) if resume else pauses.pause(camera, Origin.COMMAND)
    except PauseError as error:
        print(error, file=err)
        return exits.NO_PERMISSION if error.permission else exits.CANNOT_CREATE
    print(outcome.said, file=out)
    return 0


def _unknown(camera: str, arguments: Sequence[Path], box: str | None, pauses: Pauses, err: TextIO) -> str | None:
    """Why a name cannot be meant. A file with mistakes is no reason: the daemon may run by what stood in it before."""
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
