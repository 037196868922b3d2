"""The checks before every route (Host, Origin), and the headers that bound what a browser may do with an answer.

A page on 127.0.0.1 is within reach of every site that somebody visits: by DNS rebinding (hence Host), and by forms and
fetches of other origins (hence Origin, SameSite and the token).
"""

from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = [
    (b"content-security-policy", CSP.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
    (b"cache-control", b"no-store"),
]
LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Guard:
    """An ASGI application around ours.

    Args:
        app: Ours.
        hosts: Names that a browser may ask for, beside those of this machine itself.
        tls: Whether browsers speak TLS with us, or with the proxy before us.
    """

    def __init__(self, app: ASGIApp, hosts: Iterable[str], *, tls: bool) -> None:
        self._app = app
        self._hosts = frozenset(host.lower() for host in (*hosts, *LOOPBACK))
        self._headers = [*HEADERS, (b"strict-transport-security", b"max-age=31536000")] if tls else HEADERS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with 403 what is not let in; add the headers to every answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                set_already = {name for name, _ in message["headers"]}
                added = [(name, value) for name, value in self._headers if name not in set_already]
                message = {**message, "headers": [*message["headers"], *added]}
            await send(message)

        refusal = self._refusal({name.lower(): value for name, value in scope["headers"]}, scope["method"])
        app = self._app if refusal is None else JSONResponse({"error": refusal}, status_code=403)
        await app(scope, receive, send_with_headers)

    def _refusal(self, headers: dict[bytes, bytes], method: str) -> str | None:
        host = headers.get(b"host", b"").decode("latin-1")
        if _name_of(f"//{host}") not in self._hosts:
            return f"this page does not answer to the name {_printable(host)}: add it to [web] hosts"
        origin = headers.get(b"origin")
        if origin is not None and origin.decode("latin-1").lower().partition("://")[2] != host.lower():
            return "a request of another site"
        if method not in {"GET", "HEAD"} and origin is None:
            return "a request that changes something has to say its Origin"
        return None


def _name_of(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:
        return ""


def _printable(text: str) -> str:
    return "".join(one if one.isprintable() else "?" for one in text[:100])
