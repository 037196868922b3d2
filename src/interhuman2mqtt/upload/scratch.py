"""A folder for the parts of a recording, which is gone when they are sent: they show people."""

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from interhuman2mqtt.errors import Reason, Refused

PREFIX = "interhuman2mqtt-parts-"
LARGE = Path("/var/tmp")  # noqa: S108 - a folder of our own is made in it, closed to others
"""Mostly on a disk, where /tmp is often memory: the parts are as large as the recording."""
NEW_S = 60.0
"""A folder that is younger may just have been made, and not be locked yet."""


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Yield a folder in $TMPDIR, else in /var/tmp; raise Refused. What killed processes left there is removed. Blocks.

    A process that is killed removes nothing, so each holds a lock on its folder, which ends with the process.
    """
    place = Path(tempfile.gettempdir()) if os.environ.get("TMPDIR") or not LARGE.is_dir() else LARGE
    remove_abandoned(place)
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix=PREFIX, dir=place))
        except OSError as error:
            sentence = f"no parts can be written to {place}: {error.strerror}: TMPDIR may name another folder"
            raise Refused(Reason.NO_PERMISSION, sentence) from error
        fcntl.flock(_opened(stack, Path(folder)), fcntl.LOCK_EX)
        yield Path(folder)


def remove_abandoned(place: Path) -> None:
    """Remove the folders whose process is gone."""
    for folder in place.glob(f"{PREFIX}*"):
        with suppress(OSError), ExitStack() as stack:  # of another user, or just going
            state = folder.stat()
            if state.st_uid != os.geteuid() or time.time() - state.st_mtime < NEW_S:
                continue
            fcntl.flock(_opened(stack, folder), fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder)


def _opened(stack: ExitStack, folder: Path) -> int:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    stack.callback(os.close, descriptor)
    return descriptor
