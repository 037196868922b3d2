"""The client of the upload endpoints against the simulator, and against servers that are none."""

import json
from pathlib import Path

import pytest
import trio
from msgspec import structs
from trio.testing import MockClock, lockstep_stream_pair, memory_stream_pair

from interhuman2mqtt.cloud.http import ApiKey, HostPort
from interhuman2mqtt.config import SecretRef
from interhuman2mqtt.errors import Outage, Overloaded, Reason, Refused
from interhuman2mqtt.simulator.errors import CATALOGUE
from interhuman2mqtt.simulator.settings import Key, Uploads
from interhuman2mqtt.upload import client as client_module
from interhuman2mqtt.upload import http as upload_http
from interhuman2mqtt.upload.client import SIZE_MAX, UploadClient, endpoint_of
from interhuman2mqtt.upload.current_key import CurrentKey
from interhuman2mqtt.upload.error_table import ERRORS
from interhuman2mqtt.upload.result import JobStatus
from simulator.helpers import clip
from support.processes import PATIENCE_S
from upload.helpers import FAR, KEY, SUBMISSION, answering, client_of, client_of_simulator, http_answer, request_of

DONE = {
    "job_id": "3f1c2b7a9d4e4c8fa1b2c3d4e5f60718",
    "status": "completed",
    "result": {"duration_seconds": 4.0, "window_seconds": 5.0, "windows": [], "signals": []},
}


@pytest.fixture(autouse=True)
def _looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "POLL_S", 0.02)


@pytest.mark.parametrize("as_path", [True, False])
async def test_a_file_becomes_a_job_and_a_result(tmp_path: Path, *, as_path: bool) -> None:
    """A file, on the disk or in memory, is submitted and read back with every section."""
    file = tmp_path / "meeting.mp4"
    file.write_bytes(clip(12))
    async with client_of_simulator(save=tmp_path) as client:
        with trio.fail_after(PATIENCE_S):
            job = await client.wait_for(await client.submit(file if as_path else clip(12), SUBMISSION))
    assert job.analysis is not None
    assert job.analysis.malformed == ()
    assert job.analysis.duration == pytest.approx(12, abs=0.1)
    assert len(job.analysis.engagement) == 3
    assert job.analysis.signals
    assert job.analysis.overall is not None
    assert len(job.analysis.timeline or ()) == 3
    lines = [json.loads(line) for line in (tmp_path / "sessions.jsonl").read_text().splitlines()]
    assert lines[-1]["request_id"] == SUBMISSION.request_id
    assert lines[-1]["filename"] == "recording.mp4"
    assert (tmp_path / lines[-1]["file"]).read_bytes() == clip(12)


async def test_inter_1_answers_with_the_analysis() -> None:
    """On v1 the answer of the upload is the analysis, and there is no job."""
    async with client_of_simulator(version=1) as client:
        analysis = await client.analyze_v1(clip(12), SUBMISSION)
    assert analysis.malformed == ()
    assert analysis.signals[0].data["modality"] == ["audio", "visual"]
    assert [span.end for span in analysis.engagement[:2]] == [5, 10]


@pytest.mark.parametrize(
    ("url", "base", "version"),
    [
        ("wss://api.interhuman.ai/v2/stream/analyze", "https://api.interhuman.ai", 2),
        ("wss://api.interhuman.ai/v1/stream/analyze", "https://api.interhuman.ai", 1),
        ("ws://127.0.0.1:8765/gate/v2/stream/analyze", "http://127.0.0.1:8765/gate", 2),
        ("wss://api.interhuman.ai/v3/stream/analyze", "https://api.interhuman.ai", 2),
    ],
)
def test_the_endpoint_stands_beside_the_stream(url: str, base: str, version: int) -> None:
    """Files go to where the sessions go: same host, same prefix, same version, the newest known for a newer one."""
    endpoint = endpoint_of(url)
    assert (endpoint.server.url, endpoint.version) == (base, version)


def test_a_url_of_another_form_has_no_upload_endpoint() -> None:
    """Where no path is known files are not sent to a guess."""
    with pytest.raises(Refused, match="does not end in /v2/stream/analyze"):
        endpoint_of("wss://cloud.example/analyze")


async def test_each_documented_error_has_its_outage() -> None:
    """Each error that the API documents is an Outage with a sentence of ours, the cloud's id and words behind it."""
    codes = sorted(CATALOGUE)
    async with client_of_simulator(*(f"upload-error={code}" for code in codes)) as client:
        for code in codes:
            outage = await refused(client)
            assert f"(HTTP {CATALOGUE[code].status}: {code}: Refused because a fault was" in outage.detail
            if code in ERRORS:
                assert type(outage) is ERRORS[code].outcome
                assert ": " in ERRORS[code].sentence  # what it is, and what to do


