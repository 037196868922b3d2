"""The little HTTP server behind `metrics.listen`, and who comes to it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio
from trio.testing import MockClock

from interhuman2mqtt.metrics.server import CONNECTIONS_MAX, REQUEST_MAX, TIMEOUT_S, HttpAnswer, serve
from support.processes import in_background


def answer(path: str, accept: str) -> HttpAnswer:
    """Says what it was asked."""
    return HttpAnswer(200 if path == "/metrics" else 404, "text/plain", f"{path} for {accept}\n".encode())


@asynccontextmanager
async def serving() -> AsyncIterator[int]:
    """A server on a port of this machine."""
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with in_background(partial(serve, listeners, answer)):
        yield listeners[0].socket.getsockname()[1]


async def exchange(port: int, request: bytes) -> bytes:
    """Send this, and read until the other side closes."""
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(request)
        read = b""
        try:
            async for data in stream:
                read += data
        except trio.BrokenResourceError:
            pass  # it was cut off while we had more to say
        return read


@pytest.mark.parametrize(
    ("request_", "status", "body"),
    [
        (b"GET /metrics HTTP/1.1\r\nHost: a\r\nAccept: x/y\r\n\r\n", b"200 OK", b"/metrics for x/y\n"),
        (b"GET /metrics?a=b HTTP/1.0\r\n\r\n", b"200 OK", b"/metrics for \n"),
        (b"HEAD /metrics HTTP/1.1\r\nHost: a\r\n\r\n", b"200 OK", b""),
        (b"GET /../etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n", b"404 Not Found", b"/../etc/passwd for \n"),
        (b"POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi", b"405 Method", b"only GET is answered\n"),
    ],
)
async def test_requests(request_: bytes, status: bytes, body: bytes) -> None:
    """A GET is answered by its path and closed; HEAD without the body; anything else is refused."""
    async with serving() as port:
        read = await exchange(port, request_)
    head, _, content = read.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 " + status)
    assert content == body
    assert b"connection: close" in head.lower()


@pytest.mark.parametrize(
    "garbage",
    [b"\x16\x03\x01\x02\x00\x01\n\n", b"GET\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"x" * (REQUEST_MAX * 4), b""],
    ids=["tls", "no path", "no host", "endless", "nothing"],
)
async def test_garbage_ends_the_connection_alone(garbage: bytes) -> None:
    """What is no request, or a too long one, is closed without an answer, and the next one is answered."""
    async with serving() as port:
        if garbage:
            assert await exchange(port, garbage) == b""
        else:
            await (await trio.open_tcp_stream("127.0.0.1", port)).aclose()
        assert b"200 OK" in await exchange(port, b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")


async def test_slow_clients_are_cut_off(autojump_clock: MockClock) -> None:
    """Who sends nothing, or reads nothing, holds a connection no longer than `TIMEOUT_S`; of them there are few."""
    autojump_clock.autojump_threshold = 0.2  # the kernel's part of loopback takes real time
    async with serving() as port:
        slow = [await trio.open_tcp_stream("127.0.0.1", port) for _ in range(CONNECTIONS_MAX)]
        await trio.testing.wait_all_tasks_blocked(0.1)
        with trio.fail_after(TIMEOUT_S / 2):
            assert await exchange(port, b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n") == b""
        began = trio.current_time()
        for stream in slow:
            assert await stream.receive_some(1) == b""
            await stream.aclose()
        assert trio.current_time() - began <= TIMEOUT_S + 1
        assert b"200 OK" in await exchange(port, b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
