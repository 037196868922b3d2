"""The changelog's form, and the script that makes the commit of a release of it."""

import re
import shutil
import subprocess
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from interhuman2mqtt import __version__

ROOT = Path(__file__).parents[2]
HEADING = re.compile(r"## \[(\d+\.\d+\.\d+)\] - (\d{4}-\d\d-\d\d)")
KINDS = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"]
INIT, KUBERNETES = "src/interhuman2mqtt/__init__.py", "config/deploy/kubernetes/statefulset.yaml"
FILES = ("CHANGELOG.md", "scripts/release", INIT, KUBERNETES)


def test_the_changelog_is_kept() -> None:
    """Keep a Changelog: what is unreleased first, then versions with their days, newest first, by its six headings."""
    lines = (ROOT / "CHANGELOG.md").read_text().splitlines()
    first, *versions = [line for line in lines if line.startswith("## ")]
    assert first == "## [Unreleased]"
    found = [HEADING.fullmatch(line) for line in versions]
    assert all(found)
    named = [(tuple(map(int, one[1].split("."))), date.fromisoformat(one[2])) for one in found if one]
    assert named == sorted(named, reverse=True)
    assert ".".join(map(str, named[0][0])) == __version__
    assert {line.removeprefix("### ") for line in lines if line.startswith("### ")} <= set(KINDS)


def git(folder: Path, *words: str) -> str:
    who = ("-c", "user.name=a", "-c", "user.email=a@b.example")
    return subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A repository with what the script changes."""
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "Makefile").write_text("generate:\n")
    text = (tmp_path / "CHANGELOG.md").read_text()
    news = "## [Unreleased]\n\n### Added\n\n- Something.\n"
    (tmp_path / "CHANGELOG.md").write_text(text.replace("## [Unreleased]\n", news, 1))
    git(tmp_path, "init", "-q")
    git(tmp_path, "config", "user.name", "a")
    git(tmp_path, "config", "user.email", "a@b.example")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "All that is there")
    return tmp_path


def release(folder: Path, version: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([folder / "scripts" / "release", version], capture_output=True, text=True, check=False)


def test_a_release(copy: Path) -> None:
    """What is unreleased becomes the version of today, everywhere, in one commit; nothing is tagged."""
    done = release(copy, "99.0.0")
    assert done.returncode == 0, done.stderr
    assert f"## [Unreleased]\n\n## [99.0.0] - {datetime.now(UTC):%Y-%m-%d}\n\n### Added\n\n- Something." in (
        copy / "CHANGELOG.md"
    ).read_text().replace(f"{date.today()}", f"{datetime.now(UTC):%Y-%m-%d}")  # noqa: DTZ011 - midnight may pass
    assert '__version__ = "99.0.0"' in (copy / INIT).read_text()
    assert "/interhuman2mqtt:99.0.0\n" in (copy / KUBERNETES).read_text()
    assert git(copy, "log", "-1", "--format=%s").strip() == "Release version 99.0.0"
    assert git(copy, "tag") == git(copy, "status", "--porcelain") == ""
    assert "nothing under Unreleased" in release(copy, "99.0.1").stderr


@pytest.mark.parametrize(
    ("version", "says"), [("", "name a version"), ("1.2", "name a version"), ("0.0.1", "does not come after")]
)
def test_what_is_no_release(copy: Path, version: str, says: str) -> None:
    """A version that is none, or comes before the present one, is refused with a sentence, and changes nothing."""
    refused = release(copy, version)
    assert refused.returncode == 1
    assert says in refused.stderr
    assert git(copy, "status", "--porcelain") == ""
