"""One table of the cloud's errors, and what each means for us; no I/O.

The class says what the supervisor does (`Outage`: back-off, `Overloaded`: a long one, `Refused`: a person must act),
the reason names it for machines, the sentence for people, and the reaction is what an open session does about it. Where
several things are known of an end, the last error that the cloud named decides, then the close code, then the HTTP
status. The ids are those of the vendor's error pages; what is not written there was observed or is our own caution.
"""

import contextlib
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import NamedTuple

import msgspec

from interhuman2mqtt.errors import Outage, Overloaded, Reason, Refused
from interhuman2mqtt.runtime.redaction import redact


class Reaction(StrEnum):
    """The ways in which an open session reacts to an error."""

    WATCH = "watch"
    """It goes on; should the connection close soon, this is why."""
    KEEP = "keep"
    """It goes on, and whatever ends it later is something else."""
    CLOSE = "close"
    """It stops sending, drains, and fails with this."""
    ROTATE = "rotate"
    """A normal end: the next session may begin at once."""


class ErrorRule(NamedTuple):
    """A row of the table."""

    outcome: type[Outage]
    reason: Reason
    sentence: str
    reaction: Reaction = Reaction.WATCH
    pause: float | None = None
    """Seconds to wait at least, on top of the back-off, where the cloud does not say."""

    def exception(self, text: str = "", retry_after: float | None = None) -> Outage:
        """Return the error to raise; `text` is the cloud's own text, for the end of the sentence."""
        detail = f"{self.sentence} ({text})" if text else self.sentence
        return self.outcome(self.reason, detail, self.pause if retry_after is None else retry_after)


_NO_KEY = "the cloud did not accept the API key: check api_key, and that it is neither expired nor revoked"
_NO_SCOPE = "the API key lacks the scope interhumanai.stream, or the model is not open to it"
_BAD_MEDIA = "the cloud could not read the media of this camera"
_FOR_UPLOADS = "the cloud answered with an error that belongs to uploads of files"
_RATE_S, _QUOTA_S = 30.0, 3600.0
_W, _K, _C, _R = Reaction.WATCH, Reaction.KEEP, Reaction.CLOSE, Reaction.ROTATE

