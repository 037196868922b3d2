"""Client tokens: minted from an API key, capped, expired, revoked; and the endpoints that do so.

What the vendor does not say is our choice, and no client must rely on it: a session whose bytes or seconds of video are
spent ends with ih3006; one whose token expires goes on, because expiry is about new requests.
"""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import msgspec
import structlog
from msgspec import Struct

from interhuman2mqtt.simulator.errors import Answer
from interhuman2mqtt.simulator.http import Exchange, HttpResponse, RequestHead, error_response, json_response
from interhuman2mqtt.simulator.settings import STREAM_SCOPE, Key, Tokens

MINT, REVOKE = "/v1/client_tokens", "/v1/client_tokens/revoke"
_PREFIX = "ih_ct_"

log = structlog.get_logger()


class Caps(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Rights of a token, as they were asked for; None: as much as its key."""

    max_duration_seconds: int | None = None
    """of one session"""
    max_bytes: int | None = None
    """of all sessions"""
    max_concurrent: int | None = None
    """sessions at once"""
    max_video_seconds: int | None = None
    """of all sessions"""
    allowed_origins: tuple[str, ...] | None = None


class MintRequest(Caps, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of a mint."""

    api_key: str = ""
    scopes: tuple[str, ...] = (STREAM_SCOPE,)
    expires_in: int | None = None


class _RevokeRequest(Struct, frozen=True, forbid_unknown_fields=True):
    api_key: str = ""
    token: str = ""


class ClientToken:
    """A token, and what was used of it."""

    def __init__(self, key: Key, caps: Caps, expires_at: float) -> None:
        self.key = key
        """Whose it is, with the scopes that the token has."""
        self.caps = caps
        self.expires_at = expires_at
        self.is_revoked = False
        self._bytes = 0
        self._video_s = 0.0

    def check(self) -> None:
        """Raise the Answer that ends a session at its next chunk."""
        if self.is_revoked:
            raise Answer("ih2014", "The client token was revoked.")
        if self.caps.max_bytes is not None and self._bytes > self.caps.max_bytes:
            raise Answer("ih3006", f"The client token's {self.caps.max_bytes} bytes are spent.")
        if self.caps.max_video_seconds is not None and self._video_s > self.caps.max_video_seconds:
            raise Answer("ih3006", f"The client token's {self.caps.max_video_seconds} seconds of video are spent.")

    def charge(self, *, size: int = 0, video_s: float = 0.0) -> None:
        """Count what was sent, or analysed, with it."""
        self._bytes += size
        self._video_s += video_s


class TokenStore:
    """All tokens that were ever minted."""

    def __init__(self, settings: Tokens, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._clock = clock
        self._tokens: dict[str, ClientToken] = {}

    def mint(self, key: Key, request: MintRequest) -> dict[str, Any]:
        """Make a token; return the answer of the endpoint."""
        if missing := set(request.scopes) - set(key.scopes):
            raise Answer("ih2003", f"The API key lacks the scope {min(missing)}.")
        wanted = self._settings.life if request.expires_in is None else request.expires_in
        lasts = min(max(wanted, self._settings.life_min), self._settings.life_max)
        caps = Caps(**{name: getattr(request, name) for name in Caps.__struct_fields__})
        caps = msgspec.structs.replace(caps, max_concurrent=caps.max_concurrent or 1)
        credential = _PREFIX + uuid4().hex
        granted = Key(credential, tuple(dict.fromkeys(request.scopes)), account=key.account or key.credential)
        self._tokens[credential] = ClientToken(granted, caps, self._clock() + lasts)
        answer = {"access_token": credential, "token_type": "Bearer", "expires_in": lasts}
        return {**answer, "scope": " ".join(granted.scopes), **msgspec.to_builtins(caps)}

    def revoke(self, key: Key, credential: str) -> None:
        """Let a token of this key be worth nothing; one that is not known is none any more."""
        token = self._tokens.get(credential)
        if token is not None and token.key.account == key.credential:
            token.is_revoked = True

    def find(self, credential: str) -> ClientToken | None:
        """Return the token that a credential is; None where it is none; raise Answer where it is worth nothing."""
        if not credential.startswith(_PREFIX):
            return None
        token = self._tokens.get(credential)
        if token is None:
            raise Answer("ih2011", "The client token is not valid.")
        if token.is_revoked:
            raise Answer("ih2014", "The client token was revoked.")
        if self._clock() >= token.expires_at:
            raise Answer("ih2010", "The client token has expired.")
        return token


class TokenEndpoints:
    """Serves the minting and the revoking of tokens.

    Args:
        key_of: Returns the API key of a credential, or raises Answer.
    """

    def __init__(self, store: TokenStore, key_of: Callable[[str], Key]) -> None:
        self._store = store
        self._key_of = key_of

    def serves(self, path: str) -> bool:
        """Decide whether a path is one of these."""
        return path in {MINT, REVOKE}

    async def serve(self, head: RequestHead, exchange: Exchange) -> None:
        """Answer one request."""
        body = await exchange.body()
        try:
            response = self._response(head, body)
        except msgspec.MsgspecError as error:
            response = error_response(Answer("ih4005", "").error, str(error))
        except Answer as answer:
            log.info("token refused", path=head.path, code=answer.error.code, why=answer.message)
            response = error_response(answer.error, answer.message)
        await exchange.respond(response)

    def _response(self, head: RequestHead, body: bytes) -> HttpResponse:
        if head.method != "POST":
            raise Answer("ih4005", f"{head.method} is not allowed here.")
        return self._mint(body) if head.path == MINT else self._revoke(body)

    def _mint(self, body: bytes) -> HttpResponse:
        request = msgspec.json.decode(body, type=MintRequest)
        if request.api_key.startswith(_PREFIX):
            raise Answer("ih2001", "A client token mints no other.")
        answer = self._store.mint(self._key_of(request.api_key), request)
        log.info("token minted", seconds=answer["expires_in"], scope=answer["scope"])
        return json_response(200, answer)

    def _revoke(self, body: bytes) -> HttpResponse:
        request = msgspec.json.decode(body, type=_RevokeRequest)
        self._store.revoke(self._key_of(request.api_key), request.token)
        return HttpResponse(204, b"", correlation_id=str(uuid4()))
