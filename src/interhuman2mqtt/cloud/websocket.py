"""One WebSocket connection to the cloud: TCP, perhaps a proxy, TLS, the upgrade; and its end.

Foreign errors stop here: what leaves this module is an `Outage`, or `ConnectionOver`.
"""

import errno
import os
import ssl
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any
from urllib.parse import SplitResult, urlsplit

import h11
import trio
from msgspec import Struct
from trio_websocket import ConnectionClosed, wrap_client_stream
from wsproto.utilities import ProtocolError as WebSocketProtocolError

from interhuman2mqtt.cloud import error_table
from interhuman2mqtt.cloud.http import (
    HostPort,
    UpgradeRequest,
    address_of,
    headers,
    host_header,
    open_tunnel,
    parse_proxy,
    resource,
    unreadable,
)
from interhuman2mqtt.cloud.streams import ForgivingStream, UpgradeStream
from interhuman2mqtt.errors import Outage, Reason, Refused, border
from interhuman2mqtt.events import utc_now

CONNECT_TIMEOUT = 20.0
"""Seconds for everything up to the upgrade."""
SEND_TIMEOUT = 30.0
"""Seconds without any progress after which a send has failed: a link that is merely slow is not dead ..."""
SEND_MAX = 120.0
"""... but one that needs so many seconds for one frame does not carry some seconds of media."""
CLOSE_TIMEOUT = 2.0
"""Seconds for the close handshake, whatever happened."""

ADVICE = "(is interhuman.url right, and does the network let us out?)"
MESSAGE_MAX = 256 << 10
"""Bytes of one message from the cloud, enforced as its frames come in; its events have some hundred. One of 16 MiB,
which was allowed once, costs 850 MB while it is decoded."""
TOO_LARGE = "Exceeded maximum message size"
"""How trio-websocket says that it was the one who closed (1009)."""
MESSAGES_MAX = 64
"""Messages that wait to be read. While they wait, no ping is answered: the reader must not be slow."""
READ_SIZE = 16 << 10

PROTOCOL_ERRORS = (WebSocketProtocolError, h11.ProtocolError)
"""What trio-websocket lets through when either side breaks a protocol, some of them at its own hands."""

_wrap: Any = wrap_client_stream  # its types ask for a real nursery and a socket, its code for less

Dial = Callable[[HostPort], Awaitable[trio.abc.Stream]]


class Server(Struct, frozen=True):
    """Where the cloud is, and how to get there."""

    url: str
    """ws:// or wss://, the endpoint's whole path included."""
    ca_file: str | None = None
    """PEM certificates that are trusted beside the system's."""
    proxy: str | None = None
    """http://user:password@host:port; None: straight."""

    def __repr__(self) -> str:
        return f"Server({self.url!r})"  # without the proxy's password


class ConnectionOver(Exception):  # noqa: N818 - it says what happened, and mostly that is no error
    """Nothing can be sent, or nothing more will be received; `code` is the WebSocket close code, 1006 for none."""

    def __init__(self, code: int, said: str) -> None:
        super().__init__(f"{code} {said}".strip())
        self.code = code
        self.said = said


async def dial(address: HostPort) -> trio.abc.Stream:
    """Connects by TCP; the parameter of `connect` lets tests take another way."""
    return await trio.open_tcp_stream(address.host, address.port)


