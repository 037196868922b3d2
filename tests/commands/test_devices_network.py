"""`devices` on a network of its own: two ONVIF cameras, of which one is a stranger, in namespaces of the kernel."""

import io
import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from interhuman2mqtt.commands import onvif_discovery, soap
from interhuman2mqtt.commands.devices_network import Options, _print_found
from interhuman2mqtt.commands.onvif_discovery import NetworkCamera
from interhuman2mqtt.config import loader

PASSWORD = "p@ss & <word>"
ONVIF = Path(__file__).parents[1] / "support/onvif.py"


class Network(NamedTuple):
    """The cameras of it, and the namespace to look from."""

    inside: str
    named: Path
    stranger: Path

    def devices(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """What the command prints there."""
        command = ["ip", "netns", "exec", self.inside, sys.executable, "-m", "interhuman2mqtt", "devices", *arguments]
        return subprocess.run(command, text=True, capture_output=True, check=False, timeout=60)

    def asked(self) -> tuple[list[str], list[str]]:
        """What each camera was asked, from now on anew."""
        said = [log.read_text().splitlines() for log in (self.named, self.stranger)]
        for log in (self.named, self.stranger):
            log.write_text("")
        return said[0], said[1]


@contextmanager
def camera(space: str, log: Path, arguments: Sequence[str]) -> Iterator[None]:
    """A camera in a namespace, once it listens; `log` has what it was asked."""
    command = ["ip", "netns", "exec", space, sys.executable, str(ONVIF), *arguments]
    with log.open("a") as out, subprocess.Popen(command, stdout=out, stderr=subprocess.PIPE) as process:
        assert process.stderr
        assert process.stderr.readline() == b"ready\n"
        try:
            yield
        finally:
            process.kill()


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """Three namespaces on one bridge: ours at 10.7.0.1, a camera at .2 and a stranger at .3."""
    if os.geteuid() or not shutil.which("ip"):
        pytest.skip("network namespaces need root and iproute2")
    mark = f"i2m{os.getpid() % 100_000}"
    spaces = [f"{mark}-{number}" for number in range(4)]
    try:
        made = subprocess.run(["ip", "netns", "add", spaces[0]], capture_output=True, text=True, check=False)
        if made.returncode:
            pytest.skip(f"no network namespace may be made here: {made.stderr.strip()}")
        lines = [f"-n {spaces[0]} link add bridge type bridge", f"-n {spaces[0]} link set bridge up"]
        for number, space in enumerate(spaces[1:], 1):
            lines += [
                f"netns add {space}",
                f"-n {space} link add eth0 type veth peer name port{number} netns {spaces[0]}",
                f"-n {spaces[0]} link set port{number} master bridge up",
                f"-n {space} addr add 10.7.0.{number}/24 dev eth0",
                f"-n {space} link set eth0 up",
                f"-n {space} route add default via 10.7.0.1",
            ]
        for line in lines:
            subprocess.run(["ip", *line.split()], check=True, capture_output=True)
        logs = [tmp_path_factory.mktemp("onvif") / name for name in ("named", "stranger")]
        named = ("10.7.0.2", "8000", "viewer", PASSWORD, "http://10.7.0.3:80")
        stranger = ("10.7.0.3", "80", "other", "x", "http://10.7.0.3:80")
        by_http = ("10.7.0.2", "8001", "viewer", PASSWORD, "http://10.7.0.3:80", "http")
        with (
            camera(spaces[2], logs[0], named),
            camera(spaces[2], logs[0].with_name("by_http"), by_http),
            camera(spaces[3], logs[1], stranger),
        ):
            yield Network(spaces[1], *logs)
    finally:
        for space in spaces:
            subprocess.run(["ip", "netns", "del", space], check=False, capture_output=True)


@pytest.fixture
def password(tmp_path: Path) -> Path:
    """A file that only we may read."""
    kept = tmp_path / "front.pw"
    kept.write_text(f"{PASSWORD}\n")
    kept.chmod(0o600)
    return kept


def test_who_is_there_is_asked_and_nobody_any_further(network: Network) -> None:
    """Both cameras are listed by one question each at least; nothing else is sent, and no control character shown."""
    network.asked()
    done = network.devices("--json", "--network", "--seconds", "2")
    assert done.returncode == 0
    found = {camera["host"]: camera for camera in json.loads(done.stdout)["cameras"]}
    assert list(found) == ["10.7.0.3", "10.7.0.2:8000"]
    assert (found["10.7.0.3"]["name"], found["10.7.0.3"]["hardware"]) == ("Front Door31m", "IPC-7")
    assert all(set(asked) == {"Probe"} for asked in network.asked())


def test_the_streams_of_one_camera(network: Network, password: Path) -> None:
    """Each profile with its address, asked by a signed request, though the camera's clock is 400 days ahead."""
    done = network.devices("--host", "10.7.0.2:8000", "--username", "viewer", "--password-file", str(password))
    assert (done.returncode, done.stderr) == (0, "")
    assert "Acme IPC-7\n  main: H264 2560x1440 25 fps, a key frame every 2 s, AAC\n" in done.stdout
    assert "    rtsp://10.7.0.2:554/main?unicast=true&proto=Onvif\n" in done.stdout
    assert PASSWORD not in done.stdout


def test_it_can_be_pasted(network: Network, password: Path, tmp_path: Path) -> None:
    """The TOML is a configuration without a mistake, of the H.264 stream that is best; no address holds a password."""
    arguments = ("--toml", "--host", "10.7.0.2:8000", "--username", "viewer", "--password-file", str(password))
    text = network.devices(*arguments).stdout
    (tmp_path / "c.toml").write_text(f'[interhuman]\napi_key = {{ env = "API_KEY" }}\n{text}')
    [camera] = loader.load([tmp_path / "c.toml"], "lobby-1").cameras.values()
    assert camera.source == "rtsp://10.7.0.2:554/middle?unicast=true&proto=Onvif"
    assert (camera.username, camera.password and camera.password.file) == ("viewer", str(password))
    assert text.count("# source = ") == 3
    assert "secret" not in text


def test_no_stranger_is_asked(network: Network, password: Path) -> None:
    """Not even where the camera says that its media service is another host's."""
    network.asked()
    network.devices("--host", "10.7.0.2:8000", "--username", "viewer", "--password-file", str(password))
    named, stranger = network.asked()
    assert named.count("GetStreamUri signed") == 4
    assert named[0] == "GetSystemDateAndTime unsigned"
    assert stranger == []


def test_a_wrong_password(network: Network, password: Path) -> None:
    """The sentence says that ONVIF may have users of its own."""
    password.write_text("wrong")
    done = network.devices("--host", "10.7.0.2:8000", "--username", "viewer", "--password-file", str(password))
    assert done.returncode == 69
    assert "camera_password: 10.7.0.2 refused the user name or password (tried: viewer)" in done.stderr


def test_a_camera_that_wants_http_digest(network: Network, password: Path) -> None:
    """It is answered, and Basic is not; a wrong password is refused here too."""
    arguments = ("--host", "10.7.0.2:8001", "--username", "viewer", "--password-file", str(password))
    assert "rtsp://10.7.0.2:554/sub" in network.devices(*arguments).stdout
    password.write_text("wrong")
    assert "camera_password: 10.7.0.2 refused" in network.devices(*arguments).stderr


def test_nobody_listens(network: Network) -> None:
    """A host that is not there, and an address that is none."""
    done = network.devices("--host", "10.7.0.2:9")
    assert (done.returncode, done.stderr.partition("\n")[0]) == (
        69,
        "unreachable: 10.7.0.2 cannot be asked by ONVIF: Connection refused",
    )
    assert network.devices("--host", "ftp://10.7.0.2").returncode == 2
    assert "--password-file needs --username" in network.devices("--host", "10.7.0.2", "--password-file", "x").stderr


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"<a",
        b"\xff\xfe",
        b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>",
        b'<?xml version="1.0" encoding="nonsense"?><a/>',
        b"<ProbeMatch/>" * 2,
    ],
)
def test_nonsense_is_no_camera(document: bytes) -> None:
    """Nothing that anybody sends is a traceback; entities, which could grow without end, are refused."""
    assert list(onvif_discovery.answered(document, "10.7.0.9")) == []


