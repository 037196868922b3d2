"""A very small HTTP server: one GET per connection, answered at once or not at all.

It trusts nobody: connections are few, a request is short, and whoever reads or writes slowly is cut off.
"""

from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import NamedTuple

import h11
import trio

CONNECTIONS_MAX = 8
"""At once; more are closed without a word. Prometheus needs one."""
PATIENCE_S = 10.0
"""For a whole connection; Prometheus itself gives up after ten seconds."""
REQUEST_MAX = 8 << 10
"""Bytes of a request's head."""
READ_SIZE = 4096


class Answer(NamedTuple):
    """What a path is answered with."""

    status: int
    content_type: str
    body: bytes


Answering = Callable[[str, str], Answer]
"""From the path and the header Accept; must not wait."""


async def serve(listeners: Sequence[trio.SocketListener], answer: Answering) -> None:
    """Serve on these for ever; they are closed when this is cancelled."""
    places = trio.CapacityLimiter(CONNECTIONS_MAX)

    async def take(stream: trio.SocketStream) -> None:
        if places.available_tokens:
            async with places:
                await _talk(stream, answer)
        await trio.aclose_forcefully(stream)

    await trio.serve_listeners(take, list(listeners))


async def _talk(stream: trio.SocketStream, answer: Answering) -> None:
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=REQUEST_MAX)
    with trio.move_on_after(PATIENCE_S):
        try:
            request = await _request(stream, connection)
            if request is not None:
                await stream.send_all(_packed(connection, _answered(request, answer), head=request.method == b"HEAD"))
                await stream.send_eof()
                await stream.receive_some(READ_SIZE)  # until the other side has read it all, and closes
        except (trio.BrokenResourceError, trio.ClosedResourceError, h11.RemoteProtocolError):
            return  # it went away, or does not speak HTTP: nobody is there to be told


async def _request(stream: trio.SocketStream, connection: h11.Connection) -> h11.Request | None:
    """The request, once its head is whole; None where there is none."""
    while True:
        event = connection.next_event()
        if isinstance(event, h11.Request):
            return event
        if event is not h11.NEED_DATA:
            return None
        connection.receive_data(await stream.receive_some(READ_SIZE))


def _answered(request: h11.Request, answer: Answering) -> Answer:
    if request.method not in (b"GET", b"HEAD"):
        return Answer(HTTPStatus.METHOD_NOT_ALLOWED, "text/plain", b"only GET is answered\n")
    accept = b", ".join(value for name, value in request.headers if name == b"accept")
    path = request.target.partition(b"?")[0]
    return answer(path.decode("latin-1"), accept.decode("latin-1"))


def _packed(connection: h11.Connection, answer: Answer, *, head: bool) -> bytes:
    """The whole answer as bytes; the connection ends with it."""
    headers = [
        ("Content-Type", answer.content_type),
        ("Content-Length", str(len(answer.body))),
        ("Cache-Control", "no-store"),
        ("Connection", "close"),
    ]
    reason = HTTPStatus(answer.status).phrase
    parts = [connection.send(h11.Response(status_code=answer.status, headers=headers, reason=reason.encode()))]
    if not head:
        parts.append(connection.send(h11.Data(data=answer.body)))
    parts.append(connection.send(h11.EndOfMessage()))
    return b"".join(part or b"" for part in parts)
