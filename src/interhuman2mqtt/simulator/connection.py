"""One client's connection: messages out, the several ways to hang up, and both on record."""

import socket
import struct
from contextlib import ExitStack

import trio
from trio_websocket import ConnectionClosed, WebSocketConnection

from interhuman2mqtt.simulator import messages
from interhuman2mqtt.simulator.archive import SessionRecord
from interhuman2mqtt.simulator.errors import ApiError
from interhuman2mqtt.simulator.messages import Message

HANG_UP = 5.0
"""Seconds that a client has to answer a close frame."""
ABNORMAL = 1006
"""Stands for a connection that ended without a close frame. (RFC 6455, 7.4.1)"""


class Line:
    """The server's side of one open WebSocket."""

    def __init__(
        self, connection: WebSocketConnection, stream: trio.abc.Stream, correlation_id: str, record: SessionRecord
    ) -> None:
        self.place = ExitStack()
        """Closed as soon as either side hangs up: what the client held, it may have again at once."""
        self.credential = ""
        """What the client came with."""
        self._connection = connection
        self._stream = stream
        self._correlation_id = correlation_id
        self._record = record
        self._hung_up: int | None = None

    async def receive(self) -> str | bytes | None:
        """Return the next frame; None once the connection is closed, by whomever."""
        try:
            frame: str | bytes = await self._connection.get_message()
        except ConnectionClosed:
            self.place.close()
            return None
        return frame

    async def send(self, message: Message) -> None:
        """Send one message; on record it is `unsent` where nobody is there any more."""
        sent = await self.send_raw(messages.envelope(message, self._correlation_id))
        self._record.write("event" if sent else "unsent", type=message.type, data=message.data)

    async def send_error(self, error: ApiError, text: str | None = None, segment: int | None = None) -> None:
        """Send an `error` envelope; `segment` is the number of the binary frame, from 1."""
        await self.send(messages.error(error, text, segment))

    async def send_raw(self, frame: str | bytes) -> bool:
        """Send a frame as it is; says whether there was somebody to send it to."""
        try:
            await self._connection.send_message(frame)
        except ConnectionClosed:
            return False
        return True

    async def close(self, code: int, reason: str = "") -> None:
        """Close by the handshake, ended by force where the client does not take part."""
        if self._hung_up is None and self._connection.closed is None:
            self._hung_up = code
        self.place.close()
        with trio.move_on_after(HANG_UP):
            await self._connection.aclose(code, reason)

    async def reset(self) -> None:
        """Cut the TCP connection: the client sees a reset, and no close frame."""
        self._hung_up = ABNORMAL
        self.place.close()
        transport = self._stream.transport_stream if isinstance(self._stream, trio.SSLStream) else self._stream
        if isinstance(transport, trio.SocketStream):
            transport.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await trio.aclose_forcefully(self._stream)

    def ended(self) -> tuple[int, str]:
        """Return the close code, and who closed, client or server; the server too where it is being stopped."""
        if self._hung_up is not None:
            return self._hung_up, "server"
        reason = self._connection.closed
        return (ABNORMAL, "server") if reason is None else (int(reason.code), "client")
