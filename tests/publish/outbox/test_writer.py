"""The keeper brings events to the disk, spares the disk what it can, and goes on where the disk fails."""

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trio.lowlevel
from msgspec import structs
from structlog.testing import capture_logs

from interhuman2mqtt.events import ActiveSignal
from interhuman2mqtt.publish.message import DropReason, Message
from interhuman2mqtt.publish.outbox import writer
from interhuman2mqtt.publish.outbox.journal import BATCH_MAX
from interhuman2mqtt.publish.outbox.store import StoreChanges
from interhuman2mqtt.publish.outbox.writer import GATHER_S
from interhuman2mqtt.runtime.clock import Instant
from publish.helpers import a_state_message, an_answer_message, an_event_message, until
from publish.lives import BEGAN, Life, destroy_a_page, events_in
from support.disks import tiny_disk

RETRY = 0.1


class Watched(Life):
    """A life whose commits are counted."""

    def __init__(self, path: Path) -> None:
        began = trio.current_time()
        super().__init__(path, lambda: trio.current_time() - began)
        self.writer._retry = RETRY
        self.commits: list[StoreChanges] = []
        self._write = self.store.write
        self.store.write = self.write  # type: ignore[method-assign]

    def write(self, changes: StoreChanges) -> None:
        self._write(changes)
        self.commits.append(changes)

    def put(self, *numbers: int, size: int = 0) -> None:
        for n in numbers:
            self.outbox.put(an_event_message("front", n, b"%d " % n + b"x" * size))

    @property
    def safe(self) -> bool:
        """Whether all is on the disk."""
        return not self.outbox.journal.pending


@asynccontextmanager
async def kept(life: Watched) -> AsyncIterator[Watched]:
    """The keeper runs while the block does, and ends in good order."""
    await life.writer.open()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(life.writer.run)
        yield life
        nursery.cancel_scope.cancel()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "outbox.sqlite"


async def test_events_are_written_together(path: Path, tmp_path: Path) -> None:
    """What comes within a moment is one commit, and is on the disk soon, in order; states and answers are not."""
    async with kept(Watched(path)) as life:
        life.put(1, 2)
        life.put(3)
        life.outbox.put(an_answer_message("ok"))
        life.outbox.put(a_state_message("front/status", "{}"))
        await until(lambda: life.safe)
        assert [len(commit.new) for commit in life.commits] == [3]
        assert [payload.split()[0] for payload in events_in(path, tmp_path / "copy")] == [b"1", b"2", b"3"]