FAULTS: dict[str, tuple[type[Outage], Reason]] = {
    "upload-status=413": (Refused, Reason.MEDIA_REJECTED),
    "upload-status=301": (Outage, Reason.PROTOCOL),
    "upload-status=403": (Refused, Reason.SCOPE_MISSING),
    "upload-status=404": (Refused, Reason.BAD_REQUEST),
    "upload-status=429": (Overloaded, Reason.RATE_LIMITED),
    "upload-status=204": (Outage, Reason.JOB_LOST),
    "upload-lost": (Outage, Reason.JOB_LOST),
    "upload-garbage=empty": (Outage, Reason.JOB_LOST),
    "upload-garbage=text": (Outage, Reason.JOB_LOST),
    "upload-garbage=cut": (Outage, Reason.JOB_LOST),
    "upload-garbage=binary": (Outage, Reason.JOB_LOST),
    "upload-garbage=list": (Outage, Reason.JOB_LOST),
    "upload-garbage=types": (Outage, Reason.JOB_LOST),
    "upload-garbage=result": (Outage, Reason.JOB_LOST),
}


async def test_faults_of_a_submit() -> None:
    """Whatever answers a submit is an Outage: what may have been accepted is lost, the rest is not."""
    async with client_of_simulator(*FAULTS) as client:
        for fault, expected in FAULTS.items():
            outage = await refused(client)
            assert (fault, type(outage), outage.reason) == (fault, *expected)
            assert KEY not in str(outage)


async def refused(client: UploadClient) -> Outage:
    with pytest.raises(Outage) as caught:
        await client.submit(clip(4), SUBMISSION)
    return caught.value


@pytest.mark.parametrize(
    "faults",
    [
        ("poll-error=ih1003,times=2",),
        ("poll-status=504,times=2",),
        ("poll-garbage=text", "poll-garbage=binary", "poll-garbage=result"),
        ("poll-slow=0.0001",),
        ("poll-status=404",),
    ],
)
async def test_a_look_that_fails_does_not_end_the_job(faults: tuple[str, ...]) -> None:
    """The analysis goes on without us, so what goes wrong with a look is tried again."""
    async with client_of_simulator(*faults) as client:
        with trio.fail_after(PATIENCE_S):
            job = await client.wait_for(await client.submit(clip(4), SUBMISSION))
    assert job.status is JobStatus.COMPLETED


async def test_a_job_that_is_gone_is_lost() -> None:
    """A job that the cloud no longer knows is not asked for again."""
    async with client_of_simulator("job-lost") as client:
        with pytest.raises(Outage) as caught:
            await client.wait_for(await client.submit(clip(4), SUBMISSION))
    assert (type(caught.value), caught.value.reason) == (Outage, Reason.JOB_LOST)


@pytest.mark.parametrize(
    ("code", "reason"),
    [("ih1004", Reason.CLOUD_ERROR), ("ih5002", Reason.MEDIA_REJECTED), ("ih9999", Reason.CLOUD_ERROR)],
)
async def test_a_job_that_fails_says_why(code: str, reason: Reason) -> None:
    """A job that failed is a value, with the outage that it means."""
    async with client_of_simulator(f"job-failed={code}") as client:
        job = await client.wait_for(await client.submit(clip(4), SUBMISSION))
    assert job.status is JobStatus.FAILED
    assert job.failure is not None
    assert (job.failure.reason, code in job.failure.detail) == (reason, True)


async def test_a_scope_for_files() -> None:
    """A key that may only stream is told which scope it lacks."""
    async with client_of_simulator(keys=(Key(KEY),)) as client:
        with pytest.raises(Refused, match=r"lacks the scope interhumanai\.upload") as caught:
            await client.submit(clip(4), SUBMISSION)
    assert caught.value.reason is Reason.SCOPE_MISSING


async def test_a_job_is_not_waited_for_for_ever(autojump_clock: MockClock) -> None:
    """A job that never ends is an Outage after the time that was given, on a clock that is moved."""
    pending = http_answer(200, json.dumps({**DONE, "status": "running"}).encode())
    async with client_of(answering(pending)) as client:
        with pytest.raises(Outage, match="not done after 600 s") as caught:
            await client.wait_for(await client.job(DONE["job_id"]), within=600)  # type: ignore[arg-type]
    assert caught.value.reason is Reason.JOB_LOST
    assert 580 <= trio.current_time() <= 600


