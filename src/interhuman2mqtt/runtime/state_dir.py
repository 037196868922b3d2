"""The state directory: where it is, its lock, and how a small file is replaced without ever being half written.

::

    $STATE_DIRECTORY/
      paused/          one file per paused camera, or `all`
      budget.json      what was streamed today
      coverage.json    up to when each camera was seen, and which signals were active
      control          socket on which the running daemon is asked to restart a camera or to reload
      outbox.sqlite    events on their way to the broker, and the retained topics that are ours
      spool/           media that an outage of the cloud would lose, one folder per camera
"""

import fcntl
import glob
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from interhuman2mqtt.errors import Interhuman2MqttError

SYSTEM = Path("/var/lib/interhuman2mqtt")
"""What `StateDirectory=interhuman2mqtt` of the unit makes."""
SYSTEM_RUNTIME = Path("/run/interhuman2mqtt")
"""What `RuntimeDirectory=interhuman2mqtt` of the unit makes."""
BOOT = Path("/proc/sys/kernel/random/boot_id")
"""Another one after each start of the machine (proc(5))."""
DAMAGED = ".damaged-"
"""Between the name of a quarantined file and when that was."""
QUARANTINED_MAX = 2
BROWSERS = "browser"
"""The folder in that of the runtime in which a camera that is a browser has its socket."""
OURS = ("budget.json", "coverage.json", "outbox.sqlite")
"""What the names of the daemon's own files begin with."""


def find(environ: Mapping[str, str] = os.environ, system: Path = SYSTEM) -> Path:
    """Return the daemon's state directory, which need not exist yet.

    Commands find the daemon's without systemd's variable too: it is the system's where that exists or we are root,
    else the user's own ($XDG_STATE_HOME, XDG Base Directory Specification).
    """
    if named := environ.get("STATE_DIRECTORY"):
        return Path(named.partition(":")[0])
    if system.exists() or os.geteuid() == 0:
        return system
    home = environ.get("XDG_STATE_HOME") or Path(environ.get("HOME", "/"), ".local", "state")
    return Path(home, "interhuman2mqtt")


def find_runtime(state: Path, environ: Mapping[str, str] = os.environ) -> Path | None:
    """Return the folder for what lasts until the machine is started anew, of the daemon whose state is in `state`.

    None where there is none that is surely that daemon's alone.
    """
    if named := environ.get("RUNTIME_DIRECTORY"):
        return Path(named.partition(":")[0])
    if state == SYSTEM:
        return SYSTEM_RUNTIME
    own = environ.get("XDG_RUNTIME_DIR")
    return Path(own, "interhuman2mqtt") if own and "STATE_DIRECTORY" not in environ else None


def find_browsers(environ: Mapping[str, str] = os.environ, system: Path = SYSTEM_RUNTIME) -> Path:
    """Return the folder in which the page finds the sockets of this machine's cameras that are browsers."""
    own = environ.get("XDG_RUNTIME_DIR")
    if named := environ.get("RUNTIME_DIRECTORY"):
        return Path(named.partition(":")[0], BROWSERS)
    return Path(own, "interhuman2mqtt", BROWSERS) if own and not system.exists() else system / BROWSERS


class InUse(Interhuman2MqttError):  # noqa: N818 - it names what happened
    """Another process has what may have one alone."""


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold the folder of the state against another daemon, as `locked` does, and make it where it is not there."""
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
    sentence = (
        f"another daemon keeps its state in {folder}: two would fight for the cameras, the sessions and the client id. "
        "Stop that one first, or give this one a STATE_DIRECTORY of its own"
    )
    with locked(folder, sentence):
        yield


@contextmanager
def locked(path: Path, sentence: str) -> Iterator[None]:
    """Hold a file or folder against other processes that would, as long as the context or the process lasts.

    The lock is flock's, which needs no file of its own to be written and outlives no process. Nothing is held where the
    path is not there or its file system knows no locks: the parts that need it say so better.

    Raises:
        InUse: Another process holds it; with this sentence.
    """
    with ExitStack() as stack:
        try:
            descriptor = os.open(path, os.O_RDONLY)
            stack.callback(os.close, descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InUse(sentence) from None
        except OSError:
            pass
        yield


def boot_id() -> str:
    """Return what names this start of the machine; empty where it cannot be told."""
    try:
        return BOOT.read_text().strip()
    except OSError:
        return ""


def keep_private(folder: Path) -> None:
    """Close the daemon's files in the folder of the state to others, those of earlier versions too. Blocks.

    A file that is closed keeps the time of its last change, by which `cameras.coverage_file` knows when it was renamed.
    """
    os.umask(0o077)
    for name in OURS:
        for file in folder.glob(f"{name}*"):
            with suppress(OSError):  # another user's, or on a disk that is read-only: it stays as it was
                if stat.S_IMODE(file.stat().st_mode) & 0o077:
                    file.chmod(0o600)


def replace(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Give a file this content, for good: after a power cut it has the old content or the new, whole. Blocks.

    Raises:
        OSError: it could not be written; the old content stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.new")
    with open(draft, "wb", opener=_own) as file:
        os.fchmod(file.fileno(), mode)  # whatever the umask, and whatever an earlier draft was
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    sync_folder(path.parent)


def _own(path: str, flags: int) -> int:
    """Open a file itself: root's commands write here too, where the service could have left a link, or a pipe."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)


def quarantine(file: Path, stamp: str, parts: tuple[str, ...] = ("",)) -> Path:
    """Move a file that cannot be used out of the way, as evidence; of those that were moved before the newest is kept.

    More would fill the disk of a box whose disk damages them. Blocks; raises OSError.

    Args:
        file: What cannot be used.
        stamp: When, in a form that sorts; part of the new name.
        parts: Endings of the names of files that belong together.

    Returns:
        The new path of `file`.
    """
    for old in sorted(file.parent.glob(f"{glob.escape(file.name)}{DAMAGED}*[0-9Z]"))[: 1 - QUARANTINED_MAX]:
        for part in parts:
            Path(f"{old}{part}").unlink(missing_ok=True)
    moved = file.with_name(f"{file.name}{DAMAGED}{stamp}")
    for part in parts:
        with suppress(FileNotFoundError):
            Path(f"{file}{part}").rename(f"{moved}{part}")
    sync_folder(moved.parent)
    return moved


def sync_folder(folder: Path) -> None:
    """Make what was created, renamed or removed in a folder last; raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
