"""SQLite's write-ahead log: a bit that turns is told from a power cut, and costs as little as possible."""

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest
from structlog.testing import capture_logs

from interhuman2mqtt.events import utc_now
from interhuman2mqtt.publish.message import DropReason
from interhuman2mqtt.publish.outbox import salvage, wal
from interhuman2mqtt.publish.outbox.store import Store
from publish.helpers import an_event_message
from publish.lives import Life, left_by_a_crash

SECTOR = 512
UNCERTAIN = 22
"""The bits of a word from which on it may not be told in which word they are; of a little-endian machine's."""
SEEDS = [*range(8), *(pytest.param(seed, marks=pytest.mark.full) for seed in range(8, 60))]
Keys = tuple[int, ...]


class History(NamedTuple):
    """A database and its log as a crash leaves them, and what had been committed."""

    database: bytes
    log: bytes
    before: bytes
    """The log as it was before the last transaction."""
    states: list[Keys]
    """The keys after each transaction, those that are in the database itself first."""


def any_history(chance: random.Random) -> History:
    """Transactions of any size, with deletions, by any page size, and with a log that began anew in between or not."""
    page_size = chance.choice([512, 1024, 4096])
    return history(chance, page_size, chance.randint(1, 6), began_anew=chance.random() < 0.5)


def history(chance: random.Random, page_size: int, transactions: int, *, began_anew: bool) -> History:
    """By SQLite itself."""
    folder = Path("/dev/shm") if Path("/dev/shm").is_dir() else Path("/tmp")
    path = folder / f"wal-{chance.getrandbits(64):x}.sqlite"
    states: list[Keys] = [()]
    before = b""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        for pragma in (f"page_size = {page_size}", "journal_mode = WAL", "wal_autocheckpoint = 0"):
            db.execute(f"PRAGMA {pragma}").fetchall()
        db.execute("CREATE TABLE events (key INTEGER PRIMARY KEY, payload BLOB)")
        if began_anew:
            for _ in range(3):
                transact(db, chance)
            db.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
        else:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        states = [keys_in(db)]
        for _ in range(transactions):
            before = log_of(path)
            transact(db, chance)
            states.append(keys_in(db))
        found = History(path.read_bytes(), log_of(path), before, states)
    for part in ("", "-wal", "-shm"):
        Path(f"{path}{part}").unlink(missing_ok=True)
    return found


def log_of(path: Path) -> bytes:
    return Path(f"{path}-wal").read_bytes()


def transact(db: sqlite3.Connection, chance: random.Random) -> None:
    """One transaction, which always changes the keys."""
    db.execute("BEGIN IMMEDIATE")
    for _ in range(chance.randint(1, 4)):
        db.execute("INSERT INTO events (payload) VALUES (?)", (chance.randbytes(chance.choice((10, 300, 3000))),))
    if chance.random() < 0.3:
        db.execute("DELETE FROM events WHERE key = (SELECT min(key) FROM events)")
    db.execute("COMMIT")


def keys_in(db: sqlite3.Connection) -> Keys:
    return tuple(key for (key,) in db.execute("SELECT key FROM events ORDER BY key"))


