"""Errors carry the policy: the class says what the supervisor does, the reason says it to people.

::

    Exception
    ├── Interhuman2MqttError      everything that we raise on purpose
    │   ├── ConfigError           the file is wrong: exit 78, never restarted
    │   └── Outage                passes by itself: back-off with full jitter, reset only after a healthy time
    │       ├── Lingering         the other side still counts what we have ended: the same, within seconds
    │       ├── Fruitless         a session stood, and error after error came of it: the same, refused the third time
    │       ├── Overloaded        the other side asks for less: the same with a long back-off
    │       └── Refused           a person must act: longest pause, shown on the camera's status
    └── anything else             a bug: counted against a small budget, logged with its traceback
"""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Any


class Reason(StrEnum):
    """The reasons for which something is not healthy: the same word in MQTT, metrics, logs and documentation."""

    # the camera
    UNREACHABLE = "unreachable"
    """The camera's host does not answer, or refuses the connection."""
    NOT_FOUND = "not_found"
    """No such device, file or stream path."""
    BUSY = "busy"
    """Another program holds the device, or the camera serves no more clients."""
    NO_PERMISSION = "no_permission"
    """The operating system does not let us open the device or file."""
    CAMERA_PASSWORD = "camera_password"  # noqa: S105 - a word, not a password
    """The camera refused the user name or password, or what this user may watch."""
    CAMERA_ERROR = "camera_error"
    """The camera answered with an error of its own."""
    NO_VIDEO = "no_video"
    """The source opened, and has no video track."""
    NO_AUDIO = "no_audio"
    """The source opened, and has no audio, though its model analyses nothing else."""
    UNSUPPORTED = "unsupported"
    """A codec or format that can be neither copied nor encoded."""
    INVALID_MEDIA = "invalid_media"
    """What the source sends cannot be read as media."""
    OPEN_TIMEOUT = "open_timeout"
    """Opening the source did not end in time; its worker was killed."""
    STALLED = "stalled"
    """The source is open and sends nothing any more; its worker was killed."""
    VIDEO_STALLED = "video_stalled"
    """Audio goes on, the video does not."""
    AUDIO_STALLED = "audio_stalled"
    """The video goes on, the audio does not: silence is sent in its place."""
    PICTURE_MISSING = "picture_missing"
    """The camera was open, and for some seconds gave no video: it stood still, or changed its format."""
    AUDIO_MISSING = "audio_missing"
    """The source, which is used for its audio alone, was open, and for a while gave none."""
    NO_BROWSER = "no_browser"
    """Nobody has opened the link by which a browser becomes this camera."""
    SOURCE_ENDED = "source_ended"
    """The camera closed the stream, or the file came to its end."""
    CAPTURE_CRASHED = "capture_crashed"
    """The capture process ended without saying why."""

    # the cloud
    CLOUD_UNREACHABLE = "cloud_unreachable"
    """No connection to the cloud: network, DNS, or nothing listens there."""
    PROXY_REFUSED = "proxy_refused"
    """The HTTP proxy would not open the tunnel."""
    TLS_FAILED = "tls_failed"
    """The other side's certificate was not accepted, or TLS did not come about."""
    UNAUTHORIZED = "unauthorized"
    """The API key was not accepted."""
    TOKEN_EXPIRED = "token_expired"  # noqa: S105 - a word
    """The client token has expired, or was revoked, and none that is newer stands in its place yet."""
    SCOPE_MISSING = "scope_missing"
    """The API key lacks the scope `interhumanai.stream`."""
    BAD_REQUEST = "bad_request"
    """The cloud does not know the model or a parameter that is configured."""
    MODEL_UNAVAILABLE = "model_unavailable"
    """No backend of the cloud serves the model now."""
    RATE_LIMITED = "rate_limited"
    """Too many requests."""
    CONCURRENCY_LIMIT = "concurrency_limit"
    """The account's concurrent sessions are all in use."""
    QUOTA_EXHAUSTED = "quota_exhausted"
    """The account's usage quota, or the token's budget, is spent."""
    MEDIA_REJECTED = "media_rejected"
    """The cloud could not use the media that it was sent."""
    JOB_LOST = "job_lost"
    """The cloud may have analysed a file, and its result is not to be had."""
    CLOUD_ERROR = "cloud_error"
    """The cloud failed in a way of its own."""
    CONNECTION_LOST = "connection_lost"
    """The session's connection broke."""
    SESSION_LIMIT = "session_limit"
    """The cloud ended the session at its idle limit or its maximum duration."""
    PROTOCOL = "protocol"
    """The cloud answered what its protocol does not allow."""

    # the broker
    BROKER_UNREACHABLE = "broker_unreachable"
    """No connection to the broker: network, DNS, or nothing listens there."""
    BROKER_REFUSED = "broker_refused"
    """The broker refused the user, the password or the client id."""
    BROKER_LOST = "broker_lost"
    """The broker's connection broke, or it stopped answering."""
    TAKEN_OVER = "taken_over"
    """Another client came with our client id."""

    # ours
    STARTING = "starting"
    """Not tried yet."""
    NO_MEDIA = "no_media"
    """The camera gives nothing to send, so no session is held open for it."""
    MAX_SESSIONS = "max_sessions"
    """Cameras of higher or equal priority hold all sessions that `max_sessions` allows."""
    PAUSED = "paused"
    """Somebody paused it, or it is not known whether somebody did."""
    OUT_OF_SCHEDULE = "out_of_schedule"
    """Its `schedule` does not cover this hour."""
    OVER_BUDGET = "over_budget"
    """The day's budget of the camera or the box is spent, or cannot be counted."""
    CLOCK_UNSET = "clock_unset"
    """The clock is plainly wrong, so neither schedule nor budget can be kept: nothing is streamed."""
    RESTARTED = "restarted"
    """It was restarted: by a request, or because its configuration changed."""
    UPLINK_TOO_SLOW = "uplink_too_slow"
    """The media was captured, and left the buffer before it could be sent."""
    CRASHED = "crashed"
    """The daemon ended without being stopped."""
    POWER_CUT = "power_cut"
    """The machine went down without the daemon being stopped."""
    SUSPENDED = "suspended"
    """The machine was suspended: it slept, and nothing on it ran."""
    STOPPED = "stopped"
    """The daemon was stopped."""
    SECRET_MISSING = "secret_missing"  # noqa: S105 - a word, not a password
    """A credential, variable or file that the configuration names is not there or empty."""
    DISK_FAILED = "disk_failed"
    """A disk of this box is full, or cannot be read or written."""
    BUG = "bug"
    """An error of this program; its traceback is in the log."""


