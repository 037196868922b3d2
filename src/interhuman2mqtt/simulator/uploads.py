"""The upload endpoints, of v1 (the answer has the analysis) and v2 (a job, read back by its id), with their faults."""

from functools import partial
from typing import NamedTuple

import msgspec
import structlog
import trio

from interhuman2mqtt.simulator import upload_media, upload_result
from interhuman2mqtt.simulator.admission import Admission, TurnedAway
from interhuman2mqtt.simulator.archive import Archive
from interhuman2mqtt.simulator.errors import Answer, lookup
from interhuman2mqtt.simulator.faults import Fault, FaultPlan, Stage
from interhuman2mqtt.simulator.http import Exchange, HttpResponse, RequestHead, error_response, json_response
from interhuman2mqtt.simulator.jobs import Job, JobStore
from interhuman2mqtt.simulator.multipart import Form, parse_form
from interhuman2mqtt.simulator.settings import (
    GOAL_DIMENSIONS,
    INCLUDE_FLAGS,
    INTER_2,
    INTER_2_AUDIO,
    INTER_2_DEEP,
    UPLOAD_SCOPE,
    Key,
    Settings,
    Version,
)
from interhuman2mqtt.simulator.upload_media import UploadedMedia
from interhuman2mqtt.simulator.upload_result import UploadOptions

SUBMIT = {"/v1/upload/analyze": Version.V1, "/v2/upload/analyze": Version.V2}
JOBS = "/v2/upload/jobs/"
MODELS = (INTER_2, INTER_2_AUDIO, INTER_2_DEEP)
_DEEP_SCOPE = f"{UPLOAD_SCOPE}.{INTER_2_DEEP}"
_LEGACY = {f"{UPLOAD_SCOPE}.{model}" for model in (INTER_2, INTER_2_AUDIO)}
"""Older names of the scope. (SDK 1.3.4, `types.Scope`)"""
_TRICKLE = 0.05
"""Seconds between two bytes of a slow body, unless asked for otherwise."""
GARBAGE: dict[str, bytes] = {
    "empty": b"",
    "text": b"not JSON at all",
    "cut": b'{"job_id": "3f1c2b7a9d4e4c8fa1b2c3d4e5f60718", "status": "que',
    "binary": b"\xff\xfe\x00{\x80}",
    "list": b"[1, 2, 3]",
    "types": b'{"job_id": 7, "status": {}, "result": [], "signals": 5, "engagement_state": "no"}',
    "result": b'{"job_id": "3f1c2b7a9d4e4c8fa1b2c3d4e5f60718", "status": "completed", "result": '
    b'{"duration_seconds": 1e999, "windows": [{"start_seconds": -1e300, "engagement_status": null, "signals": 7}, 5]}}',
}
"""What answers with 200 and is none, by sort."""

log = structlog.get_logger()


class _Submit(NamedTuple):
    """A submit that was read."""

    head: RequestHead
    key: Key
    form: Form
    options: UploadOptions
    wait: int


