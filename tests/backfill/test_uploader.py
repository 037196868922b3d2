"""What becomes of segments: uploaded once at most, published, and only then deleted."""

import json
from functools import partial
from pathlib import Path

import msgspec
import pytest
import trio
import trio.testing

from backfill.helpers import SECONDS, Bench, put_segment, uptime
from cameras.helpers import CLOCK
from interhuman2mqtt.backfill.segment import Segment, moment
from interhuman2mqtt.backfill.store import JobState, Kept, KnownGap, SpoolStore, UploadJob
from interhuman2mqtt.errors import Outage, Reason
from interhuman2mqtt.events import Origin
from interhuman2mqtt.simulator.settings import Uploads
from interhuman2mqtt.upload import client as client_module
from upload.helpers import client_of, client_of_simulator, request_of

JOB = "3f1c2b7a9d4e4c8fa1b2c3d4e5f60718"


@pytest.fixture(autouse=True)
def _looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "POLL_S", 0.02)


def kept(bench: Bench) -> Kept:
    """What stands on the disk."""
    if not (bench.folder / "spool.json").exists():
        return Kept()
    return msgspec.json.decode((bench.folder / "spool.json").read_bytes(), type=Kept)


def uploads(folder: Path) -> int:
    """How many files the cloud accepted."""
    record = folder / "cloud" / "sessions.jsonl"
    return sum(json.loads(line)["what"] == "uploaded" for line in record.read_text().splitlines())


@pytest.mark.parametrize("version", [1, 2])
async def test_a_segment_is_published_and_deleted(tmp_path: Path, version: int) -> None:
    """Oldest first, dated by when it was captured, marked as late, each gap's range told, redacted as live events."""
    newer, older = put_segment(tmp_path, ago=50), put_segment(tmp_path, ago=100)
    start = int(older.name.split("-")[1]) / 1000
    async with client_of_simulator(version=version, save=tmp_path / "cloud") as client:
        bench = Bench(tmp_path, client, version)
        bench.spool.add_gap(KnownGap("gap/1", moment(start - 10, CLOCK.instant()), 12.0, Reason.CLOUD_UNREACHABLE))
        bench.spool.add_gap(KnownGap("gap/2", moment(start + 2, CLOCK.instant()), 30.0, Reason.CONNECTION_LOST))
        assert await bench.step()
        assert bench.names() == [newer.name]
        assert not older.exists()
        first = list(bench.published.events)
        assert await bench.step()
        assert bench.names() == []
    assert uploads(tmp_path) == 2
    assert {(event.late, event.origin) for event in first} == {(True, Origin.UPLOAD)}
    assert len({event.id for event in bench.published.events}) == len(bench.published.events)
    assert not any("rationale" in event.data for event in first)
    starts = [event.start_at for event in first if event.type == "engagement.updated"]
    assert starts[0] is not None
    assert uptime(starts[0]) == pytest.approx(start, abs=0.01)
    filled = [event for event in bench.published.events if event.type == "coverage.filled"]
    assert [(event.data["gap"], event.data["reason"]) for event in filled] == [
        ("gap/1", "cloud_unreachable"),
        ("gap/2", "connection_lost"),
    ]
    assert sum(event.data["seconds"] for event in filled) == pytest.approx(SECONDS, abs=0.2)
    assert bench.counters.backfilled_seconds == 2 * SECONDS


async def test_trouble_of_the_live_session_cuts_off_what_nobody_can_have_accepted(tmp_path: Path) -> None:
    """A pause, or a lag, ends an upload at once; the segment stays, nothing is on record, and it is sent again."""
    put_segment(tmp_path, ago=100, content=b"\0" * 200_000)
    received: list[bytes] = []

    async def play(stream: trio.abc.Stream) -> None:
        received.append(bytes(await stream.receive_some(1000)))
        bench.live.trouble.set()
        await trio.testing.wait_all_tasks_blocked()
        while data := bytes(await stream.receive_some(1 << 16)):
            received.append(data)

    async with client_of(play) as client:
        bench = Bench(tmp_path, client)
        assert await bench.step()
    assert b"--\r\n" not in received[-1][-8:]
    assert len(bench.names()) == 1
    assert kept(bench).job is None
    assert bench.counters.backfill_lost_seconds == 0


