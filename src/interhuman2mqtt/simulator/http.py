"""HTTP beside the WebSocket on one listener: the head that decides which it is, one request, one answer, and the end.

A connection serves one request and is closed after it, which RFC 9112 (9.6) lets a server do and every client takes.
"""

from collections.abc import AsyncIterator, Mapping
from typing import NamedTuple
from urllib.parse import urlsplit
from uuid import uuid4

import h11
import msgspec
import trio

from interhuman2mqtt.simulator.errors import ApiError

HEAD_MAX = 64 << 10
"""Bytes of a request line with its headers."""
_PIECE = 64 << 10


class RequestHead(NamedTuple):
    """A request without its body."""

    method: str
    target: str
    headers: Mapping[str, str]
    """Names in lower case."""

    @property
    def path(self) -> str:
        """The target without its query."""
        return urlsplit(self.target).path

    @property
    def credential(self) -> str | None:
        """What came as `Authorization: Bearer`."""
        scheme, _, bearer = self.headers.get("authorization", "").partition(" ")
        return bearer.strip() or None if scheme.lower() == "bearer" else None

    @property
    def request_id(self) -> str | None:
        """The client's own id."""
        return self.headers.get("x-client-request-id")


class HttpResponse(NamedTuple):
    """The answer to a request."""

    status: int
    body: bytes
    content_type: str = "application/json"
    correlation_id: str | None = None
    """None: a gateway speaks, in the API's place."""


class BadRequest(Exception):  # noqa: N818 - the client's, not a fault of ours
    """Bytes came that are no HTTP, or ended in the middle."""


def json_response(status: int, value: object) -> HttpResponse:
    """Return an answer of the API's."""
    return HttpResponse(status, msgspec.json.encode(value), correlation_id=str(uuid4()))


def error_response(error: ApiError, message: str, status: int | None = None) -> HttpResponse:
    """Return an error as the API has it."""
    correlation_id = str(uuid4())
    body = {"error_id": error.code, "correlation_id": correlation_id, "link": error.link, "message": message}
    return HttpResponse(status or error.status, msgspec.json.encode(body), correlation_id=correlation_id)


async def read_head(stream: trio.abc.ReceiveStream) -> bytes | None:
    """Return the bytes up to the end of a request's head, and what came with it; None where no head came."""
    received = b""
    while b"\r\n\r\n" not in received and len(received) < HEAD_MAX:
        try:
            piece = await stream.receive_some(_PIECE)
        except trio.BrokenResourceError:
            return None
        if not piece:
            return None
        received += piece
    return received


def asks_for_upgrade(head: bytes) -> bool:
    """Decide whether a request is one for a WebSocket."""
    lines = head.partition(b"\r\n\r\n")[0].lower().split(b"\r\n")
    return any(line.partition(b":")[0] == b"upgrade" and b"websocket" in line for line in lines)


class ReplayedStream(trio.abc.Stream):
    """A stream of which some bytes were read already: they come again."""

    def __init__(self, stream: trio.abc.Stream, received: bytes) -> None:
        self._stream = stream
        self._received = received

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """See trio."""
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        """See trio."""
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """See trio."""
        if self._received:
            received, self._received = self._received, b""
            return received
        return await self._stream.receive_some(max_bytes)

    async def aclose(self) -> None:
        """See trio."""
        await self._stream.aclose()


class Exchange:
    """One request on a connection, and its answer."""

    def __init__(self, stream: trio.abc.Stream, received: bytes) -> None:
        self._stream = stream
        self._http = h11.Connection(h11.SERVER)
        self._http.receive_data(received)

    async def head(self) -> RequestHead:
        """Return the request; raise BadRequest where it is none."""
        event = await self._next()
        if not isinstance(event, h11.Request):
            raise BadRequest("it is no request")
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in event.headers}
        return RequestHead(event.method.decode(), event.target.decode("latin-1"), headers)

    async def body(self) -> bytes:
        """Return the request's body."""
        return b"".join([piece async for piece in self._pieces()])

    async def respond(self, response: HttpResponse, *, pause: float = 0.0) -> None:
        """Send the answer, where wanted byte by byte with a pause before each; nothing where the client is gone."""
        headers = [("Content-Type", response.content_type), ("Connection", "close")]
        headers.append(("Content-Length", str(len(response.body))))
        if response.correlation_id is not None:
            headers.append(("X-Correlation-ID", response.correlation_id))
        head = self._http.send(h11.Response(status_code=response.status, headers=headers))
        pieces = [response.body] if pause == 0.0 else [bytes([byte]) for byte in response.body]
        try:
            await self._stream.send_all(head or b"")
            for piece in pieces:
                await trio.sleep(pause)
                await self._stream.send_all(self._http.send(h11.Data(data=piece)) or b"")
            await self._close()
        except trio.BrokenResourceError:
            pass

    async def _close(self) -> None:
        """End the connection so that a client which still sends gets the answer first, not a reset. (RFC 9112, 9.6)."""
        if isinstance(self._stream, trio.abc.HalfCloseableStream):
            await self._stream.send_eof()
            with trio.move_on_after(1.0):
                while await self._stream.receive_some(_PIECE):
                    pass
        else:
            await self._stream.aclose()

    async def _pieces(self) -> AsyncIterator[bytes]:
        if self._http.they_are_waiting_for_100_continue:
            go_on = h11.InformationalResponse(status_code=100, headers=[])
            await self._stream.send_all(self._http.send(go_on) or b"")
        while isinstance(event := await self._next(), h11.Data):
            yield bytes(event.data)

    async def _next(self) -> object:
        try:
            while (event := self._http.next_event()) is h11.NEED_DATA:
                self._http.receive_data(bytes(await self._stream.receive_some(_PIECE)))
        except (h11.RemoteProtocolError, trio.BrokenResourceError) as error:
            raise BadRequest(str(error)) from error
        return event
