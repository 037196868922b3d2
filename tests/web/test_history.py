"""The history is what was written, by range, and stays within its bounds."""

import sqlite3
from pathlib import Path

import pytest

from interhuman2mqtt.commands import web
from interhuman2mqtt.web import history as history_module
from interhuman2mqtt.web.export import rows
from interhuman2mqtt.web.history import NAME, History, HistoryError, NewerHistoryError
from interhuman2mqtt.web.history_schema import VERSION
from interhuman2mqtt.web.recent import RecentHours
from interhuman2mqtt.web.rows import (
    CameraKey,
    EngagementRow,
    FilledRow,
    GapRow,
    HoleRow,
    QualityRow,
    ReceivedRow,
    SignalRow,
    StatusRow,
)

FRONT, DOOR = CameraKey("lobby-1", "front"), CameraKey("lobby-1", "door")


def a_signal(start: float, end: float | None, camera: CameraKey = FRONT, kind: str = "stress") -> SignalRow:
    return SignalRow(camera, f"s/{kind}", kind, start, end, "high", None)


def test_rows_are_found_by_their_range(tmp_path: Path) -> None:
    """Spans that overlap, points within and the last before: of that camera, and of no other."""
    history = History(tmp_path / "history.sqlite")
    history.write(
        [
            a_signal(0, 5),
            a_signal(8, None),
            a_signal(8, 9, DOOR),
            EngagementRow(FRONT, 1, "neutral"),
            EngagementRow(FRONT, 4, "engaged"),
            EngagementRow(FRONT, 12, "neutral"),
            QualityRow(FRONT, 9, (61.0, None, 1.0, 2.0, 3.0, 4.0)),
            ReceivedRow(0, 20),
        ]
    )
    assert [row[2:4] for row in history.spans("signal", FRONT, 6, 10)] == [(8.0, None)]
    assert history.points("engagement", FRONT, 6, 10) == [(4.0, "engaged")]
    assert history.points("engagement", FRONT, 6, 13) == [(4.0, "engaged"), (12.0, "neutral")]
    assert history.points("quality", FRONT, 0, 10) == [(9.0, 61.0, None, 1.0, 2.0, 3.0, 4.0)]
    assert history.received(10, 30) == [(0.0, 20.0)]
    assert history.spans("signal", CameraKey("x", "y"), 0, 100) == []
    assert history.cameras() == [DOOR, FRONT]


def test_a_row_of_the_same_key_replaces_the_one_before(tmp_path: Path) -> None:
    """An end, a longer stretch, and a hole that is none take the place of what was there, also after a restart."""
    path = tmp_path / "history.sqlite"
    history = History(path)
    history.write([a_signal(1, None), GapRow(FRONT, 2, None, "paused"), ReceivedRow(0, 5), HoleRow(FRONT, 3, 4)])
    assert history.open_signals() == [a_signal(1, None)]
    assert history.open_gaps() == [GapRow(FRONT, 2, None, "paused")]
    history.close()
    history = History(path)
    history.write([a_signal(1, 2), GapRow(FRONT, 2, 9, "paused"), ReceivedRow(0, 50), HoleRow(FRONT, 3, 3)])
    assert history.spans("signal", FRONT, 0, 9) == [("s/stress", "stress", 1.0, 2.0, "high", None)]
    assert history.spans("gap", FRONT, 0, 9) == [(2.0, 9.0, "paused")]
    assert history.spans("hole", FRONT, 0, 9) == []
    assert history.received(0, 9) == [(0.0, 50.0)]
    assert history.open_signals() == []


def test_what_is_old_goes_but_what_still_holds(tmp_path: Path) -> None:
    """Beyond `keep` rows go; the level that began before it and holds still stays."""
    history = History(tmp_path / "history.sqlite")
    history.write([EngagementRow(FRONT, at, "engaged") for at in (1, 5, 30)])
    history.write([StatusRow(FRONT, 2, "streaming", None, None), a_signal(1, 3), GapRow(FRONT, 4, None, "offline")])
    assert history.prune(before=10, max_size=1 << 30) == 10
    assert history.points("engagement", FRONT, 0, 99) == [(5.0, "engaged"), (30.0, "engaged")]
    assert history.points("status", FRONT, 0, 99) == [(2.0, "streaming", None, None)]
    assert history.spans("signal", FRONT, 0, 99) == []
    assert history.spans("gap", FRONT, 0, 99) == [(4.0, None, "offline")]


