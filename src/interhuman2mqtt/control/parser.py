"""Messages of the broker parsed to requests. No I/O.

Whoever may publish on the broker may send anything. So whatever comes is read to its end here: as something to handle,
to reject with a sentence, or to ignore. Nothing raises.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Protocol

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType, structs

from interhuman2mqtt.config import problems
from interhuman2mqtt.config.problems import shown
from interhuman2mqtt.control.requests import (
    COMMANDS,
    LEVELS,
    Accepted,
    Access,
    Birth,
    ForgetRequest,
    Ignored,
    Ignoring,
    Level,
    LogLevelRequest,
    PauseRequest,
    PauseSet,
    Reading,
    Rejected,
    ReloadRequest,
    ReplyTo,
    Request,
    RestartRequest,
    ResumeRequest,
    SnapshotRequest,
    are_handled,
    refused,
)
from interhuman2mqtt.events import Moment
from interhuman2mqtt.publish.mqtt.types import PAYLOAD_MAX, IncomingMessage
from interhuman2mqtt.publish.topics import level

WORD_MAX = 64
"""Characters of a name or key that is compared with ours: comparing long ones costs too much."""
TRANSACTION_MAX = 1024
"""Bytes of JSON that are echoed."""
RESPONSE_TOPIC_MAX = 200
"""Characters. Mosquitto ends the connection of who publishes to a topic of more than 200 levels."""

_of_cameras: Mapping[str, type[PauseRequest | ResumeRequest | RestartRequest]] = {
    "pause": PauseRequest,
    "resume": ResumeRequest,
    "restart": RestartRequest,
}


class _Wrong(Exception):  # noqa: N818 - it names what a request is
    """The request is rejected; the text is the answer's error."""


class CameraIds(Protocol):
    """Knows the ids of the cameras that there are now."""

    @property
    def cameras(self) -> Collection[str]:
        """The ids."""


class RequestParser:
    """Reads what comes to one box.

    Args:
        base: `mqtt.base_topic`.
        box: The id of this box.
        access: Which requests are handled.
        birth: Where Home Assistant says that it has started; None: nobody wants to know.
    """

    def __init__(self, base: str, box: str, access: Access = "all", birth: str | None = None) -> None:
        self._tree = f"{base}/{box}/"
        self._requests = f"{self._tree}bridge/request/"
        self._responses = f"{self._tree}bridge/response/"
        self._access = access
        self._birth = birth

    @property
    def filters(self) -> tuple[str, ...]:
        """What is to be subscribed to, the most important one first: privacy."""
        requests, levels = f"{self._requests}+", f"{self._tree}+/pause/set"
        asked = {"all": (levels, requests), "read-only": (requests,), "off": ()}[self._access]
        return asked if self._birth is None else (*asked, self._birth)

    def pause_topic(self, camera: str) -> str:
        """Return the topic on which a camera's pause is set."""
        return f"{self._tree}{camera}/pause/set"

    def read(self, incoming: IncomingMessage, cameras: Collection[str]) -> Reading:
        """Return what a message asks for; `cameras` are the ids of those that there are."""
        if incoming.topic.startswith(self._requests):
            return self._read_request(incoming, cameras)
        if incoming.topic.startswith(self._tree) and incoming.is_level:
            camera = incoming.topic.removeprefix(self._tree).removesuffix("/pause/set")
            return _read_level(camera, incoming, cameras)
        if incoming.topic == self._birth:
            # One that is retained is older than what we said when we came.
            return Birth(incoming.payload == b"online" and not incoming.retained)
        what = f"a message on {shown(incoming.topic)}" if incoming.topic else "a message that cannot be read"
        return Ignored(Ignoring.ODD, what)

    def _read_request(self, incoming: IncomingMessage, cameras: Collection[str]) -> Reading:
        command = incoming.topic.removeprefix(self._requests)
        if incoming.retained:
            return Ignored(Ignoring.RETAINED, f"the request {shown(command)} is retained on the broker: clear it there")
        name = level(command)
        reply = ReplyTo(topic=f"{self._responses}{name}", command=name, correlation=incoming.correlation)
        try:
            reply = structs.replace(reply, topic=self._response_topic(incoming.response_topic) or reply.topic)
            fields = _fields(incoming.payload)
            reply = structs.replace(reply, transaction=_transaction(fields))
            return Accepted(self._request(command, fields, cameras), reply)
        except _Wrong as wrong:
            return Rejected(name, str(wrong), refused(reply, str(wrong)))

    def _response_topic(self, topic: str | None) -> str | None:
        """Return the topic that the request names, if it is one to which we may be sent."""
        if topic is None:
            return None
        ours = f"{topic}/".startswith(self._tree) and not topic.startswith(self._responses)
        bad = not topic or not topic.isprintable() or len(topic) > RESPONSE_TOPIC_MAX or set(topic) & {"+", "#"}
        if bad or ours or topic.startswith("$"):
            raise _Wrong(
                "the response topic cannot be used: it must be a plain topic outside of this box's own, without "
                f"wildcards, of at most {RESPONSE_TOPIC_MAX} characters"
            )
        return topic

    def _request(self, command: str, fields: dict[str, Any], cameras: Collection[str]) -> Request:
        if command not in COMMANDS:
            raise _Wrong(f"there is no request {shown(command)}{_did_you_mean(command, COMMANDS)}")
        for key in fields:
            if key not in (*COMMANDS[command], "transaction"):
                raise _Wrong(_unknown_key(command, key))
        if not are_handled(self._access):
            raise _Wrong("this box takes no request that changes it or shows people (mqtt.requests is read-only)")
        if command == "log_level":
            return LogLevelRequest(_log_level(fields))
        if command == "snapshot":
            return SnapshotRequest(_camera(fields, cameras), _retain(fields))
        if command == "forget":
            return _forget(fields, cameras)
        return ReloadRequest() if command == "reload" else _of_cameras[command](_camera(fields, cameras))


