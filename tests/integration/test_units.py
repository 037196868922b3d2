"""The unit is what systemd accepts without a word, is as closed as promised, and does what the design asks."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "systemd" / "interhuman2mqtt.service"
WEB_UNIT = ROOT / "systemd" / "interhuman2mqtt-web.service"
PROGRAM = "/opt/interhuman2mqtt/bin/interhuman2mqtt"

needs_systemd = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")


def settings(name: str) -> list[str]:
    """All values of one setting of the unit, in order."""
    lines = UNIT.read_text().splitlines()
    return [line.partition("=")[2] for line in lines if line.startswith(f"{name}=")]


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=120, cwd=ROOT
    )


@needs_systemd
@pytest.mark.parametrize("unit", [UNIT, WEB_UNIT], ids=lambda unit: unit.name)
def test_verify_is_silent(tmp_path: Path, unit: Path) -> None:
    """`systemd-analyze verify` has nothing to say about the unit, once its program is there."""
    installed = tmp_path / unit.name
    installed.write_text(unit.read_text().replace(PROGRAM, "/usr/bin/true"))
    done = run("systemd-analyze", "verify", str(installed))
    assert (done.returncode, done.stdout) == (0, "")


@needs_systemd
def test_a_misspelt_setting_would_be_seen(tmp_path: Path) -> None:
    """The check above can fail: a setting that systemd does not know is reported."""
    installed = tmp_path / UNIT.name
    installed.write_text(UNIT.read_text().replace(PROGRAM, "/usr/bin/true").replace("KillMode=", "KilMode="))
    assert "KilMode" in run("systemd-analyze", "verify", str(installed)).stdout


@needs_systemd
@pytest.mark.parametrize("unit", [UNIT, WEB_UNIT], ids=lambda unit: unit.name)
def test_exposure(unit: Path) -> None:
    """`systemd-analyze security` rates the unit 2.0 or below."""
    done = run("systemd-analyze", "security", "--offline=true", "--threshold=20", str(unit))
    assert done.returncode == 0, done.stdout


def test_reload_asks_the_daemon() -> None:
    """A reload fails where the daemon refuses the files, and needs no credentials, which systemd gives it none of."""
    assert settings("ExecReload") == [f"{PROGRAM} reload"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Type", "notify"),
        ("NotifyAccess", "main"),
        ("KillMode", "mixed"),
        ("Restart", "on-failure"),
        ("RestartPreventExitStatus", "78"),
        ("StartLimitIntervalSec", "0"),
        ("OOMPolicy", "continue"),
        ("StateDirectory", "interhuman2mqtt"),
        ("SupplementaryGroups", "video audio"),
        ("WatchdogSec", "30s"),
        ("LimitCORE", "0"),
    ],
)
def test_life_of_the_service(name: str, value: str) -> None:
    """The unit restarts what may get better and nothing else, and leaves the daemon time to stop its own workers."""
    assert [value] == settings(name)


def test_credentials_may_be_missing() -> None:
    """Credentials come from the credential stores, by name: a file that is missing there does not fail the unit."""
    assert settings("LoadCredential") == ["interhuman-api-key", "mqtt-password"]
    assert settings("SetCredential") == [
        "interhuman-api-key:\\n",
        "mqtt-password:\\n",
    ]  # nor does systemd complain of it


def test_it_is_installed_as_it_says(tmp_path: Path) -> None:
    """The commands at its head make the folders that a bare Debian lacks, and put every file in its place."""
    head = UNIT.read_text().partition("[Unit]")[0]
    commands = [line[4:].replace(" /etc/", f" {tmp_path}/etc/") for line in head.splitlines() if "#   install" in line]
    done = subprocess.run(["bash", "-ec", "\n".join(commands)], cwd=UNIT.parent, check=False, timeout=60)
    assert done.returncode == 0
    assert {str(path.relative_to(tmp_path / "etc")) for path in tmp_path.rglob("*") if not any(path.glob("*"))} == {
        "systemd/system/interhuman2mqtt.service",
        "sysusers.d/interhuman2mqtt.sysusers.conf",
        "tmpfiles.d/interhuman2mqtt.tmpfiles.conf",
    }


@needs_systemd
def test_sysusers() -> None:
    """systemd-sysusers would make the user and the group that the unit runs as."""
    done = run("systemd-sysusers", "--dry-run", str(UNIT.with_suffix(".sysusers.conf")))
    assert done.returncode == 0, done.stdout
    assert settings("User") == settings("Group") == ["interhuman2mqtt"]


@needs_systemd
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to another user")
def test_tmpfiles(tmp_path: Path) -> None:
    """systemd-tmpfiles makes the directories of the configuration, of secrets, of the state and of the pauses."""
    (tmp_path / "etc").mkdir()
    run("systemd-sysusers", f"--root={tmp_path}", str(UNIT.with_suffix(".sysusers.conf")))
    done = run("systemd-tmpfiles", "--create", f"--root={tmp_path}", str(UNIT.with_suffix(".tmpfiles.conf")))
    assert (done.returncode, done.stdout) == (0, "")
    modes = {
        path: oct((tmp_path / path).stat().st_mode & 0o7777)
        for path in ("etc/interhuman2mqtt", "etc/credstore", "var/lib/interhuman2mqtt/paused")
    }
    assert modes == {
        "etc/interhuman2mqtt": "0o750",
        "etc/credstore": "0o700",
        "var/lib/interhuman2mqtt/paused": "0o2770",
    }


def test_no_memory_is_writable_and_executable() -> None:
    """The codecs and the scaler work under MemoryDenyWriteExecute=yes: H.264, H.265, MJPEG and AAC."""
    encode = (
        "import mmap, sys, tempfile; sys.path.insert(0, 'tests')\n"
        "from pathlib import Path\n"
        "from support.clips import Clip, draw, frame_numbers, write\n"
        "try: mmap.mmap(-1, 4096, prot=7)\n"
        "except PermissionError: pass\n"
        "else: sys.exit('memory was both')\n"
        "for video in ('libx264', 'libx265', 'mjpeg'):\n"
        "    clip, path = Clip((160, 96), seconds=1, video=video), Path(tempfile.mkdtemp()) / 'clip.mov'\n"
        "    write(clip, path)\n"
        "    assert [number for _, number in frame_numbers(path)] == list(range(15))\n"
        "next(draw(Clip())).reformat(640, 360, 'rgb24').reformat(1280, 720, 'yuv420p')\n"
    )
    done = run(sys.executable, "tests/integration/write_or_execute.py", sys.executable, "-c", encode)
    if done.returncode == 77:
        pytest.skip("this kernel cannot forbid it (Linux 6.3 can)")
    assert done.returncode == 0, done.stdout


def test_container() -> None:
    """The image ends as a user that is not root, starts the service, and copies nothing but what it needs."""
    lines = (ROOT / "Containerfile").read_text().splitlines()
    assert [line for line in lines if line.startswith(("USER", "CMD"))] == ["USER 10001:10001", 'CMD ["run"]']
    copied = {
        path for line in lines if line.startswith("COPY ") and "--from" not in line for path in line.split()[1:-1]
    }
    locks = {"scripts/lock/build.txt", "scripts/lock/service.txt"}
    assert copied == {"pyproject.toml", "README.md", "LICENSE", "src", "config", "systemd"} | locks
