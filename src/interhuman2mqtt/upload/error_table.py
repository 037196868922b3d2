"""The errors of the upload endpoints, and what each means; no I/O.

As `cloud.error_table`, whose rules hold for what is not here. `Refused` with MEDIA_REJECTED is about the file: it is
not sent again. JOB_LOST is about a result that is not to be had any more.
"""

import contextlib
from collections.abc import Mapping
from datetime import datetime

import msgspec

from interhuman2mqtt.cloud import error_table
from interhuman2mqtt.cloud.error_table import ErrorRule, phrase
from interhuman2mqtt.errors import Outage, Overloaded, Reason, Refused

_SCOPE = (
    "the API key lacks the scope interhumanai.upload, which no other scope covers (inter-2-deep has one of its own): "
    "make a key with it in the console"
)
_KEY = "the cloud did not accept the API key: check api_key, and that it is neither expired nor revoked"
_TOO_LARGE = "the file is larger than the cloud takes, 32 MB: send it in smaller parts"
_UNREADABLE = "the cloud could not decode the file: play it, and encode it anew where that fails"

ERRORS: dict[str, ErrorRule] = {
    "ih1001": ErrorRule(Outage, Reason.CLOUD_ERROR, "the cloud failed over the file: try again later"),
    "ih1002": ErrorRule(Overloaded, Reason.CLOUD_ERROR, "the cloud has as many jobs as it takes: try again shortly"),
    "ih1003": ErrorRule(Overloaded, Reason.MODEL_UNAVAILABLE, "the model cannot be had now: try again shortly"),
    "ih1004": ErrorRule(Outage, Reason.CLOUD_ERROR, "the cloud was interrupted in its work: send the file again"),
    "ih2001": ErrorRule(Refused, Reason.UNAUTHORIZED, _KEY),
    "ih2002": ErrorRule(Refused, Reason.UNAUTHORIZED, _KEY),
    "ih2003": ErrorRule(Refused, Reason.SCOPE_MISSING, _SCOPE),
    "ih3001": ErrorRule(
        Overloaded, Reason.RATE_LIMITED, "the cloud is asked too often: try again in a minute", pause=30
    ),
    "ih3002": ErrorRule(
        Overloaded, Reason.CONCURRENCY_LIMIT, "the account has as much in work as it may: try again when that is done"
    ),
    "ih3003": ErrorRule(
        Refused, Reason.QUOTA_EXHAUSTED, "the account's quota is spent: have it raised, or wait", pause=3600
    ),
    "ih3006": ErrorRule(
        Refused, Reason.QUOTA_EXHAUSTED, "the client token's video budget is spent: mint a new one", pause=3600
    ),
    "ih4001": ErrorRule(
        Outage, Reason.PROTOCOL, "the cloud found no file in the request: is something between that cuts it?"
    ),
    "ih4002": ErrorRule(
        Refused, Reason.MEDIA_REJECTED, "the cloud does not take the file's container: convert it to MP4"
    ),
    "ih4003": ErrorRule(Refused, Reason.MEDIA_REJECTED, _TOO_LARGE),
    "ih4004": ErrorRule(
        Refused, Reason.MEDIA_REJECTED, "the file is longer than the cloud takes, 30 min: send it in shorter parts"
    ),
    "ih4005": ErrorRule(
        Refused,
        Reason.BAD_REQUEST,
        "the cloud does not know the model, or what is to be included: check model and include",
    ),
    "ih4007": ErrorRule(Refused, Reason.MEDIA_REJECTED, "the file is shorter than 3 s: nothing can be said about it"),
    "ih4021": ErrorRule(
        Outage, Reason.JOB_LOST, "the cloud does not know the job any more, and its result is lost: send the file again"
    ),
    "ih5001": ErrorRule(
        Refused,
        Reason.MEDIA_REJECTED,
        "the cloud found no video that it can use: for audio alone take model inter-2-audio",
    ),
    "ih5002": ErrorRule(Refused, Reason.MEDIA_REJECTED, _UNREADABLE),
    "ih5003": ErrorRule(Refused, Reason.MEDIA_REJECTED, _UNREADABLE),
    "ih5004": ErrorRule(Refused, Reason.MEDIA_REJECTED, _UNREADABLE),
    "ih5005": ErrorRule(Refused, Reason.MEDIA_REJECTED, _UNREADABLE),
    "ih5007": ErrorRule(Refused, Reason.MEDIA_REJECTED, _UNREADABLE),
    "ih5008": ErrorRule(
        Refused,
        Reason.MEDIA_REJECTED,
        "the file has no audio track: this model needs one",
    ),
}
"""What is said otherwise of files than of sessions."""

STATUSES: dict[int, ErrorRule] = {
    401: ErrorRule(Refused, Reason.UNAUTHORIZED, _KEY),
    403: ErrorRule(Refused, Reason.SCOPE_MISSING, _SCOPE),
    404: ErrorRule(Refused, Reason.BAD_REQUEST, "there is no upload endpoint beside interhuman.url: check it"),
    413: ErrorRule(
        Refused,
        Reason.MEDIA_REJECTED,
        "a gateway before the cloud does not take a file of this size: send smaller parts",
    ),
}
NOT_FOLLOWED = ErrorRule(
    Outage, Reason.PROTOCOL, "the cloud sends us elsewhere, which is not followed: check interhuman.url"
)

_UNKNOWN = ErrorRule(Outage, Reason.CLOUD_ERROR, "the cloud reports an error that this version does not know")


class _Body(msgspec.Struct):
    error_id: str
    message: str | None = None


def named_error(body: bytes) -> tuple[str, str | None] | None:
    """Return id and message of an error in the API's own words; None where somebody else speaks."""
    with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        error = msgspec.json.decode(body, type=_Body)
        return error.error_id, error.message
    return None


def refusal(status: int, headers: Mapping[str, str], body: bytes, now: datetime) -> Outage:
    """Return the error for an answer that is not 2xx; `headers` have names in lower case."""
    named = named_error(body)
    rule = _of_status(status)
    if named is not None:
        rule = ERRORS.get(named[0]) or error_table.ERRORS.get(named[0]) or rule
    text = phrase(f"HTTP {status}", *(named or ()))
    # by the answer's own clock, as in `error_table.refusal`
    return rule.exception(text, error_table.retry_after_of(headers, now))


def of_job(code: str | None, message: str | None) -> Outage:
    """Return the error that a job ended with."""
    rule = ERRORS.get(code or "") or error_table.ERRORS.get(code or "") or _UNKNOWN
    return rule.exception(phrase(code, message))


def _of_status(status: int) -> ErrorRule:
    if 300 <= status < 400:
        return NOT_FOLLOWED
    return STATUSES.get(status) or error_table.of_status(status)
