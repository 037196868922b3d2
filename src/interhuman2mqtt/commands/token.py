"""The command `token`: client tokens for boxes, made on a machine that is trusted with the account's key."""

import json
import os
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple, TextIO

import trio

from interhuman2mqtt import exit_codes
from interhuman2mqtt.commands.client_tokens import LIFE_MAX, LIFE_MIN, ClientToken, TokenClient, TokenOptions
from interhuman2mqtt.config import Interhuman, SecretRef, loader, secrets, units, urls
from interhuman2mqtt.config.problems import BadValueError
from interhuman2mqtt.errors import Outage, Reason, Refused
from interhuman2mqtt.events import utc_now
from interhuman2mqtt.runtime import state_dir

KEY_VARIABLE = "INTERHUMAN_API_KEY"
STREAM = Path("-")
"""Standard output, or input."""
TOKEN_MAX = 64 << 10
"""Bytes of a file of a token that are read."""


class Account(NamedTuple):
    """Whose key is used, and where."""

    url: str
    ca_file: str | None
    api_key_file: str | None


class MintOptions(NamedTuple):
    """The options of `token mint`."""

    account: Account
    lasts: str
    max_concurrent: int | None
    max_video: str | None
    scopes: Sequence[str]
    out: Path
    as_json: bool


class CommandFailed(Exception):  # noqa: N818 - it names what happened
    """The command line makes no sense, or a file cannot be used; the text says why."""


def mint_command(options: MintOptions, out: TextIO, err: TextIO) -> int:
    """Mint a token, and write it; return the exit status."""
    try:
        trio.run(_mint, options, out, err)
    except (CommandFailed, Outage) as error:
        print(error, file=err)
        return exit_codes.UNAVAILABLE
    return 0


def revoke_command(account: Account, file: Path, out: TextIO, err: TextIO) -> int:
    """Revoke the token that stands in a file; return the exit status."""
    try:
        token = _token_in(file)
        trio.run(_client(account).revoke, token)
    except (CommandFailed, Outage) as error:
        print(error, file=err)
        return exit_codes.UNAVAILABLE
    print("revoked: what runs with it ends at its next chunk", file=out)
    return 0


async def _mint(options: MintOptions, out: TextIO, err: TextIO) -> None:
    wanted_s = _seconds("--for", options.lasts)
    video_s = None if options.max_video is None else round(_seconds("--max-video", options.max_video))
    if options.out != STREAM and not options.out.absolute().parent.is_dir():
        raise CommandFailed(f"--out {options.out}: there is no such folder")
    wishes = TokenOptions(
        scopes=tuple(options.scopes) or None,
        expires_in=round(wanted_s),
        max_concurrent=options.max_concurrent,
        max_video_seconds=video_s,
    )
    client = _client(options.account)
    token = await client.mint(wishes)
    if options.out == STREAM:
        print(token.access_token, file=out)
    else:
        await _write(client, token, options.out)
    _tell(token, options, err if options.out == STREAM else out)
    if token.expires_in < wanted_s:
        shown = f"{units.show_duration(LIFE_MIN)} to {units.show_duration(LIFE_MAX)}"
        print(f"--for {options.lasts}: the API lets tokens live for {shown}", file=err)


def _tell(token: ClientToken, options: MintOptions, out: TextIO) -> None:
    expires_at = (utc_now() + timedelta(seconds=token.expires_in)).isoformat(timespec="seconds").replace("+00:00", "Z")
    if options.as_json:
        print(
            json.dumps(
                {
                    "file": None if options.out == STREAM else str(options.out),
                    "expires_at": expires_at,
                    "expires_in": token.expires_in,
                    "scopes": token.scope.split(),
                    "max_concurrent": token.max_concurrent,
                    "max_video_seconds": token.max_video_seconds,
                }
            ),
            file=out,
        )
        return
    parts = [f"for {units.show_duration(token.expires_in)}, until {expires_at}", f"scope {token.scope}"]
    if token.max_concurrent is not None:
        parts.append(f"{token.max_concurrent} session{'s' * (token.max_concurrent != 1)} at once")
    if token.max_video_seconds is not None:
        parts.append(f"{units.show_duration(token.max_video_seconds)} of video")
    print(f"{options.out}: {'; '.join(parts)}", file=out)


async def _write(client: TokenClient, token: ClientToken, file: Path) -> None:
    """Write a token whole, for its owner alone; where that fails it shall be worth nothing."""
    error = await trio.to_thread.run_sync(_replaced, file, token.access_token)
    if error is not None:
        await client.revoke(token.access_token)
        raise CommandFailed(f"--out {file}: {error.strerror}; the token is revoked again") from error


def _replaced(file: Path, token: str) -> OSError | None:
    try:
        state_dir.replace(file, f"{token}\n".encode())
    except OSError as error:
        return error
    return None


def _client(account: Account) -> TokenClient:
    try:
        url = urls.check_cloud(account.url)
    except BadValueError as error:
        raise CommandFailed(f"--url {error}") from error
    ref = SecretRef(env=KEY_VARIABLE) if account.api_key_file is None else SecretRef(file=account.api_key_file)
    if ref.env is not None and KEY_VARIABLE not in os.environ:
        raise Refused(Reason.SECRET_MISSING, f"name the account's key: --api-key-file FILE, or {KEY_VARIABLE}")
    key = secrets.read(ref, what="the API key").reveal()
    proxy = loader.cloud_proxy(Interhuman(url=url))
    return TokenClient(url, key, ca_file=account.ca_file, proxy=proxy)


def _token_in(file: Path) -> str:
    try:
        text = sys.stdin.read(TOKEN_MAX) if file == STREAM else file.read_text()[:TOKEN_MAX]
    except OSError as error:
        raise CommandFailed(f"{file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise CommandFailed(f"{file}: there is no token in it") from error
    if len(text.split()) != 1:
        raise CommandFailed(f"{file}: there is no token in it")
    return text.strip()


def _seconds(option: str, text: str) -> float:
    try:
        return units.parse_duration(text)
    except BadValueError as error:
        raise CommandFailed(f"{option} {error}") from error
