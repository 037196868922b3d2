"""A recording is sent part by part, once, and goes on where it was interrupted."""

import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trio
from msgspec import structs
from trio.testing import lockstep_stream_pair

from interhuman2mqtt.cloud.http import ApiKey
from interhuman2mqtt.errors import Outage, Reason, Refused
from interhuman2mqtt.events import Clock
from interhuman2mqtt.runtime import format_versions
from interhuman2mqtt.simulator.settings import Uploads
from interhuman2mqtt.upload import client as client_module
from interhuman2mqtt.upload import recording as recording_module
from interhuman2mqtt.upload.client import UploadClient, endpoint_of
from interhuman2mqtt.upload.error_table import ERRORS
from interhuman2mqtt.upload.jobs import FORMAT, KEPT, PartState, RecordingRecord, RecordStore, find_folder
from interhuman2mqtt.upload.late_events import Identity, events_of
from interhuman2mqtt.upload.recording import AnalysisOptions, RecordingAnalysis, UploadOutcome
from interhuman2mqtt.upload.split import SplitRecording
from interhuman2mqtt.upload.split_ipc import Progress, SourceInfo, SplitPart
from simulator.helpers import clip
from upload.helpers import KEY, client_of_simulator

OnProgress = Callable[[Progress], None]
BEGIN = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
PARTS = 3
V2 = AnalysisOptions(2, None)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts that need no encoder, and short pauses."""

    async def split(
        _source: Path, folder: Path, _model: str | None, on_progress: Callable[[Progress], None]
    ) -> SplitRecording:
        parts = [SplitPart(str(folder / f"part-{index}.mp4"), 4.0 * index, 4.0 * index + 4) for index in range(PARTS)]
        for part in parts:
            await trio.Path(part.path).write_bytes(clip(4))
        on_progress(Progress("reading", 1.0))
        return SplitRecording(SourceInfo(model="inter-2", recorded_at=BEGIN, duration=12.0), tuple(parts), ("a note",))

    monkeypatch.setattr(recording_module, "split", split)
    monkeypatch.setattr(recording_module, "PAUSES", (0.01, 0.01))
    monkeypatch.setattr(client_module, "POLL_S", 0.02)


class Follower:
    """Remembers what it is called with."""

    def __init__(self) -> None:
        self.outages: list[Outage] = []
        self.states: list[list[PartState]] = []

    def preparing(self, progress: Progress) -> None:
        """Ignored."""

    def parts(self, record: RecordingRecord) -> None:
        self.states.append([part.state for part in record.parts])

    def waiting(self, outage: Outage, _pause: float) -> None:
        self.outages.append(outage)


class WatchedStore(RecordStore):
    """Says when every part has its job."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.submitted = trio.Event()
        self._token = trio.lowlevel.current_trio_token()

    def save(self, key: str, record: RecordingRecord) -> None:
        super().save(key, record)
        if all(part.job_id for part in record.parts):
            self._token.run_sync_soon(self.submitted.set)


class Bench:
    """A simulator, and a recording that is given to it again and again."""

    def __init__(self, client: UploadClient, folder: Path, version: int) -> None:
        self.store = WatchedStore(folder / "records")
        self.folder = folder
        self.file = folder / "meeting.mp4"
        self.file.write_bytes(b"what FFmpeg would read")
        self.follower = Follower()
        self._client = client
        self._version = version

    async def run(self, *, resend: bool = False) -> UploadOutcome:
        wishes = AnalysisOptions(self._version, "inter-1" if self._version == 1 else None, resend=resend)
        return await RecordingAnalysis(self._client, "http://cloud", self.store, wishes, self.follower).run(self.file)

    def lines(self, what: str) -> list[dict[str, Any]]:
        """What the simulator has on record."""
        lines = (self.folder / "sessions.jsonl").read_text().splitlines()
        return [line for line in map(json.loads, lines) if line["what"] == what]

    @property
    def record_file(self) -> Path:
        [file] = (self.folder / "records").glob("*.json")
        return file


@asynccontextmanager
async def bench(folder: Path, *faults: str, version: int = 2, **settings: Any) -> AsyncIterator[Bench]:
    with trio.fail_after(60):
        async with client_of_simulator(*faults, version=version, save=folder, **settings) as client:
            yield Bench(client, folder, version)


def states(outcome: UploadOutcome) -> list[PartState]:
    return [part.state for part in outcome.record.parts]


