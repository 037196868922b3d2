"""Opens a source, and says plainly why it could not."""

import errno
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, urlsplit

import av
from av.container import InputContainer

from interhuman2mqtt.capture import v4l2, wire
from interhuman2mqtt.errors import Outage, Reason, Refused
from interhuman2mqtt.redaction import PASSWORD_SAFE, USER_SAFE

NETWORK_TIMEOUT_S = 10
CREDENTIALS_MAX = 127
TEST_SIZE = (1280, 720)
TEST_FPS = 15.0


class Feed(NamedTuple):
    """One open container and which of its tracks are used."""

    container: InputContainer
    video: int | None
    sound: int | None
    paced: bool = False
    """Without a clock of its own, so we keep time."""
    loops: bool = False
    buffered: bool = False
    """Over TCP: what we do not read yet waits there, and is not lost."""


def open_source(command: wire.Open) -> list[Feed]:
    """The feeds of a source: one, or a camera and a microphone.

    Raises:
        Outage: it may come by itself (nothing there, busy).
        Refused: a person must act (password, permission, no video).
    """
    scheme, _, rest = command.source.partition(":")
    match scheme:
        case "rtsp" | "rtsps":
            feed = _open_rtsp(command)
        case "v4l2":
            feed = _open_v4l2(command, v4l2.find(rest))
        case "file":
            feed = _open(command, rest, None, {}, paced=True)
        case _:
            feed = _open(command, _test_picture(command), "lavfi", {}, paced=True)
    if feed.video is None:
        raise Refused(Reason.NO_VIDEO, f"{command.source} has no video track")
    if command.microphone is None:
        return [feed]
    return [feed._replace(sound=None), _open_microphone(command, command.microphone)]


def _open_rtsp(command: wire.Open) -> Feed:
    options = {
        "rtsp_transport": command.transport,
        "allowed_media_types": "video+audio",
        "timeout": str(NETWORK_TIMEOUT_S * 1_000_000),
    }
    feed = _open(command, _with_credentials(command), None, options)
    return feed._replace(buffered=command.transport == "tcp")


def _with_credentials(command: wire.Open) -> str:
    if command.username is None:
        return command.source
    scheme, rest = command.source.split("://", 1)
    password = quote(command.password or "", safe=PASSWORD_SAFE)
    credentials = f"{quote(command.username, safe=USER_SAFE)}:{password}"
    if len(credentials) > CREDENTIALS_MAX:
        raise Refused(
            Reason.CAMERA_PASSWORD,
            f"user name and password for {_host(command)} are too long: FFmpeg takes {CREDENTIALS_MAX} characters",
        )
    return f"{scheme}://{credentials}@{rest}"


def _open_v4l2(command: wire.Open, device: Path) -> Feed:
    options = {"timestamps": "abs"}
    if command.size:
        options["video_size"] = "{}x{}".format(*command.size)
    if command.fps:
        options["framerate"] = str(command.fps)
    return _open(command, str(device), "v4l2", options)


def _open_microphone(command: wire.Open, microphone: str) -> Feed:
    feed = _open(command, microphone.removeprefix("alsa:"), "alsa", {})
    return feed._replace(video=None)


def _test_picture(command: wire.Open) -> str:
    width, height = command.size or TEST_SIZE
    rate = command.fps or TEST_FPS
    return (
        f"testsrc2=size={width}x{height}:rate={rate},format=yuv420p[out0];"
        "sine=frequency=440:beep_factor=4:sample_rate=48000[out1]"
    )


def _open(command: wire.Open, name: str, form: str | None, options: Mapping[str, str], *, paced: bool = False) -> Feed:
    try:
        container = av.open(name, format=form, options=dict(options), timeout=(None, NETWORK_TIMEOUT_S))
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise explain(command, error, form, name) from None  # FFmpeg's own text holds the password
    video, sound = container.streams.video, container.streams.audio
    return Feed(
        container,
        video[0].index if video else None,
        sound[0].index if sound else None,
        paced,
        paced and form is None and command.loop,
    )


def explain(command: wire.Open, error: Exception, form: str | None = None, name: str = "") -> Outage:
    """FFmpeg's error as one sentence about this source; `name` is what was opened for it."""
    what = f"microphone {command.microphone}" if form == "alsa" else command.source
    if form == "v4l2" and not what.endswith(name):
        what = f"{what} (now {name})"
    for kinds, number, reason, sentence, final in _EXPLANATIONS:
        if isinstance(error, kinds) and (number is None or getattr(error, "errno", None) == number):
            kind = Refused if final else Outage
            return kind(
                reason, sentence.format(what=what, host=_host(command), user=command.username or "no user name")
            )
    # not str(error), which holds the URL that FFmpeg was given, and with it the password
    said = getattr(error, "strerror", None) or type(error).__name__
    return Outage(Reason.UNREACHABLE if "://" in what else Reason.INVALID_MEDIA, f"{what}: {said}")


def _host(command: wire.Open) -> str:
    parts = urlsplit(command.source)
    return parts.netloc or command.source


_EXPLANATIONS: tuple[tuple[tuple[type[Exception], ...], int | None, Reason, str, bool], ...] = (
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
    ((av.error.ConnectionRefusedError,), None, Reason.UNREACHABLE, "{host} refused the connection: is RTSP on?", False),
    ((av.error.HTTPError,), None, Reason.UNREACHABLE, "{host} answered with an error to {what}", False),
    ((av.error.TimeoutError,), None, Reason.UNREACHABLE, "{host} does not answer", False),
    ((OSError,), errno.EBUSY, Reason.BUSY, "{what} is in use by another program", False),
    ((OSError,), errno.ENODEV, Reason.NOT_FOUND, "{what} is no such device", False),
    ((av.error.FileNotFoundError,), None, Reason.NOT_FOUND, "{what} does not exist", False),
    (
        (av.error.PermissionError,),
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
