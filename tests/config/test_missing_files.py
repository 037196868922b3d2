"""What `check` says of the files and variables that a configuration names."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from interhuman2mqtt.config import loader as configfile
from interhuman2mqtt.config.problems import Severity
from interhuman2mqtt.config.validation import check_files


@pytest.fixture(autouse=True)
def credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of credentials with the API key in it."""
    folder = tmp_path / "credentials"
    folder.mkdir()
    (folder / "key").write_text("ih_live_x")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    return folder


def check(tmp_path: Path, text: str) -> list[str]:
    """The lines of `check` on a file with an API key and a camera, without the file's name."""
    file = tmp_path / "main.toml"
    file.write_text(
        '[box]\nid = "lobby-1"\n[interhuman]\napi_key = { credential = "key" }\n'
        f'[cameras.front]\nsource = "rtsp://10.0.0.5/stream1"\nusername = "viewer"\n{text}'
    )
    return [str(problem).removeprefix(f"{file}:") for problem in configfile.check([file])]


def secret_file(path: Path, mode: int, content: str = "hunter2") -> Path:
    """A secret's file with these permissions."""
    path.write_text(content)
    path.chmod(mode)
    return path


def test_secrets_in_order_are_not_mentioned(tmp_path: Path) -> None:
    """A file for its owner and group only, and a credential that is there, give no line."""
    file = secret_file(tmp_path / "pw", 0o640)
    assert check(tmp_path, f'password = {{ file = "{file}" }}') == []


def test_a_file_that_everyone_may_read_is_a_warning(tmp_path: Path) -> None:
    """The line says how to mend it, and the exit status stays good."""
    file = secret_file(tmp_path / "my pw", 0o644)
    assert check(tmp_path, f'password = {{ file = "{file}" }}') == [
        f"8: cameras.front.password: warning: file {file} is readable by everyone; mend it with: chmod o-r '{file}'"
    ]


@pytest.mark.parametrize(("content", "sentence"), [(None, ": No such file or directory"), ("", " is empty")])
def test_a_file_without_a_secret_is_an_error(tmp_path: Path, content: str | None, sentence: str) -> None:
    """Missing and empty files are errors of `check`, though the service would start and refuse that camera only."""
    file = tmp_path / "pw"
    if content is not None:
        secret_file(file, 0o600, content)
    assert check(tmp_path, f'password = {{ file = "{file}" }}') == [f"8: cameras.front.password: file {file}{sentence}"]
    assert configfile.load([tmp_path / "main.toml"]).cameras


def test_a_file_out_of_reach_is_a_warning(
    tmp_path: Path, as_nobody: Callable[[], AbstractContextManager[None]]
) -> None:
    """The user who checks is often not the one that the service runs as."""
    file = tmp_path / "main.toml"
    file.write_text(
        f'[mqtt]\nurl = "mqtts://broker.lan"\nca_file = "{tmp_path}/secret/ca.pem"\nusername = "edge"\n'
        f'password = {{ file = "{tmp_path}/secret/pw" }}\n'
    )
    entries, report, *_ = configfile._read([file], "lobby-1")
    with as_nobody():
        check_files(entries, report)
    said = {problem.key: problem for problem in report.problems}
    for key in ("mqtt.ca_file", "mqtt.password"):
        assert said[key].severity is Severity.WARNING
        assert "may not be read by you; make sure that the service may" in said[key].message


def test_a_missing_credential_is_an_error_where_there_are_credentials(tmp_path: Path) -> None:
    """When the unit itself runs `check` its credentials are there, and one that is not is an error."""
    assert check(tmp_path, 'password = { credential = "front" }') == [
        "8: cameras.front.password: credential front: No such file or directory"
    ]


def test_credentials_are_not_judged_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run by hand there are no credentials, and nothing is said of them."""
    monkeypatch.delenv("CREDENTIALS_DIRECTORY")
    assert check(tmp_path, 'password = { credential = "front" }') == []


def test_variables_are_advised_against(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment variable works and gets a hint; that it is not set here is no error, the service has its own."""
    hint = "warning: environment variables are inherited and easily seen; a credential or a file is safer"
    monkeypatch.setenv("FRONT_PW", "hunter2")
    assert check(tmp_path, 'password = { env = "FRONT_PW" }') == [f"8: cameras.front.password: {hint}"]
    monkeypatch.delenv("FRONT_PW")
    assert check(tmp_path, 'password = { env = "FRONT_PW" }') == [
        "8: cameras.front.password: warning: environment variable FRONT_PW is not set",
        f"8: cameras.front.password: {hint}",
    ]


def test_what_other_boxes_need_is_not_looked_for(tmp_path: Path) -> None:
    """Secrets of cameras that do not run here, and of profiles that none here uses, lie elsewhere."""
    other = """
[profiles.theirs]
password = { file = "/nonexistent/1" }
[cameras.theirs]
source = "rtsp://10.0.0.6/stream1"
username = "viewer"
profile = "theirs"
boxes = ["hall-*"]
[cameras.off]
source = "rtsp://10.0.0.7/stream1"
username = "viewer"
password = { file = "/nonexistent/2" }
enabled = false
"""
    assert check(tmp_path, other) == []


def test_a_secret_of_a_profile_is_reported_there_once(tmp_path: Path) -> None:
    """Two cameras with one missing secret are one mistake, where the secret is named."""
    shared = """
[defaults]
password = { file = "/nonexistent/pw" }
[cameras.back]
source = "rtsp://10.0.0.6/stream1"
username = "viewer"
[cameras.desk]
source = "test:"
"""
    assert check(tmp_path, shared) == ["10: defaults.password: file /nonexistent/pw: No such file or directory"]


def test_files_of_tls_are_looked_for(tmp_path: Path) -> None:
    """Certificates must be there, and the private key not for everyone."""
    certificate, key = secret_file(tmp_path / "edge.pem", 0o644), secret_file(tmp_path / "edge.key", 0o644)
    tls = f"""
[mqtt]
url = "mqtts://broker.lan"
ca_file = "/nonexistent/ca.pem"
cert_file = "{certificate}"
key_file = "{key}"
"""
    assert check(tmp_path, tls) == [
        "11: mqtt.ca_file: file /nonexistent/ca.pem: No such file or directory",
        f"13: mqtt.key_file: warning: file {key} is readable by everyone; mend it with: chmod o-r {key}",
    ]


def test_certificates_without_tls_are_a_warning(tmp_path: Path) -> None:
    """Somebody who names a certificate means TLS, and is told that there is none."""
    file = secret_file(tmp_path / "ca.pem", 0o644)
    assert check(tmp_path, f'[mqtt]\nca_file = "{file}"') == [
        "9: mqtt.ca_file: warning: has no effect: mqtt.url does not begin with mqtts://"
    ]


def test_secrets_are_looked_for_beside_other_errors(tmp_path: Path) -> None:
    """A missing file is said at once, not only when everything else is mended; what is unclear is left alone."""
    text = 'password = { file = "/nonexistent/pw" }\nfps = 0\n[cameras.back]\nsource = "test:"\nboxes = ["A"]'
    assert check(tmp_path, text) == [
        "8: cameras.front.password: file /nonexistent/pw: No such file or directory",
        "9: cameras.front.fps: must be from 1 to 240, not 0",
        '12: cameras.back.boxes: must be a pattern for names of boxes such as "lobby-*", "A" can match none',
    ]
