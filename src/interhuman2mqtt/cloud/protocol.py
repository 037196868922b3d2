"""Parse frames of the cloud to messages; no I/O.

The current dialect ("life cycle") is an envelope ``{"type", "timestamp", "correlation_id", "data"}``; older ones are
translated into it by `legacy_messages`, which no message of the current one enters. Nothing that a server can send
raises here: what cannot be understood becomes a `Malformed`, and the session goes on.
"""

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct

from interhuman2mqtt.cloud import legacy_messages

# msgspec itself stops at the interpreter's recursion limit, which is deeper than what walks the value after it can
# follow: redaction, JSON encoding and every consumer of ours are recursive.
MAX_DEPTH = 64
"""Deeper JSON is refused: documented messages need 5 levels, and everything behind us walks them recursively."""

PARTS_MAX = 128
"""Messages that are taken out of one frame of an older dialect: signals have about thirteen types."""
RAW_MAX = 256 << 10
"""Characters of a frame beyond which `raw` is left out: of many messages each would carry all that is around them."""
KIND_MAX = 64
"""Characters of a type that are repeated in a `Malformed`."""

ENVELOPE = frozenset({"type", "timestamp", "correlation_id", "data"})


class ServerMessage(Struct, frozen=True):
    """One message of the cloud, in the current dialect."""

    type: str
    timestamp: str | None
    correlation_id: str | None
    data: dict[str, Any]
    raw: dict[str, Any] | None = None
    """The envelope as it came, where `data` does not hold all of it (of a list, with this one entry only)."""


class Malformed(Struct, frozen=True):
    """A frame, or a part of one, that is not a message; or what is not as documented in the message before this."""

    detail: str
    """What is wrong and where, without any of the content."""


class _Signal(Struct):
    signal_type: str
    start: float
    probability: str | None = None
    rationale: str | None = None
    modality: list[str] | None = None


class _SignalEnded(Struct):
    signal_type: str
    end: float


class _Engagement(Struct):
    state: str
    start: float | None = None
    end: float | None = None


class _Span(Struct):
    start: float
    end: float


class _Quality(Struct):
    overall: dict[str, float | None] | None = None
    timeline: list[_Span] | None = None


class _Coverage(Struct):
    ranges: list[_Span] = []
    reason: str | None = None


class _Feedback(Struct):
    feedback: str | None = None


class _Updated(Struct):
    include: list[str] | None = None
    goal_dimensions: list[str] | None = None
    model: str | None = None


class _Closing(Struct):
    max_drain_seconds: float | None = None


class _Ended(Struct):
    reason: str | None = None


class _Error(Struct):
    code: str | None = None
    message: str | None = None
    link: str | None = None
    segment: int | None = None


SHAPES: dict[str, type[Struct]] = {
    "session.updated": _Updated,
    "session.closing": _Closing,
    "session.ended": _Ended,
    "signal.detected": _Signal,
    "signal.updated": _Signal,
    "signal.ended": _SignalEnded,
    "engagement.updated": _Engagement,
    "conversation_quality.updated": _Quality,
    "feedback.generated": _Feedback,
    "coverage.dropped": _Coverage,
    "coverage.degraded": _Coverage,
    "error": _Error,
}
"""The documented shapes of `data` by type. What differs is passed on all the same, and reported: one number in place
of a word must not cost an event.

`session.ready` is missing on purpose: its limits have defaults, see `session_types.SessionLimits`.
"""


class _NotAMessageError(Exception):
    """Carries the detail of a `Malformed` out of the reading of one frame."""


def parse(frame: str | bytes) -> tuple[ServerMessage | Malformed, ...]:
    """Return the messages that one WebSocket frame carries, of whatever dialect: mostly one, for the list form many."""
    try:
        return tuple(_messages(_envelope(frame), with_raw=len(frame) <= RAW_MAX))
    except _NotAMessageError as error:
        return (Malformed(str(error)),)


def _envelope(frame: str | bytes) -> dict[str, Any]:
    if isinstance(frame, bytes):
        raise _NotAMessageError(f"a binary frame of {len(frame)} bytes")
    try:
        value = msgspec.json.decode(frame)
    except RecursionError:
        raise _NotAMessageError("nested too deeply") from None
    except ValueError as error:  # msgspec's own errors are ValueErrors too
        raise _NotAMessageError(f"not JSON: {_without_content(error)}") from error
    if not isinstance(value, dict):
        raise _NotAMessageError(f"a JSON {type(value).__name__} where an object belongs")
    if too_deep(value):
        raise _NotAMessageError("nested too deeply")
    return value


def _without_content(error: ValueError) -> str:
    return error.reason if isinstance(error, UnicodeEncodeError | UnicodeDecodeError) else str(error)


def too_deep(value: object) -> bool:
    """Decide, without recursion, whether JSON goes deeper than `MAX_DEPTH`."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [inner for outer in level for inner in _inner(outer)]
        if not level:
            return False
    return True


def _inner(value: object) -> Iterator[object]:
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list):
        yield from value


def _messages(envelope: dict[str, Any], *, with_raw: bool) -> Iterator[ServerMessage | Malformed]:
    timestamp = _text(envelope, "timestamp")
    correlation_id = _text(envelope, "correlation_id")
    for number, part in enumerate(_parts(envelope)):
        if number == PARTS_MAX:
            yield Malformed(f"{part.type[:KIND_MAX]}: more than {PARTS_MAX} messages in one frame")
            return
        message = ServerMessage(part.type, timestamp, correlation_id, part.data, part.raw if with_raw else None)
        yield message
        if unforeseen := _unforeseen(message):
            yield Malformed(unforeseen)


def _parts(envelope: dict[str, Any]) -> Iterator[legacy_messages.Part]:
    if "type" in envelope:
        return _typed(envelope)
    if "error_id" in envelope:
        return iter([legacy_messages.of_error(envelope)])
    raise _NotAMessageError("an object with neither `type` nor `error_id`")


def _typed(envelope: dict[str, Any]) -> Iterator[legacy_messages.Part]:
    kind = _text(envelope, "type")
    if not kind:
        raise _NotAMessageError("`type` is empty")
    data = envelope.get("data")
    if kind == "error" and (not isinstance(data, dict) or "code" not in data):
        return iter([legacy_messages.of_error(envelope)])
    if data is None:
        data = {}
    if not isinstance(data, dict):
        raise _NotAMessageError(f"{kind[:KIND_MAX]}: `data` is a JSON {type(data).__name__}, not an object")
    if kind == "signal.detected" and ("signals" in data or data.get("end") is not None):
        return legacy_messages.of_detected(data, envelope)
    raw = None if envelope.keys() <= ENVELOPE else envelope
    return iter([legacy_messages.Part(kind, data, raw)])


def _text(envelope: dict[str, Any], field: str) -> str | None:
    value = envelope.get(field)
    if value is not None and not isinstance(value, str):
        raise _NotAMessageError(f"`{field}` is a JSON {type(value).__name__}, not a string")
    return value


def _unforeseen(message: ServerMessage) -> str | None:
    """Return what a message of a known type has that is not as documented; it is passed on as it came."""
    try:
        msgspec.convert(message.data, SHAPES.get(message.type, Struct))
    except (msgspec.ValidationError, OverflowError) as error:
        return f"{message.type[:KIND_MAX]}: {error}"
    return None