def test_the_oldest_goes_where_the_file_is_too_large(tmp_path: Path) -> None:
    """`max_size` bounds the file, and the newest stays; nothing that can be pruned is no endless loop."""
    path = tmp_path / "history.sqlite"
    history = History(path)
    history.write(SignalRow(FRONT, "s/x", "x", at * 60, at * 60 + 1, None, "r" * 500) for at in range(5000))
    kept_from = history.prune(before=0, max_size=1 << 20)
    assert path.stat().st_size <= 1 << 20
    assert kept_from > 0
    assert history.spans("signal", FRONT, 0, 1e9)[-1][2] == 4999 * 60
    assert history.prune(before=0, max_size=1) > 0


def test_a_camera_is_forgotten(tmp_path: Path) -> None:
    """Everything of one camera within a range goes, and of nobody else."""
    history = History(tmp_path / "history.sqlite")
    history.write([a_signal(1, 2), a_signal(5, 6), a_signal(5, 6, DOOR)])
    history.write([EngagementRow(FRONT, 3, "engaged"), EngagementRow(FRONT, 5, "neutral"), ReceivedRow(0, 20)])
    history.write([GapRow(FRONT, 9, 12, "y")])
    other = History(tmp_path / "history.sqlite")
    before = other.version()
    assert history.forget(FRONT, 4, 10) == 2
    assert other.version() != before
    assert [row[2] for row in history.spans("signal", FRONT, 0, 99)] == [1.0]
    assert len(history.spans("signal", DOOR, 0, 99)) == 1
    assert [(row.kind, row.start) for row in rows(history, FRONT, (2, 20)) if row.kind != "signal"] == [
        ("engagement", 2.0),
        ("engagement", 3.0),
        ("not_known", 4.0),
        ("gap", 9.0),
        ("engagement", 12.0),
    ]
    assert history.forget(CameraKey("x", "y"), 0, 99) == 0


def test_what_fills_a_gap_is_kept_and_forgotten(tmp_path: Path) -> None:
    """It is drawn as filled after a restart too, and is a gap again once what was found in it is forgotten."""
    history = History(tmp_path / "history.sqlite")
    history.write([GapRow(FRONT, 0, 60, "cloud_unreachable"), FilledRow(FRONT, 0, 30), FilledRow(FRONT, 30, 50)])
    history.close()
    history = History(tmp_path / "history.sqlite")
    recent = RecentHours()
    recent.load(history, 100)
    assert [row.kind for row in rows(history, FRONT, (0, 60))] == ["filled", "gap"]
    assert [stretch.kind for stretch in recent.ribbon(FRONT, (0, 60))] == ["filled", "gap"]
    history.forget(FRONT, 0, 40)
    assert [(row.kind, row.end) for row in rows(history, FRONT, (0, 60))] == [("gap", 60)]


def test_a_history_of_before_is_taken_in(tmp_path: Path) -> None:
    """A file of a version that knew of no fillings gives what it has."""
    older = History(tmp_path / "older.sqlite")
    older.write([a_signal(1, 2)])
    older.close()
    with sqlite3.connect(tmp_path / "older.sqlite") as db:
        db.execute("DROP TABLE filled")
    history = History(tmp_path / "history.sqlite")
    history.take_in(tmp_path / "older.sqlite")
    assert len(history.spans("signal", FRONT, 0, 99)) == 1


def test_what_is_forgotten_is_not_in_the_file(tmp_path: Path) -> None:
    """No byte of it is left: neither in what is free in the file, nor in the write-ahead log."""
    history = History(tmp_path / "history.sqlite")
    word = "secretly-nervous"
    history.write([SignalRow(FRONT, f"s/{n}", word, n, n + 1, "high", word * 300) for n in range(50)])
    assert any(word.encode() in file.read_bytes() for file in tmp_path.iterdir())
    history.forget(FRONT, 0, 1e12)
    assert not any(word.encode() in file.read_bytes() for file in tmp_path.iterdir())


