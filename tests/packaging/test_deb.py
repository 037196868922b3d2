"""The Debian package: its scripts, and what is in it; built and installed where the grid is run."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from interhuman2mqtt import __version__

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "scripts" / "deb"
SCRIPTS = [RECIPE / name for name in ("build", "postinst", "prerm", "postrm")]
IMAGE = ROOT / "tests" / "packaging" / "image.sh"
HOOK = ROOT / "tests" / "packaging" / "bare_debian.sh"
SHELL = [
    *SCRIPTS,
    *(ROOT / "scripts" / "lock" / name for name in ("install", "renew")),
    HOOK,
    IMAGE,
    ROOT / ".ci" / "packages",
]
EPOCH = "1764000000"
DEBIAN = {"bookworm": "12", "trixie": "13"}
PYTHON = {"bookworm": "python3 (>= 3.11), python3 (<< 3.12)", "trixie": "python3 (>= 3.13), python3 (<< 3.14)"}


def run(*command: str | Path, **environment: str) -> str:
    """Return what a command prints, which has to end with 0."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.parametrize("script", SHELL, ids=lambda path: path.name)
def test_scripts_are_what_sh_reads(script: Path) -> None:
    """Each script of the package and of the locks is sound for a POSIX shell, and for shellcheck where it is."""
    run("sh", "-n", script)
    if shutil.which("shellcheck"):
        run("shellcheck", "-x", script)


def test_the_first_configuration_is_good(tmp_path: Path) -> None:
    """What postinst writes where there is no configuration is five lines without a mistake, and lacks a camera only."""
    file = RECIPE / "first.toml"
    assert len(file.read_text().splitlines()) == 5
    tomllib.loads(file.read_text())
    said = run(sys.executable, "-m", "interhuman2mqtt", "check", "--config", file, STATE_DIRECTORY=str(tmp_path))
    assert "cameras: warning: there is none" in said
    assert "good: box" in said


def test_the_man_page_has_every_command() -> None:
    """The page is made of the parsers: each command has a section with its usage, its options and its examples."""
    page = run(sys.executable, RECIPE / "manpage.py", SOURCE_DATE_EPOCH=EPOCH)
    help_ = run(sys.executable, "-m", "interhuman2mqtt", "--help", COLUMNS="200")
    commands = re.findall(r"^    ([a-z]+) ", help_, re.MULTILINE)
    assert len(commands) > 12
    assert re.findall(r"^\.SS ([a-z]+)$", page, re.MULTILINE) == commands
    assert re.findall(r"^\.SS (token [a-z]+)$", page, re.MULTILINE) == ["token mint", "token revoke"]
    assert not re.search(r"^\.PP\n\n", page, re.MULTILINE)  # each says what it does
    assert "\\-\\-fault SPEC" in page  # of `simulate`, which the command line loads apart
    assert page.startswith(f'.TH INTERHUMAN2MQTT 1 2025-11-24 "interhuman2mqtt {__version__}"')
    if shutil.which("groff"):
        groff = ("groff", "-man", "-Tutf8", "-ww", "-z")
        done = subprocess.run(groff, input=page, capture_output=True, text=True, check=False, timeout=60)
        assert (done.returncode, done.stderr) == (0, "")


def test_the_sbom_names_what_the_wheels_bring(tmp_path: Path) -> None:
    """The SBOM lists the packages, what needs what, and FFmpeg with its codecs, which only PyAV's wheel knows of."""
    package = tmp_path / "some.deb"
    package.write_bytes(b"package")
    [site] = (Path(sys.prefix) / "lib").glob("python3*/site-packages")
    found = json.loads(run(sys.executable, RECIPE / "sbom.py", site, package, SOURCE_DATE_EPOCH=EPOCH))
    assert found["metadata"]["component"]["name"] == "interhuman2mqtt"
    assert found["metadata"]["component"]["hashes"][0]["content"] == hashlib.sha256(b"package").hexdigest()
    named = {entry["name"]: entry for entry in found["components"]}
    assert {"av", "trio", "libavcodec", "libx264"} <= named.keys()
    needs = {entry["ref"]: entry["dependsOn"] for entry in found["dependencies"]}
    assert named["trio"]["purl"] in needs[found["metadata"]["component"]["bom-ref"]]
    assert named["libx264"]["bom-ref"] in needs[named["av"]["bom-ref"]]


@pytest.fixture(scope="module", params=DEBIAN)
def built(request: pytest.FixtureRequest) -> tuple[str, Path]:
    """A release of Debian, and the package for it on amd64, built anew."""
    release: str = request.param
    run("make", "deb", f"DEBIAN={DEBIAN[release]}", "ARCH=amd64", SOURCE_DATE_EPOCH=EPOCH)
    return release, ROOT / "dist" / f"interhuman2mqtt_{__version__}-1+deb{DEBIAN[release]}_amd64.deb"


@pytest.mark.full
def test_the_package(built: tuple[str, Path], tmp_path: Path) -> None:
    """It is small, needs the Python that it is for, names no folder of the builder, and lintian has nothing to say."""
    release, package = built
    assert package.stat().st_size < 32_000_000
    depends = run("dpkg-deb", "--field", package, "Depends")
    assert PYTHON[release] in depends
    run("dpkg-deb", "--extract", package, tmp_path)
    own = [path for path in tmp_path.rglob("*") if path.is_file() and "site-packages" not in path.parts]
    assert [path for path in own if str(ROOT).encode() in path.read_bytes()] == []
    assert not any(path.suffix == ".pyc" for path in tmp_path.rglob("*"))
    for completion in ("bash-completion/completions", "zsh/vendor-completions", "fish/vendor_completions.d"):
        [file] = (tmp_path / "usr/share" / completion).iterdir()
        assert "simulate" in file.read_text()
    if shutil.which("lintian"):
        assert run("lintian", "--allow-root", package) == ""


@pytest.mark.full
def test_the_same_commit_gives_the_same_bytes(built: tuple[str, Path]) -> None:
    """Built again, the package and its SBOM are the same to the byte."""
    release, package = built
    files = (package, package.with_suffix(".cdx.json"))
    before = [file.read_bytes() for file in files]
    run("make", "deb", f"DEBIAN={DEBIAN[release]}", "ARCH=amd64", SOURCE_DATE_EPOCH=EPOCH)
    assert [file.read_bytes() for file in files] == before


@pytest.mark.full
@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("mmdebstrap"), reason="needs root and mmdebstrap")
def test_a_bare_debian(built: tuple[str, Path]) -> None:
    """Apt installs it on a bare Debian, where it works, and keeps configuration and state till it is purged."""
    release, package = built
    run("mmdebstrap", "--variant=apt", f"--customize-hook={HOOK}", release, "/dev/null", PACKAGE=str(package))
