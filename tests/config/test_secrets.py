"""Secrets: where they come from, what is refused, and that they are not shown."""

import copy
import json
import os
import pickle
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interhuman2mqtt.config import SecretRef, secrets
from interhuman2mqtt.config.secrets import Secret
from interhuman2mqtt.errors import Reason, Refused

WHAT = "the password of camera front"


def read_file(path: Path, content: bytes) -> str:
    """What a secret's file with this content gives."""
    path.write_bytes(content)
    return secrets.read(SecretRef(file=str(path)), what=WHAT).reveal()


def refusal(ref: SecretRef) -> str:
    """The sentence with which a secret is refused."""
    with pytest.raises(Refused) as caught:
        secrets.read(ref, what=WHAT)
    assert caught.value.reason is Reason.SECRET_MISSING
    return str(caught.value)


def test_a_credential_is_read_from_its_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The directory that systemd names in $CREDENTIALS_DIRECTORY holds a file of the credential's name."""
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    (tmp_path / "mqtt-password").write_text("hunter2\n")
    assert secrets.read(SecretRef(credential="mqtt-password"), what=WHAT).reveal() == "hunter2"


def test_a_variable_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment variable gives its value."""
    monkeypatch.setenv("FRONT_PW", "hunter2")
    assert secrets.read(SecretRef(env="FRONT_PW"), what=WHAT).reveal() == "hunter2"


@pytest.mark.parametrize(
    ("content", "text"),
    [(b"hunter2", "hunter2"), (b"hunter2\n", "hunter2"), (b"hunter2\r\n", "hunter2"), (b" h  2 ", " h  2 ")],
)
def test_one_line_end_is_stripped_and_nothing_else(tmp_path: Path, content: bytes, text: str) -> None:
    """Editors end a file with a line end; blanks may be part of the secret."""
    assert text == read_file(tmp_path / "pw", content)


@settings(deadline=None)
@given(st.text(st.characters(codec="utf-8", min_codepoint=32), min_size=1))
def test_any_printable_text_comes_through(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    """A password may hold any character but those of control."""
    assert text == read_file(tmp_path_factory.getbasetemp() / "pw", text.encode())


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"one\ntwo\n", "is not a single line of text"),
        (b"one\x00", "is not a single line of text"),
        (b"hunter\xff2", "is not UTF-8 text"),
        (b"x" * 100_000, "is far too long for a secret"),
    ],
)
def test_files_that_hold_no_secret_are_refused(tmp_path: Path, content: bytes, sentence: str) -> None:
    """What is empty, binary or many lines is the wrong file, and the message says what and which, not the content."""
    file = tmp_path / "pw"
    file.write_bytes(content)
    assert refusal(SecretRef(file=str(file))) == f"{WHAT}: file {file} {sentence}"


def test_missing_secrets_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each kind of missing secret says where it was looked for."""
    monkeypatch.delenv("FRONT_PW", raising=False)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert refusal(SecretRef(env="FRONT_PW")) == f"{WHAT}: environment variable FRONT_PW is not set"
    assert refusal(SecretRef(file=f"{tmp_path}/pw")) == f"{WHAT}: file {tmp_path}/pw: No such file or directory"
    assert refusal(SecretRef(credential="front")) == f"{WHAT}: credential front: No such file or directory"
    assert refusal(SecretRef(file=str(tmp_path))) == f"{WHAT}: file {tmp_path} is not a regular file"


def test_a_credential_outside_the_service_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without systemd's directory the remedy is named."""
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    assert "the unit needs LoadCredential=, or use file instead" in refusal(SecretRef(credential="front"))


def test_a_file_that_nobody_writes_does_not_block(tmp_path: Path) -> None:
    """A pipe in the place of a file is refused, not waited for."""
    os.mkfifo(tmp_path / "pw")
    assert "is not a regular file" in refusal(SecretRef(file=f"{tmp_path}/pw"))


def test_a_file_out_of_reach_is_refused(tmp_path: Path, as_nobody: Callable[[], AbstractContextManager[None]]) -> None:
    """What this user may not read is missing, with the system's own words."""
    with as_nobody():
        assert "Permission denied" in refusal(SecretRef(file=f"{tmp_path}/secret/pw"))


def test_no_way_of_showing_a_secret_shows_it() -> None:
    """Text, representation, formats, containers, JSON, copies and exceptions hold three stars or fail."""
    secret = Secret("hunter2")
    shown = [str(secret), repr(secret), f"{secret}", f"{secret!r}", "%s" % secret, str([secret]), str({"a": secret})]  # noqa: UP031
    shown += traceback.format_exception(ValueError(secret))
    assert "hunter2" not in "".join(shown)
    assert str(secret) == "***"
    for store in (pickle.dumps, copy.deepcopy, json.dumps):
        with pytest.raises(TypeError):
            store(secret)


def test_the_bytes_of_a_broken_secret_are_in_no_exception(tmp_path: Path) -> None:
    """The decoder's error, which carries the bytes, is not in the chain of exceptions."""
    file = tmp_path / "pw"
    file.write_bytes(b"hunter\xff2")
    with pytest.raises(Refused) as caught:
        secrets.read(SecretRef(file=str(file)), what=WHAT)
    error: BaseException | None = caught.value
    while error is not None:
        assert not isinstance(error, UnicodeDecodeError)
        error = error.__context__


def test_secrets_are_compared_by_their_text() -> None:
    """A reload can tell whether a secret changed."""
    assert Secret("a") == Secret("a")
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2
    assert Secret("a") != "a"
