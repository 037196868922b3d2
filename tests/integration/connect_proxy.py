"""An HTTP proxy that opens tunnels by CONNECT, on loopback."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import trio

from support.processes import in_background

HEAD_END = b"\r\n\r\n"


class ConnectProxy:
    """Remembers where it was asked to connect to."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[str] = []

    async def serve_one(self, client: trio.SocketStream) -> None:
        """One client: its request, then whatever it says to whom it asked for."""
        head = b""
        while HEAD_END not in head:
            head += await client.receive_some()
        method, target, _ = head.split(b" ", 2)
        assert method == b"CONNECT"
        self.asked.append(target.decode())
        host, _, port = target.decode().rpartition(":")
        async with client, await trio.open_tcp_stream(host, int(port)) as server:
            await client.send_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_carry, client, server)
                nursery.start_soon(_carry, server, client)


async def _carry(source: trio.SocketStream, target: trio.SocketStream) -> None:
    try:
        while data := await source.receive_some():
            await target.send_all(data)
        await target.send_eof()
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        return


@asynccontextmanager
async def connect_proxy() -> AsyncIterator[ConnectProxy]:
    """A proxy that listens until the block ends."""
    proxy = ConnectProxy()
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    proxy.url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
    async with in_background(partial(trio.serve_listeners, proxy.serve_one, listeners)):
        yield proxy