class Interhuman2MqttError(Exception):
    """Everything that this program raises on purpose."""


class ConfigError(Interhuman2MqttError):
    """The configuration is wrong; a person must mend it before a restart can help."""


class ReplacedError(Interhuman2MqttError):
    """The daemon ended because the files of its program are of another version by now."""


class Outage(Interhuman2MqttError):  # noqa: N818 - it names what happened
    """Something outside is down and may come back by itself: try again, later and later."""

    def __init__(self, reason: Reason, detail: str, retry_after: float | None = None) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.retry_after = retry_after
        """Seconds that the other side asked us to wait, where it did."""


class Fruitless(Outage):
    """A session stood and nothing came of it but one error after the other: a new one may do better, twice."""


class Lingering(Outage):
    """The other side still counts what we have just ended, and will notice: try again within seconds."""


class Overloaded(Outage):
    """The other side is there and asks for less (a limit, a quota, no backend): try again after a long pause."""


class Refused(Outage):
    """Something outside refuses, and will again until a person acts: try rarely, and show it."""


@contextmanager
def border(reason: Reason, tried: str) -> Iterator[None]:
    """Turn whatever a library raises over input from outside into an Outage that says what was `tried`.

    Put it around calls of a library and nothing else, so that a mistake in our own code stays a bug. A list of the
    library's exceptions was tried first: fuzzing found UnicodeDecodeError in wsproto, OverflowError in email.utils and
    UnicodeError in getaddrinfo, none of them documented.
    """
    try:
        yield
    except Interhuman2MqttError:
        raise
    except Exception as error:
        text = " ".join(str(error).split())[:300]
        raise Outage(reason, f"{tried}: {text or type(error).__name__}") from error


def leaves(error: BaseException | None) -> list[Any]:
    """Return the exceptions that a group holds, without the groups."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in leaves(inner)]
    return [error]
