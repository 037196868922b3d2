"""The image, built and run, and what podman's own generator makes of the Quadlet unit."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STORY = ROOT / "tests" / "packaging" / "image.sh"

pytestmark = [
    pytest.mark.full,
    pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("mmdebstrap"), reason="needs root and mmdebstrap"),
]


def run(*command: str | Path) -> str:
    """Return what a command prints, which has to end with 0."""
    words = [str(word) for word in command]
    done = subprocess.run(
        words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=900, cwd=ROOT
    )
    assert done.returncode == 0, done.stdout[-4000:]
    return done.stdout


@pytest.mark.skipif(not shutil.which("podman"), reason="needs podman")
def test_the_image(tmp_path: Path) -> None:
    """It runs read-only as nobody, says whether it is well, reloads, refuses a wrong file, and stops in good order."""
    run("unshare", "--mount", STORY, tmp_path)


def test_the_quadlet_unit() -> None:
    """Debian 13's podman makes a service of it that has its health check, its devices, and waits for no network."""
    dryrun = 'chroot "$1" /usr/libexec/podman/quadlet -dryrun'
    made = run(
        "mmdebstrap",
        "--variant=minbase",
        "--include=podman",
        f"--customize-hook=copy-in {ROOT / 'systemd' / 'interhuman2mqtt.container'} /etc/containers/systemd",
        f"--customize-hook={dryrun}",
        "trixie",
        "/dev/null",
    )
    [start] = [line for line in made.splitlines() if line.startswith("ExecStart=")]
    assert '--health-cmd "interhuman2mqtt health" --health-interval 20s --health-on-failure kill' in start
    assert '"--device-cgroup-rule=c 81:* rw" "--device-cgroup-rule=c 116:* rw"' in start
    assert "--sdnotify=container" in start
    assert "network-online" not in made
    assert "unsupported" not in made.lower()
