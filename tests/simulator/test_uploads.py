"""The upload endpoints, asked by the vendor's own client, which runs on asyncio in a thread of its own."""

import io
from collections.abc import Callable, Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Any

import av
import httpx  # noqa: ASYNC127 - the vendor's client brings it
import pytest
from interhumanai import InterhumanAPIError, InterhumanClient, UploadClient, UploadJob, UploadModel
from msgspec import json

from interhuman2mqtt.simulator import upload_media, upload_result
from interhuman2mqtt.simulator.errors import Answer
from interhuman2mqtt.simulator.faults import parse_fault
from interhuman2mqtt.simulator.jobs import JobStore
from interhuman2mqtt.simulator.settings import (
    INTER_2,
    INTER_2_AUDIO,
    STREAM_SCOPE,
    UPLOAD_SCOPE,
    Key,
    Settings,
    Uploads,
    Version,
)
from interhuman2mqtt.simulator.upload_result import UploadOptions
from simulator.helpers import Sink, add_audio, audio_stream, clip, simulator
from simulator.test_sdk import http, in_asyncio

QUICK = Uploads(queued=0.02, running=0.02)
EVERYTHING = ("signals", "conversation_quality_overall", "conversation_quality_timeline")
Work = Callable[[UploadClient], Coroutine[Any, Any, Any]]


async def asked(work: Work, *faults: str, key: str = "k", save: Path | None = None, **settings: Any) -> Any:
    """What the SDK makes of a simulator with these faults."""
    uploads = settings.pop("uploads", QUICK)
    played = tuple(parse_fault(fault) for fault in faults)
    async with simulator(Settings(port=0, uploads=uploads, faults=played, save=save, **settings)) as address:
        client = InterhumanClient(access_token=key, base_url=http(address.url))
        return await in_asyncio(work(client.upload))


async def job_of(upload: UploadClient, file: bytes | None = None, model: str = INTER_2, **more: Any) -> UploadJob:
    submitted = await upload.submit(clip(12) if file is None else file, model=model, include=EVERYTHING, **more)
    return await upload.wait_for_job(submitted, poll_interval=0.02, timeout=20)


async def refusal(work: Work, *faults: str, key: str = "k", **settings: Any) -> tuple[int, str | None]:
    """Status and id of the SDK's exception."""

    async def refused(upload: UploadClient) -> InterhumanAPIError:
        with pytest.raises(InterhumanAPIError) as caught:
            await work(upload)
        return caught.value

    error = await asked(refused, *faults, key=key, **settings)
    return error.status, error.error_id


def sound(kind: str, codec: str, seconds: int = 4) -> bytes:
    """A file of sound alone."""
    file = Sink() if kind in {"webm", "ogg"} else io.BytesIO()
    with av.open(file, "w", format=kind) as container:
        stream = audio_stream(container, codec)
        for second in range(seconds):
            add_audio(container, stream, second)
        container.mux(stream.encode(None))
    return file.data if isinstance(file, Sink) else file.getvalue()


async def test_a_job_from_submit_to_result() -> None:
    """A job runs through its states, and its result has windows, merged spans and the quality that was asked for."""

    async def work(upload: UploadClient) -> tuple[UploadJob, UploadJob]:
        submitted = await upload.submit(clip(12), model=UploadModel.INTER_2, include=EVERYTHING, filename="a.mp4")
        return submitted, await upload.wait_for_job(submitted, poll_interval=0.01)

    submitted, done = await asked(work)
    assert (submitted.status, submitted.result) == ("queued", None)
    assert (submitted.status_url, len(submitted.job_id)) == (f"/v2/upload/jobs/{submitted.job_id}", 32)
    assert submitted.expires_at - submitted.created_at == timedelta(hours=1)
    assert (done.job_id, done.status) == (submitted.job_id, "completed")
    result = done.result
    assert result is not None
    assert result.duration_seconds == pytest.approx(12, abs=0.1)
    assert [(one.start_seconds, one.end_seconds) for one in result.windows[:2]] == [(0, 5), (5, 10)]
    assert result.signals
    assert {signal.type for signal in result.signals} == {
        one.type for window in result.windows for one in window.signals
    }
    assert result.conversation_quality is not None
    assert result.conversation_quality.overall is not None
    assert len(result.conversation_quality.timeline or ()) == len(result.windows)


async def test_what_was_not_asked_for_is_left_out() -> None:
    """Without flags a result has windows and nothing else."""
    done = await asked(lambda upload: upload.submit(clip(4), model=INTER_2, wait_seconds=20))
    assert done.status == "completed"
    assert (done.result.signals, done.result.conversation_quality) == (None, None)