async def test_the_job_of_somebody_else_is_not_ours() -> None:
    """An answer about another job than was asked for is none, whatever it has found."""
    async with client_of(answering(http_answer(200, json.dumps(DONE).encode()))) as client:
        with pytest.raises(Outage, match="answered with another"):
            await client.job("0" * 32)


async def test_a_token_that_is_renewed_while_a_recording_is_sent(tmp_path: Path) -> None:
    """Each request goes with the key that is in the file then; where there is none the sentence names the file."""
    file = tmp_path / "token"
    sent: list[bytes] = []

    async def play(stream: trio.abc.Stream) -> None:
        sent.append(await request_of(stream))
        await stream.send_all(http_answer(200, json.dumps(DONE).encode()))

    async with client_of(play, CurrentKey(SecretRef(file=str(file)), "interhuman.api_key")) as client:
        for token in ("first", "second"):
            file.write_text(token)
            await client.job(str(DONE["job_id"]))
        file.unlink()
        with pytest.raises(Refused, match=f"interhuman.api_key: .*{file}") as caught:
            await client.job(str(DONE["job_id"]))
    assert [b"Bearer first" in sent[0], b"Bearer second" in sent[1], len(sent)] == [True, True, 2]
    assert caught.value.reason is Reason.SECRET_MISSING


@pytest.mark.parametrize(
    ("answer", "match"),
    [
        (b"", "ended the connection instead of answering"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "did not answer in HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{", "did not answer in HTTP"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"\xff" * 200_000, "did not answer in HTTP"),
        (http_answer(202, b'{"job_id": ""}'), "names no job"),
        (http_answer(202, b'{"job_id": "a/b"}'), "names no job"),
        (http_answer(202, b'{"job_id": "a\\u0000b"}'), "names no job"),
        (http_answer(202, b"[" * 100_000), "nested too deeply"),
        (http_answer(202, b'{"job_id": "a", "x": ' + b"[" * 100 + b"]" * 100 + b"}"), "nested too deeply"),
    ],
)
async def test_answers_that_are_none(answer: bytes, match: str) -> None:
    """What cannot be read after a whole file was sent is lost, and the sentence says how it cannot be read."""
    async with client_of(answering(answer)) as client:
        with pytest.raises(Outage, match=match) as caught:
            await client.submit(b"media", SUBMISSION)
    assert caught.value.reason is Reason.JOB_LOST


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_nobody_is_followed_elsewhere(status: int) -> None:
    """Where the cloud sends us to another host neither the file nor the key goes there."""
    dialled: list[HostPort] = []

    async def dial(address: HostPort) -> trio.abc.Stream:  # noqa: ASYNC124 - as Dial is called
        dialled.append(address)
        near, far = memory_stream_pair()
        nursery.start_soon(answering(http_answer(status, b"", "Location: http://elsewhere.example/")), far)
        return near

    async with trio.open_nursery() as nursery:
        with pytest.raises(Outage, match="sends us elsewhere, which is not followed"):
            await UploadClient(FAR, ApiKey(KEY), dial).submit(b"media", SUBMISSION)
    assert dialled == [HostPort("cloud.example", 80)]


async def test_an_error_whose_body_never_ends(autojump_clock: MockClock) -> None:
    """The status of an error is news enough: its body is waited for for seconds only."""

    async def play(stream: trio.abc.Stream) -> None:
        await stream.send_all(b"HTTP/1.1 429 Slow Down\r\nRetry-After: 7\r\nContent-Length: 5000\r\n\r\n<html>")
        await trio.sleep_forever()

    async with client_of(play) as client:
        with pytest.raises(Overloaded) as caught:
            await client.submit(b"media", SUBMISSION)
    assert caught.value.retry_after == 7
    assert trio.current_time() == upload_http.REFUSAL_TIMEOUT


async def test_an_answer_that_never_comes(autojump_clock: MockClock) -> None:
    """A server that takes the file and says nothing is waited for as long as the vendor's client waits."""

    async def play(stream: trio.abc.Stream) -> None:
        await request_of(stream)
        await trio.sleep_forever()

    async with client_of(play) as client:
        with pytest.raises(Outage, match="did not answer within 300 s") as caught:
            await client.submit(b"media", SUBMISSION)
    assert (caught.value.reason, trio.current_time()) == (Reason.JOB_LOST, 300)


async def test_an_uplink_that_stands_still(autojump_clock: MockClock) -> None:
    """A file that could not be sent whole was not accepted: that is no lost job."""

    async def dial(_: object) -> trio.abc.Stream:  # noqa: ASYNC124 - as Dial is called
        return lockstep_stream_pair()[0]  # whose sends wait for a reader

    client = UploadClient(endpoint_of("ws://cloud.example/v2/stream/analyze"), ApiKey(KEY), dial)
    with pytest.raises(Outage, match="the uplink is dead") as caught:
        await client.submit(b"media", SUBMISSION)
    assert (caught.value.reason, trio.current_time()) == (Reason.CONNECTION_LOST, upload_http.SEND_TIMEOUT)


