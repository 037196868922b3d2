"""`analyze`: recordings become a timeline, lines of JSON, or late events on MQTT; or a sentence and a status."""

import glob
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import trio

from interhuman2mqtt import cli, exit_codes
from interhuman2mqtt.simulator.faults import parse_fault
from interhuman2mqtt.simulator.settings import Settings, Uploads
from simulator.helpers import simulator
from support.mosquitto import mosquitto, subscribed
from support.processes import PATIENCE_S
from upload.helpers import KEY, QUICK
from upload.recordings import recording

NO_BROKER = "mqtt://localhost:1"


class Answer(NamedTuple):
    """What a command ended with."""

    status: int
    out: str
    err: str

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


def words(folder: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "interhuman2mqtt", "analyze", *arguments, "--config", str(folder / "box.toml")]


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "STATE_DIRECTORY": str(folder / "state"), "API_KEY": KEY, "TMPDIR": str(folder)}


async def analyze(folder: Path, *arguments: str) -> Answer:
    with trio.fail_after(60):
        done = await trio.run_process(
            words(folder, *arguments),
            env=environment(folder),
            capture_stdout=True,
            capture_stderr=True,
            check=False,
        )
    return Answer(done.returncode, done.stdout.decode(), done.stderr.decode())


async def forget(folder: Path, camera: str) -> str:
    """What `forget` says."""
    line = [sys.executable, "-m", "interhuman2mqtt", "forget", camera]
    done = await trio.run_process(line, env=environment(folder), capture_stdout=True, check=False)
    return done.stdout.decode()


def configure(folder: Path, cloud: str, broker: str = NO_BROKER, more: str = "") -> None:
    (folder / "box.toml").write_text(
        f'[box]\nid = "lobby-1"\n[interhuman]\nurl = "{cloud}"\napi_key = {{ env = "API_KEY" }}\n'
        f'[mqtt]\nurl = "{broker}"\n{more}\n[cameras.front]\nsource = "test:"\n'
    )


@asynccontextmanager
async def configured(
    folder: Path, *faults: str, broker: str = "mqtt://localhost:1", more: str = ""
) -> AsyncIterator[None]:
    """A configuration whose cloud is a simulator."""
    played = tuple(parse_fault(fault) for fault in faults)
    async with simulator(Settings(port=0, faults=played, uploads=QUICK, save=folder)) as address:
        configure(folder, f"{address.url}/v2/stream/analyze", broker, more)
        yield


def uploads(folder: Path) -> int:
    return (folder / "sessions.jsonl").read_text().count('"uploaded"')


async def test_a_timeline_and_its_events(tmp_path: Path) -> None:
    """A recording becomes a timeline for people; a second run has the same as JSON, and sends nothing again."""
    async with configured(tmp_path, more='[privacy]\nredact = ["rationale"]'):
        shown = await analyze(tmp_path, str(recording("meeting.mp4")))
        assert (shown.status, shown.err.splitlines()[-1]) == (0, "meeting.mp4: analysed")
        head, *rows = shown.out.splitlines()
        assert head == "meeting.mp4: 0:08, inter-2 (recorded 2026-11-20 09:30:00 UTC, says the file)"
        assert rows[0].split() == ["0:00", "engagement:", rows[0].split()[-1]]
        assert any("conversation quality" in row for row in rows)
        again = await analyze(tmp_path, str(recording("meeting.mp4")), "--json", "--at", "2026-11-22T10:00Z")
    assert (again.status, uploads(tmp_path)) == (0, 1)
    assert {line["origin"] for line in again.lines} == {"upload"}
    assert {line["file"] for line in again.lines} == {str(recording("meeting.mp4"))}
    assert {line["start_at"][:16] for line in again.lines} == {"2026-11-22T10:00"}
    assert "rationale" not in again.out + shown.out
    assert list(glob.glob(f"{tmp_path}/interhuman2mqtt-parts-*")) == []  # noqa: PTH207 - of pathlib's it is said to block


async def test_what_is_published_comes_late_and_once(tmp_path: Path) -> None:
    """Events go to the camera's late topics, retained nowhere, twice with the same ids, and to no other topic."""
    async with (
        mosquitto(tmp_path) as broker,
        subscribed(broker, as_published=True) as subscriber,
        configured(tmp_path, broker=broker.url),
    ):
        command = (str(recording("meeting.mp4")), "--camera", "front", "--publish")
        assert (await analyze(tmp_path, *command)).status == 0
        answer = await analyze(tmp_path, *command)
        count = int(answer.out.split()[1])
        assert answer.out == f"meeting.mp4: {count} events published below interhuman/lobby-1/front/late\n"
        messages = await subscriber.wait_for(lambda seen: len(seen) == 2 * count)
    assert {message.topic.rpartition("/")[0] for message in messages} == {"interhuman/lobby-1/front/late"}
    assert not any(message.retained for message in messages)
    assert "what was found in 1 of its recordings is gone" in await forget(tmp_path, "front")
    assert list((tmp_path / "state").glob("recordings/*.json")) == []
    ids = [json.loads(message.payload)["id"] for message in messages]
    assert ids[:count] == ids[count:]
    assert len(set(ids)) == count


