"""One WebSocket connection to the cloud: the upgrade, messages and pings, and its end.

Foreign errors stop here: what leaves this module is an `Outage`, or `ConnectionOver`.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any
from urllib.parse import SplitResult, urlsplit

import h11
import trio
from trio_websocket import ConnectionClosed, wrap_client_stream
from wsproto.utilities import ProtocolError as WebSocketProtocolError

from interhuman2mqtt.cloud import error_table
from interhuman2mqtt.cloud.http import (
    UpgradeRequest,
    address_of,
    headers,
    host_header,
    resource,
    unreadable,
)
from interhuman2mqtt.cloud.masking import mask_in_c
from interhuman2mqtt.cloud.streams import ForgivingStream, UpgradeStream
from interhuman2mqtt.cloud.transport import Dial, Server, dial, open_transport, start_tls
from interhuman2mqtt.errors import Outage, Reason, border
from interhuman2mqtt.events import utc_now

CONNECT_TIMEOUT = 20.0
"""Seconds for everything up to the upgrade."""
SEND_TIMEOUT = 30.0
"""Seconds without any progress after which a send has failed: a link that is merely slow is not dead ..."""
SEND_MAX = 120.0
"""... but one that needs so many seconds for one frame does not carry some seconds of media."""
CLOSE_TIMEOUT = 2.0
"""Seconds for the close handshake, whatever happened."""

MESSAGE_MAX = 256 << 10
"""Bytes of one message from the cloud, enforced as its frames come in; its events have some hundred. One of 16 MiB,
which was allowed once, costs 850 MB while it is decoded."""
TOO_LARGE = "Exceeded maximum message size"
"""How trio-websocket says that it was the one who closed (1009)."""
MESSAGES_MAX = 64
"""Messages that wait to be read. While they wait, no ping is answered: the reader must not be slow."""
BURST_MAX = 16
"""Messages that are received at once: of more, those that follow would be handled long before the first is sent."""
READ_SIZE = 16 << 10

PROTOCOL_ERRORS = (WebSocketProtocolError, h11.ProtocolError)
"""What trio-websocket lets through when either side breaks a protocol, some of them at its own hands."""

mask_in_c()
_wrap: Any = wrap_client_stream  # its types ask for a real nursery and a socket, its code for less


class ConnectionOver(Exception):  # noqa: N818 - it says what happened, and mostly that is no error
    """Nothing can be sent, or nothing more will be received; `code` is the WebSocket close code, 1006 for none."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code} {text}".strip())
        self.code = code
        self.text = text


class WebSocketConnection:
    """An open WebSocket. One task receives; any may send."""

    def __init__(self, websocket: Any, transport: ForgivingStream, reader: "_Reader") -> None:
        self._websocket = websocket
        self._transport = transport
        self._reader = reader

    @property
    def correlation_id(self) -> str | None:
        """The cloud's id of the session, as the upgrade's answer has it."""
        headers = dict(self._websocket.handshake_headers)
        value: bytes | None = headers.get(b"x-correlation-id")
        return None if value is None else value.decode("latin-1")

    async def receive(self) -> list[str | bytes]:
        """Return the messages that have arrived, at least one; raise ConnectionOver after the last one."""
        try:
            messages = [await self._websocket.get_message()]
        except ConnectionClosed as closed:
            raise self._over(closed) from closed
        with suppress(trio.WouldBlock, trio.EndOfChannel, trio.ClosedResourceError):
            while len(messages) < BURST_MAX:
                messages.append(self._websocket._recv_channel.receive_nowait())  # noqa: SLF001
        return messages

    async def send(self, message: str | bytes) -> None:
        """Send one message; raise ConnectionOver, and Outage when nothing moves any more, or far too slowly."""
        # One time limit for the whole send was refused: a link that is merely slow would be called dead. So there are
        # two, one for a piece (`streams.PIECE`) to move, one for all. A send that is cancelled ends the connection,
        # since half a frame may be out.
        waiting = trio.CancelScope(deadline=trio.current_time() + SEND_TIMEOUT)
        whole = trio.CancelScope(deadline=trio.current_time() + SEND_MAX)
        self._transport.on_progress = partial(_extend, waiting)
        try:
            with whole, waiting:
                await self._websocket.send_message(message)
        except (ConnectionClosed, *PROTOCOL_ERRORS) as error:
            raise self._over(error) from error
        if waiting.cancelled_caught or whole.cancelled_caught:
            how = f"did not move for {SEND_TIMEOUT:g}" if waiting.cancelled_caught else f"took more than {SEND_MAX:g}"
            sentence = f"sending {len(message)} bytes {how} s: the uplink is dead, or too slow for this camera"
            raise Outage(Reason.CONNECTION_LOST, sentence)
        if self._transport.broken:
            raise ConnectionOver(1006, "a send failed")

    async def ping(self, payload: bytes) -> None:
        """Send a ping and wait for its pong, which shows that all messages before it have arrived.

        The API acknowledges nothing, but frames are ordered (RFC 6455, 5.5.2), so this is all the proof that there is.
        Raise ConnectionOver, but waits for ever where the connection ends meanwhile.
        """
        try:
            await self._websocket.ping(payload)
        except (ConnectionClosed, *PROTOCOL_ERRORS) as error:
            raise self._over(error) from error

    def abort(self) -> None:
        """Let `close` send no close frame: nothing more leaves, not even what waits in the kernel to be sent."""
        self._transport.broken = True

    async def close(self) -> None:
        """Close in good order where that is still possible, and the socket in any case, within CLOSE_TIMEOUT.

        Where the close frame was not answered, what has not left by then does not leave any more.
        """
        with trio.move_on_after(CLOSE_TIMEOUT, shield=True):
            if not self._transport.broken:
                await self._websocket.aclose()
                if self._websocket.closed is not None and self._websocket.closed.code != 1006:
                    await self._transport.aclose()  # which trio-websocket leaves open where the cloud closed first
        self._reader.scope.cancel()
        await trio.aclose_forcefully(self._transport)

    def _over(self, error: Exception) -> ConnectionOver:
        reason = getattr(error, "reason", None)
        if reason is None:  # trio-websocket gives none where the other side broke the WebSocket protocol
            return ConnectionOver(1002, unreadable(self._reader.error or error))
        if reason.code == 1009 and str(reason.reason).startswith(TOO_LARGE):
            return ConnectionOver(1002, f"the cloud sent a message of more than {MESSAGE_MAX >> 10} KiB")
        return ConnectionOver(reason.code, error_table.phrase(reason.reason))


