"""The sdist and the wheel: what they hold, and that the same commit gives the same bytes."""

import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from interhuman2mqtt import __version__

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.full


def dist() -> tuple[Path, Path]:
    """Build both, which twine then checks; returns the sdist and the wheel."""
    subprocess.run(["make", "dist"], cwd=ROOT, check=True, timeout=600, stdout=subprocess.DEVNULL)
    folder = ROOT / "dist"
    return folder / f"interhuman2mqtt-{__version__}.tar.gz", folder / f"interhuman2mqtt-{__version__}-py3-none-any.whl"


def test_what_they_hold() -> None:
    """The wheel, which is built from the sdist, has the schemas, the sample and the units."""
    sdist, wheel = dist()
    names = set(zipfile.ZipFile(wheel).namelist())
    schemas = {f"interhuman2mqtt/schema/{name}.json" for name in ("config", "events", "asyncapi")}
    shipped = {f"systemd/{path.name}" for path in (ROOT / "systemd").iterdir()} | {"interhuman2mqtt.toml"}
    share = f"interhuman2mqtt-{__version__}.data/data/share/interhuman2mqtt"
    assert schemas | {"interhuman2mqtt/py.typed"} | {f"{share}/{name}" for name in shipped} <= names
    with tarfile.open(sdist) as archive:
        assert {entry.uname for entry in archive} <= {"", "root"}


def test_the_same_commit_gives_the_same_bytes() -> None:
    """Built twice, both are the same to the byte."""
    before = [file.read_bytes() for file in dist()]
    assert [file.read_bytes() for file in dist()] == before