async def test_inter_1_answers_at_once() -> None:
    """The synchronous endpoint answers with signals, engagement, quality and feedback, each where it was asked for."""

    async def work(upload: UploadClient) -> Any:
        whole = await upload.analyze(clip(12), include=EVERYTHING[1:], goal_dimensions=["clarity"])
        return whole, await upload.analyze(clip(12))

    whole, bare = await asked(work)
    assert [entry.end for entry in whole.engagement_state[:2]] == [5, 10]
    assert whole.signals[0].modality == ["audio", "visual"]
    assert whole.conversation_quality.overall.quality_index > 0
    assert whole.feedback.active_dimensions == ["clarity"]
    assert (bare.conversation_quality, bare.feedback) == (None, None)


async def test_a_submit_waits_no_longer_than_it_was_asked_to() -> None:
    """A submit that waits answers with the finished job, or with the pending one when its time is over."""

    async def work(upload: UploadClient) -> Any:
        return await upload.submit(clip(4), model=INTER_2, wait_seconds=1)

    assert (await asked(work)).is_terminal
    assert (await asked(work, uploads=Uploads(queued=0.1, running=60))).status == "running"
    assert (await asked(work, "job-failed=ih1004")).error.error_id == "ih1004"


@pytest.mark.parametrize(
    ("kind", "codec"),
    [
        ("wav", "pcm_s16le"),
        ("flac", "flac"),
        ("mp3", "libmp3lame"),
        ("ipod", "aac"),
        ("ogg", "libopus"),
        ("webm", "libopus"),
    ],
)
def test_sound_alone(kind: str, codec: str) -> None:
    """inter-2-audio takes the documented files of sound."""
    media = upload_media.check(sound(kind, codec), INTER_2_AUDIO, Uploads())
    assert media.duration == pytest.approx(4, abs=0.15)


MKV = clip(4, video=None, audio="aac", kind="matroska")


@pytest.mark.parametrize(
    ("file", "model", "code"),
    [
        pytest.param(b"no media at all" * 99, INTER_2, "ih4002", id="text"),
        pytest.param(sound("wav", "pcm_s16le"), INTER_2, "ih4002", id="container of sound"),
        pytest.param(MKV, INTER_2_AUDIO, "ih4002", id="container of video"),
        pytest.param(clip(2), INTER_2, "ih4007", id="short"),
        pytest.param(clip(7), INTER_2, "ih4004", id="long"),
        pytest.param(clip(4) + bytes(1 << 20), INTER_2, "ih4003", id="large"),
        pytest.param(clip(4, video=None), INTER_2, "ih5001", id="no video"),
        pytest.param(clip(4, audio=None), INTER_2, "ih5008", id="no audio"),
        pytest.param(clip(4)[:1500], INTER_2, "ih5002", id="no media in it"),
    ],
)
def test_files_that_are_not_taken(file: bytes, model: str, code: str) -> None:
    """Each documented fault of a file has its own error."""
    with pytest.raises(Answer) as caught:
        upload_media.check(file, model, Uploads(max_size=1 << 20, max_duration=6.0))
    assert caught.value.error.code == code


async def test_what_is_asked_wrongly() -> None:
    """A submit that is not as documented earns the documented error, before any job is made."""
    keys = (Key("k", (UPLOAD_SCOPE,)), Key("streams", (STREAM_SCOPE,)))

    async def work(upload: UploadClient, **more: Any) -> Any:
        await upload.submit(clip(4), **{"model": INTER_2, **more})

    expected = [
        ({"model": "inter-9"}, (400, "ih4005")),
        ({"wait_seconds": 121}, (400, "ih4005")),
        ({"include": ["everything"]}, (400, "ih4005")),
        ({"model": "inter-2-deep"}, (403, "ih2003")),
    ]
    for more, answer in expected:
        assert await refusal(lambda upload, more=more: work(upload, **more), keys=keys) == answer  # type: ignore[misc]
    assert await refusal(work, key="streams", keys=keys) == (403, "ih2003")
    assert await refusal(work, key="nobody", keys=keys) == (401, "ih2001")
    assert await refusal(lambda upload: upload.submit(b"", model=INTER_2)) == (400, "ih4001")
    assert await refusal(lambda upload: upload.get_job("f" * 32)) == (404, "ih4021")


