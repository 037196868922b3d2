"""What the history holds comes out as rows, with nothing between them and nothing that a spreadsheet would run."""

import csv
import io
import json
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from pathlib import Path

import pytest

from interhuman2mqtt.cli import main
from interhuman2mqtt.commands.moments import parse_moment
from interhuman2mqtt.config.problems import BadValueError
from interhuman2mqtt.web.export import rows, write_csv
from interhuman2mqtt.web.history import NAME, History
from interhuman2mqtt.web.rows import (
    CameraKey,
    EngagementRow,
    GapRow,
    HoleRow,
    QualityRow,
    ReceivedRow,
    SignalRow,
)

FRONT = CameraKey("lobby-1", "front")
BEGIN = datetime(2026, 11, 28, 10, tzinfo=UTC).timestamp()


@pytest.fixture
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> History:
    """A history of two cameras, while a page has it open."""
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    history = History(tmp_path / NAME)
    scores = (61.0, None, 1.0, 2.0, 3.0, 4.0)
    history.write(
        [
            ReceivedRow(BEGIN, BEGIN + 100),
            HoleRow(FRONT, BEGIN + 80, BEGIN + 90),
            EngagementRow(FRONT, BEGIN + 10, "engaged"),
            GapRow(FRONT, BEGIN + 30, BEGIN + 40, "unreachable"),
            SignalRow(FRONT, "s/stress", "stress", BEGIN + 12, BEGIN + 20, "high", "=HYPERLINK(1)"),
            SignalRow(FRONT, "s/interest", "interest", BEGIN + 50, None, None, None),
            QualityRow(FRONT, BEGIN + 60, scores),
            EngagementRow(CameraKey("hall-2", "door"), BEGIN + 10, "neutral"),
        ]
    )
    return history


def test_every_moment_is_in_a_row(history: History) -> None:
    """Levels, gaps and what is not known follow on one another over the whole range: what is missing is a row too."""
    found = [row for row in rows(history, FRONT, (BEGIN - 10, BEGIN + 110)) if row.kind not in {"signal", "quality"}]
    assert [(row.kind, row.what, (row.start or 0) - BEGIN) for row in found] == [
        ("not_known", None, -10),
        ("engagement", "no_level", 0),
        ("engagement", "engaged", 10),
        ("gap", "unreachable", 30),
        ("engagement", "no_level", 40),
        ("not_known", None, 80),
        ("engagement", "no_level", 90),
        ("not_known", None, 100),
    ]
    assert all(one.end == other.start for one, other in pairwise(found))


def test_a_spreadsheet_gets_text_and_no_formula(history: History) -> None:
    """Times stand in UTC and in the zone, scores in columns, and text that boxes made is no formula."""
    out = io.StringIO()
    write_csv(rows(history, FRONT, (BEGIN, BEGIN + 100)), timezone(timedelta(hours=1)), out)
    lines = list(csv.DictReader(io.StringIO(out.getvalue())))
    [stress, interest] = [line for line in lines if line["kind"] == "signal"]
    assert (stress["start_utc"], stress["start_local"]) == (
        "2026-11-28T10:00:12.000+00:00",
        "2026-11-28T11:00:12.000+01:00",
    )
    assert (stress["what"], stress["seconds"], stress["probability"]) == ("stress", "8.0", "high")
    assert stress["rationale"] == "'=HYPERLINK(1)"
    assert (interest["end_utc"], interest["seconds"]) == ("", "")
    [quality] = [line for line in lines if line["kind"] == "quality"]
    assert (quality["quality_index"], quality["clarity"], quality["learning"]) == ("61.0", "", "4.0")


def test_export_while_the_page_runs(history: History, capsys: pytest.CaptureFixture[str]) -> None:
    """The command writes what another process has written so far, of one camera or of all, within its range."""
    assert main(["export", "--jsonl"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {row["camera"] for row in found} == {"front", "door"}
    assert main(["export", "--jsonl", "lobby-1/front", "--from", "2026-11-28T10:00:45Z"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {row["kind"] for row in found} == {"signal", "quality", "engagement", "not_known"}
    assert {row["camera"] for row in found} == {"front"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["back"], "the history has nothing of back: it has hall-2/door, lobby-1/front"),
        (["--from", "noon"], "--from and --to: must be"),
        (["--from", "2026-11-28T12:00Z", "--to", "2026-11-28T11:00Z"], "--from has to be before --to"),
    ],
)
def test_what_cannot_be_exported(
    words: list[str], said: str, history: History, capsys: pytest.CaptureFixture[str]
) -> None:
    """A camera that nothing is known of, and a range that is none, are said to be so."""
    assert main(["export", *words]) == 69
    assert said in capsys.readouterr().err


def test_no_history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Where no page has kept anything, or the file is damaged, that is said, and no file is made."""
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    assert main(["export"]) == 69
    assert "there is no history at" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    (tmp_path / NAME).write_bytes(b"no database" * 100)
    assert main(["export"]) == 69
    assert "is damaged, or is no history: file is not a database" in capsys.readouterr().err


def test_moments() -> None:
    """A moment is a date and time with or without its zone, or so long ago."""
    assert parse_moment("2026-11-28T10:00Z", 0) == BEGIN
    assert parse_moment("2026-11-28T11:00+01:00", 0) == BEGIN
    assert parse_moment("2h", 10_000) == 2800
    assert parse_moment("2026-11-28T10:00", 0) == datetime(2026, 11, 28, 10).astimezone().timestamp()
    for text in ("", "noon", "2026-13-01", "9999999999999h", "0001-01-01T00:00+23:59"):
        with pytest.raises(BadValueError):
            parse_moment(text, 0)