async def test_a_connection_that_breaks_while_the_file_is_sent() -> None:
    """Half a file is not accepted by anybody."""

    async def play(stream: trio.abc.Stream) -> None:
        await stream.receive_some(10)
        await stream.aclose()

    async with client_of(play) as client:
        with pytest.raises(Outage, match="while it was sent") as caught:
            await client.submit(bytes(1 << 20), SUBMISSION)
    assert caught.value.reason is Reason.CONNECTION_LOST


async def test_an_early_refusal_ends_the_sending() -> None:
    """A gateway that refuses before it has read the file is understood, over a real connection."""
    async with client_of_simulator("upload-status=413") as client:
        with pytest.raises(Refused) as caught:
            await client.submit(bytes(SIZE_MAX - 1), SUBMISSION)
    assert caught.value.reason is Reason.MEDIA_REJECTED


async def test_a_gateway_that_does_not_wait_for_the_file() -> None:
    """A 503 without a body, which comes before the whole file was sent, is about no job: the file is sent again."""
    async with client_of_simulator("upload-status=503") as client:
        with pytest.raises(Outage) as caught:
            await client.submit(bytes(SIZE_MAX - 1), SUBMISSION)
    assert caught.value.reason is Reason.CLOUD_ERROR


async def test_a_gateway_that_has_the_whole_file() -> None:
    """One that comes after the whole file may stand before an acceptance: the job is lost."""
    async with client_of(answering(http_answer(503, b"bad gateway"))) as client:
        with pytest.raises(Outage, match="the whole file was sent") as caught:
            await client.submit(b"media", SUBMISSION)
    assert caught.value.reason is Reason.JOB_LOST


async def test_a_rate_is_kept(autojump_clock: MockClock) -> None:
    """A file that is sent at 2 Mbit/s takes as long as that says."""
    async with client_of(answering(http_answer(200, json.dumps(DONE).encode()))) as client:
        await client.submit(bytes(2_000_000), structs.replace(SUBMISSION, rate=2e6))
    assert trio.current_time() == pytest.approx(8, abs=0.1)


async def test_a_file_that_is_too_large_is_not_sent() -> None:
    """What is known to be refused is not sent at all."""
    async with client_of(answering(b"")) as client:
        with pytest.raises(Refused, match="larger than the cloud takes"):
            await client.submit(bytes(SIZE_MAX + 1), SUBMISSION)


async def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """A file that is not there is refused with its name; one that shrinks while it is sent is not accepted."""
    async with client_of_simulator() as client:
        with pytest.raises(Refused, match=r"gone\.mp4 cannot be read: No such file") as caught:
            await client.submit(tmp_path / "gone.mp4", SUBMISSION)
    assert caught.value.reason is Reason.NOT_FOUND
    file = tmp_path / "shrinks.mp4"
    file.write_bytes(bytes(200_000))

    async def play(stream: trio.abc.Stream) -> None:
        await stream.receive_some(10)
        file.write_bytes(b"")
        while await stream.receive_some(1 << 16):
            pass

    async with client_of(play) as client:
        with pytest.raises(Outage, match="became shorter while it was sent"):
            await client.submit(file, SUBMISSION)


async def test_a_job_of_its_own_number_of_places(autojump_clock: MockClock) -> None:
    """An id of a job goes into the path as one level, whatever it holds."""
    asked: list[bytes] = []

    async def play(stream: trio.abc.Stream) -> None:
        asked.append(await request_of(stream))
        await stream.send_all(http_answer(200, json.dumps(DONE).encode()))
        await stream.aclose()

    async with client_of(play) as client:
        with pytest.raises(Outage):  # it is another one
            await client.job("../a b?c")
    assert asked[0].startswith(b"GET /v2/upload/jobs/..%2Fa%20b%3Fc HTTP/1.1\r\n")
    assert b"authorization: Bearer " + KEY.encode() in asked[0].replace(b"Authorization", b"authorization")


async def test_capacity(tmp_path: Path) -> None:
    """An instance that holds as many jobs as it takes is an overload, which passes."""
    async with client_of_simulator(uploads=Uploads(queued=60, capacity=1)) as client:
        await client.submit(clip(4), SUBMISSION)
        with pytest.raises(Overloaded, match="as many jobs as it takes"):
            await client.submit(clip(4), SUBMISSION)
