"""The client of the upload endpoints: v1, whose answer is the analysis, and v2, whose answer is a job.

Foreign input ends here: what leaves is a value, or an `Outage` with a sentence. What may have reached the cloud and was
not answered is an `Outage` with JOB_LOST: no idempotency key is known, so sending the file again may analyse, and bill,
it twice.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar
from urllib.parse import quote, urlsplit, urlunsplit
from uuid import uuid4

import trio
from msgspec import Struct

from interhuman2mqtt import __version__
from interhuman2mqtt.cloud.http import HttpResponse
from interhuman2mqtt.cloud.transport import Dial, Server, dial
from interhuman2mqtt.errors import Outage, Reason, Refused
from interhuman2mqtt.events import utc_now
from interhuman2mqtt.upload import error_table, http
from interhuman2mqtt.upload.form import BeforeEnd, FormBody, size_of
from interhuman2mqtt.upload.result import Analysis, Job, JobStatus, Unreadable, parse_job, parse_v1

SIZE_MAX = 33_554_432
"""Bytes of a file; the pages say "32 MB", the stream names this number."""
DURATION_MIN, DURATION_MAX = 3.0, 1800.0
"""Seconds of a file; a deployment may allow more."""
POLL_S, POLL_MAX_S = 2.0, 15.0
"""Seconds between two looks at a job, at first and in the end."""
RETRY_MAX_S = 60.0
"""Seconds that are waited for at most because the cloud asked to."""
JOB_MAX_S = 3600.0
"""Seconds after which the result of a job is gone."""
ALL_SECTIONS = ("signals", "conversation_quality_overall", "conversation_quality_timeline")

Answer = TypeVar("Answer")


class UploadEndpoint(Struct, frozen=True):
    """Server that files are sent to, and its version of the API."""

    server: Server
    """http:// or https://, with what stands before /v1 and /v2."""
    version: int


def endpoint_of(url: str, *, ca_file: str | None = None, proxy: str | None = None) -> UploadEndpoint:
    """Return the upload endpoint of the API whose streaming endpoint is `interhuman.url`; raise Refused."""
    parts = urlsplit(url)
    found = re.fullmatch(r"(.*)/v(\d+)/stream/analyze/?", parts.path)
    if found is None:
        raise Refused(
            Reason.BAD_REQUEST, "interhuman.url does not end in /v2/stream/analyze, so that no upload endpoint is known"
        )
    scheme = "https" if parts.scheme == "wss" else "http"
    base = urlunsplit((scheme, parts.netloc, found[1], "", ""))
    return UploadEndpoint(Server(base, ca_file, proxy), 1 if found[2] == "1" else 2)


class KeySource(Protocol):
    """Has the API key."""

    def header(self) -> bytes:
        """Return the value of `Authorization`, as it is now; raise Refused where there is none."""


class Submission(Struct, frozen=True, kw_only=True):
    """Options of one upload."""

    filename: str
    """With the ending of its container. It need not be the user's own, which may say more than the cloud must know."""
    model: str = "inter-2"
    """Of v2 only."""
    include: Sequence[str] = ALL_SECTIONS
    goal_dimensions: Sequence[str] = ()
    """Of v1 only."""
    request_id: str
    """Our own UUID, sent as `X-Client-Request-Id`; for the vendor's logs alone, as far as is known."""
    rate: float | None = None
    """Bits a second that are sent at most."""


