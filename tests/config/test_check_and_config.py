"""The commands `check` and `config`."""

import io
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from interhuman2mqtt.commands.check import check_command, config_command
from interhuman2mqtt.config import loader as configfile

MARKS = re.compile(r" \(configuration [0-9a-f]{12}, files [0-9a-f]{12}\)$", re.MULTILINE)
CAMERA = '[interhuman]\nurl = "ws://localhost/v2/stream/analyze"\n[cameras.front]\nsource = "test:"\n'


def run_check(file: Path, box: str | None = "lobby-1") -> tuple[int, str]:
    """Exit status and output of `check`."""
    out = io.StringIO()
    code = check_command([file], box, out)
    return code, MARKS.sub("", out.getvalue())


def run_config(file: Path) -> tuple[int, str, str]:
    """Exit status, output and errors of `config`."""
    out, err = io.StringIO(), io.StringIO()
    return config_command([file], "lobby-1", out, err), out.getvalue(), err.getvalue()


def test_a_good_file_is_called_good(tmp_path: Path) -> None:
    """`check` ends with 0 and says what will run where."""
    file = tmp_path / "main.toml"
    file.write_text(CAMERA)
    assert run_check(file) == (0, "good: box lobby-1 runs 1 camera: front\n")
    file.write_text(CAMERA + '[cameras.back]\nsource = "test:"\n')
    assert run_check(file) == (0, "good: box lobby-1 runs 2 cameras: front back\n")


def test_warnings_alone_are_good(tmp_path: Path) -> None:
    """A file without cameras gives a warning, and 0."""
    file = tmp_path / "main.toml"
    file.write_text("")
    assert run_check(file) == (
        0,
        "cameras: warning: there is none: nothing will be streamed\ngood: box lobby-1 runs no camera\n",
    )


def test_errors_exit_with_78(tmp_path: Path) -> None:
    """`check` and `config` end with EX_CONFIG; the one says why as its output, the other apart from it."""
    file = tmp_path / "main.toml"
    file.write_text("x = 1")
    line = f"{file}:1: x: unknown table or key\n"
    assert run_check(file) == (78, line)
    assert run_config(file) == (78, "", line)


def test_the_box_can_be_chosen(tmp_path: Path) -> None:
    """A fleet's file is checked for any box from anywhere, and a wrong name is refused as an argument."""
    file = tmp_path / "main.toml"
    file.write_text(CAMERA + 'boxes = ["hall-*"]\n')
    assert run_check(file, "hall-3") == (0, "good: box hall-3 runs 1 camera: front\n")
    assert run_check(file, "Hall 3")[1].startswith('--box: "Hall 3" must be 1 to 64 of')


def test_config_prints_what_loads_again(tmp_path: Path) -> None:
    """`config` prints the effective configuration, and 0."""
    file = tmp_path / "main.toml"
    file.write_text(CAMERA)
    code, text, errors = run_config(file)
    assert (code, errors) == (0, "")
    assert text == configfile.effective_toml(configfile.load([file], "lobby-1"))


def test_drop_ins_that_cannot_be_read_are_said(
    tmp_path: Path, as_nobody: Callable[[], AbstractContextManager[None]]
) -> None:
    """A folder of drop-ins out of reach is an error of both commands."""
    file = tmp_path / "secret" / "main.toml"
    line = f"{tmp_path}/secret/conf.d: cannot be read: Permission denied; use sudo, or let this user read it\n"
    with as_nobody():
        assert run_check(file) == (78, line)
    with as_nobody():
        assert run_config(file) == (78, "", line)