FAULTS = [
    ("upload-error=ih3003", 429, "ih3003"),
    ("upload-error=ih4003", 413, "ih4003"),
    ("upload-status=413", 413, None),
    ("upload-status=502", 502, None),
    ("upload-lost", 0, None),
    ("upload-garbage=cut", 200, None),
    ("upload-garbage=binary", 200, None),
    ("poll-error=ih1003", 503, "ih1003"),
    ("poll-status=504", 504, None),
    ("poll-garbage=text", 200, None),
    ("job-lost", 404, "ih4021"),
]


@pytest.mark.parametrize(("fault", "status", "code"), FAULTS)
async def test_faults(fault: str, status: int, code: str | None) -> None:
    """The client sees each fault once, and gets what it asked for when it asks again."""

    async def work(upload: UploadClient) -> tuple[Any, UploadJob]:
        with pytest.raises(InterhumanAPIError) as caught:
            await job_of(upload)
        return caught.value, await job_of(upload)

    error, done = await asked(work, fault)
    assert (error.status, error.error_id) == (status, code)
    assert done.status == "completed"


async def test_a_slow_body() -> None:
    """An answer may come byte by byte."""
    done = await asked(job_of, "upload-slow=0.0001")
    assert done.status == "completed"


async def test_a_large_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    """A gateway's 413 comes while the file is still being sent, and nothing is accepted."""
    large = clip(4) + bytes(8 << 20)
    assert (await refusal(lambda upload: upload.submit(large, model=INTER_2), "upload-status=413"))[0] in {0, 413}


async def test_a_lost_answer_is_a_job_all_the_same(tmp_path: Path) -> None:
    """What is accepted is on record with its file, also where the client never gets to know the job."""

    async def work(upload: UploadClient) -> None:
        with pytest.raises(InterhumanAPIError):
            await upload.submit(clip(4), model=INTER_2, filename="lost.mp4")

    await asked(work, "upload-lost", save=tmp_path)
    lines = [json.decode(line) for line in (tmp_path / "sessions.jsonl").read_bytes().splitlines()]
    [uploaded] = [line for line in lines if line["what"] == "uploaded"]
    assert (uploaded["filename"], uploaded["number"], len(uploaded["job"])) == ("lost.mp4", 1, 32)
    assert (tmp_path / uploaded["file"]).read_bytes() == clip(4)


def test_a_job_is_what_its_age_makes_it() -> None:
    """A job is queued, running, done, and gone after its lifetime, by a clock that is moved at will."""
    now = 100.0
    store = JobStore(Uploads(queued=5, running=10, lifetime=3600, capacity=1), lambda: now)
    job = store.add("k", INTER_2, {}, None)
    for now, status in ((100.0, "queued"), (105.0, "running"), (115.0, "completed")):  # noqa: B007 - the store's clock
        assert store.envelope(job)["status"] == status
    store.check_capacity()
    with pytest.raises(Answer, match="no such job"):
        store.find(job.id, "somebody else")
    now = 3699.0
    assert store.find(job.id, "k") == job
    now = 3700.0
    with pytest.raises(Answer, match="expired"):
        store.find(job.id, "k")


def test_an_instance_takes_so_many_jobs() -> None:
    """While a job is unfinished a store of one takes no other."""
    store = JobStore(Uploads(capacity=1), lambda: 0.0)
    store.check_capacity()
    store.add("k", INTER_2, {}, None)
    with pytest.raises(Answer) as caught:
        store.check_capacity()
    assert caught.value.error.code == "ih1002"


def test_spans_are_merged() -> None:
    """Signals of one type in adjacent windows are one span, with the highest probability and its rationale."""
    options = UploadOptions(Version.V2, INTER_2)
    seen = upload_result.windows(600, options, "seed")
    spans = upload_result.merged(seen)
    assert {span["type"] for span in spans} == {signal["type"] for window in seen for signal in window.signals}
    assert any(span["end"] - span["start"] > upload_result.WINDOW for span in spans)
    for span in spans:
        assert [other for other in spans if (other["type"], other["start"]) == (span["type"], span["end"])] == []
    assert seen == upload_result.windows(600, options, "seed")


async def test_another_path_is_no_endpoint() -> None:
    """Plain HTTP elsewhere is answered with 404 in the API's form."""
    async with simulator(Settings(port=0)) as address:
        answer = await in_asyncio(get(f"{http(address.url)}/v3/upload/analyze"))
    assert (answer.status_code, answer.json()["error_id"]) == (404, "ih4005")
    assert answer.headers["x-correlation-id"] == answer.json()["correlation_id"]


async def get(url: str) -> httpx.Response:
    async with httpx.AsyncClient() as client:
        return await client.get(url)
