"""The answers of the upload endpoints, of v1 and v2, as one kind of value; no I/O.

Nothing that a server can send raises anything but `Unreadable` here: an entry that is not as documented is left out and
named, the rest is used.
"""

import re
from collections.abc import Iterator
from enum import StrEnum
from typing import Any

import msgspec
from msgspec import Struct

from interhuman2mqtt.cloud.protocol import too_deep
from interhuman2mqtt.errors import Outage
from interhuman2mqtt.upload import error_table

SECONDS_MAX = 1e6
"""No recording is as long."""
JOB_ID = re.compile(r"[0-9A-Za-z._-]{1,200}")
"""A job's id has 32 hexadecimal characters. In the ids of events none may split a level, or end one."""
ENTRIES_MAX = 10_000
"""Entries of a list that are read: half an hour has 360 windows."""
MALFORMED_MAX = 20
"""Entries that are named where they are not as documented."""


class Unreadable(Exception):  # noqa: N818 - it says what the answer is
    """An answer is not what it should be; the text has none of its content."""


class SignalSpan(Struct, frozen=True):
    """A signal from its begin to its end."""

    type: str
    start: float
    """Seconds from the start of the file, as all times here."""
    end: float
    data: dict[str, Any]
    """What else the cloud says of it: probability, rationale, on v1 modality."""


class EngagementSpan(Struct, frozen=True):
    """A level of engagement, and from when to when."""

    state: str
    start: float
    end: float


class Analysis(Struct, frozen=True, kw_only=True):
    """Findings of the cloud in a file."""

    duration: float | None = None
    """Seconds; v1 does not say."""
    engagement: tuple[EngagementSpan, ...] = ()
    """In order; adjacent spans of one level are not merged."""
    signals: tuple[SignalSpan, ...] = ()
    overall: dict[str, Any] | None = None
    """The scores of the conversation's quality over the whole file."""
    timeline: list[dict[str, Any]] | None = None
    feedback: str | None = None
    malformed: tuple[str, ...] = ()
    """What was left out because it is not as documented."""


