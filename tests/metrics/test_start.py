"""What is said where metrics cannot be served at all."""

import subprocess
import sys
from pathlib import Path

CONFIG = '[metrics]\nlisten = "9464"\n'
WITHOUT = "{}; import sys; from interhuman2mqtt import cli; sys.exit(cli.main({}))"


def without_the_extra(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A command, where prometheus-client is not installed."""
    code = WITHOUT.format(HIDE, list(arguments))
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)


HIDE = (
    "from importlib import util; find = util.find_spec; "
    "util.find_spec = lambda name, package=None: None if name == 'prometheus_client' else find(name, package)"
)


def test_the_extra_is_missing(tmp_path: Path) -> None:
    """With `[metrics]` and without its extra the service ends with 78 and says what to install; `check` warns."""
    file = tmp_path / "main.toml"
    file.write_text(CONFIG)
    ran = without_the_extra("run", "--config", str(file))
    assert ran.returncode == 78
    assert ran.stderr == (
        "metrics.listen needs prometheus-client, which is not installed: pip install 'interhuman2mqtt[metrics]'\n"
    )
    checked = without_the_extra("check", "--config", str(file))
    assert checked.returncode == 0
    assert f"{file}:2: metrics.listen: warning: needs prometheus-client" in checked.stdout