async def test_what_the_broker_has_first_is_never_written(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand events that are acknowledged before their commit cost the disk nothing."""
    monkeypatch.setattr(writer, "OLD_ENOUGH_S", 1.0)  # a busy machine must not make them late
    async with kept(Watched(path)) as life:
        for n in range(1000):
            life.put(n)
            for row in await life.outbox.wait_batch(1):
                life.outbox.done(row)
            await trio.lowlevel.checkpoint()
        await trio.sleep(GATHER_S * 3)
        assert life.commits == []


async def test_deletions_wait_for_each_other(path: Path, tmp_path: Path) -> None:
    """Rows that leave one by one are deleted together, and are gone from the file soon."""
    async with kept(Watched(path)) as life:
        life.put(*range(20))
        await until(lambda: life.safe)
        for row in await life.outbox.wait_batch(20):
            life.outbox.done(row)
            await trio.sleep(0.01)
        await until(lambda: life.safe)
        assert [len(commit.removed) for commit in life.commits] == [0, 20]
        assert events_in(path, tmp_path / "copy") == []


async def test_many_are_written_in_pieces(path: Path) -> None:
    """A long backlog is written by a few commits, none of them without bound."""
    async with kept(Watched(path)) as life:
        life.put(*range(2 * BATCH_MAX + 5))
        await until(lambda: life.safe)
        assert [len(commit.new) for commit in life.commits] == [BATCH_MAX, BATCH_MAX, 5]


async def test_the_next_life_gets_what_is_left(path: Path) -> None:
    """What waits at the end is committed at once, logged as kept, and comes first in the next life, with its age."""
    with capture_logs() as logs:
        async with kept(Watched(path)) as life:
            life.put(1, 2, 3)
            await life.outbox.wait_batch(2)
    assert {"event": "events are kept for the next start", "events": 3, "log_level": "info"} in logs
    later = Life(path, clock=lambda: 50.0)
    later.outbox.put(an_event_message("front", 9))
    await later.writer.open()
    assert later.messages[:3] == life.messages
    assert len(later.messages) == 4
    assert 40.0 < later.outbox.depth.age <= 50.0
    later.store.close()


async def test_topics_are_written_once(path: Path) -> None:
    """A retained topic is written when it is new, forgotten once the broker has it empty, and known to later lives."""
    front, back = "interhuman/lobby-1/front/status", "interhuman/lobby-1/back/status"
    async with kept(Watched(path)) as life:
        for n in range(3):
            life.outbox.put(a_state_message("front/status", str(n)))
            life.outbox.put(a_state_message("back/status", str(n)))
            await until(lambda: life.safe)
            await trio.sleep(GATHER_S * 2)
        assert len(life.commits) == 1
        life.outbox.put(a_state_message("back/status", ""))
        rows = await life.outbox.wait_batch(10)
        assert life.outbox.retained_topics() == {front, back}
        for row in rows:
            life.outbox.done(row)
        assert life.outbox.retained_topics() == {front}
    later = Life(path).open()
    assert later.outbox.retained_topics() == {front}
    later.store.close()


async def test_a_topic_that_is_used_again_is_not_forgotten(path: Path) -> None:
    """An empty payload that is acknowledged after a newer one was put leaves the topic ours."""
    life = Life(path).open()
    life.outbox.put(a_state_message("front/status", "old"))
    life.outbox.put(a_state_message("front/status", ""))
    (row,) = await life.outbox.wait_batch(10)
    life.outbox.put(a_state_message("front/status", "new"))
    life.outbox.done(row)
    assert life.outbox.retained_topics() == {"interhuman/lobby-1/front/status"}
    life.store.close()


async def test_a_full_disk(tmp_path: Path) -> None:
    """While the disk is full events wait in memory, which is said once; when there is room all of them are written."""
    with tiny_disk(tmp_path / "disk", 400) as disk, capture_logs() as logs:
        path = disk / "outbox.sqlite"
        async with kept(Watched(path)) as life:
            filler = disk / "filler"
            filler.write_bytes(b"x" * 250_000)
            life.put(*range(200), size=1000)
            await until(lambda: life.outbox.trouble)
            assert "its disk is full: make room" in (life.outbox.trouble or "")
            await trio.sleep(RETRY * 3)
            filler.unlink()
            life.put(200)
            rows = await life.outbox.wait_batch(50)
            for row in rows:
                life.outbox.done(row)
            await until(lambda: life.outbox.trouble is None)
            await until(lambda: life.safe)
            assert [p.split()[0] for p in events_in(path, tmp_path / "copy")] == [b"%d" % n for n in range(50, 201)]
    said = [line["event"] for line in logs if line["event"].startswith("outbox file")]
    assert said == ["outbox file", "outbox file is in order again"]


async def test_a_place_that_cannot_be_written(path: Path, tmp_path: Path) -> None:
    """Without a place to write to the outbox works from memory and says so; once there is one it is used."""
    path.parent.write_text("in the way")
    async with kept(Watched(path)) as life:
        life.put(1, 2)
        assert "events are not safe from a restart" in (life.outbox.trouble or "")
        assert len(await life.outbox.wait_batch(1)) == 1
        path.parent.unlink()
        await until(lambda: life.outbox.trouble is None)
        await until(lambda: life.safe)
        assert len(events_in(path, tmp_path / "copy")) == 2


async def test_events_that_could_not_be_stored(path: Path) -> None:
    """A stop while the store fails says how many events are lost with it, and why."""
    path.parent.write_text("in the way")
    with capture_logs() as logs:
        async with kept(Watched(path)) as life:
            life.put(1, 2)
    [line] = [line for line in logs if line["event"] == "events are lost with this stop"]
    assert (line["events"], line["log_level"]) == (2, "error")
    assert "outbox.sqlite" in line["detail"]


async def test_a_file_that_is_free_later(path: Path) -> None:
    """A file that another process holds is waited for; what it held comes before what came since."""
    other = Life(path).open()
    for n in range(3):
        other.outbox.put(an_event_message("front", n, b"%d " % n))
    other.commit()
    async with kept(Watched(path)) as life:
        assert "another process has it open" in (life.outbox.trouble or "")
        life.put(3, 4)
        other.store.close()
        await until(lambda: life.outbox.trouble is None)
        life.put(5)
        await until(lambda: life.safe)
        rows = await life.outbox.wait_batch(10)
        assert [row.message.payload.split()[0] for row in rows] == [b"%d" % n for n in range(6)]
    assert len(Life(path).open().messages) == 6


async def test_a_file_that_is_damaged_at_the_start(path: Path) -> None:
    """It is quarantined, what is readable is saved into the new file at once, and what is not is counted as a loss."""
    life = Life(path).open()
    for n in range(200):
        life.outbox.put(an_event_message("front", n, b"%d " % n + b"x" * 400))
    life.outbox.put(a_state_message("front/status", "{}"))
    life.commit()
    life.store.close()
    destroy_a_page(path)
    with capture_logs() as logs:
        async with kept(Watched(path)) as life:
            assert life.outbox.trouble is None
            saved = life.messages
            await until(lambda: life.safe)
    assert 180 <= len(saved) < 200
    assert {loss for _, loss in life.lost} == {DropReason.DAMAGED}
    assert any(line["event"] == "outbox file set aside" and f"{len(saved)} events" in line["detail"] for line in logs)
    later = Life(path).open()
    assert later.messages == saved
    assert later.outbox.retained_topics() == {"interhuman/lobby-1/front/status"}
    later.store.close()


async def test_a_row_that_is_damaged(path: Path) -> None:
    """One row that cannot be read is one loss, once: the next life does not meet it any more."""
    life = Life(path).open()
    for n in range(3):
        life.outbox.put(an_event_message("front", n))
    life.commit()
    db = life.store._connection
    assert db is not None
    db.execute("UPDATE events SET payload = x'00' WHERE key = 2")
    life.store.close()
    async with kept(Watched(path)) as life:
        assert life.lost == [(None, DropReason.DAMAGED)]
        assert len(life.messages) == 2
        await until(lambda: life.safe)
    later = Life(path).open()
    assert (later.lost, len(later.messages)) == ([], 2)
    later.store.close()


async def test_a_file_that_is_damaged_while_in_use(path: Path, tmp_path: Path) -> None:
    """A file that breaks, or is removed, is replaced by one that holds all that is in the outbox."""
    with capture_logs() as logs:
        async with kept(Watched(path)) as life:
            life.put(1, 2, 3)
            await until(lambda: life.safe)
            rows = await life.outbox.wait_batch(2)
            life.outbox.done(rows[0])
            await trio.Path(path).unlink()
            life.put(4)
            await until(path.exists)
            await until(lambda: life.safe)
            assert [payload.split()[0] for payload in events_in(path, tmp_path / "copy")] == [b"2", b"3", b"4"]
    assert any(line["event"] == "outbox file set aside" and "removed" in line["detail"] for line in logs)
    assert life.lost == []


def test_a_clock_that_jumps(path: Path) -> None:
    """An event of an earlier boot, whose clock was not set, is not dropped as too old, however wrong the clock was."""
    life = Life(path, present=lambda: Instant(0.0, False, "boot-0", 20.0)).open()  # noqa: FBT003 - not synced
    life.outbox.put(an_event_message("front", 1))
    life.commit()
    life.store.close()
    later = Life(path, present=lambda: Instant(BEGAN, True, "boot-1", 20.0)).open()  # noqa: FBT003 - synced
    assert later.lost == []
    assert len(later.messages) == 1
    later.store.close()


async def test_a_disk_that_hangs(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that does not return is reported as trouble; the loop runs meanwhile, and it is written later."""
    monkeypatch.setattr(writer, "DISK_TIMEOUT_S", 0.2)
    life = Watched(path)
    write, go_on = life.write, threading.Event()

    def hang(changes: StoreChanges) -> None:
        go_on.wait(20)
        write(changes)

    life.store.write = hang  # type: ignore[method-assign]
    async with kept(life):
        life.put(1, 2)
        await until(lambda: life.outbox.trouble)
        assert "has not answered" in (life.outbox.trouble or "")
        go_on.set()
        await until(lambda: life.outbox.trouble is None)
        await until(lambda: life.safe)
    later = Life(path).open()
    assert len(later.messages) == 2
    later.store.close()


async def test_the_log_is_brought_into_the_file_when_it_is_quiet(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while without anything to write nothing is in the write-ahead log any more."""
    monkeypatch.setattr(writer, "CHECKPOINT_S", 0.01)
    async with kept(Watched(path)) as life:
        life.put(1)
        await until(lambda: life.commits and Path(f"{path}-wal").stat().st_size == 0)
        life.put(2)
        await until(lambda: len(life.commits) == 2 and Path(f"{path}-wal").stat().st_size == 0)


def signals(camera: str, *kinds: str) -> Message:
    """An event after which these signals of a camera are active."""
    active = tuple(ActiveSignal(kind, "s1") for kind in kinds)
    return structs.replace(an_event_message(camera, 1), active=active)


async def test_active_signals_are_written_when_they_change(path: Path) -> None:
    """What is active is on the disk within moments, also where the broker had the event before; and once."""
    async with kept(Watched(path)) as life:
        for _ in range(3):
            life.outbox.put(signals("front", "stress", "interest"))
            [row] = await life.outbox.wait_batch(10)
            life.outbox.done(row)
        await until(lambda: life.safe)
        assert len(life.commits) == 1
        life.outbox.put(signals("back"))  # nothing is active, and nothing was
        [row] = await life.outbox.wait_batch(10)
        life.outbox.done(row)
        await trio.sleep(4 * GATHER_S)
        assert len(life.commits) == 1
    later = Life(path).open()
    assert later.outbox.journal.signals.values == {
        "front": (ActiveSignal("stress", "s1"), ActiveSignal("interest", "s1"))
    }
    later.outbox.put(signals("front"))
    later.commit()
    assert later.outbox.journal.signals.values == {}
    later.store.close()
    assert Life(path).open().outbox.journal.signals.values == {}


def test_active_signals_outlive_a_damaged_file(path: Path) -> None:
    """Where the file is made anew what is active is written to it too, and a commit that fails is made up for."""
    life = Life(path).open()
    life.outbox.put(signals("front", "stress"))
    life.commit(believed=False)
    life.commit()
    life.store.close()
    path.unlink()
    life.outbox.journal.write_all(life.outbox.events)
    life.store.open()
    life.commit()
    life.store.close()
    assert Life(path).open().outbox.journal.signals.values == {"front": (ActiveSignal("stress", "s1"),)}