ERRORS: dict[str, ErrorRule] = {
    "ih1001": ErrorRule(Outage, Reason.CLOUD_ERROR, "the cloud reports an internal error", _W),
    "ih1002": ErrorRule(Overloaded, Reason.CLOUD_ERROR, "the cloud is overloaded", _W),
    "ih1003": ErrorRule(Overloaded, Reason.MODEL_UNAVAILABLE, "no backend of the cloud serves the model now", _W),
    "ih1004": ErrorRule(Outage, Reason.CLOUD_ERROR, "the cloud was interrupted in its work", _W),
    "ih2001": ErrorRule(Refused, Reason.UNAUTHORIZED, _NO_KEY, _C),
    "ih2002": ErrorRule(Refused, Reason.UNAUTHORIZED, _NO_KEY, _C),
    "ih2003": ErrorRule(
        Refused, Reason.SCOPE_MISSING, _NO_SCOPE, _K
    ),  # once open, it answers a change of the model only
    "ih2005": ErrorRule(Refused, Reason.UNAUTHORIZED, _NO_KEY, _C),
    "ih2010": ErrorRule(Refused, Reason.TOKEN_EXPIRED, "the client token has expired: mint a new one", _C),
    "ih2011": ErrorRule(Refused, Reason.TOKEN_EXPIRED, "the client token is not valid: mint a new one", _C),
    "ih2014": ErrorRule(Refused, Reason.TOKEN_EXPIRED, "the client token was revoked: mint a new one", _C),
    "ih3001": ErrorRule(Overloaded, Reason.RATE_LIMITED, "the cloud is asked too often with this API key", _W, _RATE_S),
    "ih3002": ErrorRule(Overloaded, Reason.CONCURRENCY_LIMIT, "all concurrent sessions of the account are in use", _W),
    "ih3003": ErrorRule(Refused, Reason.QUOTA_EXHAUSTED, "the usage quota of the account is spent", _C, _QUOTA_S),
    "ih3006": ErrorRule(Refused, Reason.QUOTA_EXHAUSTED, "the video budget of the client token is spent", _C, _QUOTA_S),
    "ih4001": ErrorRule(Outage, Reason.PROTOCOL, _FOR_UPLOADS, _W),
    "ih4002": ErrorRule(Outage, Reason.MEDIA_REJECTED, "the cloud does not take the container of the media", _C),
    "ih4003": ErrorRule(Outage, Reason.MEDIA_REJECTED, "a chunk is too large for the cloud: shorten `chunk`", _C),
    "ih4004": ErrorRule(Outage, Reason.MEDIA_REJECTED, _FOR_UPLOADS, _W),
    "ih4005": ErrorRule(Refused, Reason.BAD_REQUEST, "the cloud does not know the model: check model and url", _C),
    "ih4007": ErrorRule(Outage, Reason.MEDIA_REJECTED, "a chunk is too short for the cloud: lengthen `chunk`", _W),
    "ih4021": ErrorRule(Outage, Reason.PROTOCOL, _FOR_UPLOADS, _W),
    "ih5001": ErrorRule(Outage, Reason.MEDIA_REJECTED, "the cloud found no video that it can use", _C),
    "ih5002": ErrorRule(Outage, Reason.MEDIA_REJECTED, _BAD_MEDIA, _C),
    "ih5003": ErrorRule(Outage, Reason.MEDIA_REJECTED, _BAD_MEDIA, _C),
    "ih5004": ErrorRule(Outage, Reason.MEDIA_REJECTED, _BAD_MEDIA, _C),  # and may read nothing after the broken piece
    "ih5005": ErrorRule(Outage, Reason.MEDIA_REJECTED, _BAD_MEDIA, _C),
    "ih5006": ErrorRule(Outage, Reason.MEDIA_REJECTED, "a chunk is too short for the cloud: lengthen `chunk`", _W),
    "ih5007": ErrorRule(Outage, Reason.MEDIA_REJECTED, _BAD_MEDIA, _C),
    "ih5008": ErrorRule(Refused, Reason.MEDIA_REJECTED, 'the cloud needs audio: set audio to "auto" or "silence"', _C),
    "ih6001": ErrorRule(Outage, Reason.PROTOCOL, "the cloud did not accept the session's config", _K),
    "ih6002": ErrorRule(Outage, Reason.MEDIA_REJECTED, "a chunk is too large for the cloud: shorten `chunk`", _C),
    "ih6003": ErrorRule(Outage, Reason.SESSION_LIMIT, "the cloud ended the session because nothing was sent", _R),
    "ih6004": ErrorRule(Outage, Reason.SESSION_LIMIT, "the cloud ended the session at its maximum duration", _R),
}

TOO_SHORT = frozenset({"ih4007", "ih5006"})
"""Ids that ask for longer chunks."""

CLOSE_CODES: dict[int, ErrorRule] = {
    1000: ErrorRule(Outage, Reason.SESSION_LIMIT, "the cloud ended the session", _R),
    1001: ErrorRule(Outage, Reason.CLOUD_ERROR, "the cloud is going away, or has a session with this API key already"),
    1002: ErrorRule(Outage, Reason.PROTOCOL, "the connection broke the WebSocket protocol"),
    1003: ErrorRule(Outage, Reason.PROTOCOL, "the cloud does not take the kind of frame that it was sent"),
    1005: ErrorRule(Outage, Reason.CONNECTION_LOST, "the cloud closed the connection without saying why"),
    1006: ErrorRule(Outage, Reason.CONNECTION_LOST, "the connection to the cloud broke"),
    1007: ErrorRule(Outage, Reason.PROTOCOL, "the connection broke the WebSocket protocol"),
    1008: ErrorRule(Refused, Reason.BAD_REQUEST, "the cloud refuses the session by its policy: check model and url"),
    1009: ErrorRule(Outage, Reason.MEDIA_REJECTED, "a chunk is too large for the cloud: shorten `chunk`"),
    1011: ErrorRule(Outage, Reason.CLOUD_ERROR, "the cloud failed"),
    1012: ErrorRule(Outage, Reason.CLOUD_ERROR, "the cloud restarts"),
    1013: ErrorRule(Overloaded, Reason.MODEL_UNAVAILABLE, "the cloud asks to try again later"),
    4003: ErrorRule(Refused, Reason.SCOPE_MISSING, _NO_SCOPE),
}

