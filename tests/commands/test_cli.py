"""The command line: what each command says, and the status that it ends with."""

import logging
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
import trio

from interhuman2mqtt import __version__, cli, daemon
from interhuman2mqtt.cameras.capture_task import CaptureTask
from interhuman2mqtt.publish.mqtt.sender import OutboxSender

GOOD = """
[box]
id = "lobby-1"
[interhuman]
url = "ws://localhost:1/v2/stream/analyze"
api_key = { env = "API_KEY" }
[mqtt]
url = "mqtt://localhost:1"
[cameras.front]
source = "test:"
"""


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command looks for the state of this machine's service."""
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))


@pytest.fixture(autouse=True)
def _own_log() -> Iterator[None]:
    """A command sets the log up for its whole process, which here is that of all tests."""
    handlers, level = list(logging.root.handlers), logging.root.level
    yield
    structlog.reset_defaults()
    logging.root.handlers, logging.root.level = handlers, level


@pytest.fixture
def good(tmp_path: Path) -> str:
    """A file with nothing wrong in it."""
    path = tmp_path / "good.toml"
    path.write_text(GOOD)
    return str(path)


@pytest.fixture
def bad(tmp_path: Path) -> str:
    """A file with a misspelt key."""
    path = tmp_path / "bad.toml"
    path.write_text(GOOD.replace("source", "sauce"))
    return str(path)


def ended(arguments: list[str]) -> int | str | None:
    """The status of a command that argparse ends."""
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    return caught.value.code


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """`--version` names the program and its version."""
    assert ended(["--version"]) == 0
    assert capsys.readouterr().out == f"interhuman2mqtt {__version__}\n"


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"]])
def test_help(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """`--help` tells of every command, and where the configuration is looked for."""
    assert ended(arguments) == 0
    said = capsys.readouterr().out
    expected = (
        ["run", "check", "config", "pause", "resume", "simulate", "demo"]
        if len(arguments) == 1
        else ["--config", "conf.d", "--box"]
    )
    assert [word for word in expected if word not in said] == []


@pytest.mark.parametrize("name", [*cli.subcommands(cli.build_parser()), "token mint", "token revoke"])
def test_the_help_of_each_command(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It says in a sentence what the command does, with an example of it, and how it may end."""
    assert ended([*name.split(), "--help"]) == 0
    shown = capsys.readouterr().out
    assert f"example:\n  interhuman2mqtt {name}" in shown
    assert "exit status:\n  0   done" in shown


def test_a_command_that_is_misspelt(capsys: pytest.CaptureFixture[str]) -> None:
    """The one that was probably meant is named; nothing that was typed reaches the terminal as a command."""
    assert ended(["chek"]) == 2
    assert capsys.readouterr().err.endswith('there is no command chek; did you mean "check"?\n')
    assert ended(["\x1b[31mxyzzy"]) == 2
    shown = capsys.readouterr().err
    assert "\x1b" not in shown
    assert "the commands are run, check" in shown


@pytest.mark.parametrize("arguments", [[], ["fly"], ["run", "--speed", "9"]], ids=["nothing", "unknown", "option"])
def test_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """What cannot be understood ends with status 2 and the usage."""
    assert ended(arguments) == 2
    assert capsys.readouterr().err.startswith("usage: interhuman2mqtt")


def test_check(good: str, bad: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`check` ends with 0 and what runs, or with 78 and a line that says file, line, key and what was meant."""
    assert cli.main(["check", "--config", good]) == 0
    assert "box lobby-1 runs 1 camera: front" in capsys.readouterr().out
    assert cli.main(["check", "--config", bad]) == 78
    said = capsys.readouterr().out
    assert f"{bad}:10: cameras.front.sauce: " in said
    assert "source" in said


def test_config(good: str, bad: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`config` prints the effective configuration for the box that is asked for, or ends with 78."""
    assert cli.main(["config", "--config", good, "--box", "attic"]) == 0
    printed = tomllib.loads(capsys.readouterr().out)
    assert printed["box"]["id"] == "attic"
    assert printed["cameras"]["front"]["source"] == "test:"
    assert cli.main(["config", "--config", bad]) == 78
    assert "sauce" in capsys.readouterr().err


def test_run_with_a_bad_file(bad: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`run` ends with 78 where a restart could not help, and says why in plain lines."""
    assert cli.main(["run", "--config", bad]) == 78
    said = capsys.readouterr().err
    assert f"{bad}:10: cameras.front.sauce: " in said
    assert "Traceback" not in said
    assert cli.main(["run", "--config", str(tmp_path / "none.toml")]) == 78
    assert "No such file" in capsys.readouterr().err


@pytest.mark.parametrize("part", [(OutboxSender, "run_connection"), (CaptureTask, "run")], ids=["publisher", "camera"])
def test_a_bug_beyond_the_budget(
    good: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], part: tuple[type, str]
) -> None:
    """A bug too many of what all cameras need ends the daemon with 70; with a budget of 0 any bug does."""

    async def run(*_: object) -> bool:
        await trio.lowlevel.checkpoint()
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(*part, run)
    monkeypatch.setenv("INTERHUMAN2MQTT_BUGS", "0")
    assert cli.main(["run", "--config", good]) == 70
    said = capsys.readouterr().err
    assert "ZeroDivisionError: a bug" in said
    assert "please report this" in said


def test_ctrl_c_before_it_runs(good: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Ctrl-C that comes before the daemon listens to signals ends it as a shell expects, without a word."""

    def run(*_arguments: object, **_options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(daemon, "run", run)
    assert cli.main(["run", "--config", good]) == 130
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("module", ["interhuman2mqtt", "interhuman2mqtt.cli"])
def test_as_a_process(module: str, bad: str) -> None:
    """The status of the command is that of the process; the module can be run, and importing one does nothing."""
    command = [sys.executable, "-m", module, "check", "--config", bad]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == (78 if module == "interhuman2mqtt" else 0)
    assert ("sauce" in done.stdout) == (module == "interhuman2mqtt")


def test_the_service_loads_no_tools(bad: str) -> None:
    """Neither the simulator nor libav are loaded by a service that does not need them."""
    code = (
        "import sys; from interhuman2mqtt import cli; "
        f"cli.main(['run', '--config', {bad!r}]); "
        "print(sorted({'av', 'amqtt', 'interhuman2mqtt.simulator'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert done.stdout == "[]\n"
