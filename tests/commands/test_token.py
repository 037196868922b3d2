"""`token` makes short-lived tokens for boxes, and no file, line or process list has the account's key."""

import json
from functools import partial
from pathlib import Path

import pytest
import trio

from interhuman2mqtt import cli
from interhuman2mqtt.simulator.settings import STREAM_SCOPE, UPLOAD_SCOPE, Key, Settings
from simulator.helpers import simulator

KEY = "ih_live_account-do-not-print"
SETTINGS = Settings(port=0, keys=(Key(KEY, (STREAM_SCOPE, UPLOAD_SCOPE)),))


async def run(url: str, *words: str) -> int:
    """The exit status of the command, which runs a loop of its own in a thread."""
    kind, *others = words
    command = ["token", kind, "--url", f"{url}/v2/stream/analyze", *others]
    return await trio.to_thread.run_sync(partial(cli.main, command))


def plain(capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    """What the command printed, without the log of the simulator, which runs in the same process."""
    out, err = capsys.readouterr()
    return out, "".join(line for line in err.splitlines(keepends=True) if not line.startswith("{"))


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    file = tmp_path / "account.key"
    file.write_text(f"{KEY}\n")
    return file


async def test_a_token_is_minted_and_revoked(
    key_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is written for its owner alone, within its limits, and worth nothing once it is revoked; twice is fine."""
    file = tmp_path / "box.token"
    async with simulator(SETTINGS) as address:
        mint = ["mint", "--api-key-file", str(key_file), "--out", str(file)]
        limits = ["--for", "30m", "--max-concurrent", "4", "--max-video", "10h", "--scope", STREAM_SCOPE]
        assert await run(address.url, *mint, *limits) == 0
        first, (out, err) = file.read_text().strip(), plain(capsys)
        assert file.stat().st_mode & 0o777 == 0o600
        assert err == ""
        assert out.startswith(f"{file}: for 30m, until 20")
        assert out.endswith(f"Z; scope {STREAM_SCOPE}; 4 sessions at once; 10h of video\n")
        assert await run(address.url, *mint, "--for", "2h", "--scope", UPLOAD_SCOPE, "--json") == 0
        out, err = plain(capsys)
        assert file.read_text().strip() != first
        answer = json.loads(out)
        assert (answer["expires_in"], answer["max_concurrent"], answer["scopes"]) == (3600, 1, [UPLOAD_SCOPE])
        assert err == "--for 2h: the API lets tokens live for 1m to 1h\n"
        for _ in range(2):
            assert await run(address.url, "revoke", "--api-key-file", str(key_file), str(file)) == 0
        assert plain(capsys)[0].startswith("revoked: ")
    assert not file.with_name("box.token.new").exists()


async def test_for_a_pipe(key_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing but the token is on stdout."""
    async with simulator(SETTINGS) as address:
        assert await run(address.url, "mint", "--api-key-file", str(key_file), "--out", "-") == 0
    out, err = plain(capsys)
    assert len(out.split()) == 1
    assert "for 1h" in err
    assert out.strip() not in err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--for", "soon", "--out", "x"], "--for "),
        (["--max-video", "much", "--out", "x"], "--max-video "),
        (["--out", "/nonexistent/x"], "--out /nonexistent/x: there is no such folder"),
        (["--scope", "interhumanai.realtime", "--out", "x"], "the API key lacks a scope that the token is to have"),
        (["--out", "x", "--api-key-file", "/nonexistent"], "the API key: file /nonexistent: No such file"),
    ],
)
async def test_what_cannot_be_done_is_said(
    words: list[str], sentence: str, key_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one sentence, without the key, and with 69."""
    async with simulator(SETTINGS) as address:
        assert await run(address.url, "mint", "--api-key-file", str(key_file), *words) == 69
    _, said = plain(capsys)
    assert said.startswith(sentence)
    assert KEY not in said


async def test_a_wrong_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The cloud's refusal, and a cloud that is not there."""
    file = tmp_path / "wrong.key"
    file.write_text("ih_live_wrong")
    async with simulator(SETTINGS) as address:
        assert await run(address.url, "mint", "--api-key-file", str(file), "--out", "-") == 69
    assert "the cloud did not accept the API key" in plain(capsys)[1]
    assert await run(address.url, "mint", "--api-key-file", str(file), "--out", "-") == 69
    assert "no connection to " in plain(capsys)[1]


async def test_a_token_that_cannot_be_written_is_revoked(
    key_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody has it, so nobody shall."""

    def full(_path: Path, _content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("interhuman2mqtt.runtime.state_dir.replace", full)
    async with simulator(SETTINGS) as address:
        words = ["mint", "--api-key-file", str(key_file), "--out", str(tmp_path / "box.token")]
        assert await run(address.url, *words) == 69
    assert "No space left on device; the token is revoked again" in plain(capsys)[1]


async def test_without_a_key(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """It says both ways to give one."""
    monkeypatch.delenv("INTERHUMAN_API_KEY", raising=False)
    assert await run("ws://localhost:9", "mint", "--out", "-") == 69
    assert "--api-key-file FILE, or INTERHUMAN_API_KEY" in plain(capsys)[1]
