"""The store's file: what is committed stays, what is damaged costs as little as possible."""

import json
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import timedelta
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interhuman2mqtt.events import ActiveSignal, utc_now
from interhuman2mqtt.publish.outbox import salvage
from interhuman2mqtt.publish.outbox.row_codec import Stored
from interhuman2mqtt.publish.outbox.store import VERSION, Damaged, Store, StoreChanges, Unavailable, runs
from interhuman2mqtt.runtime.clock import Instant
from publish.helpers import NOON, an_event_message
from publish.lives import destroy_a_page, left_by_a_crash
from support.disks import read_only, tiny_disk

WHEN = Instant(wall=1_800_000_000.0, synced=True, boot="boot-1", uptime=5.0)
TOPICS = ("interhuman/lobby-1/front/status", "homeassistant/device/x/config")


def a_row(key: int, payload: bytes = b"") -> Stored:
    return Stored(key, WHEN, an_event_message(("front", "back")[key % 2], key, payload))


SIGNALS = (ActiveSignal("stress", "s1"), ActiveSignal("agreement", None))


def edit(path: Path, statement: str, *values: object) -> None:
    """Change a file that nobody has open behind the program's back."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute(statement, values)


def put(*keys: int, gone: tuple[int, ...] = (), size: int = 0) -> StoreChanges:
    return StoreChanges(keys[0] if keys else 1 << 40, [a_row(key, b"x" * size) for key in keys], gone, {})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "outbox.sqlite"


@pytest.fixture
def store(path: Path) -> Store:
    store = Store(path)
    store.open()
    return store


def filled(path: Path, rows: int = 60, size: int = 400) -> list[Stored]:
    """A closed file with so many rows and some topics; the rows."""
    store = Store(path)
    store.open()
    wanted = [a_row(key, b"%d " % key + b"x" * size) for key in range(1, rows + 1)]
    store.write(StoreChanges(1, wanted, [], dict.fromkeys(TOPICS, True)))
    store.close()
    return wanted


def test_what_is_written_comes_back(path: Path, store: Store) -> None:
    """Rows and topics come back as they were written, in order, without those that are gone."""
    store.write(StoreChanges(1, [a_row(key) for key in (1, 2, 3)], [], {TOPICS[0]: True, TOPICS[1]: True}))
    store.write(StoreChanges(4, [a_row(4)], [2], {TOPICS[1]: False}))
    store.close()
    found = Store(path).open()
    assert found.rows == [a_row(1), a_row(3), a_row(4)]
    assert found.retained == {TOPICS[0]}
    assert found.unreadable == []


@given(st.lists(st.integers(1, 30)))
def test_what_is_gone_is_gone_in_runs(keys: list[int]) -> None:
    """Whichever keys leave together, the runs that are deleted are these keys and no others."""
    assert [key for first, last in runs(keys) for key in range(first, last + 1)] == sorted(set(keys))


def test_how_it_is_written(path: Path, store: Store) -> None:
    """The file is in WAL mode with synchronous=FULL, its format has a number, and nobody else may read it."""
    db = store._connection
    assert db is not None
    settings_of_it = [db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("synchronous", "user_version")]
    assert settings_of_it == [2, VERSION]
    assert db.execute("PRAGMA journal_mode").fetchone() == (b"wal",)
    assert path.stat().st_mode & 0o777 == 0o600
    assert Path(f"{path}-wal").stat().st_mode & 0o777 == 0o600


def test_what_was_committed_survives_a_crash(tmp_path: Path, path: Path, store: Store) -> None:
    """Without any close, all that `write` has returned from is there."""
    store.write(put(1, 2))
    store.write(put(3, gone=(1,)))
    assert Store(left_by_a_crash(path, tmp_path / "copy")).open().rows == [a_row(2), a_row(3)]


def test_an_attempt_that_failed_leaves_nothing_behind(path: Path, store: Store) -> None:
    """Whatever stands from the first key of a commit on is replaced by its rows, also where it has none."""
    store.write(put(1, 2, 3))
    store.write(put(2))
    assert store.open().rows == [a_row(1), a_row(2)]
    store.write(StoreChanges(2, [], [], {}))
    assert store.open().rows == [a_row(1)]


def test_a_full_disk(store: Store) -> None:
    """With no room for a commit nothing of it is written, the error says what to do, and later it works."""
    db = store._connection
    assert db is not None
    db.execute("PRAGMA max_page_count = 8")
    with pytest.raises(Unavailable, match=r"outbox\.sqlite: its disk is full: make room \(SQLITE_FULL\)"):
        store.write(put(*range(1, 100), size=1000))
    db.execute("PRAGMA max_page_count = 1000000")
    store.write(put(1, 2))
    assert store.open().rows == [a_row(1, b""), a_row(2, b"")]


def test_a_disk_that_really_is_full(tmp_path: Path) -> None:
    """A file system without room left is reported as full; once there is room again, the same store goes on."""
    with tiny_disk(tmp_path / "disk", 400) as disk:
        store = Store(disk / "outbox.sqlite")
        store.open()
        store.write(put(1))
        filler = disk / "filler"
        with suppress(OSError), filler.open("wb", buffering=0) as file:
            file.write(b"x" * 400_000)  # as much of it as there is room for
        with pytest.raises(Unavailable, match="disk is full"):
            store.write(put(*range(2, 50), size=1000))
        filler.unlink()
        store.write(put(2, 3))
        store.close()
        assert len(Store(disk / "outbox.sqlite").open().rows) == 3


def test_a_folder_that_is_read_only(tmp_path: Path) -> None:
    """A folder that must not be written is reported as such, whether or not there is a file in it; later it works."""
    folder = tmp_path / "state"
    folder.mkdir()
    with read_only(folder), pytest.raises(Unavailable, match=r"Read-only|Permission denied"):
        Store(folder / "outbox.sqlite").open()
    rows = filled(folder / "outbox.sqlite")
    with read_only(folder), pytest.raises(Unavailable, match="must not be written"):
        Store(folder / "outbox.sqlite").open()
    assert Store(folder / "outbox.sqlite").open().rows == rows


def test_a_path_that_leads_nowhere(tmp_path: Path) -> None:
    """A folder in the place of the file, and a file in the place of the folder, are both reported."""
    (tmp_path / "outbox.sqlite").mkdir()
    with pytest.raises(Unavailable, match=r"outbox\.sqlite is a folder: set outbox\.path to a file"):
        Store(tmp_path / "outbox.sqlite").open()
    (tmp_path / "file").touch()
    with pytest.raises(Unavailable, match="File exists"):
        Store(tmp_path / "file" / "outbox.sqlite").open()


def test_a_second_daemon(path: Path, store: Store) -> None:
    """A file that another one has open is not touched, and the error asks whether two daemons run."""
    store.write(put(1))
    with pytest.raises(Unavailable, match="another process has it open"):
        Store(path).open()
    store.write(put(2))
    store.close()
    assert len(Store(path).open().rows) == 2


def test_a_file_that_was_removed(path: Path, store: Store) -> None:
    """Commits into a file that is no longer in its place would be lost: they fail instead."""
    path.unlink()
    with pytest.raises(Damaged, match="was removed or replaced"):
        store.write(put(1))


def of_another_program(path: Path) -> None:
    edit(path, "CREATE TABLE recipes (name TEXT)")


def garbage(path: Path) -> None:
    path.write_bytes(b"not a database at all " * 500)


@pytest.mark.parametrize(
    ("make", "says", "saved"),
    [(of_another_program, "another program", 0), (garbage, "damaged", 0)],
)
def test_a_file_that_cannot_be_used(tmp_path: Path, make: Callable[[Path], None], says: str, saved: int) -> None:
    """It is quarantined untouched under a name with the time, what can be read is saved, and a new file begins."""
    path = tmp_path / "outbox.sqlite"
    make(path)
    before = path.read_bytes()
    store = Store(path)
    opened = salvage.open_or_replace(store, NOON)
    assert says in (opened.damage or "")
    assert f"{saved} events were saved" in (opened.damage or "")
    assert len(opened.found.rows) == saved
    set_aside = tmp_path / "outbox.sqlite.damaged-20261122T120000.000000Z"
    assert (set_aside.read_bytes() == before) or saved
    assert set_aside.name in (opened.damage or "")
    assert store.open().rows == []


def test_the_newest_two_are_kept(tmp_path: Path) -> None:
    """Of the files that were quarantined only two stay, with what belongs to them."""
    path = tmp_path / "outbox.sqlite"
    for hour in range(4):
        garbage(path)
        Path(f"{path}-wal").write_bytes(b"x")
        salvage.replace(Store(path), NOON + timedelta(hours=hour))
    names = sorted(file.name for file in tmp_path.iterdir() if "damaged" in file.name)
    assert [re.sub(r".*T(\d\d)0000\.0*Z", r"\1", name) for name in names] == ["14", "14-wal", "15", "15-wal"]


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE events SET payload = x'00' WHERE key = 30",
        "UPDATE events SET payload = 5 WHERE key = 30",
        "UPDATE events SET envelope = '{}' WHERE key = 30",
        "UPDATE events SET topic = CAST(x'ff' AS TEXT) WHERE key = 30",
        "UPDATE events SET checksum = 'x' WHERE key = 30",
    ],
)
def test_one_row_that_is_unreadable(path: Path, damage: str) -> None:
    """A row whose content is damaged costs no other row, and the file stays in use."""
    rows = filled(path)
    edit(path, damage)
    found = Store(path).open()
    assert found.unreadable == [30]
    assert found.rows == [row for row in rows if row.key != 30]


def test_a_topic_that_is_unreadable(path: Path) -> None:
    """A topic of the ledger that is not as it was written is not believed: it might be somebody else's."""
    filled(path)
    edit(path, "UPDATE retained SET topic = 'zigbee2mqtt/status' WHERE topic = ?", TOPICS[0])
    assert Store(path).open().retained == {TOPICS[1]}


