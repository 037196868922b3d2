"""Why a source cannot be opened, or ended, in one sentence."""

import errno
from urllib.parse import urlsplit

import av

from interhuman2mqtt.capture import alsa, ipc, v4l2
from interhuman2mqtt.errors import Outage, Reason, Refused


def explain(command: ipc.Open, error: Exception, form: str | None = None, name: str = "") -> Outage:
    """Return FFmpeg's error as one sentence about this source; `name` is what was opened for it."""
    what = "the browser" if command.connection is not None else command.source
    if what.startswith("alsa:"):
        return alsa.explain_end(what.removeprefix("alsa:"), getattr(error, "strerror", None) or "")
    if form == "v4l2" and not what.endswith(name):
        what = f"{what} (now {name})"
    if not isinstance(error, PermissionError) and _is_unplugged(command.source):
        return Outage(Reason.NOT_FOUND, f"{what} is not plugged in, or was unplugged just now")
    for kinds, number, reason, sentence, is_final in _ERRORS:
        if isinstance(error, kinds) and (number is None or getattr(error, "errno", None) == number):
            kind = Refused if is_final else Outage
            return kind(
                reason,
                sentence.format(
                    what=what,
                    host=_host(command),
                    user=command.username or "no user name",
                    scheme=command.source.partition(":")[0].upper(),
                ),
            )
    # not str(error), which holds the URL that FFmpeg was given, and with it the password
    text = getattr(error, "strerror", None) or type(error).__name__
    return Outage(Reason.UNREACHABLE if "://" in what else Reason.INVALID_MEDIA, f"{what}: {text}")


def _is_unplugged(source: str) -> bool:
    """Decide whether a camera of this machine is gone: each driver has its own error for it (vivid: EINVAL)."""
    scheme, _, name = source.partition(":")
    return scheme == "v4l2" and not v4l2.is_available(name)


def _host(command: ipc.Open) -> str:
    parts = urlsplit(command.source)
    return parts.netloc or command.source


_ERRORS: tuple[tuple[tuple[type[Exception], ...], int | None, Reason, str, bool], ...] = (
    (
        (av.error.HTTPUnauthorizedError, av.error.HTTPForbiddenError),
        None,
        Reason.CAMERA_PASSWORD,
        "{host} refused the user name or password (tried: {user})",
        True,
    ),
    (
        (av.error.HTTPNotFoundError,),
        None,
        Reason.NOT_FOUND,
        "{host} has no such stream: check the path in {what}",
        True,
    ),
    (
        (av.error.ConnectionRefusedError,),
        None,
        Reason.UNREACHABLE,
        "{host} refused the connection: is {scheme} on there?",
        False,
    ),
    ((av.error.HTTPError,), None, Reason.CAMERA_ERROR, "{host} answered with an error to {what}", False),
    ((av.error.TimeoutError,), None, Reason.UNREACHABLE, "{host} does not answer", False),
    ((OSError,), errno.EBUSY, Reason.BUSY, "{what} is in use by another program", False),
    (
        (OSError,),
        errno.ENOSPC,
        Reason.BUSY,
        'the USB bus has no bandwidth left for {what}: use another port, format = "mjpeg", or a smaller size',
        False,
    ),
    ((OSError,), errno.ENODEV, Reason.NOT_FOUND, "{what} is no such device", False),
    ((OSError,), errno.ENXIO, Reason.NOT_FOUND, "{what} is no such device", False),
    ((FileNotFoundError,), None, Reason.NOT_FOUND, "{what} does not exist", False),
    (
        (PermissionError,),
        None,
        Reason.NO_PERMISSION,
        "{what} may not be opened: does this user belong to the groups video and audio, and may it read the file?",
        True,
    ),
    ((OSError,), errno.EHOSTUNREACH, Reason.UNREACHABLE, "there is no route to {host}", False),
    ((OSError,), errno.ENETUNREACH, Reason.UNREACHABLE, "there is no network to reach {host}", False),
    ((av.error.ExitError,), None, Reason.UNREACHABLE, "{host} does not answer", False),
    (
        (av.error.InvalidDataError,),
        None,
        Reason.INVALID_MEDIA,
        "what {what} sends is not media that FFmpeg can read",
        False,
    ),
    ((av.error.MemoryError,), None, Reason.INVALID_MEDIA, "{what} sends more than there is memory for", False),
    ((av.error.EOFError,), None, Reason.SOURCE_ENDED, "{what} ended", False),
)
