"""Secrets: read where the configuration says, carried in a wrapper that does not show them."""

import codecs
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from shlex import quote
from typing import NoReturn

from interhuman2mqtt.config.model import SecretRef
from interhuman2mqtt.config.problems import Severity
from interhuman2mqtt.errors import Reason, Refused
from interhuman2mqtt.runtime.redaction import register_secret

# A secret is read where it is used, each time, and not once at the start: who rotates a file needs no reload and no
# restart. Reading 40 bytes costs nothing beside the connection that it is for. systemd's credentials are fixed
# while the unit runs, so they cannot be rotated that way; `file` can.
SIZE_MAX = 64 << 10
"""Bytes; what is longer is not a password but the wrong file."""
CREDSTORE = Path("/etc/credstore")
"""Where `LoadCredential=NAME` of the unit looks (systemd.exec(5))."""


class Secret:
    """Some text that must not be seen: only `reveal` gives it away."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text itself, for the one place that needs it."""
        return self._text

    def __repr__(self) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not to be stored or sent")


def use_credstore(folder: Path = CREDSTORE) -> None:
    """Outside of the unit its credentials are those of the folder that it loads them from, where we may read it."""
    if "CREDENTIALS_DIRECTORY" not in os.environ and os.access(folder, os.R_OK | os.X_OK):
        os.environ["CREDENTIALS_DIRECTORY"] = str(folder)


class _UnusableError(Exception):
    """A secret that is there and cannot be used; the text goes on after its origin."""


def read(ref: SecretRef, *, what: str) -> Secret:
    """Return the secret that a reference means, without the newline at its end; reads the environment or a small file.

    From now on no log line shows it.

    Args:
        ref: Where it is.
        what: What it is to people: `the password of camera front`.

    Raises:
        Refused: with `secret_missing`: it is not there, empty, or not a line of text; says where it was looked for.
    """
    try:
        secret = _secret(ref)
    except OSError as error:
        raise Refused(Reason.SECRET_MISSING, f"{what}: {_origin(ref)}: {error.strerror}") from error
    except _UnusableError as error:
        raise Refused(Reason.SECRET_MISSING, f"{what}: {_origin(ref)} {error}") from error
    register_secret(secret.reveal())
    return secret


def current(ref: SecretRef | None, *, what: str) -> Secret | str | None:
    """Return what a reference means now, to compare: the secret, or why there is none; None where none is asked for."""
    try:
        return None if ref is None else read(ref, what=what)
    except Refused as refused:
        return refused.detail


def inspect(ref: SecretRef) -> Iterator[tuple[Severity, str]]:
    """Return what would go wrong with a secret, and how it could be kept better; a sentence each.

    A credential exists only while the service runs, so elsewhere nothing is said of it. This user may see less than
    the service's, and has another environment: that makes warnings.
    """
    if ref.credential is not None and not _credentials():
        return
    try:
        _secret(ref)
    except PermissionError:
        yield Severity.WARNING, f"{_origin(ref)} may not be read by you; make sure that the service may"
    except OSError as error:
        yield Severity.ERROR, f"{_origin(ref)}: {error.strerror}"
    except _UnusableError as error:
        yield Severity.WARNING if ref.env else Severity.ERROR, f"{_origin(ref)} {error}"
    if ref.env is not None:
        yield Severity.WARNING, "environment variables are inherited and easily seen; a credential or a file is safer"
    if ref.file is not None and readable_by_everyone(ref.file):
        yield Severity.WARNING, too_open(ref.file)


def path_of(ref: SecretRef) -> Path | None:
    """Return the file that a secret stands in; None where it stands in the environment, or systemd gave none."""
    if ref.file is not None:
        return Path(ref.file)
    directory = _credentials()
    return Path(directory, str(ref.credential)) if ref.credential is not None and directory else None


def stamp(path: Path) -> tuple[int, ...]:
    """Return what changes when a file is written or replaced, or the error's number where it is not there."""
    try:
        status = path.stat()
    except OSError as error:
        return (error.errno or 0,)
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def readable_by_everyone(path: str) -> bool:
    """Return whether any user of this machine may read a file."""
    try:
        return bool(Path(path).stat().st_mode & stat.S_IROTH)
    except OSError:
        return False


def too_open(path: str) -> str:
    """Return a sentence for a file that everyone may read."""
    return f"file {path} is readable by everyone; mend it with: chmod o-r {quote(path)}"


def _secret(ref: SecretRef) -> Secret:
    text = _text(_content(ref))
    if not text:
        raise _UnusableError("is empty")
    if any(ord(character) < 32 for character in text):
        raise _UnusableError("is not a single line of text")
    return Secret(text)


def _content(ref: SecretRef) -> bytes:
    if ref.env is not None:
        content = os.environb.get(ref.env.encode())
        if content is None:
            raise _UnusableError("is not set")
        return content
    if ref.file is not None:
        return _file(Path(ref.file))
    directory = _credentials()
    if not directory:
        raise _UnusableError(
            "is not there: systemd gave this process none; the unit needs LoadCredential=, or use file instead"
        )
    return _file(Path(directory, str(ref.credential)))


def _file(path: Path) -> bytes:
    if not stat.S_ISREG(path.stat().st_mode):
        raise _UnusableError("is not a regular file")
    with path.open("rb") as file:
        content = file.read(SIZE_MAX + 1)
    if len(content) > SIZE_MAX:
        raise _UnusableError("is far too long for a secret")
    return content


def _text(content: bytes) -> str:
    try:
        return content.removeprefix(codecs.BOM_UTF8).removesuffix(b"\n").removesuffix(b"\r").decode()
    except UnicodeDecodeError:
        pass  # and raised below, because that error carries the bytes
    raise _UnusableError("is not UTF-8 text")


def _credentials() -> str | None:
    return os.environ.get("CREDENTIALS_DIRECTORY")


def _origin(ref: SecretRef) -> str:
    if ref.credential is not None:
        return f"credential {ref.credential}"
    return f"environment variable {ref.env}" if ref.env is not None else f"file {ref.file}"