class Disk:
    """A folder in which a database stands as it was left."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "outbox.sqlite"

    def leave(self, database: bytes, log: bytes) -> None:
        """Replace what is there."""
        Path(f"{self.path}-shm").unlink(missing_ok=True)
        self.path.write_bytes(database)
        Path(f"{self.path}-wal").write_bytes(log)

    def as_sqlite_sees_it(self) -> Keys:
        """The keys, without a word of what is missing."""
        with closing(sqlite3.connect(self.path)) as db:
            return keys_in(db)


def flipped(content: bytes, bit: int) -> bytes:
    """With one bit turned."""
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def is_uncertain(was: History, bit: int) -> bool:
    """Whether it may be another one: a high one in another word, one of the sums in a word of the page."""
    size = 24 + int.from_bytes(was.log[8:12])
    within = (bit // 8 - 32) % size
    return bit % 32 >= UNCERTAIN or 16 <= within < 24 or within >= size - 4


def assert_no_silent_loss(disk: Disk, was: History, bit: int) -> None:
    """Damage is seen before SQLite would leave out what was committed, and what is rebuilt is all of it."""
    disk.leave(was.database, flipped(was.log, bit))
    if wal.damage(disk.path) is None:
        assert disk.as_sqlite_sees_it() == was.states[-1], f"bit {bit}"
        return
    keys = rebuilt_keys(disk)
    assert keys == was.states[-1] or (keys is None and is_uncertain(was, bit)), f"bit {bit}"


def rebuilt_keys(disk: Disk) -> Keys | None:
    """What is rebuilt, where that is said to be all."""
    image, is_complete = wal.rebuild(disk.path)
    if not is_complete:
        return None
    with closing(sqlite3.connect(":memory:")) as db:
        db.deserialize(image)
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return keys_in(db)


@pytest.mark.parametrize("seed", SEEDS)
def test_no_bit_that_turns_is_a_silent_loss(tmp_path: Path, seed: int) -> None:
    """Of any log of SQLite's any bit may turn: it is seen, and most can be turned back, so that nothing is lost."""
    chance = random.Random(seed)
    was = any_history(chance)
    header, rest = range(32 * 8), range(32 * 8, len(was.log) * 8)
    for bit in [*chance.sample(header, 4), *chance.sample(rest, 8), *chance.sample(list(heads(was)), 8)]:
        assert_no_silent_loss(Disk(tmp_path), was, bit)


def heads(was: History) -> Iterator[int]:
    """The bits of all frames' headers."""
    size = 24 + int.from_bytes(was.log[8:12])
    for begins in range(32, len(was.log) - size + 1, size):
        yield from range(begins * 8, (begins + 24) * 8)


@pytest.mark.full
def test_no_bit_of_a_whole_log_is_a_silent_loss(tmp_path: Path) -> None:
    """The same of every single bit of the headers, and one bit of each byte of a page, of one log."""
    was = history(random.Random(7), 512, 6, began_anew=True)
    for bit in [*range(32 * 8), *heads(was), *range(32 * 8, len(was.log) * 8, 11)]:
        assert_no_silent_loss(Disk(tmp_path), was, bit)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_power_cut_is_no_damage(tmp_path: Path, seed: int) -> None:
    """A log that ends anywhere, or of whose last transaction only some sectors reached the disk, is no damage."""
    chance, disk = random.Random(seed), Disk(tmp_path)
    was = any_history(chance)
    for _ in range(10):
        disk.leave(was.database, was.log[: chance.randrange(len(was.log) + 1)])
        assert wal.damage(disk.path) is None
    for _ in range(10):
        disk.leave(was.database, torn(was, chance))
        if wal.damage(disk.path) is None:
            assert disk.as_sqlite_sees_it() in was.states[-2:]
        else:  # all that the last transaction lacks is one bit of a frame's header that two sectors share
            assert rebuilt_keys(disk) in was.states[-2:]


def torn(was: History, chance: random.Random) -> bytes:
    """The log with a part of its last transaction, in any order of sectors; what was there before, or zeros, else."""
    old = was.log[:32] + was.before.ljust(len(was.log), b"\0")[32:]  # the header is synchronised first
    first = next((n for n, (a, b) in enumerate(zip(old, was.log, strict=False)) if a != b), len(was.log))
    sectors = [
        was.log[at : at + SECTOR] if at < first // SECTOR * SECTOR or chance.random() < 0.7 else old[at : at + SECTOR]
        for at in range(0, len(was.log), SECTOR)
    ]
    # the sector in which the last transaction begins holds the end of the one before, and is written whole
    return b"".join(sectors)


@pytest.mark.parametrize("content", [b"", b"\0" * 32, b"x" * 31, b"x" * 40, b"\0" * 100_000, b"\xff" * 100_000])
def test_what_is_no_log(tmp_path: Path, content: bytes) -> None:
    """Files that hold no frame are no damage, nor is one that is not there."""
    disk = Disk(tmp_path)
    assert wal.damage(disk.path) is None
    disk.leave(b"", content)
    assert wal.damage(disk.path) is None


EVENTS = 123


