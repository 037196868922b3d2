"""A network that misbehaves: a TCP proxy on loopback between a client and RTSP, WebSocket, MQTT or anything else.

async with network(to=server.port) as net:
    ... connect to 127.0.0.1:net.port ...
    net.delay = 0.2          # seconds, each way
    net.rate = 50_000        # bytes a second, each way; None: no limit
    net.cut()                # the cable is pulled: nothing moves, nobody is told
    net.mend()
    net.reset()              # all connections end with RST
    await net.refuse()       # nothing listens any more
    await net.accept()       # on the same port again
"""

import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import trio

from support.processes import in_background

PIECE = 4096
"""Bytes moved at a time: small, so that a rate is even."""
IN_FLIGHT = 64
"""Pieces that may be on their way at a time; beyond them the sender waits."""
KERNEL_BUFFER = 64 << 10
"""Bytes: without a limit the kernel would hide megabytes of a slow network."""
ABORT = struct.pack("ii", 1, 0)
"""SO_LINGER: close with RST."""
BROKEN = (trio.BrokenResourceError, trio.ClosedResourceError)
Tap = Callable[[int, str, bytes], None]
"""Receives what a connection (its number, from 1) sends `up` or `down`, as it is read from the sender; b"": its end."""


def no_tap(_connection: int, _direction: str, _data: bytes) -> None:
    """Ignore it: the tap of a connection that nobody reads."""


class Network:
    """The way from one port of ours to another. Assign `delay` and `rate` at any time."""

    def __init__(self, to: int, tap: Tap = no_tap) -> None:
        self.to = to
        self._tap = tap
        self.port = 0
        self.delay = 0.0
        self.rate: float | None = None
        self.connects = 0
        """How many connections came so far."""
        self.up = 0
        """Bytes from clients to the server so far."""
        self.down = 0
        """Bytes from the server to clients so far."""
        self.alter: Callable[[], Callable[[bytes], bytes]] | None = None
        """Makes for each connection to come what changes the bytes on their way down."""
        self._mended = trio.Event()
        self._mended.set()
        self._listener: trio.SocketListener | None = None
        self._changed = trio.Event()
        self._open: set[tuple[trio.SocketStream, trio.SocketStream]] = set()

    def cut(self) -> None:
        """From now on every byte stays where it is, and nobody is told."""
        self._mended = trio.Event()

    def mend(self) -> None:
        """What was held back moves on."""
        self._mended.set()

    def reset(self) -> None:
        """End all connections with RST, on both sides."""
        for pair in self._open:
            for stream in pair:
                if stream.socket.fileno() < 0:
                    continue  # it was closed already, and its other side has not ended yet
                stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
                stream.socket.close()

    async def refuse(self) -> None:
        """Listen no more; connections that exist live on."""
        if self._listener:
            await self._listener.aclose()
            self._listener = None

    async def accept(self) -> None:
        """Listen again, on the port of the first time."""
        if self._listener is None:
            self._listener = await listen(self.port)
            self.port = self._listener.socket.getsockname()[1]
            self._changed.set()
            self._changed = trio.Event()

    async def serve(self) -> None:
        """Accept and forward, until cancelled."""
        try:
            async with trio.open_nursery() as nursery:
                while True:
                    await self._accept_into(nursery)
        finally:
            with trio.CancelScope(shield=True):
                await self.refuse()

    async def _accept_into(self, nursery: trio.Nursery) -> None:
        if not self._listener:
            await self._changed.wait()
            return
        try:
            client = await self._listener.accept()
        except trio.ClosedResourceError:
            return
        self.connects += 1
        nursery.start_soon(self._serve_one, client, self.connects)

    async def _serve_one(self, client: trio.SocketStream, number: int) -> None:
        async with client:
            try:
                server = await connect(self.to)
            except OSError:
                return
            pair = client, server
            self._open.add(pair)
            try:
                async with server, trio.open_nursery() as nursery:
                    nursery.start_soon(self._forward, client, server, "up", self._passing(number, "up"))
                    alter = self.alter() if self.alter else bytes
                    nursery.start_soon(self._forward, server, client, "down", self._passing(number, "down", alter))
            finally:
                self._open.discard(pair)

    def _passing(
        self, number: int, direction: str, alter: Callable[[bytes], bytes] = bytes
    ) -> Callable[[bytes], bytes]:
        """What becomes of each piece, after the tap has received it."""

        def passing(data: bytes) -> bytes:
            self._tap(number, direction, data)
            return alter(data)

        return passing

    async def _forward(
        self, source: trio.SocketStream, target: trio.SocketStream, direction: str, passing: Callable[[bytes], bytes]
    ) -> None:
        """Carry one direction to its end, then pass the end on."""
        sender, receiver = trio.open_memory_channel[tuple[float, bytes]](IN_FLIGHT)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._take, source, sender, passing)
            nursery.start_soon(self._give, target, receiver, direction)

    async def _take(
        self,
        source: trio.SocketStream,
        sender: trio.MemorySendChannel[tuple[float, bytes]],
        passing: Callable[[bytes], bytes],
    ) -> None:
        with sender, suppress(trio.BrokenResourceError):
            while data := await receive(source):
                await sender.send((trio.current_time() + self.delay, passing(data)))
        passing(b"")

    async def _give(
        self, target: trio.SocketStream, receiver: trio.MemoryReceiveChannel[tuple[float, bytes]], direction: str
    ) -> None:
        with receiver:
            free_at = trio.current_time()
            async for due, data in receiver:
                await trio.sleep_until(max(due, free_at))
                await self._mended.wait()
                try:
                    await target.send_all(data)
                except BROKEN:
                    return
                setattr(self, direction, getattr(self, direction) + len(data))
                free_at = trio.current_time() + (len(data) / self.rate if self.rate else 0.0)
        try:
            await target.send_eof()
        except BROKEN:
            return


async def receive(source: trio.SocketStream) -> bytes:
    """Some bytes, or none where the stream ended in whatever way."""
    try:
        return bytes(await source.receive_some(PIECE))
    except BROKEN:
        return b""


async def listen(port: int) -> trio.SocketListener:
    """A listener on loopback whose connections buffer little."""
    listening = trio.socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, KERNEL_BUFFER)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BUFFER)
    await listening.bind(("127.0.0.1", port))
    listening.listen(64)
    return trio.SocketListener(listening)


async def connect(port: int) -> trio.SocketStream:
    """A connection to loopback that buffers little."""
    client = trio.socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, KERNEL_BUFFER)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BUFFER)
    try:
        await client.connect(("127.0.0.1", port))
    except OSError:
        client.close()
        raise
    return trio.SocketStream(client)


@asynccontextmanager
async def network(to: int, tap: Tap = no_tap) -> AsyncIterator[Network]:
    """A way to port `to` that is open from the start, and gone when the block ends."""
    net = Network(to, tap)
    await net.accept()
    async with in_background(net.serve):
        yield net