STATUSES: dict[int, ErrorRule] = {
    400: ErrorRule(Refused, Reason.BAD_REQUEST, "the cloud does not accept the request: check model and url"),
    401: ErrorRule(Refused, Reason.UNAUTHORIZED, _NO_KEY),
    403: ErrorRule(Refused, Reason.SCOPE_MISSING, _NO_SCOPE),
    404: ErrorRule(Refused, Reason.BAD_REQUEST, "there is no such endpoint: check url"),
    408: ErrorRule(Outage, Reason.CLOUD_ERROR, "the cloud waited too long for the request"),
    429: ErrorRule(Overloaded, Reason.RATE_LIMITED, "the cloud is asked too often, or a limit is reached", _W, _RATE_S),
    503: ErrorRule(Overloaded, Reason.CLOUD_ERROR, "the cloud has no capacity now"),
}

UNKNOWN_ERROR = ErrorRule(Outage, Reason.CLOUD_ERROR, "the cloud reports an error that this version does not know")
UNKNOWN_CLOSE = ErrorRule(
    Outage, Reason.CLOUD_ERROR, "the cloud closed the connection with a code that is not documented"
)
CLIENT_FAULT = ErrorRule(Refused, Reason.BAD_REQUEST, "the cloud does not accept the request: check url")  # other 4xx
SERVER_FAULT = ErrorRule(Outage, Reason.CLOUD_ERROR, "the cloud, or a gateway before it, failed")  # other 5xx
NO_WEBSOCKET = ErrorRule(Outage, Reason.PROTOCOL, "there is no WebSocket at this url: check url")  # 2xx, 3xx
CLOSED_EARLY = ErrorRule(Outage, Reason.PROTOCOL, "the cloud closed the connection before the session was ready")
POLICY_LATER = ErrorRule(Outage, Reason.PROTOCOL, "the cloud ended a running session by its policy")


def of_error(code: str | None, *, ready: bool) -> ErrorRule:
    """Return the rule of an error id; before the session is ready every error is a refusal of the session."""
    rule = ERRORS.get(code or "", UNKNOWN_ERROR)
    return rule if ready else rule._replace(reaction=Reaction.WATCH)


def of_close(code: int, *, ready: bool) -> ErrorRule:
    """Return the rule of a WebSocket close code; 1006 stands for a connection that ended without any."""
    if code == 1000 and not ready:
        return CLOSED_EARLY
    if code == 1008 and ready:
        return POLICY_LATER
    return CLOSE_CODES.get(code, UNKNOWN_CLOSE)


def of_status(status: int) -> ErrorRule:
    """Return the rule of the HTTP status that answered the upgrade, which was not 101."""
    fallback = SERVER_FAULT if status >= 500 else CLIENT_FAULT if status >= 400 else NO_WEBSOCKET
    return STATUSES.get(status, fallback)


class _Body(msgspec.Struct):
    """An HTTP error of the cloud."""

    error_id: str | None = None
    message: str | None = None


def refusal(status: int, headers: Mapping[str, str], body: bytes, now: datetime) -> Outage:
    """Return the error for an upgrade that was answered with anything but 101; `headers` have names in lower case."""
    answer = _Body()
    with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        answer = msgspec.json.decode(body, type=_Body)
    rule = ERRORS.get(answer.error_id or "") or of_status(status)
    text = phrase(f"HTTP {status}", answer.error_id, answer.message)
    return rule.exception(text, retry_after_of(headers, now))


def retry_after_of(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return the seconds of an answer's `Retry-After`; None without one."""
    # its dates are by its own clock: ours may not have been set yet, and an hour beside it would be an hour's pause
    return retry_after(headers.get("retry-after"), _date(headers.get("date")) or now)


def retry_after(value: str | None, now: datetime) -> float | None:
    """Return the seconds of a `Retry-After` (RFC 9110, 10.2.3: seconds or a date), at most a day; None without one."""
    if value is None:
        return None
    if value.isascii() and value.isdigit():
        return min(float(value), 86400.0)
    when = _date(value)
    return None if when is None else min(max(0.0, (when - now).total_seconds()), 86400.0)


def _date(value: str | None) -> datetime | None:
    """Return a date of HTTP (RFC 9110, 5.6.7); None where it is none."""
    try:
        when = parsedate_to_datetime(value or "")
        return when.replace(tzinfo=when.tzinfo or UTC).astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):  # what the parser has been seen to raise
        return None


def phrase(*parts: str | None) -> str:
    """Return the other side's words in one line of bounded length, without any secret that they repeat."""
    text = redact(" ".join(": ".join(part for part in parts if part).split()))
    return text if len(text) <= 300 else f"{text[:299]}…"