def test_a_page_that_is_destroyed(path: Path) -> None:
    """With a page in the middle of the table gone, the rows before and after it are saved."""
    rows = filled(path, rows=200)
    destroy_a_page(path)
    opened = salvage.open_or_replace(Store(path), utc_now())
    assert opened.found.rows[0] == rows[0]
    assert opened.found.rows[-1] == rows[-1]
    assert 180 <= len(opened.found.rows) < 200
    assert 0 in opened.found.unreadable


def damaged(content: bytes, flips: list[tuple[float, int]], keep: float) -> bytes:
    """A file with some bytes changed (where, as a part of its length, and by what) and its end cut off."""
    changed = bytearray(content)
    for where, mask in flips:
        changed[int(where * (len(changed) - 1))] ^= mask
    return bytes(changed[: int(keep * len(changed))])


GONE = (1, 3)
FLIPS = st.lists(st.tuples(st.floats(0, 1), st.integers(1, 255)), max_size=20)


@settings(max_examples=150, deadline=None)
@given(flips=FLIPS, keep=st.just(1.0) | st.floats(0, 1), log=st.booleans())
def test_no_damage_is_a_crash_or_a_lie(
    tmp_path_factory: pytest.TempPathFactory, flips: list[tuple[float, int]], keep: float, *, log: bool
) -> None:
    """Whatever happens to the bytes of file or log, opening works, and what comes back is what was put, in order.

    Damage to the log hides what was committed last, as SQLite takes it for the torn end of a commit under way.
    """
    folder = tmp_path_factory.mktemp("damage")
    path = folder / "outbox.sqlite"
    rows, content, log_content = sample()
    path.write_bytes(content if log else damaged(content, flips, keep))
    Path(f"{path}-wal").write_bytes(damaged(log_content, flips, keep) if log else log_content)
    opened = salvage.open_or_replace(store := Store(path), utc_now())
    messages = [row.message for row in opened.found.rows]
    assert messages == [row.message for row in rows if row.message in messages]
    assert opened.found.retained <= set(TOPICS)
    if not log and int(keep * len(content)) and len(messages) < len(rows) - len(GONE):
        assert opened.found.unreadable or opened.damage
    store.write(put(1000))
    store.close()
    shutil.rmtree(folder)


