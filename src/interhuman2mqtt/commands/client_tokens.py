"""The endpoints that mint and revoke client tokens (POST /v1/client_tokens, .../revoke); for trusted machines only.

The API key travels in the body. Foreign input ends here: what leaves is a token, or an `Outage` with a sentence.
"""

from collections.abc import AsyncGenerator
from urllib.parse import urlsplit
from uuid import uuid4

import msgspec
from msgspec import Struct

from interhuman2mqtt import __version__
from interhuman2mqtt.cloud import error_table
from interhuman2mqtt.cloud.error_table import ErrorRule, phrase
from interhuman2mqtt.cloud.http import HiddenBytes, HttpResponse
from interhuman2mqtt.cloud.transport import Dial, Server, dial
from interhuman2mqtt.errors import Outage, Reason, Refused
from interhuman2mqtt.events import utc_now
from interhuman2mqtt.runtime.redaction import register_secret
from interhuman2mqtt.upload import http
from interhuman2mqtt.upload.client import endpoint_of
from interhuman2mqtt.upload.error_table import named_error

MINT, REVOKE = "/v1/client_tokens", "/v1/client_tokens/revoke"
LIFE_MIN, LIFE_MAX = 60.0, 3600.0
"""Seconds: the API brings what is asked for between these two."""
TIMEOUT = 30.0
"""Seconds for an answer."""
_KEY = "the cloud did not accept the API key: check that it is whole, and neither expired nor revoked"
_SCOPE = "the API key lacks a scope that the token is to have: see --scope"
ERRORS: dict[str, ErrorRule] = {
    "ih2001": ErrorRule(Refused, Reason.UNAUTHORIZED, _KEY),
    "ih2002": ErrorRule(Refused, Reason.UNAUTHORIZED, _KEY),
    "ih2003": ErrorRule(Refused, Reason.SCOPE_MISSING, _SCOPE),
    "ih4005": ErrorRule(Refused, Reason.BAD_REQUEST, "the cloud does not take what is asked for"),
}
"""What is said otherwise of tokens than of sessions."""
STATUSES: dict[int, ErrorRule] = {
    401: ErrorRule(Refused, Reason.UNAUTHORIZED, _KEY),
    403: ErrorRule(Refused, Reason.SCOPE_MISSING, _SCOPE),
    404: ErrorRule(Refused, Reason.BAD_REQUEST, "nobody mints client tokens there: check --url"),
}


class TokenOptions(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Limits that a token shall have; None: the API's default."""

    scopes: tuple[str, ...] | None = None
    expires_in: int | None = None
    """seconds"""
    max_concurrent: int | None = None
    """sessions at once; by default one"""
    max_video_seconds: int | None = None
    """of video in all, over all its sessions and uploads"""


class ClientToken(Struct, frozen=True, kw_only=True):
    """A token as it was granted."""

    access_token: str
    expires_in: float
    """seconds"""
    scope: str = ""
    """separated by spaces"""
    max_concurrent: int | None = None
    max_video_seconds: int | None = None

    def __repr__(self) -> str:
        return f"ClientToken(***, expires_in={self.expires_in})"


class _JsonBody:
    """A body that does not print."""

    content_type = "application/json"

    def __init__(self, values: dict[str, object]) -> None:
        self._content = HiddenBytes(msgspec.json.encode(values))
        self.size = len(self._content)

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """Yield it."""
        yield self._content


class TokenClient:
    """Mints and revokes.

    Args:
        url: Of the streaming endpoint, as in `interhuman.url`; raises Refused where nothing is beside it.
        api_key: The account's.
        dial: How to connect, for tests.
    """

    def __init__(
        self, url: str, api_key: str, *, ca_file: str | None = None, proxy: str | None = None, dial: Dial = dial
    ) -> None:
        self._server: Server = endpoint_of(url, ca_file=ca_file, proxy=proxy).server
        self._key = HiddenBytes(api_key.encode())
        self._dial = dial

    async def mint(self, wishes: TokenOptions) -> ClientToken:
        """Return a new token; raise Outage, or Refused where a person must act."""
        response = await self._post(MINT, msgspec.to_builtins(wishes))
        try:
            token = msgspec.json.decode(response.body, type=ClientToken)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise Outage(Reason.PROTOCOL, "the cloud minted a token, and its answer cannot be read") from error
        register_secret(token.access_token)
        if not token.access_token.isprintable() or " " in token.access_token or not token.access_token:
            raise Outage(Reason.PROTOCOL, "the cloud answered with a token that is no word")
        return token

    async def revoke(self, token: str) -> None:
        """Let a token be worth nothing from now on, if it is not yet; raise as `mint` does."""
        await self._post(REVOKE, {"token": token})

    async def _post(self, path: str, values: dict[str, object]) -> HttpResponse:
        headers = [
            (b"X-Client-Request-Id", str(uuid4()).encode()),
            (b"User-Agent", f"interhuman2mqtt/{__version__}".encode()),
            (b"Accept", b"application/json"),
        ]
        body = _JsonBody({"api_key": self._key.decode(), **values})
        request = http.Request("POST", urlsplit(self._server.url).path + path, headers, body, timeout=TIMEOUT)
        response = await http.exchange(self._server, request, self._dial)
        if not 200 <= response.status < 300:
            raise _refusal(response)
        return response


def _refusal(response: HttpResponse) -> Outage:
    named = named_error(response.body)
    rule = STATUSES.get(response.status) or error_table.of_status(response.status)
    if named is not None:
        rule = ERRORS.get(named[0]) or error_table.ERRORS.get(named[0]) or rule
    text = phrase(f"HTTP {response.status}", *(named or ()))
    return rule.exception(text, error_table.retry_after_of(response.headers, utc_now()))