def reasons(outcome: UploadOutcome) -> list[tuple[int, Reason]]:
    return [(failure.part, failure.outage.reason) for failure in outcome.failures]


@pytest.mark.parametrize("version", [1, 2])
async def test_a_recording_is_analysed_part_by_part(tmp_path: Path, version: int) -> None:
    """Each part is sent once, by a name that says nothing, and its events are dated by where it stands."""
    async with bench(tmp_path, version=version) as rig:
        outcome = await rig.run()
        assert (states(outcome), outcome.failures) == ([PartState.COMPLETED] * PARTS, ())
        assert [line["filename"] for line in rig.lines("uploaded")] == ["recording.mp4"] * PARTS
        identity = Identity("lobby-1", "front", BEGIN, Clock.SYNCED)
        events = list(events_of(outcome.record, identity))
        assert len({event.id for event in events}) == len(events)
        quality = [event for event in events if event.type == "conversation_quality.updated"]
        assert [event.start_at for event in quality] == [BEGIN + timedelta(seconds=4 * part) for part in range(PARTS)]
        again = await rig.run()
        assert list(events_of(again.record, identity)) == events
        assert len(rig.lines("uploaded")) == PARTS


async def test_an_interruption_loses_and_repeats_nothing(tmp_path: Path) -> None:
    """A run that is cancelled while jobs run goes on with those jobs, and sends nothing again."""
    async with bench(tmp_path, uploads=Uploads(queued=0.3, running=0.01)) as rig:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(rig.run)
            await rig.store.submitted.wait()
            nursery.cancel_scope.cancel()
        outcome = await rig.run()
        assert states(outcome) == [PartState.COMPLETED] * PARTS
        assert len(rig.lines("uploaded")) == PARTS


async def test_what_may_have_been_accepted_is_sent_again_only_when_asked(tmp_path: Path) -> None:
    """A part whose answer was lost costs no other part; it is lost until somebody says that it may be billed twice."""
    async with bench(tmp_path, "upload-lost") as rig:
        assert reasons(await rig.run()) == [(0, Reason.JOB_LOST)]
        again = await rig.run()
        assert reasons(again) == [(0, Reason.JOB_LOST)]
        assert "--resend" in again.failures[0].outage.detail
        assert len(rig.lines("uploaded")) == PARTS
        assert states(await rig.run(resend=True)) == [PartState.COMPLETED] * PARTS
        assert len(rig.lines("uploaded")) == PARTS + 1


async def test_a_run_that_was_killed_after_the_last_byte(tmp_path: Path) -> None:
    """What is on record as sent, and never got a job, may have been accepted."""
    async with bench(tmp_path) as rig:
        await rig.run()
        key = rig.record_file.stem
        record = rig.store.load(key, BEGIN)
        assert record is not None
        sent = structs.replace(record.parts[1], state=PartState.SENT, job_id=None, analysis=None)
        rig.store.save(key, record.with_part(1, sent))
        outcome = await rig.run()
        assert reasons(outcome) == [(1, Reason.JOB_LOST)]
        assert len(list(events_of(outcome.record, Identity("b", "c", None, Clock.UNKNOWN)))) > 0
        assert len(rig.lines("uploaded")) == PARTS


async def test_a_run_that_was_killed_before_the_last_byte(tmp_path: Path) -> None:
    """A part that was not sent to its end was accepted by nobody, and the next run sends it."""
    near, far = lockstep_stream_pair()

    async def dial(_: object) -> trio.abc.Stream:  # noqa: ASYNC124 - as Dial is called
        return near

    rig = Bench(UploadClient(endpoint_of("ws://cloud/v2/stream/analyze"), ApiKey(KEY), dial), tmp_path, 2)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.run)
        await far.receive_some(1)
        nursery.cancel_scope.cancel()
    record = rig.store.load(rig.record_file.stem, BEGIN)
    assert record is not None
    assert [part.state for part in record.parts] == [PartState.PENDING] * PARTS


@pytest.mark.parametrize("fault", ["upload-error=ih1002,times=2", "upload-error=ih1001", "job-failed=ih1004"])
async def test_what_passes_is_tried_again(tmp_path: Path, fault: str) -> None:
    """An overload, an error of the cloud's own and an interrupted job pass, and are said."""
    async with bench(tmp_path, fault) as rig:
        assert states(await rig.run()) == [PartState.COMPLETED] * PARTS
        assert rig.follower.outages