class UploadEndpoints:
    """Serves uploads and the reading of jobs."""

    def __init__(self, settings: Settings, plan: FaultPlan, admission: Admission, archive: Archive) -> None:
        self._settings = settings
        self._plan = plan
        self._admission = admission
        self._archive = archive
        self._jobs = JobStore(settings.uploads, trio.current_time)
        self._accepted = 0

    def serves(self, path: str) -> bool:
        """Decide whether a path is one of these."""
        return path in SUBMIT or path.startswith(JOBS)

    async def serve(self, head: RequestHead, exchange: Exchange) -> None:
        """Answer one request."""
        submits = head.path in SUBMIT
        fault = self._plan.take(Stage.UPLOAD if submits else Stage.POLL, self._accepted + submits)
        if fault is not None:
            self._archive.write("fault", None, head.request_id, kind=fault.kind, argument=fault.argument)
        if fault is not None and fault.kind.endswith("-status"):  # a gateway: it reads no body
            await exchange.respond(_gateway(int(fault.argument)))
            return
        response = await self._response(head, exchange, fault)
        if fault is not None and fault.kind == "upload-lost" and response.status < 300:
            return
        await exchange.respond(response, pause=_pause(fault))

    async def _response(self, head: RequestHead, exchange: Exchange, fault: Fault | None) -> HttpResponse:
        body = await exchange.body()
        try:
            _refuse_by(fault)
            key = self._authenticate(head)
            if head.path not in SUBMIT:
                response = self._read_job(head, key)
            else:
                response = await self._submit(_read_submit(head, key, body, self._settings), fault)
        except (Answer, TurnedAway) as refusal:
            self._archive.write("refused", None, head.request_id, code=refusal.error.code, status=refusal.error.status)
            log.info("upload refused", path=head.path, code=refusal.error.code, why=refusal.message)
            return error_response(refusal.error, refusal.message)
        if fault is not None and fault.kind.endswith("-garbage"):
            return HttpResponse(200, GARBAGE[fault.argument or "text"])
        return response

    def _authenticate(self, head: RequestHead) -> Key:
        if head.method != ("POST" if head.path in SUBMIT else "GET"):
            raise Answer("ih4005", f"{head.method} is not allowed here.")
        key = self._admission.authenticate(head.credential)
        if not {UPLOAD_SCOPE, *_LEGACY} & set(key.scopes):
            raise Answer("ih2003", f"The credential lacks the scope {UPLOAD_SCOPE}.")
        return key

    def _read_job(self, head: RequestHead, key: Key) -> HttpResponse:
        job = self._jobs.find(head.path.removeprefix(JOBS), key.account or key.credential)
        if self._plan.take(Stage.JOB_LOST, self._accepted) is not None:
            self._jobs.forget(job.id)
            job = self._jobs.find(job.id, key.account or key.credential)
        return json_response(200, self._jobs.envelope(job))

    async def _submit(self, submit: _Submit, fault: Fault | None) -> HttpResponse:
        payload = submit.form.file or b""
        check = partial(upload_media.check, payload, submit.options.model, self._settings.uploads)
        media = await trio.to_thread.run_sync(check)
        if submit.options.version is Version.V2:
            self._jobs.check_capacity()
        self._accepted += 1
        seed = f"{self._settings.seed}/upload/{self._accepted}"
        if submit.options.version is Version.V1:
            self._record(submit, media, None)
            await trio.sleep(self._settings.uploads.queued + self._settings.uploads.running)
            return json_response(200, upload_result.v1(media.duration, submit.options, seed))
        fails = self._plan.take(Stage.JOB, self._accepted)
        result = upload_result.v2(media.duration, submit.options, seed)
        failure = None if fails is None else fails.argument
        job = self._jobs.add(submit.key.account or submit.key.credential, submit.options.model or "", result, failure)
        self._record(submit, media, job)
        if fault is None or fault.kind != "upload-lost":
            await trio.sleep(min(float(submit.wait), self._jobs.seconds_left(job)))
        done = submit.wait > 0 and self._jobs.is_done(job)
        return json_response(200 if done else 202, self._jobs.envelope(job))

    def _record(self, submit: _Submit, media: UploadedMedia, job: Job | None) -> None:
        payload = submit.form.file or b""
        file = f"upload-{self._accepted}.{media.suffix}"
        self._archive.append(file, payload)
        self._archive.write(
            "uploaded",
            None,
            submit.head.request_id,
            number=self._accepted,
            job=None if job is None else job.id,
            options=msgspec.to_builtins(submit.options),
            filename=submit.form.filename,
            size=len(payload),
            duration=round(media.duration, 3),
            file=file,
        )
        log.info("file accepted", number=self._accepted, seconds=round(media.duration, 1), bytes=len(payload))


def _read_submit(head: RequestHead, key: Key, body: bytes, settings: Settings) -> _Submit:
    form = parse_form(head.headers.get("content-type", ""), body)
    version = SUBMIT[head.path]
    wait = form.one("wait_seconds") or "0"
    if not wait.isascii() or not wait.isdigit() or int(wait) > settings.uploads.wait_max:
        raise Answer("ih4005", f"wait_seconds must be from 0 to {settings.uploads.wait_max}.")
    if not form.file:
        raise Answer("ih4001", "The form has no file.")
    flags = (*INCLUDE_FLAGS, "signals") if version is Version.V2 else INCLUDE_FLAGS
    options = UploadOptions(
        version=version,
        model=_model(form, key, settings) if version is Version.V2 else None,
        include=_known(form, "include[]", flags),
        goal_dimensions=_known(form, "goal_dimensions[]", GOAL_DIMENSIONS) if version is Version.V1 else (),
        conversation_context=form.one("conversation_context") if version is Version.V1 else None,
    )
    return _Submit(head, key, form, options, int(wait) if version is Version.V2 else 0)


def _model(form: Form, key: Key, settings: Settings) -> str:
    model = form.one("model")
    if model not in MODELS:
        raise Answer("ih4005", f"model: '{model}' is not one of {', '.join(MODELS)}.")
    if model == INTER_2_DEEP and _DEEP_SCOPE not in key.scopes:
        raise Answer("ih2003", f"The credential lacks the scope {_DEEP_SCOPE}.")
    if model != INTER_2_DEEP and model not in settings.models:
        raise Answer("ih1003", f"No backend serves the model '{model}' now.")
    return model


def _known(form: Form, name: str, allowed: tuple[str, ...]) -> tuple[str, ...]:
    values = tuple(form.fields.get(name, ()))
    for value in values:
        if value not in allowed:
            raise Answer("ih4005", f"{name}: '{value}' is not one of {', '.join(allowed)}.")
    return values


def _refuse_by(fault: Fault | None) -> None:
    if fault is not None and fault.kind.endswith("-error"):
        raise Answer(fault.argument, "Refused because a fault was asked for.")


def _gateway(status: int) -> HttpResponse:
    body = b"" if status in {204, 304} else b"<html><h1>no such upstream</h1></html>"  # RFC 9110, 15.3.5 and 15.4.5
    return HttpResponse(status, body, "text/html")


def _pause(fault: Fault | None) -> float:
    if fault is None or not fault.kind.endswith("-slow"):
        return 0.0
    return _TRICKLE if fault.seconds is None else fault.seconds


def unknown_endpoint(head: RequestHead) -> HttpResponse:
    """Return what answers a path that is none of the API's."""
    return error_response(lookup("ih4005"), f"No such endpoint: {head.path}", 404)
