"""One HTTP request with a large body, over the way that sessions take to the cloud: proxy, TLS, and no secret in sight.

Foreign errors stop here: what leaves this module is an `Outage`. The answer is read while the body is still being sent,
because a server or a gateway that refuses a file does not wait for all of it (RFC 9112, 9.5).
"""

# httpx was looked at. On trio it works, but its own transport would bring other proxies, another trust and other
# messages than the session's, and it reads the answer only after it has sent the whole body: a gateway's early 413 was
# a broken connection then, and the file was sent again.

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import NamedTuple, Protocol
from urllib.parse import SplitResult, urlsplit

import h11
import trio

from interhuman2mqtt.cloud.http import HiddenBytes, HttpResponse, address_of, host_header
from interhuman2mqtt.cloud.streams import ForgivingStream
from interhuman2mqtt.cloud.transport import Dial, Server, open_transport, start_tls
from interhuman2mqtt.errors import Outage, Reason, border

CONNECT_TIMEOUT = 20.0
"""Seconds for everything up to the request."""
SEND_TIMEOUT = 60.0
"""Seconds for one piece of the body, after which the uplink is dead."""
ANSWER_TIMEOUT = 300.0
"""Seconds for the answer, once the body is out: the vendor's own client waits as long."""
REFUSAL_TIMEOUT = 10.0
"""Seconds for the body of an error."""
ANSWER_MAX = 32 << 20
"""Bytes of an answer; that of half an hour has about a megabyte."""
_READ_SIZE = 64 << 10


class Unanswered(Outage):
    """The request was sent whole, and no answer to it came: nobody knows what became of it."""


class Body(Protocol):
    """The body of a request."""

    content_type: str
    size: int
    """bytes"""

    def pieces(self) -> AsyncGenerator[bytes, None]:
        """Yield it, piece by piece; raise Outage where it cannot be read."""


class Request(NamedTuple):
    """A request beyond its server."""

    method: str
    path: str
    headers: Sequence[tuple[bytes, bytes]]
    body: Body | None = None
    rate: float | None = None
    """Bits a second that are sent at most."""
    timeout: float = ANSWER_TIMEOUT


async def exchange(server: Server, request: Request, dial: Dial) -> HttpResponse:
    """Send a request and return its answer; raise Outage, Refused, or Unanswered."""
    url = urlsplit(server.url)
    transport: ForgivingStream | None = None
    stream: trio.abc.Stream | None = None
    try:
        with trio.move_on_after(CONNECT_TIMEOUT):
            transport = ForgivingStream(await open_transport(server, address_of(url), dial))
            stream = await start_tls(transport, server, url) if url.scheme == "https" else transport
        if transport is None or stream is None:
            raise Outage(Reason.CLOUD_UNREACHABLE, f"{address_of(url)} did not answer within {CONNECT_TIMEOUT:g} s")
        return await _Exchange(url, request, stream, transport).run()
    finally:
        if transport is not None:
            await trio.aclose_forcefully(transport)


class _Exchange:
    """One request on an open connection."""

    def __init__(self, url: SplitResult, request: Request, stream: trio.abc.Stream, transport: ForgivingStream) -> None:
        self._url = url
        self._request = request
        self._stream = stream
        self._transport = transport
        self._http = h11.Connection(h11.CLIENT)
        self._head: h11.Response | None = None
        self._body = bytearray()
        self._whole = False
        self._sent = False
        self._failure: Outage | None = None
        self._receiving = trio.CancelScope()

    async def run(self) -> HttpResponse:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._send)
            with self._receiving:
                await self._receive()
            nursery.cancel_scope.cancel()
        if self._head is not None and (self._whole or self._is_refused):
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in self._head.headers}
            return HttpResponse(self._head.status_code, headers, bytes(self._body), b"")
        raise self._failure or self._unanswered()

    @property
    def _is_refused(self) -> bool:
        """The status alone is news enough: what follows may be missing."""
        return self._head is not None and self._head.status_code >= 300

    def _unanswered(self) -> Outage:
        where = address_of(self._url)
        if not self._sent:
            return Outage(Reason.CONNECTION_LOST, f"{where} ended the connection while it was sent the request")
        if self._receiving.cancelled_caught:
            return Unanswered(Reason.CLOUD_ERROR, f"{where} did not answer within {self._request.timeout:g} s")
        return Unanswered(Reason.CONNECTION_LOST, f"{where} ended the connection instead of answering")

    async def _send(self) -> None:
        """Send the request; where that fails, what the other side said before is still received."""
        try:
            await self._send_all()
        except Outage as failure:
            self._failure = failure
            self._receiving.cancel()

    async def _send_all(self) -> None:
        body = self._request.body
        size = 0 if body is None else body.size
        headers = [(b"Host", host_header(self._url).encode()), *self._request.headers]
        headers += [(b"Content-Length", str(size).encode()), (b"Connection", b"close")]
        if body is not None:
            headers.append((b"Content-Type", body.content_type.encode()))
        head = h11.Request(method=self._request.method, target=self._request.path, headers=headers)
        await self._send_piece(HiddenBytes(self._http.send(head) or b""))
        if body is not None:
            async with aclosing(body.pieces()) as pieces:
                async for piece in pieces:
                    await self._pace(len(piece))
                    await self._send_piece(self._http.send(h11.Data(data=piece)) or b"")
        self._http.send(h11.EndOfMessage())
        self._sent = not self._transport.broken
        if not self._is_refused:
            self._receiving.deadline = trio.current_time() + self._request.timeout

    async def _pace(self, size: int) -> None:
        if self._request.rate:
            await trio.sleep(8 * size / self._request.rate)

    async def _send_piece(self, piece: bytes) -> None:
        with trio.move_on_after(SEND_TIMEOUT) as moving:
            await self._stream.send_all(piece)
        if moving.cancelled_caught:
            sentence = f"sending {len(piece)} bytes took more than {SEND_TIMEOUT:g} s: the uplink is dead, or too slow"
            raise Outage(Reason.CONNECTION_LOST, sentence)

    async def _receive(self) -> None:
        """Receive the answer, as far as it comes and can be read."""
        try:
            with border(Reason.PROTOCOL, f"{address_of(self._url)} did not answer in HTTP"):
                await self._receive_events()
        except Outage as outage:
            self._failure = self._failure or self._unreadable(outage)

    async def _receive_events(self) -> None:
        while True:
            event = await self._next_event()
            if isinstance(event, h11.Response):
                self._head = event
                if self._is_refused:  # nothing that is still to be sent is wanted
                    self._receiving.deadline = trio.current_time() + REFUSAL_TIMEOUT
            elif isinstance(event, h11.Data):
                self._body += event.data
                _check_size(self._body)
            elif not isinstance(event, h11.InformationalResponse):
                self._whole = isinstance(event, h11.EndOfMessage)
                break

    def _unreadable(self, outage: Outage) -> Outage:
        return Unanswered(outage.reason, outage.detail) if self._sent else outage

    async def _next_event(self) -> object:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            try:
                data = bytes(await self._stream.receive_some(_READ_SIZE))
            except trio.BrokenResourceError:
                data = b""
            if not data and self._http.their_state is h11.SEND_RESPONSE:
                return None  # nothing came at all
            self._http.receive_data(data)
        return event


def _check_size(body: bytearray) -> None:
    if len(body) > ANSWER_MAX:
        raise Outage(Reason.PROTOCOL, f"the cloud answered more than {ANSWER_MAX >> 20} MiB")