class PauseTopics(Struct, frozen=True):
    """The topics `<camera>/pause/set` of the cameras that there are."""

    parser: RequestParser
    running: CameraIds

    def __contains__(self, topic: object) -> bool:
        """Decide whether this is one of them."""
        return topic in {self.parser.pause_topic(camera) for camera in self.running.cameras}


def _read_level(camera: str, incoming: IncomingMessage, cameras: Collection[str]) -> PauseSet | Ignored:
    if camera not in cameras:
        return Ignored(Ignoring.ODD, f"pause/set of {shown(camera)}: there is no such camera here")
    word = None if incoming.payload is None else incoming.payload.strip().upper()
    match word:
        case b"ON" | b"OFF":
            return PauseSet(camera, word == b"ON", incoming.retained)
        case b"":
            return Ignored(Ignoring.CLEARED, f"pause/set of {camera} was cleared")
    return Ignored(Ignoring.ODD, f"pause/set of {camera} is neither ON nor OFF")


def _fields(payload: bytes | None) -> dict[str, Any]:
    """Return the object that a payload is; an empty payload is an empty one."""
    if payload is None:
        raise _Wrong(f"the payload has more than {PAYLOAD_MAX} bytes")
    if not payload.strip():
        return {}
    try:
        value = msgspec.json.decode(payload)
    except RecursionError:
        raise _Wrong("the payload is nested too deeply") from None
    except (msgspec.MsgspecError, ValueError) as error:
        raise _Wrong(f"the payload is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise _Wrong('the payload must be a JSON object, such as {"camera": "front"}, or empty')
    return value


def _transaction(fields: Mapping[str, Any]) -> Raw | UnsetType:
    """Return what the answer is to echo, if anything."""
    if "transaction" not in fields:
        return UNSET
    value = fields["transaction"]
    if isinstance(value, dict | list):
        raise _Wrong("transaction must be a string, a number, true, false or null")
    encoded = msgspec.json.encode(value)
    if len(encoded) > TRANSACTION_MAX:
        raise _Wrong(f"transaction must have at most {TRANSACTION_MAX} bytes")
    return Raw(encoded)


def _camera(fields: Mapping[str, Any], cameras: Collection[str]) -> str | None:
    if "camera" not in fields:
        return None
    camera = fields["camera"]
    if not isinstance(camera, str):
        # Also null: a template that came to nothing must not mean all cameras.
        raise _Wrong("camera must be a string; leave it out for all cameras")
    if camera not in cameras:
        raise _Wrong(f"there is no camera {shown(camera)} on this box{_did_you_mean(camera, cameras)}")
    return camera


def _retain(fields: Mapping[str, Any]) -> bool:
    retain = fields.get("retain", False)
    if not isinstance(retain, bool):
        raise _Wrong("retain must be true or false")
    return retain


def _forget(fields: Mapping[str, Any], cameras: Collection[str]) -> ForgetRequest:
    camera = _camera(fields, cameras)
    if camera is None:
        raise _Wrong("forget takes one camera: name it")
    request = ForgetRequest(camera, _moment(fields, "since"), _moment(fields, "until"))
    if request.since is not None and request.until is not None and request.since >= request.until:
        raise _Wrong("since must be before until")
    return request


def _moment(fields: Mapping[str, Any], name: str) -> datetime | None:
    if name not in fields:
        return None
    try:
        return msgspec.convert(fields[name], Moment)
    except msgspec.ValidationError:
        raise _Wrong(f"{name} must be a time with its offset (RFC 3339), such as 2026-11-28T10:00:00Z") from None


def _log_level(fields: Mapping[str, Any]) -> Level:
    wanted = fields.get("level")
    for known in LEVELS:
        if wanted == known:
            return known
    suggestion = _did_you_mean(wanted, LEVELS) if isinstance(wanted, str) else ""
    raise _Wrong(f"level must be one of {', '.join(LEVELS)}{suggestion}")


def _unknown_key(command: str, key: str) -> str:
    takes = (*COMMANDS[command], "transaction")
    return f"{command} takes no {shown(key)}, only {' and '.join(takes)}{_did_you_mean(key, takes)}"


def _did_you_mean(word: str, known: Collection[str]) -> str:
    return problems.did_you_mean(word, known) if len(word) <= WORD_MAX else ""