@cache
def sample() -> tuple[list[Stored], bytes, bytes]:
    """A file after a crash: what was put into it, itself, and its log, in which the last two commits are."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name, "outbox.sqlite")
        rows = filled(path)
        store = Store(path)
        store.open()
        for key, gone in zip((61, 62), GONE, strict=True):
            store.write(put(key, gone=(gone,)))
        content = path.read_bytes(), Path(f"{path}-wal").read_bytes()
        store.close()
    return [*rows, a_row(61), a_row(62)], *content


def test_salvage_of_what_never_was(tmp_path: Path) -> None:
    """Nothing can be read of an empty file, and that is no error."""
    (tmp_path / "empty").touch()
    assert salvage.salvage(tmp_path / "empty").rows == []


WRITER = """
import json, os, sys
from pathlib import Path
from interhuman2mqtt.runtime.clock import Ages
from interhuman2mqtt.publish.message import MessageKind, Message
from interhuman2mqtt.publish.outbox.row_codec import Stored
from interhuman2mqtt.publish.outbox.store import StoreChanges, Store
store = Store(Path(sys.argv[1]))
store.open()
message = Message(topic="a", payload=b"{}", kind=MessageKind.EVENT, retain=False)
for key in range(1, 4):
    os.write(1, b"begin\\n")
    store.write(StoreChanges(key, [Stored(key, Ages().instant(0), message)], [], {}))
    os.write(1, b"committed\\n")