class JobStatus(StrEnum):
    """The states of a job; the last two are the last."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"


class Job(Struct, frozen=True, kw_only=True):
    """A job of v2, as the cloud has it now."""

    id: str
    status: JobStatus
    """RUNNING too where the cloud says a word that is not known."""
    analysis: Analysis | None = None
    """Where it is completed."""
    failure: Outage | None = None
    """Where it failed."""


def parse_job(body: bytes) -> Job:
    """Return the job of an answer of v2; raise Unreadable."""
    envelope = _object(body)
    job_id = envelope.get("job_id")
    if not isinstance(job_id, str) or JOB_ID.fullmatch(job_id) is None:
        raise Unreadable("it names no job, or by no id as is documented")
    status = envelope.get("status")
    known = status if isinstance(status, str) and status in set(JobStatus) else JobStatus.RUNNING
    job = Job(id=job_id, status=JobStatus(known))
    if job.status is JobStatus.COMPLETED:
        return msgspec.structs.replace(job, analysis=_of_v2(envelope.get("result")))
    if job.status is JobStatus.FAILED:
        return msgspec.structs.replace(job, failure=_failure(envelope.get("error")))
    return job


def parse_v1(body: bytes) -> Analysis:
    """Return the analysis of an answer of v1; raise Unreadable."""
    answer = _object(body)
    if not isinstance(answer.get("signals"), list) and not isinstance(answer.get("engagement_state"), list):
        raise Unreadable("it has neither signals nor engagement_state")
    reader = _Reader()
    engagement = tuple(reader.engagement(answer, "engagement_state", "state", "start", "end"))
    return reader.analysis(answer, engagement, duration=None, feedback=_feedback(answer.get("feedback")))


def _of_v2(result: object) -> Analysis:
    if not isinstance(result, dict) or not isinstance(result.get("windows"), list):
        raise Unreadable("the job is completed, and its result has no windows")
    reader = _Reader()
    engagement = tuple(reader.engagement(result, "windows", "engagement_status", "start_seconds", "end_seconds"))
    return reader.analysis(result, engagement, duration=_seconds(result.get("duration_seconds")), feedback=None)


class _Reader:
    """Reads the lists of one answer."""

    def __init__(self) -> None:
        self._malformed: list[str] = []

    def analysis(
        self,
        answer: dict[str, Any],
        engagement: tuple[EngagementSpan, ...],
        *,
        duration: float | None,
        feedback: str | None,
    ) -> Analysis:
        quality = answer.get("conversation_quality")
        overall = quality.get("overall") if isinstance(quality, dict) else None
        if overall is not None and not isinstance(overall, dict):
            self._malformed.append("overall: not as documented")
        return Analysis(
            duration=duration,
            engagement=engagement,
            overall=overall if isinstance(overall, dict) else None,
            signals=tuple(self._signals(answer)),
            timeline=self._timeline(quality) if isinstance(quality, dict) else None,
            feedback=feedback,
            malformed=tuple(self._malformed[:MALFORMED_MAX]),
        )

    def engagement(self, answer: dict[str, Any], *names: str) -> Iterator[EngagementSpan]:
        listed, state_name, start_name, end_name = names
        for where, entry in self._entries(answer, listed):
            state, span = entry.get(state_name), _span(entry, start_name, end_name)
            if isinstance(state, str) and span is not None:
                yield EngagementSpan(state, *span)
            else:
                self._malformed.append(where)

    def _signals(self, answer: dict[str, Any]) -> Iterator[SignalSpan]:
        for where, entry in self._entries(answer, "signals"):
            kind, span = entry.get("type"), _span(entry, "start", "end")
            if isinstance(kind, str) and span is not None:
                data = {name: value for name, value in entry.items() if name not in {"type", "start", "end"}}
                yield SignalSpan(kind, *span, data)
            else:
                self._malformed.append(where)

    def _timeline(self, quality: dict[str, Any]) -> list[dict[str, Any]] | None:
        if not isinstance(quality.get("timeline"), list):
            return None
        return [entry for _, entry in self._entries(quality, "timeline") if _span(entry, "start", "end") is not None]

    def _entries(self, answer: dict[str, Any], name: str) -> Iterator[tuple[str, dict[str, Any]]]:
        listed = answer.get(name)
        if not isinstance(listed, list):
            self._malformed.append(f"{name}: no list")
            return
        if len(listed) > ENTRIES_MAX:
            self._malformed.append(f"{name}: more than {ENTRIES_MAX} entries")
        for number, entry in enumerate(listed[:ENTRIES_MAX]):
            if isinstance(entry, dict):
                yield f"{name}[{number}]: not as documented", entry
            else:
                self._malformed.append(f"{name}[{number}]: a JSON {type(entry).__name__} where an object belongs")


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = msgspec.json.decode(body)
    except RecursionError:
        raise Unreadable("it is nested too deeply") from None
    except ValueError as error:  # of msgspec's own and of UTF-8
        what = "it is empty" if not body.strip() else "it is no JSON"
        raise Unreadable(what) from error
    if not isinstance(value, dict):
        raise Unreadable(f"it is a JSON {type(value).__name__} where an object belongs")
    if too_deep(value):
        raise Unreadable("it is nested too deeply")
    return value


def _span(entry: dict[str, Any], start_name: str, end_name: str) -> tuple[float, float] | None:
    start, end = _seconds(entry.get(start_name)), _seconds(entry.get(end_name))
    return (start, end) if start is not None and end is not None and start <= end else None


def _seconds(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= SECONDS_MAX:
        return None
    return float(value)


def _failure(error: object) -> Outage:
    fields = error if isinstance(error, dict) else {}
    code, message = fields.get("error_id"), fields.get("message")
    return error_table.of_job(code if isinstance(code, str) else None, message if isinstance(message, str) else None)


def _feedback(feedback: object) -> str | None:
    message = feedback.get("message") if isinstance(feedback, dict) else None
    return message if isinstance(message, str) else None
