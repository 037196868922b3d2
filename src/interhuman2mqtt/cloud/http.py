"""HTTP before the WebSocket: the upgrade request, answers, the way through a proxy, and the API key out of sight.

trio-websocket speaks HTTP for the upgrade itself, but what it makes of a refusal hides the body of one that has no
`Content-Length`, and waits for ever on one that never comes. So answers are read here, by h11.
"""

import base64
from typing import NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

import h11
import trio

from interhuman2mqtt import __version__
from interhuman2mqtt.cloud.error_table import phrase
from interhuman2mqtt.errors import Outage, Reason, Refused
from interhuman2mqtt.runtime import redaction


class HiddenBytes(bytes):
    """Bytes that are sent like any others, and do not print."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "b'***'"


class ApiKey:
    """The API key, which must not be seen when a traceback shows local values."""

    def __init__(self, key: str) -> None:
        self._key = key
        redaction.register_secret(key)  # some servers name the key that they refuse

    def __repr__(self) -> str:
        return "Key(***)"

    def header(self) -> bytes:
        """Return the value of `Authorization`."""
        return HiddenBytes(f"Bearer {self._key}".encode())


BODY_MAX = 64 << 10
"""Bytes of an error's body that are read; its JSON has some hundred."""


class HostPort(NamedTuple):
    """A host and a port to connect to."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class HttpResponse(NamedTuple):
    """The answer to a request."""

    status: int
    headers: dict[str, str]
    """Names in lower case; of several with one name the last."""
    body: bytes
    received: bytes
    """All bytes that were read for it, with what may have come behind it."""


class NotHttpError(Exception):
    """The answer is not HTTP, or ended within its head."""


async def read_answer(stream: trio.abc.ReceiveStream, *, method: str) -> HttpResponse:
    """Read the answer to a request that upgrades (`GET`) or opens a tunnel (`CONNECT`); raise NotHttpError.

    An error that ends in the middle of its body is an error all the same: the connection was its only news.
    """
    http = h11.Connection(h11.CLIENT)
    http.send(h11.Request(method=method, target="/", headers=_REQUEST[method]))
    http.send(h11.EndOfMessage())
    head: h11.Response | h11.InformationalResponse | None = None
    received, body = b"", b""
    while len(body) < BODY_MAX:
        event = _next_event(http)
        if event is h11.NEED_DATA:
            data = await _receive(stream)
            received += data
            http.receive_data(data)
        elif isinstance(event, h11.InformationalResponse) and event.status_code != 101:
            received = http.trailing_data[0]  # a "wait" that is none of trio-websocket's business
        elif isinstance(event, h11.Response | h11.InformationalResponse):
            head = event
        elif isinstance(event, h11.Data):
            body += event.data
        else:
            break
    if head is None:
        raise NotHttpError("it is not HTTP" if received else "nothing came back")
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in head.headers}
    return HttpResponse(head.status_code, headers, body, received)


def _next_event(http: h11.Connection) -> object:
    """Return the next event; None where the bytes that came are not, or no more, HTTP."""
    try:
        return http.next_event()
    except h11.RemoteProtocolError:
        return None


async def _receive(stream: trio.abc.ReceiveStream) -> bytes:
    """Return some bytes; nothing where the stream ended, or was cut."""
    try:
        return bytes(await stream.receive_some())
    except trio.BrokenResourceError:
        return b""


_REQUEST = {  # only what h11 needs to know in order to read the answer
    "GET": [("Host", "-"), ("Connection", "Upgrade"), ("Upgrade", "websocket")],
    "CONNECT": [("Host", "-")],
}


class Proxy(NamedTuple):
    """An HTTP proxy; its password does not print."""

    address: HostPort
    authorization: HiddenBytes
    """Header line with the user and password, or empty."""

    def __str__(self) -> str:
        return f"the proxy {self.address}"


def parse_proxy(url: str) -> Proxy | None:
    """Read `http://user:password@host:port`, of which scheme, user and port may be missing; None for anything else."""
    parts = urlsplit(url if "://" in url else f"http://{url}")
    try:
        port = parts.port or 80
    except ValueError:
        return None
    if parts.scheme != "http" or not parts.hostname:
        return None
    return Proxy(HostPort(parts.hostname, port), _authorization(parts))


def _authorization(parts: SplitResult) -> HiddenBytes:
    if parts.username is None:
        return HiddenBytes()
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return HiddenBytes(b"Proxy-Authorization: Basic %s\r\n" % base64.b64encode(pair.encode()))


async def open_tunnel(stream: trio.abc.Stream, proxy: Proxy, target: HostPort) -> None:
    """Ask an HTTP proxy to connect the stream to the target; raise Outage or Refused."""
    request = f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n".encode()
    try:
        await stream.send_all(HiddenBytes(request + proxy.authorization + b"\r\n"))
        answer = await read_answer(stream, method="CONNECT")
    except (NotHttpError, trio.BrokenResourceError) as error:
        sentence = f"{proxy} did not answer as an HTTP proxy: {unreadable(error)}"
        raise Outage(Reason.PROXY_REFUSED, sentence) from error
    if 200 <= answer.status < 300:
        return
    if answer.status == 407:
        raise Refused(Reason.PROXY_REFUSED, f"{proxy} asks for another user or password (HTTP 407)")
    refused = Refused if answer.status < 500 else Outage
    raise refused(Reason.PROXY_REFUSED, f"{proxy} would not connect to {target} (HTTP {answer.status})")


def unreadable(error: Exception) -> str:
    """Return a foreign error for the end of a sentence."""
    return phrase(str(error)) or type(error).__name__


class UpgradeRequest(NamedTuple):
    """The upgrade request beyond its url."""

    key: ApiKey
    session_id: str
    """Our own UUID, sent as `X-Client-Request-Id`."""
    model: str | None


def address_of(url: SplitResult) -> HostPort:
    """Return host and port of the cloud."""
    return HostPort(url.hostname or "", url.port or _default_port(url))


def host_header(url: SplitResult) -> str:
    """Return the `Host` header, with a port only where it is not the scheme's own (RFC 9110, 7.2)."""
    address = address_of(url)
    return str(address) if address.port != _default_port(url) else str(address).rpartition(":")[0]


def _default_port(url: SplitResult) -> int:
    return 443 if url.scheme in {"wss", "https"} else 80


def resource(url: SplitResult, model: str | None) -> str:
    """Return path and query; v1 knows no choice of model, v2 wants it here, before the session is set up."""
    query = url.query
    if model is not None and "/v1/" not in url.path and "model=" not in query:
        query = f"{query}&model={model}".lstrip("&")
    return f"{url.path or '/'}?{query}" if query else url.path or "/"


def headers(request: UpgradeRequest) -> list[tuple[bytes, bytes]]:
    """Return the headers that name who asks, and for which session."""
    return [
        (b"Authorization", request.key.header()),
        (b"X-Client-Request-Id", request.session_id.encode()),
        (b"User-Agent", f"interhuman2mqtt/{__version__}".encode()),
    ]
