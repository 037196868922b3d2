"""What is said where metrics cannot be served at all."""

import os
import signal
import subprocess
import sys
from pathlib import Path

CONFIG = '[metrics]\nlisten = "9464"\n'
WITHOUT = "{}; import sys; from interhuman2mqtt import cli; sys.exit(cli.main({}))"


def without_the_extra(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A command, where prometheus-client is not installed."""
    code = WITHOUT.format(HIDE, list(arguments))
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)


def run_without_the_extra(*arguments: str, folder: Path) -> str:
    """What the service says until it has started and was stopped again, in good order."""
    command = [sys.executable, "-c", WITHOUT.format(HIDE, list(arguments))]
    env = {**os.environ, "STATE_DIRECTORY": str(folder)}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=env) as service:
        assert service.stderr is not None
        said = ""
        while '"started"' not in said:
            line = service.stderr.readline()
            assert line, said
            said += line
        service.send_signal(signal.SIGTERM)
        said += service.stderr.read()
        assert service.wait(30) == 0
    return said


HIDE = (
    "from importlib import util; find = util.find_spec; "
    "util.find_spec = lambda name, package=None: None if name == 'prometheus_client' else find(name, package)"
)


def test_the_extra_is_missing(tmp_path: Path) -> None:
    """With `[metrics]` and without its extra the service goes on, and says what to install; `check` warns."""
    file = tmp_path / "main.toml"
    file.write_text(CONFIG)
    said = run_without_the_extra("run", "--config", str(file), folder=tmp_path)
    assert "needs prometheus-client, which is not installed: pip install 'interhuman2mqtt[metrics]'" in said
    checked = without_the_extra("check", "--config", str(file))
    assert checked.returncode == 0
    assert f"{file}:2: metrics.listen: warning: needs prometheus-client" in checked.stdout