def crashed(folder: Path) -> Path:
    """What kill -9 leaves of an outbox in which 123 events were accepted, one after the other."""
    life = Life(folder / "first" / "outbox.sqlite").open()
    for n in range(EVENTS):
        life.outbox.put(an_event_message("front", n, b"%d " % n + b"x" * 400))
        life.commit()
    return life.crash(folder / "crashed")


@pytest.mark.parametrize("byte", [5, 32 + 4120 * 9 + 18, 32 + 4120 * 90 + 1000])
def test_an_outbox_one_bit_of_whose_log_has_turned(tmp_path: Path, byte: int) -> None:
    """All is saved, it is reported in the log, and the file is kept as evidence."""
    path = crashed(tmp_path)
    log = Path(f"{path}-wal")
    log.write_bytes(evidence := flipped(log.read_bytes(), byte * 8))
    with capture_logs() as logs:
        life = Life(path).open()
    numbers = [int(message.payload.split()[0]) for message in life.messages]
    assert numbers == list(range(EVENTS))
    assert life.lost == []
    assert ["write-ahead log" in line["detail"] for line in logs if line["event"] == "outbox file set aside"] == [True]
    (kept,) = path.parent.glob("outbox.sqlite.damaged-*Z-wal")
    assert kept.read_bytes() == evidence
    life.commit()
    again = Life(life.crash(tmp_path / "again")).open()
    assert again.messages == life.messages
    assert again.lost == []


def test_a_bit_that_cannot_be_told(tmp_path: Path) -> None:
    """Where it cannot be told which bit it was at most its own row is lost, and that one may be is reported."""
    path = crashed(tmp_path)
    log = Path(f"{path}-wal")
    log.write_bytes(flipped(log.read_bytes(), (len(log.read_bytes()) - 4120 + 24 + 3003) * 8 + 7))
    life = Life(path).open()
    numbers = [int(message.payload.split()[0]) for message in life.messages]
    assert numbers == sorted(set(numbers))
    assert len(numbers) >= EVENTS - 1
    assert {loss for _, loss in life.lost} == {DropReason.DAMAGED}


@pytest.mark.parametrize("first", [0, 40])
def test_an_outbox_of_whose_log_a_stretch_is_gone(tmp_path: Path, first: int) -> None:
    """What is behind it is saved, and that something may be lost is counted, logged and published."""
    path = crashed(tmp_path)
    log = bytearray(Path(f"{path}-wal").read_bytes())
    begins, length = (32 + 4120 * first, 5000) if first else (0, 40)
    log[begins : begins + length] = bytes(length)
    Path(f"{path}-wal").write_bytes(log)
    life = Life(path).open()
    numbers = [int(message.payload.split()[0]) for message in life.messages]
    assert numbers == sorted(set(numbers))
    assert numbers[-1] == EVENTS - 1
    assert len(numbers) > EVENTS * 0.8
    assert [loss for _, loss in life.lost][-1] == DropReason.DAMAGED


def test_a_checkpoint_empties_the_log(tmp_path: Path) -> None:
    """What was brought into the file is there, and nothing is left to be damaged in the log."""
    life = Life(tmp_path / "outbox.sqlite").open()
    life.outbox.put(an_event_message("front", 1))
    life.commit()
    life.store.checkpoint()
    assert Path(f"{life.path}-wal").stat().st_size == 0
    assert Life(left_by_a_crash(life.path, tmp_path / "copy")).open().messages == life.messages
    life.store.close()
    Store(life.path).checkpoint()  # of one that is not open it is nothing


def test_an_image_that_is_none(tmp_path: Path) -> None:
    """Where even the first page is gone nothing is saved, and that is reported, not raised."""
    path = crashed(tmp_path)
    path.write_bytes(b"\xff" * path.stat().st_size)
    log = bytearray(Path(f"{path}-wal").read_bytes())
    for begins in range(32, len(log), 4120):
        if int.from_bytes(log[begins : begins + 4]) == 1:
            log[begins + 24 : begins + 4120] = b"\xff" * 4096
    Path(f"{path}-wal").write_bytes(log)
    opened = salvage.open_or_replace(store := Store(path), utc_now())
    store.close()
    assert opened.found.rows == []
    assert opened.found.unreadable == [0]