def test_a_downgrade_and_the_upgrade_after_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A history of a newer version is set aside whole; the upgrade joins both, whatever numbers the cameras had."""
    path = tmp_path / NAME
    newer = web.open_history(path)
    newer.write([a_signal(1, 2), GapRow(FRONT, 3, 4, "x"), ReceivedRow(0, 5), EngagementRow(FRONT, 1, "engaged")])
    newer.close()
    with monkeypatch.context() as older:
        for module in (history_module, web):
            older.setattr(module, "VERSION", VERSION - 1)
        downgraded = web.open_history(path)
        assert downgraded.cameras() == []
        downgraded.write([a_signal(11, 12, DOOR), a_signal(13, 14), ReceivedRow(10, 15)])
        downgraded.close()
    assert len([*tmp_path.glob(f"{NAME}.newer-*Z")]) == 1
    history = web.open_history(path)
    assert history.cameras() == [DOOR, FRONT]
    assert [row[2] for row in history.spans("signal", FRONT, 0, 99)] == [1.0, 13.0]
    assert [row[2] for row in history.spans("signal", DOOR, 0, 99)] == [11.0]
    assert history.spans("gap", FRONT, 0, 99) == [(3, 4, "x")]
    assert history.points("engagement", FRONT, 0, 99) == [(1, "engaged")]
    assert history.received(0, 99) == [(0, 5), (10, 15)]
    history.write([a_signal(20, 21)])
    assert [row[2] for row in history.spans("signal", FRONT, 15, 99)] == [20.0]
    assert [file.name for file in tmp_path.glob("*newer*")] == []


def test_what_cannot_be_taken_in_stays(tmp_path: Path) -> None:
    """A file that was set aside and is damaged costs the page nothing, and is left for who can read it."""
    aside = tmp_path / f"{NAME}.newer-{VERSION}-20261128T110000Z"
    aside.write_bytes(b"no database at all " * 500)
    history = web.open_history(tmp_path / NAME)
    history.write([a_signal(1, 2)])
    assert aside.exists()


def test_a_newer_file_is_left_alone(tmp_path: Path) -> None:
    """A file of a newer version is not read, and not changed."""
    path = tmp_path / "history.sqlite"
    History(path).close()
    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA user_version = {VERSION + 1}")
    db.close()
    before = path.read_bytes()
    with pytest.raises(NewerHistoryError):
        History(path)
    assert path.read_bytes() == before


def test_the_file_is_closed_to_others(tmp_path: Path) -> None:
    """What is known of people may be read by its owner alone."""
    history = History(tmp_path / "history.sqlite")
    assert {file.name: oct(file.stat().st_mode & 0o777) for file in tmp_path.iterdir()}["history.sqlite"] == "0o600"
    history.close()


def test_a_damaged_history_begins_anew(tmp_path: Path) -> None:
    """What cannot be read is kept as evidence, and the page goes on; what cannot be opened is said."""
    path = tmp_path / NAME
    path.write_bytes(b"no database" * 100)
    history = web.open_history(path)
    assert history.cameras() == []
    history.close()
    [moved] = tmp_path.glob(f"{NAME}.damaged-*")
    assert moved.read_bytes().startswith(b"no database")
    (tmp_path / "folder").mkdir()
    with pytest.raises(HistoryError, match="folder"):
        web.open_history(tmp_path / "folder")


def test_what_fails_half_way_leaves_nothing_behind(tmp_path: Path) -> None:
    """After a call that failed in its middle the next ones go on, and no camera has the number of another."""
    path = tmp_path / NAME
    history = History(path)
    history.write([a_signal(1, 2, DOOR)])
    with sqlite3.connect(path) as other:
        for table, when in (("engagement", "INSERT"), ("engagement", "DELETE"), ("received", "DELETE")):
            says = "BEGIN SELECT RAISE(ABORT, 'the disk is full'); END"
            other.execute(f"CREATE TRIGGER {table}_{when} BEFORE {when} ON {table} {says}")
    history.write([ReceivedRow(0, 5)])
    for fails in (
        lambda: history.write([a_signal(3, 4), EngagementRow(FRONT, 3, "engaged")]),
        lambda: history.prune(before=10, max_size=1 << 30),
    ):
        with pytest.raises(sqlite3.Error, match="the disk is full"):
            fails()
        history.write([])
    third = CameraKey("lobby-1", "third")
    history.write([a_signal(5, 6, third), a_signal(7, 8)])
    assert [row[2] for row in history.spans("signal", FRONT, 0, 99)] == [7.0]
    assert [row[2] for row in history.spans("signal", third, 0, 99)] == [5.0]
    assert [row[2] for row in history.spans("signal", DOOR, 0, 99)] == [1.0]