class WebSocketConnection:
    """An open WebSocket. One task receives; any may send."""

    def __init__(self, websocket: Any, transport: ForgivingStream, reader: "_Reader") -> None:
        self._websocket = websocket
        self._transport = transport
        self._reader = reader

    @property
    def correlation_id(self) -> str | None:
        """The cloud's id of the session, as the upgrade's answer told it."""
        headers = dict(self._websocket.handshake_headers)
        value: bytes | None = headers.get(b"x-correlation-id")
        return None if value is None else value.decode("latin-1")

    async def receive(self) -> str | bytes:
        """The next message; raises ConnectionOver after the last one that arrived."""
        try:
            message: str | bytes = await self._websocket.get_message()
        except ConnectionClosed as closed:
            raise self._over(closed) from closed
        return message

    async def send(self, message: str | bytes) -> None:
        """Sends one message; raises ConnectionOver, and Outage when nothing moves any more, or far too slowly.

        A send that is cancelled ends the connection, since half a frame may be out.
        """
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
        """Sends a ping and waits for its pong, which shows that all messages before it have arrived.

        Raises ConnectionOver, but waits for ever where the connection ends meanwhile.
        """
        try:
            await self._websocket.ping(payload)
        except (ConnectionClosed, *PROTOCOL_ERRORS) as error:
            raise self._over(error) from error

    def abort(self) -> None:
        """Let `close` say no goodbye: nothing more leaves, not even what waits in the kernel to be sent."""
        self._transport.broken = True

    async def close(self) -> None:
        """Says goodbye where that is still possible, and closes the socket in any case; bounded by CLOSE_TIMEOUT.

        Where the goodbye was not answered, what has not left by then does not leave any more.
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
    nursery: trio.Nursery, server: Server, greeting: UpgradeRequest, dial: Dial = dial
) -> WebSocketConnection:
    """Opens the WebSocket, whose reader runs in the nursery; raises Outage, Overloaded or Refused.

    Who gets the connection must `close` it before the nursery can end.
    """
    url = urlsplit(server.url)
    with trio.move_on_after(CONNECT_TIMEOUT):
        transport = ForgivingStream(await _dialled(server, address_of(url), dial))
        try:
            stream = await _encrypted(transport, server, url) if url.scheme == "wss" else transport
            return await _upgraded(nursery, stream, transport, url, greeting)
        except BaseException:
            await trio.aclose_forcefully(transport)
            raise
    raise Outage(Reason.CLOUD_UNREACHABLE, f"{address_of(url)} did not answer within {CONNECT_TIMEOUT:g} s")


async def _dialled(server: Server, target: HostPort, dial: Dial) -> trio.abc.Stream:
    if not server.proxy:
        return await _reached(target, str(target), dial)
    proxy = parse_proxy(server.proxy)
    if proxy is None:
        raise Refused(Reason.PROXY_REFUSED, "the proxy is not of the form http://host:port, the only one known here")
    stream = await _reached(proxy.address, str(proxy), dial)
    try:
        await open_tunnel(stream, proxy, target)
    except BaseException:
        await trio.aclose_forcefully(stream)
        raise
    return stream


async def _reached(address: HostPort, name: str, dial: Dial) -> trio.abc.Stream:
    with border(Reason.CLOUD_UNREACHABLE, f"no connection to {name}"):  # such as a name that DNS cannot encode
        try:
            return await dial(address)
        except OSError as error:
            raise Outage(Reason.CLOUD_UNREACHABLE, f"no connection to {name}: {_innermost(error)} {ADVICE}") from error


def _innermost(error: BaseException) -> str:
    """What is behind trio's "all attempts to connect failed": its cause is one error, or a group of them."""
    cause = error.__cause__ or error
    if isinstance(cause, BaseExceptionGroup):
        cause = cause.exceptions[0]
    number = getattr(cause, "errno", None) or 0
    if number in errno.errorcode and not isinstance(cause, ssl.SSLError):
        return os.strerror(number)  # trio's own text repeats the address
    return str(cause)


async def _encrypted(transport: trio.abc.Stream, server: Server, url: SplitResult) -> trio.abc.Stream:
    host = url.hostname or ""
    stream = trio.SSLStream(transport, _trust(server.ca_file), server_hostname=host, https_compatible=True)
    try:
        await stream.do_handshake()
    except (trio.BrokenResourceError, ssl.CertificateError) as error:
        raise Outage(
            Reason.TLS_FAILED, f"no TLS with {address_of(url)}: {_innermost(error) or 'closed'} {ADVICE}"
        ) from error
    return stream


def _trust(ca_file: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca_file is not None:
        try:
            context.load_verify_locations(ca_file)
        except OSError as error:  # ssl.SSLError is one
            raise Refused(Reason.TLS_FAILED, f"ca_file {ca_file} cannot be used: {unreadable(error)}") from error
    return context


async def _upgraded(
    nursery: trio.Nursery,
    stream: trio.abc.Stream,
    transport: ForgivingStream,
    url: SplitResult,
    greeting: UpgradeRequest,
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
                resource=resource(url, greeting.model),
                extra_headers=headers(greeting),
                message_queue_size=MESSAGES_MAX,
                max_message_size=MESSAGE_MAX,
                receive_buffer_size=READ_SIZE,
            )
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
    said = "" if upgrade.failure is None else f": {unreadable(upgrade.failure)}"
    return Outage(Reason.CONNECTION_LOST, f"{address_of(url)} ended the connection instead of answering{said}")
