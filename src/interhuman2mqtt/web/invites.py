"""Invitations: links that let somebody without a login do one thing with one camera, until they expire or are revoked.

::

    $STATE_DIRECTORY/invites/SHA256-OF-THE-TOKEN.json      (of the page, not of the daemon)

A file each, so that an invitation is made, looked up and revoked without a lock, and with or without a running page.
Only a hash of the token is kept: who reads the folder, or a backup of it, cannot use a link. The token is 192 random
bits, so that a plain SHA-256 is enough; what makes passwords need more is that they can be guessed.
"""

import json
import os
import re
import secrets
from contextlib import suppress
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct

from interhuman2mqtt.runtime import state_dir

FOLDER = "invites"
TOKEN_BYTES = 24
TOKEN = re.compile(r"[A-Za-z0-9_-]{32}")
ID_LENGTH = 8
"""Characters of the hash by which people name an invitation."""


class Kind(StrEnum):
    """The use of an invitation."""

    ROOM = "room"
    """See whether the camera is on, and pause it."""
    BROWSER = "browser"
    """Be the camera."""


class Invite(Struct, frozen=True, kw_only=True):
    """One invitation; times are seconds of UTC."""

    format: Literal[1] = 1
    kind: Kind
    box: str
    camera: str
    created_at: float
    expires_at: float | None
    """None: it holds until it is revoked."""


class Named(Struct, frozen=True):
    """An invitation, and the name by which it is revoked."""

    id: str
    invite: Invite


class Invites:
    """The folder of the invitations. Every method blocks, and raises OSError.

    Args:
        state: The state directory of the page.
    """

    def __init__(self, state: Path) -> None:
        self.folder = state / FOLDER

    def add(self, invite: Invite) -> str:
        """Keep an invitation; return the token for its link, which is not to be had again."""
        token = secrets.token_urlsafe(TOKEN_BYTES)
        self._make_folder()
        file = self.folder / f"{_hashed(token)}.json"
        state_dir.replace(file, msgspec.json.encode(invite))
        _give_to_owner_of(self.folder.parent, file)
        return token

    def find(self, token: str, now: float) -> Named | None:
        """Return the invitation of a link that holds now."""
        if TOKEN.fullmatch(token) is None:
            return None
        name = _hashed(token)
        invite = _read(self.folder / f"{name}.json")
        if invite is None or (invite.expires_at is not None and now >= invite.expires_at):
            return None
        return Named(name[:ID_LENGTH], invite)

    def all(self) -> list[Named]:
        """Return all invitations, those that have expired too, in the order in which they were made."""
        found = [(file.name[:ID_LENGTH], _read(file)) for file in self._files()]
        named = [Named(name, invite) for name, invite in found if invite is not None]
        return sorted(named, key=lambda each: each.invite.created_at)

    def revoke(self, name: str) -> int:
        """Remove the invitation of that name, whole, or `all`; return how many there were."""
        meant = [file for file in self._files() if name in {"all", file.name[:ID_LENGTH]}]
        for file in meant:
            file.unlink(missing_ok=True)
        if meant:
            state_dir.sync_folder(self.folder)
        return len(meant)

    def prune(self, now: float) -> None:
        """Remove what has expired."""
        for file in self._files():
            invite = _read(file)
            if invite is not None and invite.expires_at is not None and now >= invite.expires_at:
                file.unlink(missing_ok=True)

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("*.json"))

    def _make_folder(self) -> None:
        if not self.folder.is_dir():
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _give_to_owner_of(self.folder.parent, self.folder)


def _read(file: Path) -> Invite | None:
    """Return the invitation that a file holds; None for one that is gone, damaged, or of a later version."""
    with suppress(FileNotFoundError, msgspec.MsgspecError, ValueError):
        return msgspec.json.decode(file.read_bytes(), type=Invite)
    return None


def _hashed(token: str) -> str:
    return sha256(token.encode()).hexdigest()


def _give_to_owner_of(folder: Path, made: Path) -> None:
    """Let the page read what root has made for it."""
    owner = folder.stat()
    if os.geteuid() == 0 and owner.st_uid != 0:
        os.chown(made, owner.st_uid, owner.st_gid)


def invite_json(named: Named) -> dict[str, Any]:
    """Return an invitation for people and scripts; no token is in it."""
    return {"id": named.id, **json.loads(msgspec.json.encode(named.invite))}