class UploadClient:
    """Sends files, and reads jobs.

    Args:
        endpoint: Where to.
        key: With the scope `interhumanai.upload`.
        dial: How to connect, for tests.
    """

    def __init__(self, endpoint: UploadEndpoint, key: KeySource, dial: Dial = dial) -> None:
        self._server = endpoint.server
        self._key = key
        self._dial = dial
        self._base = urlsplit(endpoint.server.url).path

    async def submit(self, source: Path | bytes, submission: Submission, before_end: BeforeEnd | None = None) -> Job:
        """Send a file to v2 and return its job, pending or done.

        Args:
            source: The file's content, or where it is.
            submission: What is asked for.
            before_end: Awaited before the last bytes are sent. Who keeps on record what may have been accepted does it
                there: a file whose sending was cut off earlier may be sent again.

        Raises:
            Refused: with MEDIA_REJECTED: the file is not to be sent again as it is; else a person must act.
            Outage: with JOB_LOST: it may have been accepted, and nobody knows by which id; else: try again later.
        """
        fields = [("model", submission.model), *(("include[]", name) for name in submission.include)]
        response = await self._send("/v2/upload/analyze", source, submission, fields, before_end)
        return _understood(response, parse_job, Reason.JOB_LOST, "the file was accepted, and by which job is not known")

    async def analyze_v1(
        self, source: Path | bytes, submission: Submission, before_end: BeforeEnd | None = None
    ) -> Analysis:
        """Send a file to v1 and return what was found in it; arguments and errors as those of `submit`."""
        fields = [("include[]", name) for name in submission.include if name != "signals"]
        fields += [("goal_dimensions[]", name) for name in submission.goal_dimensions]
        response = await self._send("/v1/upload/analyze", source, submission, fields, before_end)
        return _understood(response, parse_v1, Reason.JOB_LOST, "the file was analysed, and the result cannot be read")

    async def job(self, job_id: str) -> Job:
        """Return a job of v2 as it is now.

        Raises:
            Outage: with JOB_LOST: the cloud does not know it any more; else: try again.
        """
        path = f"{self._base}/v2/upload/jobs/{quote(job_id, safe='')}"
        request = http.Request("GET", path, self._headers(str(uuid4())), timeout=60.0)
        response = await http.exchange(self._server, request, self._dial)
        if response.status == 404 and error_table.named_error(response.body) is None:
            raise Outage(
                Reason.PROTOCOL, "something between says that there are no jobs (HTTP 404): check interhuman.url"
            )
        job = _understood(_accepted(response), parse_job, Reason.PROTOCOL, "the job's state cannot be read")
        if job.id != job_id:
            raise Outage(Reason.PROTOCOL, "the cloud was asked for a job, and answered with another")
        return job

    async def wait_for(self, job: Job, within: float = JOB_MAX_S) -> Job:
        """Look at a job until it is completed or failed; raise the Outage of the last look where that takes too long.

        An Outage of a look passes: the analysis goes on without us. Refused, and JOB_LOST, do not. A job that never
        ends is lost.
        """
        deadline, pause = trio.current_time() + within, POLL_S
        last: Outage | None = None
        while job.status not in {JobStatus.COMPLETED, JobStatus.FAILED}:
            if trio.current_time() + pause > deadline:
                sentence = f"the job is not done after {within:g} s, after which its result would be gone"
                raise last or Outage(Reason.JOB_LOST, sentence)
            await trio.sleep(pause)
            pause = min(pause * 1.3, POLL_MAX_S)
            try:
                job, last = await self.job(job.id), None
            except Outage as outage:
                if isinstance(outage, Refused) or outage.reason is Reason.JOB_LOST:
                    raise
                last, pause = outage, max(pause, min(outage.retry_after or 0.0, RETRY_MAX_S))
        return job

    async def _send(
        self,
        path: str,
        source: Path | bytes,
        submission: Submission,
        fields: Sequence[tuple[str, str]],
        before_end: BeforeEnd | None,
    ) -> HttpResponse:
        size = await size_of(source)
        if size > SIZE_MAX:
            raise error_table.ERRORS["ih4003"].exception(f"{size} bytes")
        body = FormBody(fields, source, size, submission.filename, before_end)
        request = http.Request(
            "POST",
            self._base + path,
            self._headers(submission.request_id),
            body,
            submission.rate,
        )
        try:
            return _accepted(await http.exchange(self._server, request, self._dial))
        except http.Unanswered as error:
            if not body.is_ending:  # a gateway did not wait for all of it
                raise Outage(error.reason, error.detail, error.retry_after) from error
            sentence = f"the whole file was sent, and whether it was accepted is not known: {error}"
            raise Outage(Reason.JOB_LOST, sentence) from error

    def _headers(self, request_id: str) -> list[tuple[bytes, bytes]]:
        return [
            (b"Authorization", self._key.header()),
            (b"X-Client-Request-Id", request_id.encode()),
            (b"User-Agent", f"interhuman2mqtt/{__version__}".encode()),
            (b"Accept", b"application/json"),
        ]


def _accepted(response: HttpResponse) -> HttpResponse:
    """Return an answer that is 2xx; raise what another one means."""
    if 200 <= response.status < 300:
        return response
    refusal = error_table.refusal(response.status, response.headers, response.body, utc_now())
    if response.status >= 500 and error_table.named_error(response.body) is None:
        # A gateway speaks, and what it could not pass back may have been an acceptance.
        raise http.Unanswered(refusal.reason, refusal.detail, refusal.retry_after)
    raise refusal


def _understood(response: HttpResponse, parse: Callable[[bytes], Answer], reason: Reason, what: str) -> Answer:
    try:
        return parse(response.body)
    except Unreadable as error:
        raise Outage(reason, f"{what}: HTTP {response.status}, {error}") from error
