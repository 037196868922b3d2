"""The locks of scripts/lock: whole, of one mind with pyproject.toml and with each other, and naming no registry."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCKS = {path.stem: path for path in (ROOT / "scripts" / "lock").glob("*.txt")}
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())


def locked(name: str) -> dict[str, str]:
    """The version of each package that a lock names."""
    return dict(re.findall(r"^([\w.-]+)==(\S+)", LOCKS[name].read_text(), re.MULTILINE))


def group(name: str) -> list[str]:
    """The requirements of a dependency group, those that it includes too."""
    found = []
    for entry in PROJECT["dependency-groups"][name]:
        found += [entry] if isinstance(entry, str) else group(entry["include-group"])
    return found


def extras(*names: str) -> list[str]:
    """What the package requires with these extras."""
    optional = PROJECT["project"]["optional-dependencies"]
    return [*PROJECT["project"]["dependencies"], *(entry for name in names for entry in optional[name])]


WANTED = {
    "service": extras("tools", "metrics", "web"),
    "demo": [*extras("demo"), *group("build")],
    "dev": [*extras(*PROJECT["project"]["optional-dependencies"]), *group("dev")],
    "release": group("release"),
    "build": group("build"),
}


@pytest.mark.parametrize("name", WANTED)
def test_a_lock_is_what_the_project_asks_for(name: str) -> None:
    """Each requirement of pyproject.toml is locked, in a version that it allows: else `make lock` was forgotten."""
    versions = locked(name)
    for requirement in map(Requirement, WANTED[name]):
        version = versions.get(canonicalize_name(requirement.name), "missing")
        assert version != "missing", requirement.name
        assert version in requirement.specifier, requirement


@pytest.mark.parametrize("name", WANTED)
def test_a_lock_holds_hashes_and_no_registry(name: str) -> None:
    """Each package has the hashes of its files, and no lock says where they are fetched from."""
    text = LOCKS[name].read_text()
    entries = re.split(r"^(?=\w)", text, flags=re.MULTILINE)[1:]
    assert all("--hash=sha256:" in entry for entry in entries)
    assert len(entries) == len(locked(name))
    assert "://" not in text
    assert "-index" not in text


def test_locks_agree() -> None:
    """What is shipped is in the versions that the tests ran with."""
    assert set(LOCKS) == set(WANTED)
    tested = locked("dev")
    for name in ("service", "demo", "build"):
        ours = {package: version for package, version in locked(name).items() if package in tested}
        assert ours == {package: tested[package] for package in ours}
    assert set(locked("service")) - set(tested) == set()
