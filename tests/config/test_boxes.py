"""`check --boxes`: one file, all boxes."""

from pathlib import Path

import pytest

from interhuman2mqtt import cli

HEAD = '[interhuman]\napi_key = { env = "KEY" }\n'
FLEET = """
[cameras.front]
source = "rtsp://10.0.0.5/a"
boxes = ["lobby-*"]
[cameras.again]
source = "rtsp://10.0.0.5/a"
boxes = ["lobby-1"]
[cameras.desk]
source = "v4l2:/dev/video0"
boxes = ["lobby-2"]
[cameras.attic]
source = "test:"
boxes = ["attic"]
[cameras.off]
source = "test:"
enabled = false
"""
TWICE = """
[cameras.desk2]
source = "v4l2:/dev/video0"
boxes = ["lobby-*"]
"""
SOUND = """
[cameras.a]
source = "v4l2:/dev/video0"
microphone = "alsa:hw:1,0"
[cameras.b]
source = "v4l2:/dev/video1"
microphone = "alsa:hw:1,0"
"""
HOURS = """
[cameras.day]
source = "v4l2:/dev/video0"
schedule = ["Mon-Fri 08:00-18:00"]
[cameras.night]
source = "v4l2:/dev/video0"
schedule = ["Mon-Fri 18:00-24:00"]
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration that a test writes."""
    monkeypatch.setenv("KEY", "ih_live_key")
    return tmp_path / "fleet.toml"


def check(capsys: pytest.CaptureFixture[str], file: Path, *words: str) -> tuple[int, list[str]]:
    status = cli.main(["check", "--config", str(file), *words])
    return status, capsys.readouterr().out.splitlines()


def test_all_boxes(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Which box runs which camera; an address twice on one box, and a camera that no box runs, are warnings."""
    file.write_text(HEAD + FLEET)
    status, lines = check(capsys, file, "--boxes", "lobby-1,lobby-2")
    twice = "box lobby-1 opens the same address for front and again: each costs a connection of its own"
    assert status == 0
    assert lines == [
        f"{file}:5: cameras.front.source: warning: {twice}",
        f"{file}:13: cameras.attic: warning: no box of these runs it: look at its `boxes`",
        "camera  lobby-1  lobby-2",
        "front      x        x",
        "again      x        .",
        "desk       .        x",
        "attic      .        .",
        "off        .        .",
    ]


def test_a_file_of_boxes(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The ids may stand in a file, a line each; a device twice on a box is an error, that names box and cameras."""
    file.write_text(HEAD + FLEET + TWICE)
    (tmp_path / "boxes").write_text("lobby-1  # the old one\n\nlobby-2\nattic\n")
    status, lines = check(capsys, file, "--boxes", str(tmp_path / "boxes"))
    assert status == 78
    assert any("cameras.desk.source: box lobby-2 opens the same device for desk and desk2" in line for line in lines)
    assert lines[-1] == "desk2      x        x       ."


@pytest.mark.parametrize(("cameras", "status"), [(SOUND, 78), (HOURS, 0)])
def test_one_box(file: Path, cameras: str, status: int, capsys: pytest.CaptureFixture[str]) -> None:
    """A microphone twice is an error without --boxes too; a device at different hours is a warning."""
    file.write_text(HEAD + cameras)
    ended, lines = check(capsys, file, "--box", "lobby-1")
    assert ended == status
    assert any("opens the same device for" in line for line in lines)


def test_what_is_wrong_with_the_file(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A mistake is reported once, however many boxes there are."""
    file.write_text(HEAD + '[cameras.front]\nsauce = "test:"\n')
    status, lines = check(capsys, file, "--boxes", "a,b,c")
    assert status == 78
    assert sum("cameras.front.sauce" in line for line in lines) == 1
    status, lines = check(capsys, file, "--boxes", "No Box")
    assert status == 78