@pytest.mark.full
async def test_a_run_that_is_interrupted_goes_on(tmp_path: Path) -> None:
    """Ctrl-C while the cloud analyses ends with 130 and a sentence; the next run has the result of that job."""
    slow = Settings(port=0, uploads=Uploads(queued=5, running=0.1), save=tmp_path)
    async with simulator(slow) as address, trio.open_nursery() as nursery:
        configure(tmp_path, f"{address.url}/v2/stream/analyze")
        line = words(tmp_path, str(recording("meeting.mp4")))
        run = partial(trio.run_process, line, env=environment(tmp_path), stdout=subprocess.DEVNULL, check=False)
        process = await nursery.start(run)
        with trio.fail_after(PATIENCE_S):
            while not _has_job(tmp_path):  # noqa: ASYNC110 - a file wakes nobody
                await trio.sleep(0.02)
        process.send_signal(signal.SIGINT)
        assert await process.wait() == exit_codes.INTERRUPTED
        answer = await analyze(tmp_path, str(recording("meeting.mp4")))
        assert (answer.status, uploads(tmp_path)) == (0, 1)


def _has_job(folder: Path) -> bool:
    return any('"submitted"' in file.read_text() for file in (folder / "state" / "recordings").glob("*.json"))


async def test_one_recording_that_fails_costs_no_other(tmp_path: Path) -> None:
    """Each recording has its result or a sentence, and the status says whether all are well."""
    async with configured(tmp_path, "upload-error=ih5002"):
        files = [str(recording(name)) for name in ("cut.mp4", "meeting.mp4", "music.mp3")]
        answer = await analyze(tmp_path, *files, "--json")
    assert answer.status == exit_codes.UNAVAILABLE
    failed = [line for line in answer.lines if line["type"] == "analyze.failed"]
    assert [(Path(line["file"]).name, line["reason"]) for line in failed] == [
        ("cut.mp4", "invalid_media"),
        ("meeting.mp4", "media_rejected"),
    ]
    assert "meeting.mp4: 0:00 - 0:08: media_rejected: the cloud could not decode the file: play it" in answer.err
    assert "music.mp3: note: it has no video: it is analysed by inter-2-audio" in answer.err
    assert {Path(line["file"]).name for line in answer.lines if line["type"] != "analyze.failed"} == {"music.mp3"}


@pytest.mark.full
async def test_events_that_cannot_be_published_are_kept(tmp_path: Path) -> None:
    """Without a broker, or without a date, the result is kept, and the sentence says how to have it published."""
    async with configured(tmp_path):
        command = (str(recording("silent.mp4")), "--camera", "frnt", "--publish")
        undated = await analyze(tmp_path, *command)
        away = await analyze(tmp_path, *command, "--at", "2026-11-22T10:00")
    assert (undated.status, away.status, uploads(tmp_path)) == (69, 69, 1)
    assert 'note: frnt is no camera of this box; did you mean "front"?' in undated.err
    assert "clock_unset: when it was recorded is not known, so nothing was published: say it by --at" in undated.err
    assert "broker_unreachable: its events were not all published: " in away.err
    assert away.err.rstrip().endswith("(the same command publishes them, with the same ids, and sends nothing again)")


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        (["a.mp4", "--publish"], 2, "--publish needs --camera"),
        (["a.mp4", "b.mp4", "--at", "2026-11-22T10:00"], 2, "give the files one by one"),
        (["a.mp4", "--camera", "Front Door"], 2, "it becomes part of topics"),
        (["a.mp4", "--at", "yesterday"], 2, 'must be "2026-11-28"'),
        (["a.mp4", "--model", "inter-2"], 2, "which has inter-1 alone"),
        (["a.mp4"], 69, "secret_missing: interhuman.api_key: "),
        (["a.mp4", "--config", "/nowhere.toml"], 78, "/nowhere.toml"),
    ],
)
def test_usage(  # noqa: PLR0917 - two of them are pytest's
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    status: int,
    sentence: str,
) -> None:
    """What makes no sense, and what is not configured, is said before anything is sent."""
    monkeypatch.delenv("API_KEY", raising=False)
    configure(tmp_path, "ws://localhost:1/v1/stream/analyze")
    line = ["analyze", *arguments] if "--config" in arguments else words(tmp_path, *arguments)[3:]
    try:
        ended: int | str | None = cli.main(line)
    except SystemExit as exit_:
        ended = exit_.code
    assert ended == status
    assert sentence in capsys.readouterr().err
