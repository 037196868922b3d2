"""The requests that may come, by MQTT or the local socket, and their responses: values that `parser` makes. No I/O."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal, TypedDict, get_args

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from interhuman2mqtt.publish.message import Message, MessageKind
from interhuman2mqtt.runtime.redaction import redact, redact_deep

Access = Literal["all", "read-only", "off"]
"""`mqtt.requests`."""
Level = Literal["debug", "info", "warning", "error"]
LEVELS: tuple[Level, ...] = get_args(Level)
EXPIRY_S = 300
"""Seconds for which an answer is worth delivering."""


class PauseRequest(Struct, frozen=True):
    """Close the source and stream nothing; None: all cameras."""

    camera: str | None


class ResumeRequest(Struct, frozen=True):
    """The end of every pause of a camera; None: of all."""

    camera: str | None


class RestartRequest(Struct, frozen=True):
    """End session and capture, and begin anew; None: all cameras."""

    camera: str | None


class ReloadRequest(Struct, frozen=True):
    """Read the configuration again."""


class SnapshotRequest(Struct, frozen=True):
    """Publish what a camera sees now; None: all cameras."""

    camera: str | None
    retain: bool = False
    """Whether the broker is to keep it."""


class ForgetRequest(Struct, frozen=True):
    """Clear what this box keeps of a camera, by name: no request may mean all by a slip."""

    camera: str
    since: datetime | None = None
    """None: from the beginning."""
    until: datetime | None = None
    """None: up to now."""


class LogLevelRequest(Struct, frozen=True):
    """Log from this level on."""

    level: Level


Request = (
    PauseRequest | ResumeRequest | RestartRequest | ReloadRequest | SnapshotRequest | ForgetRequest | LogLevelRequest
)

COMMANDS: Mapping[str, tuple[str, ...]] = {
    "pause": ("camera",),
    "resume": ("camera",),
    "restart": ("camera",),
    "reload": (),
    "snapshot": ("camera", "retain"),
    "forget": ("camera", "since", "until"),
    "log_level": ("level",),
}
"""The requests that there are, and the keys that each takes beside `transaction`."""


def are_handled(access: Access) -> bool:
    """Decide whether requests are carried out: today each of them changes something, or shows people."""
    return access == "all"


class ReplyTo(Struct, frozen=True, kw_only=True):
    """The address of an answer, and what it carries besides."""

    topic: str
    command: str
    correlation: bytes | None = None
    transaction: Raw | UnsetType = UNSET
    """JSON that is echoed."""


class Accepted(Struct, frozen=True):
    """To be obeyed, and answered by `done` or `refused`."""

    request: Request
    reply: ReplyTo


class Rejected(Struct, frozen=True):
    """Not to be obeyed: the answer says why."""

    command: str
    detail: str
    answer: Message


class PauseSet(Struct, frozen=True):
    """`<camera>/pause/set`: whether a camera is to be paused."""

    camera: str
    on: bool
    retained: bool
    """The broker repeats it. OFF then lifts only a pause that came by this topic too: it may be older than others."""


class Birth(Struct, frozen=True):
    """Home Assistant says that it has started; that it stops, or what the broker repeats, is no news."""

    is_news: bool


class Ignoring(StrEnum):
    """Why a message is neither obeyed nor answered."""

    RETAINED = "retained"
    """A request out of the broker's store: it was meant for once, and nobody knows when."""
    ODD = "odd"
    """Nothing that we know."""
    CLEARED = "cleared"
    """A level was taken out of the broker's store; what it said holds on."""


class Ignored(Struct, frozen=True):
    """Neither obeyed nor answered."""

    why: Ignoring
    detail: str


Reading = Accepted | Rejected | PauseSet | Birth | Ignored


class Response(Struct, frozen=True, kw_only=True):
    """`bridge/response/<command>`."""

    status: Literal["ok", "error"]
    error: str | None = None
    """Why not, in one sentence."""
    data: Any = None
    """What the request came to; of `DATA`, where the command stands there."""
    transaction: Raw | UnsetType = UNSET
    """The request's own, where it had one."""


class PauseData(TypedDict):
    """The outcome of a pause or of its end."""

    changed: Sequence[str]
    """The cameras whose pauses were made or lifted; `all` may be among them."""
    paused: Sequence[str]
    """Those that are paused now."""
    detail: str
    """Both in a sentence."""


class RestartData(TypedDict):
    """The outcome of a restart."""

    cameras: Sequence[str]


class ReloadData(TypedDict):
    """The outcome of a reload; a camera that changed is among both."""

    stopped: Sequence[str]
    started: Sequence[str]
    needs_restart: Sequence[str]
    """Sections of the files that are not in force before the daemon is started anew."""


class ForgetData(TypedDict):
    """The outcome of forgetting."""

    cleared: Sequence[str]
    """The retained topics that are empty now."""
    spooled_segments: int
    """Files of media that were deleted."""
    spooled_seconds: float
    """How long they were together."""


class LogLevelData(TypedDict):
    """The log level that holds now."""

    level: Level


DATA: Mapping[str, Any] = {
    "pause": PauseData,
    "resume": PauseData,
    "restart": RestartData,
    "reload": ReloadData,
    "forget": ForgetData,
    "log_level": LogLevelData,
}
"""What `data` of an answer is where the request was obeyed, by command."""


def done(reply: ReplyTo, data: Any = None) -> Message:
    """Return the answer to a request that was carried out."""
    return _message(reply, Response(status="ok", data=redact_deep(data), transaction=reply.transaction))


def refused(reply: ReplyTo, error: str, data: Any = None) -> Message:
    """Return the answer to a request that was not, or not wholly, carried out; `error` says why."""
    answer = Response(status="error", error=redact(error), data=redact_deep(data), transaction=reply.transaction)
    return _message(reply, answer)


def _message(reply: ReplyTo, answer: Response) -> Message:
    return Message(
        topic=reply.topic,
        payload=msgspec.json.encode(answer),
        kind=MessageKind.ANSWER,
        retain=False,
        expiry=EXPIRY_S,
        properties=(("schema", "1"), ("type", f"response.{reply.command}")),
        correlation=reply.correlation,
    )