"""


def test_a_commit_waits_for_the_disk(tmp_path: Path) -> None:
    """Between the writes of each commit and its return the kernel is asked to sync the write-ahead log."""
    trace = tmp_path / "trace"
    calls = "trace=openat,write,pwrite64,fsync,fdatasync"
    command = ["strace", "-f", "-y", "-e", calls, "-o", str(trace), sys.executable, "-c", WRITER]
    done = subprocess.run([*command, str(tmp_path / "o.sqlite")], capture_output=True, text=True, check=False)
    if "ptrace" in done.stderr.lower() and "permitted" in done.stderr.lower():
        pytest.skip(f"no tracing here: {done.stderr.strip()}")
    assert done.stdout.split() == ["begin", "committed"] * 3, done.stderr
    for commit in re.findall(r'"begin\\n"(.*?)"committed\\n"', trace.read_text(), re.DOTALL):
        steps = re.findall(r"(pwrite64|fdatasync|fsync)\(\d+<[^>]*o\.sqlite-wal>", commit)
        assert steps[0] == "pwrite64"
        assert steps[-1] in {"fdatasync", "fsync"}


def test_the_rows_are_plain_to_read(path: Path) -> None:
    """A person with sqlite3 at hand finds the event's topic and JSON in columns of their own."""
    store = Store(path)
    store.open()
    store.write(put(1))
    store.close()
    with closing(sqlite3.connect(path)) as db:
        [(topic, payload)] = db.execute("SELECT topic, payload FROM events")
    assert (topic, json.loads(payload)["n"]) == ("interhuman/lobby-1/back/event/x", 1)


def active(**cameras: tuple[ActiveSignal, ...]) -> StoreChanges:
    return StoreChanges(1, [], [], {}, cameras)


def test_active_signals_are_kept_until_they_end(path: Path, store: Store) -> None:
    """A later life finds the signals that were active in the end, by camera, and none of those that were not."""
    store.write(active(front=SIGNALS, back=SIGNALS[:1]))
    store.write(active(front=SIGNALS[1:], back=()))
    store.close()
    assert Store(path).open().active == {"front": SIGNALS[1:]}


def test_active_signals_that_were_tampered_with(path: Path, store: Store) -> None:
    """What is not as it was written is left out: nobody waits for the end of another signal."""
    store.write(active(front=SIGNALS, back=SIGNALS))
    store.close()
    edit(path, "UPDATE active SET signals = '[[]]' WHERE camera = 'front'")
    assert Store(path).open().active == {"back": SIGNALS}


def test_a_file_without_a_table_of_signals(path: Path, store: Store) -> None:
    """A file of an earlier version gets it, and keeps its format's number: that version can still read it."""
    store.write(put(1))
    store.close()
    edit(path, "DROP TABLE active")
    again = Store(path)
    found = again.open()
    assert (len(found.rows), found.active) == (1, {})
    again.write(active(front=SIGNALS))
    again.close()
    assert again.open().active == {"front": SIGNALS}
    again.close()
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (1,)
