"""The image, built and run, and what podman's own generator makes of the Quadlet units."""

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


def test_the_quadlet_units() -> None:
    """Debian 13's podman makes services of them, with health check, devices and the folder of browsers shared."""
    dryrun = 'chroot "$1" /usr/libexec/podman/quadlet -dryrun'
    units = [ROOT / "systemd" / f"{name}.container" for name in ("interhuman2mqtt", "interhuman2mqtt-web")]
    made = run(
        "mmdebstrap",
        "--variant=minbase",
        "--include=podman",
        *(f"--customize-hook=copy-in {unit} /etc/containers/systemd" for unit in units),
        f"--customize-hook={dryrun}",
        "trixie",
        "/dev/null",
    )
    starts = [line for line in made.splitlines() if line.startswith("ExecStart=")]
    [daemon] = [line for line in starts if "--name interhuman2mqtt " in line]
    [page] = [line for line in starts if "--name interhuman2mqtt-web " in line]
    assert '--health-cmd "interhuman2mqtt health" --health-interval 20s --health-on-failure kill' in daemon
    assert '"--device-cgroup-rule=c 81:* rw" "--device-cgroup-rule=c 116:* rw"' in daemon
    assert "--sdnotify=container" in daemon
    assert "-v interhuman2mqtt-browser:/run/interhuman2mqtt/browser " in daemon
    assert "-v interhuman2mqtt-browser:/run/interhuman2mqtt/browser:ro " in page
    assert page.endswith("localhost/interhuman2mqtt:latest web --config /etc/interhuman2mqtt-web/web.toml")
    assert "network-online" not in made
    assert "unsupported" not in made.lower()
