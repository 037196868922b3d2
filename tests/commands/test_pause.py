"""`pause` and `resume` on the command line: what they say, and the status that they end with."""

import errno
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import structlog

from interhuman2mqtt import cli
from interhuman2mqtt.policy.pauses import Pauses

CONFIG = """
[box]
id = "lobby-1"
[interhuman]
api_key = { env = "API_KEY" }
[cameras.front]
source = "test:"
[cameras.back]
source = "test:"
boxes = ["lobby-2"]
[cameras.side]
source = "test:"
"""


@pytest.fixture(autouse=True)
def _own_log() -> Iterator[None]:
    """A command sets the log up for its whole process, which here is that of all tests."""
    handlers, level = list(logging.root.handlers), logging.root.level
    yield
    structlog.reset_defaults()
    logging.root.handlers, logging.root.level = handlers, level


@pytest.fixture(autouse=True)
def pauses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pauses:
    """The state is the test's own."""
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    return Pauses(tmp_path / "state")


@pytest.fixture
def config(tmp_path: Path) -> str:
    """A file of two boxes."""
    file = tmp_path / "interhuman2mqtt.toml"
    file.write_text(CONFIG)
    return str(file)


def test_pause_and_resume(config: str, pauses: Pauses, capsys: pytest.CaptureFixture[str]) -> None:
    """Both say what they did and what holds now, and need nothing that runs."""
    assert cli.main(["pause", "front", "--config", config]) == 0
    assert capsys.readouterr().out == "front is paused; paused now: front\n"
    assert cli.main(["pause", "front", "--config", config]) == 0
    assert capsys.readouterr().out == "front is paused already; paused now: front\n"
    assert list(pauses.read().pauses) == ["front"]
    assert cli.main(["resume", "front", "--config", config]) == 0
    assert capsys.readouterr().out == "the pause of front is lifted; nothing is paused now\n"
    assert pauses.read().pauses == {}


@pytest.mark.parametrize("words", [[], ["all"]])
def test_all_cameras(words: list[str], pauses: Pauses, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a camera, or by its name `all`, the whole box is meant, and no configuration is needed."""
    assert cli.main(["pause", *words]) == 0
    assert "all cameras are paused" in capsys.readouterr().out
    assert list(pauses.read().pauses) == ["all"]
    assert cli.main(["resume", *words]) == 0
    assert pauses.read().pauses == {}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["frnt"], 'box lobby-1 has no camera "frnt"; did you mean "front"?'),
        (["lift"], 'box lobby-1 has no camera "lift"; its cameras: front, side'),
        (["back"], 'box lobby-1 has no camera "back"; its cameras: front, side'),
        (["front", "--box", "attic"], None),
        (["back", "--box", "lobby-2"], None),
        (["Front Desk"], '"Front Desk" is no name of a camera: they are of a-z, 0-9, _ and -'),
        (["../x"], '"../x" is no name of a camera: they are of a-z, 0-9, _ and -'),
    ],
)
@pytest.mark.parametrize("command", ["pause", "resume"])
def test_unknown_cameras(
    command: str,
    words: list[str],
    sentence: str | None,
    config: str,
    pauses: Pauses,
    *,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A camera that this box does not have is refused with what was probably meant, and nothing is done."""
    pauses.prepare()
    assert not pauses.is_doubtful()
    status = cli.main([command, *words, "--config", config])
    said = capsys.readouterr().err
    assert (status, said) == ((2, f"{sentence}\n") if sentence else (0, ""))
    assert list(pauses.read().pauses) == (words[:1] if command == "pause" and sentence is None else [])


def test_a_pause_of_a_camera_that_was_removed(config: str, pauses: Pauses) -> None:
    """It can be lifted, though the configuration does not know the camera any more."""
    pauses.prepare()
    (pauses.folder / "attic").touch()
    assert cli.main(["resume", "attic", "--config", config]) == 0
    assert pauses.read().pauses == {}


def test_a_configuration_with_mistakes(tmp_path: Path, pauses: Pauses, capsys: pytest.CaptureFixture[str]) -> None:
    """It keeps nobody from pausing: the mistakes are reported, and the name is taken as it is."""
    bad = tmp_path / "bad.toml"
    bad.write_text('[cameras.front]\nsauce = "test:"\n')
    assert cli.main(["pause", "front", "--config", str(bad)]) == 0
    said = capsys.readouterr()
    assert said.err.startswith("the name is not checked, because the configuration cannot be used:\n")
    assert f"{bad}:2: cameras.front.sauce: " in said.err
    assert said.out == "front is paused; paused now: front\n"
    assert list(pauses.read().pauses) == ["front"]


def test_a_state_that_is_no_folder(config: str, pauses: Pauses, capsys: pytest.CaptureFixture[str]) -> None:
    """What cannot be written ends with 73 and a sentence that names the file."""
    pauses.folder.parent.mkdir()
    pauses.folder.touch()
    assert cli.main(["pause", "front", "--config", config]) == 73
    said = capsys.readouterr().err
    assert said.startswith(f"the pause of front cannot be written down: {pauses.folder}/front: Not a directory; ")
    assert "nor does a daemon hold it: no daemon is running here" in said
    assert cli.main(["resume", "--config", config]) == 73
    assert capsys.readouterr().err == f"all cameras cannot be resumed: {pauses.folder}: Not a directory\n"


def test_no_permission(
    config: str, pauses: Pauses, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is forbidden ends with 77, and with who may."""
    pauses.prepare()

    def refuse(self: Path, *_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    (pauses.folder / "front").touch()
    monkeypatch.setattr(Path, "unlink", refuse)
    assert cli.main(["resume", "front", "--config", config]) == 77
    said = capsys.readouterr().err
    assert said.startswith(f"front cannot be resumed: {pauses.folder}/front: Permission denied; do it as ")
    assert said.endswith(" or with sudo\n")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_as_somebody_else(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Another user than the service's is really refused, and told whose the folder is."""
    with TemporaryDirectory() as state:  # pytest's own is closed to others
        Path(state).chmod(0o755)
        Pauses(Path(state)).prepare()
        monkeypatch.setenv("STATE_DIRECTORY", state)
        os.seteuid(65534)
        try:
            status = cli.main(["pause"])
        finally:
            os.seteuid(0)
        what = f"the pause of all cameras cannot be written down: {state}/paused/all"
        sentence = f"{what}: Permission denied; do it as root or with sudo; nor does a daemon hold it: "
        said = capsys.readouterr().err
        assert (status, said[: len(sentence)]) == (77, sentence)
        assert Pauses(Path(state)).read().pauses == {}
