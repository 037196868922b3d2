"""Tools that npm has and nobody else, each installed once per checkout, under `.cache/node`."""

import fcntl
import shutil
import subprocess
from pathlib import Path

import pytest

IS_THERE = shutil.which("npm") is not None and shutil.which("node") is not None
CACHE = Path(__file__).parents[2] / ".cache" / "node"
PINNED = {
    "@asyncapi/parser": "3.6.6",
    "@flowfuse/node-red-dashboard": "1.31.0",
    "@taplo/cli": "0.7.0",
    "mqtt": "5.16.0",
    "node-red": "4.1.8",
}


def installed(name: str) -> Path:
    """The folder that holds `node_modules` with this package; skips the test where there is no npm.

    Of several processes that want it at once the first installs it, and the others wait.
    """
    if not IS_THERE:
        pytest.skip(f"npm is not installed, so {name} cannot be had: apt-get install npm")
    folder = CACHE / f"{name.replace('/', '-')}-{PINNED[name]}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            (folder / "package.json").write_text("{}")
            command = ["npm", "install", "--no-fund", "--no-audit", "--loglevel=error", f"{name}@{PINNED[name]}"]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=240, check=False)
            assert done.returncode == 0, f"npm could not install {name}:\n{done.stderr}"
            (folder / "complete").touch()
    return folder
