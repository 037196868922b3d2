"""Clouds and proxies that listen on loopback, and sessions with them."""

import ssl
import traceback
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any

import outcome
import trio
import trustme

from cloud.played import KEY, Cloud, Film, Play, Tape, chunk, interpreter, play
from interhuman2mqtt.cloud.session import run_session
from interhuman2mqtt.cloud.session_types import SessionEnd, SessionOptions
from interhuman2mqtt.cloud.transport import Server, dial

CA = trustme.CA()
CERTIFICATE = CA.issue_cert("127.0.0.1", "localhost")

Handler = Callable[[trio.SocketStream], Awaitable[None]]

BODY = b'{"error_id":"ih2001","correlation_id":"c","link":"l","message":"Invalid API key ' + KEY.encode() + b'"}'
"""How a cloud might refuse a key, if it were careless."""


async def listen(nursery: trio.Nursery, handler: Handler) -> int:
    """Serves on loopback; the port."""
    [listener] = await nursery.start(partial(trio.serve_tcp, handler, 0, host="127.0.0.1"))
    port: int = listener.socket.getsockname()[1]
    return port


async def cloud(stream: trio.abc.Stream, act: Play = Cloud.serve) -> None:
    await play(stream, act)


async def tls_cloud(stream: trio.SocketStream, act: Play = Cloud.serve) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    CERTIFICATE.configure_cert(context)
    encrypted = trio.SSLStream(stream, context, server_side=True, https_compatible=True)
    try:
        await play(encrypted, act)
    except* (trio.BrokenResourceError, ssl.SSLError):
        await trio.aclose_forcefully(stream)


async def attempt(server: Server, *, tape: Tape | None = None, film: Film | None = None) -> SessionEnd:
    """A session of one chunk."""
    film = film or Film([chunk(0, last=True)])
    return await run_session(
        server, KEY, SessionOptions(), film, mapper=interpreter(), observer=tape or Tape(), dial=dial
    )


async def attempt_at(
    handler: Handler, url: str = "ws://127.0.0.1:{}/v2/stream/analyze", *, film: Film | None = None, **server: Any
) -> SessionEnd:
    """A session with what listens at a port of its own."""
    async with trio.open_nursery() as nursery:
        port = await listen(nursery, handler)
        result = await outcome.acapture(partial(attempt, film=film), Server(url.format(port), **server))
        nursery.cancel_scope.cancel()
    return result.unwrap()


def says(reply: bytes) -> Handler:
    """A server that answers any request with these bytes, and hangs up."""

    async def handler(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        if reply:
            await stream.send_all(reply)
        await stream.aclose()

    return handler


class Proxy:
    """A small HTTP CONNECT proxy, which answers with what it is told."""

    def __init__(self, answer: bytes = b"HTTP/1.1 200 Connection established\r\n\r\n") -> None:
        self.answer = answer
        self.requests: list[bytes] = []

    async def __call__(self, client: trio.SocketStream) -> None:
        async with client:
            request = await client.receive_some()
            self.requests.append(bytes(request))
            await client.send_all(self.answer)
            if b" 200 " in self.answer and request:
                host, _, port = request.split()[1].decode().rpartition(":")
                async with await trio.open_tcp_stream(host, int(port)) as cloud, trio.open_nursery() as nursery:
                    nursery.start_soon(copy, client, cloud)
                    await copy(cloud, client)
                    nursery.cancel_scope.cancel()


async def copy(source: trio.SocketStream, sink: trio.SocketStream) -> None:
    with suppress(trio.BrokenResourceError):
        async for piece in source:
            await sink.send_all(piece)


async def through(proxy: Handler, handler: Handler, url: str, form: str, **server: Any) -> SessionEnd:
    """A session through a proxy that listens at a port of its own."""
    async with trio.open_nursery() as nursery:
        port = await listen(nursery, proxy)
        target = await listen(nursery, handler)
        way = Server(url.format(target), proxy=form.format(port), **server)
        result = await outcome.acapture(attempt, way)
        nursery.cancel_scope.cancel()
    return result.unwrap()


def sentence_of(error: BaseException) -> str:
    """All that a logger could make of an error: text, causes, and the local values of our frames and all below."""
    whole = traceback.TracebackException.from_exception(error, capture_locals=True)
    parts: list[str] = []
    errors: list[traceback.TracebackException | None] = [whole]
    while errors:
        one = errors.pop()
        if one is None:
            continue
        frames = [frame for frame in one.stack if "/tests/" not in frame.filename]
        parts += [str(one), *(f"{frame.name}: {frame.locals}" for frame in frames)]
        errors += [one.__cause__, one.__context__, *(one.exceptions or ())]
    return "\n".join(parts)
