"""Pauses, folders and their owners in the sentences of commands and answers."""

import os
import pwd
import stat
from contextlib import suppress
from pathlib import Path

from interhuman2mqtt.policy.pause_folder import ALL


def shown(name: str) -> str:
    """Return a pause's name for people."""
    return "all cameras" if name == ALL else name


def are(name: str) -> str:
    """Return a pause's name for people, with its verb."""
    return "all cameras are" if name == ALL else f"{name} is"


def are_lifted(names: tuple[str, ...]) -> str:
    """Return what was resumed, in a sentence."""
    return f"the pauses of {', '.join(map(shown, names))} are lifted" if names else "nothing was paused"


def holding(names: tuple[str, ...]) -> str:
    """Return what is paused, in a sentence."""
    if ALL in names:
        return "all cameras are paused now (`interhuman2mqtt resume` lifts that)"
    return f"paused now: {', '.join(names)}" if names else "nothing is paused now"


def service_user() -> str:
    """Return who this process is, for people."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:  # a container may know its user by number only
        return f"user {os.geteuid()}"


def owner(folder: Path) -> str:
    """Return whose the folder is, or the nearest above it that can be seen."""
    for place in (folder, *folder.parents):
        with suppress(OSError, KeyError):
            status = place.stat()
            if stat.S_ISDIR(status.st_mode):
                return pwd.getpwuid(status.st_uid).pw_name
    return "root"