@pytest.mark.full
async def test_each_documented_error_of_an_upload(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is tried again or not as its kind asks, and ends as the reason and the sentence that its table has."""
    monkeypatch.setattr(f"{__name__}.PARTS", 1)
    monkeypatch.setattr(recording_module, "PAUSE_MAX", 0.01)
    attempts = len(recording_module.PAUSES) + 1
    for code, rule in ERRORS.items():
        refused = rule.outcome is Refused or rule.reason is Reason.JOB_LOST
        folder = tmp_path / code
        folder.mkdir()
        async with bench(folder, f"upload-error={code},times={attempts}") as rig:
            outcome = await rig.run()
            [failure] = outcome.failures
            assert (code, failure.outage.reason) == (code, rule.reason)
            assert failure.outage.detail.startswith(rule.sentence)
            assert (code, len(rig.lines("refused"))) == (code, 1 if refused else attempts)


async def test_a_part_that_cannot_be_decoded_costs_no_other(tmp_path: Path) -> None:
    """A job that fails over its media is that part's failure; the others have their results."""
    async with bench(tmp_path, "job-failed=ih5002") as rig:
        outcome = await rig.run()
        [(part, reason)] = reasons(outcome)
        assert reason is Reason.MEDIA_REJECTED
        assert [state is PartState.COMPLETED for state in states(outcome)] == [index != part for index in range(PARTS)]


async def test_an_account_without_quota_is_asked_once(tmp_path: Path) -> None:
    """What is wrong with the account is wrong with every part: no other is sent, and the next run sends them all."""
    async with bench(tmp_path, "upload-error=ih3003") as rig:
        outcome = await rig.run()
        assert sorted(reasons(outcome)) == [
            (0, Reason.QUOTA_EXHAUSTED),
            *((index, Reason.STOPPED) for index in range(1, PARTS)),
        ]
        assert len(rig.lines("refused")) == 1
        assert states(await rig.run()) == [PartState.COMPLETED] * PARTS


async def test_jobs_that_are_gone(tmp_path: Path) -> None:
    """A job that the cloud no longer knows is lost, and so are its bytes until somebody asks for more."""
    async with bench(tmp_path, "job-lost") as rig:
        outcome = await rig.run()
        assert [reason for _, reason in reasons(outcome)] == [Reason.JOB_LOST]
        assert states(outcome).count(PartState.LOST) == 1


async def test_one_process_at_a_time(tmp_path: Path) -> None:
    """While a process analyses a recording another one sends nothing of it."""
    async with bench(tmp_path) as rig:
        await rig.run()
        with rig.store.locked(rig.record_file.stem), pytest.raises(Refused, match="another process"):
            await rig.run()


@pytest.mark.parametrize(
    "content", [b"", b"{", b'{"format": 99, "model": "x", "recorded_at": null, "duration": 1, "parts": []}']
)
async def test_a_record_that_cannot_be_read_is_kept_as_evidence(tmp_path: Path, content: bytes) -> None:
    """A damaged record, or one of a newer version, is moved away, and the recording begins anew."""
    async with bench(tmp_path) as rig:
        await rig.run()
        file = rig.record_file
        file.write_bytes(content)
        assert states(await rig.run()) == [PartState.COMPLETED] * PARTS
        [kept] = (*file.parent.glob("*.damaged-*"), *file.parent.glob("*.newer-99-*"))
        assert kept.read_bytes() == content
        assert file.stat().st_mode & 0o777 == 0o600


async def test_a_record_from_before_a_downgrade(tmp_path: Path) -> None:
    """The version that can read it takes it in again: what was sent before is not sent twice."""
    async with bench(tmp_path) as rig:
        await rig.run()
        file = rig.record_file
        format_versions.set_aside(file, FORMAT, "20261128T110000Z")
        sent = len(rig.lines("uploaded"))
        assert states(await rig.run()) == [PartState.COMPLETED] * PARTS
        assert len(rig.lines("uploaded")) == sent
        assert [one.name for one in file.parent.glob("*newer*")] == []


async def test_without_a_record_nothing_is_sent(tmp_path: Path) -> None:
    """Where what is sent cannot be kept on record, nothing is sent, and the sentence names the folder."""
    async with bench(tmp_path) as rig:
        (tmp_path / "records").write_bytes(b"a file where the folder should be")
        with pytest.raises(Refused, match="records: File exists; without it nothing is sent"):
            await rig.run()
        assert not (tmp_path / "sessions.jsonl").exists() or rig.lines("uploaded") == []


async def test_a_recording_that_is_not_there(tmp_path: Path) -> None:
    """A file that cannot be read is refused with its name."""
    async with bench(tmp_path) as rig:
        rig.file.unlink()
        with pytest.raises(Refused, match=r"meeting\.mp4 cannot be read: No such file"):
            await rig.run()


def test_records_are_kept_for_so_long(tmp_path: Path) -> None:
    """What nobody asked for in a month is forgotten."""
    store = RecordStore(tmp_path)
    with store.locked("a"):
        store.save("a", RecordingRecord(model="inter-2", recorded_at=None, duration=1.0, parts=()))
    now = datetime.now(UTC)
    store.prune(now)
    assert store.load("a", now) is not None
    store.prune(now + KEPT + timedelta(minutes=1))
    assert list(tmp_path.iterdir()) == []


def test_forgotten_with_their_camera(tmp_path: Path) -> None:
    """What was found in a camera's recordings goes with what else is known of it; of a range, what may be of it."""
    store, hour = RecordStore(tmp_path), timedelta(hours=1)
    dated = RecordingRecord(model="inter-2", recorded_at=BEGIN, duration=3600, parts=())
    said = dated.of_camera("front", BEGIN + 5 * hour)
    undated = structs.replace(dated, recorded_at=None).of_camera("front", None)
    for key, record in (
        ("dated", dated.of_camera("front", None)),
        ("said", said),
        ("undated", undated),
        ("own", dated),
    ):
        store.save(key, record)
    assert store.forget("back", BEGIN, BEGIN + 9 * hour) == 0
    assert store.forget("front", BEGIN + 0.5 * hour, BEGIN + 2 * hour) == 2
    assert sorted(file.stem for file in tmp_path.glob("*.json")) == ["own", "said"]
    assert store.forget("front", BEGIN, BEGIN + 9 * hour) == 1


@pytest.mark.parametrize("damage", [b"{", b"[" * 100_000, b"\xff"])
def test_what_cannot_be_forgotten_keeps_nothing_else(tmp_path: Path, damage: bytes) -> None:
    """A record that is in work, damaged or not to be removed is told, after all others were removed."""
    store = RecordStore(tmp_path)
    endless = RecordingRecord(model="inter-2", recorded_at=BEGIN, duration=1e13, parts=())
    for key in "abc":
        store.save(key, endless.of_camera("front", None))
    store.save("d", endless.of_camera("back", None))
    (tmp_path / "b.json").write_bytes(damage)
    with store.locked("a"), pytest.raises(Refused, match=r"1 are gone, 2 may stay, such as \w\.json: "):
        store.forget("front", BEGIN, BEGIN + timedelta(hours=1))
    assert sorted(file.stem for file in tmp_path.glob("*.json")) == ["a", "b", "d"]


def test_a_folder_of_records_that_may_not_be_read(tmp_path: Path) -> None:
    """Where it cannot be seen what there is, nothing is said to be forgotten."""
    (tmp_path / "recordings").write_text("a file where a folder belongs")
    with pytest.raises(Refused, match="recordings cannot be read"):
        RecordStore(tmp_path / "recordings").forget("front", BEGIN, BEGIN + timedelta(hours=1))


def test_a_lock_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    """Root runs `forget` where the service may write: it must not be led to a file of its own."""
    precious = tmp_path / "precious"
    precious.write_text("of root")
    store = RecordStore(tmp_path / "recordings")
    record = RecordingRecord(model="inter-2", recorded_at=BEGIN, duration=1.0, parts=()).of_camera("front", None)
    with store.locked("other"):
        store.save("a", record)
    (tmp_path / "recordings" / "a.lock").symlink_to(precious)
    with pytest.raises(Refused, match="symbolic links"):
        store.forget("front", BEGIN, BEGIN + timedelta(hours=1))
    assert precious.read_text() == "of root"


async def test_a_recording_that_never_ends(tmp_path: Path) -> None:
    """A device or a pipe is refused at once: reading it might never end."""
    async with bench(tmp_path) as rig:
        rig.file.unlink()
        os.mkfifo(rig.file)
        with pytest.raises(Refused, match="a device or a pipe"):
            await rig.run()


def test_where_records_are_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where the service's state is, or, for a person, where their own is."""
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "service"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "own"))
    assert find_folder() == tmp_path / "service" / "recordings"
    monkeypatch.delenv("STATE_DIRECTORY")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert find_folder() == tmp_path / "own" / "interhuman2mqtt" / "recordings"