def _extend(scope: trio.CancelScope) -> None:
    scope.deadline = trio.current_time() + SEND_TIMEOUT


class _SendChannel:
    """Stands in for the channel by which trio-websocket's reader hands over messages: without a turn for each."""

    # The reader lets the event loop turn once for each message, whoever receives them does so once more, and all that
    # follows goes in step: of a burst each event became a turn, a segment and an answer of its own. Without these turns
    # an event of a burst takes 0.6 of the CPU.

    def __init__(self, channel: Any) -> None:
        self._channel = channel
        self.aclose = channel.aclose

    async def send(self, message: str | bytes) -> None:
        """Hand over a message; wait only where too many wait."""
        try:
            self._channel.send_nowait(message)
        except trio.WouldBlock:
            await self._channel.send(message)


class _Reader:
    """Stands in for the nursery in which trio-websocket starts its reader.

    It keeps the errors over what the cloud sent, which would otherwise cancel the whole session at any moment, and lets
    the reader live through a cancellation, so that the close handshake can still be read. `WebSocketConnection.close`
    ends it.
    """

    def __init__(self, nursery: trio.Nursery, on_error: Callable[[], object]) -> None:
        self.scope = trio.CancelScope(shield=True)
        self.error: Outage | None = None
        self._nursery = nursery
        self._on_error = on_error

    def start_soon(self, reader: Callable[[], Awaitable[None]]) -> None:
        self._nursery.start_soon(self._run, reader)

    async def _run(self, reader: Callable[[], Awaitable[None]]) -> None:
        with self.scope:
            try:
                with border(Reason.PROTOCOL, "what the cloud sent cannot be read"):
                    await reader()
            except Outage as outage:
                self.error = outage
                self._on_error()


async def connect(
    nursery: trio.Nursery, server: Server, request: UpgradeRequest, dial: Dial = dial
) -> WebSocketConnection:
    """Open the WebSocket, whose reader runs in the nursery; raise Outage, Overloaded or Refused.

    Who gets the connection must `close` it before the nursery can end.
    """
    # trio-websocket's own `connect_websocket_url` was refused. It knows no proxy, its reader cancels the whole nursery
    # over what the cloud sends, a send that fails costs the reason that the cloud gave before it, and the body of an
    # answer that refuses the upgrade is not to be had. So the streams below are ours (`streams`), and the upgrade's
    # answer is read by h11 (`http`).
    url = urlsplit(server.url)
    with trio.move_on_after(CONNECT_TIMEOUT):
        transport = ForgivingStream(await open_transport(server, address_of(url), dial))
        try:
            stream = await start_tls(transport, server, url) if url.scheme == "wss" else transport
            return await _upgraded(nursery, stream, transport, url, request)
        except BaseException:
            await trio.aclose_forcefully(transport)
            raise
    raise Outage(Reason.CLOUD_UNREACHABLE, f"{address_of(url)} did not answer within {CONNECT_TIMEOUT:g} s")


async def _upgraded(
    nursery: trio.Nursery,
    stream: trio.abc.Stream,
    transport: ForgivingStream,
    url: SplitResult,
    request: UpgradeRequest,
) -> WebSocketConnection:
    waiting = trio.CancelScope()
    upgrade = UpgradeStream(stream, waiting.cancel)
    reader = _Reader(nursery, waiting.cancel)
    try:
        with waiting:
            websocket = await _wrap(
                reader,
                upgrade,
                host=host_header(url),
                resource=resource(url, request.model),
                extra_headers=headers(request),
                message_queue_size=MESSAGES_MAX,
                max_message_size=MESSAGE_MAX,
                receive_buffer_size=READ_SIZE,
            )
            websocket._send_channel = _SendChannel(websocket._send_channel)  # noqa: SLF001
            return WebSocketConnection(websocket, transport, reader)
    except BaseException:
        reader.scope.cancel()
        raise
    reader.scope.cancel()
    raise _refusal(upgrade, reader, url)


def _refusal(upgrade: UpgradeStream, reader: _Reader, url: SplitResult) -> Outage:
    if upgrade.answer is not None and upgrade.answer.status != 101:
        answer = upgrade.answer
        return error_table.refusal(answer.status, answer.headers, answer.body, utc_now())
    if reader.error is not None:
        return Outage(Reason.PROTOCOL, f"{address_of(url)} did not answer as a WebSocket: {reader.error}")
    text = "" if upgrade.failure is None else f": {unreadable(upgrade.failure)}"
    return Outage(Reason.CONNECTION_LOST, f"{address_of(url)} ended the connection instead of answering{text}")