async def test_trouble_does_not_cut_off_what_the_cloud_may_have(tmp_path: Path) -> None:
    """Once the last bytes are out the answer is waited for: cut off, nobody would know what became of the file."""
    put_segment(tmp_path, ago=100)

    async with client_of_simulator(save=tmp_path / "cloud") as client:
        bench = Bench(tmp_path, client)
        set_job = bench.spool.set_job

        async def set_and_pause(job: UploadJob | None) -> None:
            await set_job(job)
            bench.live.trouble.set()

        bench.spool.set_job = set_and_pause  # type: ignore[method-assign]
        assert await bench.step()
    assert bench.names() == []
    assert bench.counters.backfilled_seconds == SECONDS


async def test_an_answer_that_is_lost(tmp_path: Path) -> None:
    """What was accepted, and by which job nobody knows, is not sent again: it is given up, and counted as such."""
    put_segment(tmp_path, ago=100)
    put_segment(tmp_path, ago=50)
    async with client_of_simulator("upload-lost,session=1", save=tmp_path / "cloud") as client:
        bench = Bench(tmp_path, client)
        with pytest.raises(Outage) as lost:
            await bench.step()
        assert lost.value.reason is Reason.JOB_LOST
        assert len(bench.names()) == 1
        assert bench.counters.backfill_lost_seconds == SECONDS
        assert await bench.step()
    assert bench.names() == []
    assert uploads(tmp_path) == 2
    assert bench.counters.backfilled_seconds == SECONDS


async def test_a_crash_between_the_last_bytes_and_the_answer(tmp_path: Path) -> None:
    """A later life finds on record that it may have been accepted: it is not sent again."""
    path = put_segment(tmp_path, ago=100)
    state = Kept(job=UploadJob(path.name, "request", JobState.SUBMITTING))
    (tmp_path / "front" / "spool.json").write_bytes(msgspec.json.encode(state))
    async with client_of_simulator(save=tmp_path / "cloud") as client:
        bench = Bench(tmp_path, client)
        assert await bench.step()
    assert bench.names() == []
    assert bench.counters.backfill_lost_seconds == SECONDS
    assert bench.published.events == []
    assert kept(bench).job is None


async def test_a_crash_while_the_cloud_analyses(tmp_path: Path) -> None:
    """A later life asks for the job by its id, and publishes what comes of it; the file is sent once."""
    path = put_segment(tmp_path, ago=100)
    async with client_of_simulator(save=tmp_path / "cloud") as client:
        first = Bench(tmp_path, client)

        async def crash(segment: Segment) -> None:  # noqa: ASYNC124 - in place of an async one
            raise RuntimeError(segment)

        first.spool.finish = crash  # type: ignore[method-assign]
        with pytest.raises(RuntimeError):
            await first.step()
        assert kept(first).job is not None
        assert path.exists()
        second = Bench(tmp_path, client)
        assert await second.step()
        assert second.names() == []
    assert uploads(tmp_path) == 1
    assert [event.id for event in second.published.events] == [event.id for event in first.published.events]


async def test_a_disk_that_fails_after_all_was_published(tmp_path: Path) -> None:
    """The segment is deleted once that can be done, and its events are not published again and again until then."""
    put_segment(tmp_path, ago=100)
    async with client_of_simulator(save=tmp_path / "cloud") as client:
        bench = Bench(tmp_path, client)
        finish, failures = bench.spool.finish, iter(range(3))

        async def fail(segment: Segment) -> None:
            if next(failures, None) is not None:
                raise OSError(30, "Read-only file system", str(segment.path))
            await finish(segment)

        bench.spool.finish = fail  # type: ignore[method-assign]
        for _ in range(3):
            with pytest.raises(Outage) as failed:
                await bench.step()
            assert failed.value.reason is Reason.DISK_FAILED
        assert await bench.step()
    assert bench.names() == []
    assert uploads(tmp_path) == 1
    assert len({event.id for event in bench.published.events}) == len(bench.published.events)


async def test_a_job_that_is_gone(tmp_path: Path) -> None:
    """A job that the cloud does not know any more has a result that is lost, and is not paid for twice."""
    path = put_segment(tmp_path, ago=100)
    state = Kept(job=UploadJob(path.name, "request", JobState.SUBMITTED, JOB))
    (tmp_path / "front" / "spool.json").write_bytes(msgspec.json.encode(state))
    async with client_of_simulator(save=tmp_path / "cloud") as client:
        bench = Bench(tmp_path, client)
        assert await bench.step()
    assert bench.names() == []
    assert bench.counters.backfill_lost_seconds == SECONDS