def test_each_is_told_with_what_to_do_next() -> None:
    """The line below each camera is the next command."""
    out = io.StringIO()
    found = [NetworkCamera("10.7.0.2:8000", "Front Door", "IPC-7", ""), NetworkCamera("10.7.0.3", "", "", "")]
    listed = Options(host=None, seconds=1, username=None, password_file=None, as_toml=False, as_json=False)
    _print_found(found, listed, out)
    assert out.getvalue() == (
        "Front Door (IPC-7) at 10.7.0.2:8000\n  interhuman2mqtt devices --host 10.7.0.2:8000 --username NAME\n"
        "a camera (unknown make) at 10.7.0.3\n  interhuman2mqtt devices --host 10.7.0.3 --username NAME\n"
    )


def test_a_camera_that_says_little() -> None:
    """Neither name nor address: it is there, where the answer came from."""
    [camera] = onvif_discovery.answered(b"<a><ProbeMatch><XAddrs>http://[::1/ x</XAddrs></ProbeMatch></a>", "10.7.0.9")
    assert (camera.host, camera.name) == ("10.7.0.9", "")
    assert soap.split("http://h:99999/") == ("", "", None, "")


def test_without_cameras_it_says_what_to_look_at() -> None:
    """As text and as comments of a file."""
    if os.geteuid():
        pytest.skip("network namespaces need root")
    command = ["unshare", "--net", sys.executable, "-m", "interhuman2mqtt", "devices", "--network", "--seconds", "1"]
    done = subprocess.run([*command, "--toml"], text=True, capture_output=True, check=False, timeout=60)
    if "unshare" in done.stderr:
        pytest.skip(done.stderr)
    assert (done.returncode, tomllib.loads(done.stdout)) == (0, {})
    assert "# no ONVIF camera answered" in done.stdout
