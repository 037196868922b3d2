"""Two streams of our own below trio-websocket, which make up for what it does when things go wrong."""

import math
import socket
import struct
from collections.abc import Callable

import trio

from interhuman2mqtt.cloud.http import HttpResponse, NotHttpError, read_answer

PIECE = 64 << 10
"""Bytes that are sent at a time, so that it can be seen whether a slow link still moves ..."""
PIECE_MAX = 256 << 10
"""... and, twice as many after each piece, on one that is quick: each is a turn of the event loop, of which a chunk of
3 Mbit/s took twelve."""
QUICK_S = 1.0
"""The time within which the link takes a piece, if it is quick."""
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER with a time of zero: closing sends RST, and discards what the other side has not acknowledged."""


class _Around(trio.abc.Stream):
    """A stream that passes everything on to another."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """See trio."""
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        """See trio."""
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """See trio."""
        return await self._stream.receive_some(max_bytes)

    async def aclose(self) -> None:
        """See trio."""
        await self._stream.aclose()


class ForgivingStream(_Around):
    """A stream whose failed send is noted, not raised: what the other side had sent before is still to be read.

    A server that refuses sends its reason and closes; we may be sending at that moment. Both TLS and trio-websocket
    stop reading after a failed send, and would lose the reason and the events before it. So this one lies below TLS.

    What could not be sent must not leave the box later, when nobody expects it any more: so a close that is forced,
    trio's word for one that is cancelled, discards what waits in the kernel.
    """

    # To catch the error around trio-websocket's send is too late: TLS and trio-websocket both take a failed send for
    # the end of the connection and stop reading. In three of three attempts the events and the reason that had already
    # arrived were lost.

    broken = False
    """Nothing that is sent from now on arrives: a send failed, or was cancelled in the middle."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        super().__init__(stream)
        self._size = PIECE
        self.on_progress: Callable[[], object] = lambda: None
        """Called whenever the kernel took a piece of what is being sent."""

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send, or note that this cannot be done any more."""
        if self.broken:
            await trio.lowlevel.checkpoint()
            return
        try:
            await self._send_pieces(memoryview(data))
        except trio.BrokenResourceError:
            self.broken = True
        except trio.Cancelled:
            self.broken = True
            raise

    async def _send_pieces(self, data: memoryview) -> None:
        rest = data
        while True:
            began, piece = trio.current_time(), rest[: self._size]
            await self._stream.send_all(piece)
            self.on_progress()
            is_quick = trio.current_time() - began < QUICK_S
            self._size = min(2 * self._size, PIECE_MAX) if is_quick else PIECE
            rest = rest[len(piece) :]
            if not rest:
                return

    async def aclose(self) -> None:
        """Close; where that is forced, with a reset."""
        if trio.current_effective_deadline() == -math.inf:
            self._discard()
        await self._stream.aclose()

    def _discard(self) -> None:
        if isinstance(self._stream, trio.SocketStream) and self._stream.socket.fileno() != -1:
            self._stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)


class UpgradeStream(_Around):
    """A stream whose first answer is read as HTTP: only one that upgrades (101) is passed on to trio-websocket.

    Anything else is kept in `answer` or `failure`, looks like the end of the stream, and `on_refusal` is called.
    """

    def __init__(self, stream: trio.abc.Stream, on_refusal: Callable[[], object]) -> None:
        super().__init__(stream)
        self.answer: HttpResponse | None = None
        self.failure: NotHttpError | None = None
        self._on_refusal = on_refusal

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send in pieces: TLS keeps the room for as much as it has ever encrypted at once, for each camera a chunk."""
        rest = memoryview(data)
        while rest:
            await self._stream.send_all(rest[:PIECE_MAX])
            rest = rest[PIECE_MAX:]

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """Receive; at first the whole answer to the upgrade."""
        if self.answer is not None:
            return await self._stream.receive_some(max_bytes)
        try:
            self.answer = await read_answer(self._stream, method="GET")
        except NotHttpError as error:
            self.failure = error
        if self.answer is not None and self.answer.status == 101:
            return self.answer.received
        self._on_refusal()
        return b""