async def test_a_job_that_never_ends(tmp_path: Path) -> None:
    """A job that is still at work when its result would be gone is lost: it must not keep all others waiting."""
    put_segment(tmp_path, ago=100)
    newer = put_segment(tmp_path, ago=50)
    async with client_of_simulator(save=tmp_path / "cloud", uploads=Uploads(running=3600.0)) as client:
        bench = Bench(tmp_path, client)
        client.wait_for = partial(client.wait_for, within=0.1)  # type: ignore[method-assign]
        assert await bench.step()
    assert bench.names() == [newer.name]
    assert bench.counters.backfill_lost_seconds == SECONDS


async def test_a_disk_that_takes_no_record_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be written down is not sent to its end; once it can be, it is sent, and once."""
    put_segment(tmp_path, ago=100)
    save = SpoolStore.save

    def fail(_store: SpoolStore, _kept: Kept) -> None:
        raise OSError(28, "No space left on device", "spool.json")

    async with client_of_simulator(save=tmp_path / "cloud") as client:
        bench = Bench(tmp_path, client)
        monkeypatch.setattr(SpoolStore, "save", fail)
        with pytest.raises(Outage) as failed:
            await bench.step()
        assert failed.value.reason is Reason.DISK_FAILED
        assert len(bench.names()) == 1
        monkeypatch.setattr(SpoolStore, "save", save)
        assert await bench.step()
    assert uploads(tmp_path) == 1
    assert bench.names() == []


async def test_a_segment_whose_jobs_fail_again_and_again(tmp_path: Path) -> None:
    """After the third it is given up, for all others wait behind it."""
    put_segment(tmp_path, ago=100)
    async with client_of_simulator("job-failed=ih1004,times=5", save=tmp_path / "cloud") as client:
        bench = Bench(tmp_path, client)
        for _ in range(2):
            with pytest.raises(Outage):
                await bench.step()
        assert await bench.step()
    assert bench.names() == []
    assert bench.counters.backfill_rejected_seconds == SECONDS


@pytest.mark.parametrize(
    ("fault", "rejected", "stays"),
    [
        ("upload-error=ih5002", SECONDS, 0),
        ("upload-error=ih3002", 0, 1),
        ("upload-status=503", 0, 1),
        ("job-failed=ih5002", SECONDS, 0),
        ("job-failed=ih1004", 0, 1),
    ],
)
async def test_what_is_refused(tmp_path: Path, fault: str, rejected: float, stays: int) -> None:
    """A file that is no good is given up; what the cloud cannot take now is kept for later."""
    put_segment(tmp_path, ago=100)
    async with client_of_simulator(f"{fault}", save=tmp_path / "cloud") as client:
        bench = Bench(tmp_path, client)
        try:
            await bench.step()
        except Outage:
            assert rejected == 0
        assert kept(bench).job is None
    assert len(bench.names()) == stays
    assert bench.counters.backfill_rejected_seconds == rejected


async def test_budgets_count_it(tmp_path: Path) -> None:
    """A segment is charged before it leaves; what the budget has no room for waits, and leaves the rest to the live."""
    put_segment(tmp_path, ago=100)
    async with client_of_simulator(save=tmp_path / "cloud") as client:
        bench = Bench(tmp_path, client)
        budgets = bench.budgets
        await budgets.meter.open()
        budgets.limit("front", SECONDS / 2)
        with pytest.raises(Outage) as refused:
            await bench.step()
        assert refused.value.reason is Reason.OVER_BUDGET
        assert budgets.why("front") is None
        assert len(bench.names()) == 1
        budgets.limit("front", SECONDS * 2)
        assert await bench.step()
        assert budgets.as_health()["cameras"]["front"]["used"] == SECONDS


async def test_who_forgets_ends_an_upload(tmp_path: Path) -> None:
    """An upload under way of what is forgotten ends, and nothing of it is published or left."""
    put_segment(tmp_path, ago=100)
    begun = trio.Event()

    async def play(stream: trio.abc.Stream) -> None:
        await request_of(stream)
        begun.set()
        await trio.sleep_forever()

    async with client_of(play) as client, trio.open_nursery() as nursery:
        bench = Bench(tmp_path, client)
        nursery.start_soon(bench.step)
        await begun.wait()
        forgotten = await bench.spool.forget()
        assert forgotten.segments == 1
        assert bench.names() == []
        assert kept(bench).job is None
        nursery.cancel_scope.cancel()
    assert bench.published.events == []
