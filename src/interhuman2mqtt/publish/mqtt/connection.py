"""One connection to the broker: paho's client, driven by trio. No thread does I/O; only connecting needs one.

What paho leaves to its user, and is done here:

- `connect` blocks for DNS, TCP and TLS, so it runs in a thread (`dial.py`).
- A lost connection shows in a return code, or in a socket that is gone, never in an exception: `_check` looks at both.
- It knows the broker's receive maximum and largest packet, and enforces neither; nor how much we take (`client.py`).
- A client that connects again repeats what it had sent. Ours lives for one connection; repeating is the outbox's work.
"""

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import paho.mqtt.client as paho
import trio
from paho.mqtt.enums import MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.exception import MQTTException
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from interhuman2mqtt.errors import Outage, Reason
from interhuman2mqtt.publish.message import Message
from interhuman2mqtt.publish.mqtt import reason_codes
from interhuman2mqtt.publish.mqtt.connect import ConnectSettings, LastError, dial
from interhuman2mqtt.publish.mqtt.paho_client import TAKEN, Packed, PahoClient, corked
from interhuman2mqtt.publish.mqtt.subscriber import Subscriptions, reason_string
from interhuman2mqtt.publish.mqtt.types import Ack, BrokerLimits, Offer

WINDOW = 256
"""Messages on their way at most, also where the broker would take more at once."""

ACK_PATIENCE = 60.0
"""Seconds without any PUBACK, while messages wait for theirs, after which the connection is given up."""

TICK = 1.0
"""Seconds between two looks at the keepalive."""

GOODBYE = 2.0
"""Seconds in which DISCONNECT must be gone, lest the broker publishes the will."""

ACCEPTED = Ack(TAKEN.value, str(TAKEN))
"""The answer to almost every message."""


class TooLarge(Exception):  # noqa: N818 - it names what happened
    """The broker takes no packet of this size; nothing was sent."""


class _Rejected(Exception):  # noqa: N818 - it names what happened
    """CONNECT was answered by a code of failure, or by closing (None); `outage` is what that means to others."""

    def __init__(self, code: int | None, outage: Outage) -> None:
        super().__init__(outage.detail)
        self.code = code
        self.outage = outage


@asynccontextmanager
async def connected(settings: ConnectSettings) -> AsyncIterator["BrokerConnection"]:
    """A connection that stands, from CONNACK to its end.

    Leaving the block in the normal way sends DISCONNECT, so that there is no will; leaving it in any other way
    closes the socket, so that there is. When the connection is lost the block is cancelled.

    Raises:
        Outage: It did not come about, or was lost; the kind and the reason say why.
    """
    connection = await _connect(settings)
    try:
        async with trio.open_nursery() as nursery:
            connection.drive(nursery)
            yield connection
            nursery.cancel_scope.cancel()
        if connection.lost is not None:
            raise connection.lost
        await connection.say_goodbye()
    finally:
        connection.close()


async def _connect(settings: ConnectSettings) -> "BrokerConnection":
    offer = Offer.of(settings.mqtt.protocol)
    while True:
        # brokers are known that do not even answer a version that they do not speak
        answer = _Rejected(None, reason_codes.silent(str(settings.endpoint), settings.timeout))
        with trio.move_on_after(settings.timeout):
            try:
                return await _attempt(settings, offer)
            except _Rejected as rejected:
                answer = rejected
        easier = offer.after(answer.code)
        if easier is None:
            raise answer.outage from answer
        offer = easier


async def _attempt(settings: ConnectSettings, offer: Offer) -> "BrokerConnection":
    try:
        client = await trio.to_thread.run_sync(dial, settings, offer, abandon_on_cancel=True)
    except OSError as error:
        raise reason_codes.unreachable(error, str(settings.endpoint), settings.timeout) from error
    except UnicodeError as error:  # a name that DNS cannot encode
        raise Outage(Reason.BROKER_UNREACHABLE, f"no connection to {settings.endpoint}: {error}") from error
    connection = BrokerConnection(client, settings)
    try:
        await connection.greet()
    except BaseException:
        connection.close()
        raise
    return connection


class BrokerConnection:
    """A connection to the broker; made by `connected`, which also ends it."""

    def __init__(self, client: PahoClient, settings: ConnectSettings) -> None:
        self.limits = BrokerLimits()
        self._remaining_max = self.limits.remaining_max
        self.lost: Outage | None = None
        self.hearing = Subscriptions(client)
        self._client = client
        self._at = str(settings.endpoint)
        self._keepalive = settings.keepalive
        self._promise = settings.promise
        self._connack: tuple[int, str] | None = None
        self._disconnect: tuple[bool, int, str] | None = None
        self._acks: dict[int, Callable[[Ack], None]] = {}
        self._progress_at = 0.0
        self._window = trio.Semaphore(WINDOW)
        self._unwritten = 0
        self._all_acked = trio.Event()
        self._to_write = trio.Event()
        self._scope = trio.CancelScope()
        self._errors = LastError()
        self._listen()

    @property
    def version(self) -> str:
        """The version of MQTT that is spoken: 5 or 3.1.1."""
        return "5" if self._client.protocol == MQTTProtocolVersion.MQTTv5 else "3.1.1"

    async def publish(self, message: Message, on_ack: Callable[[Ack], None]) -> None:
        """Take a message as soon as fewer are on their way than the broker allows; `on_ack` is told its answer.

        It is written by `flush`, or else with the next turn of the loop.

        Raises:
            TooLarge: The broker takes no packet of this size; nothing was sent.
        """
        properties = Packed(message) if self.version == "5" else None
        packed = 0 if properties is None else len(properties)
        # Two bytes each for the topic's length and the packet identifier.
        size = 2 + len(message.topic.encode()) + 2 + packed + len(message.payload)
        if size > self._remaining_max:
            raise TooLarge(f"the broker at {self._at} takes packets of {self.limits.packet_size} bytes, not {size}")
        if self.lost is None and self._window.value > 0:
            self._window.acquire_nowait()  # without a turn of the loop for each message
        else:
            self.flush()
            await self._window.acquire()
        retain = message.retain and self.limits.retain
        info = self._client.publish(message.topic, message.payload, self.limits.qos, retain, properties)
        if not self._acks:
            self._progress_at = trio.current_time()
        self._acks[info.mid] = on_ack
        self._unwritten += 1

    def flush(self) -> None:
        """Write what was taken, as far as the socket takes it at once; the rest is written when it does."""
        several, self._unwritten = self._unwritten > 1, 0
        with corked(self._client.socket(), several=several):
            self._check(self._client.loop_write())

    async def wait_acked(self) -> None:
        """Wait until nothing is on its way any more."""
        while self._acks:
            self._all_acked = trio.Event()
            await self._all_acked.wait()

    async def greet(self) -> None:
        """Send CONNECT and wait for CONNACK; raises _Rejected, Outage."""
        rc = MQTTErrorCode.MQTT_ERR_SUCCESS
        while self._connack is None and rc == MQTTErrorCode.MQTT_ERR_SUCCESS:
            rc = await self._write_some() if self._client.want_write() else await self._read_some()
        if self._connack is None:
            raise self._no_connack(rc)
        code, text = self._connack
        if code != 0:
            raise _Rejected(code, reason_codes.connack(code, text, self._at))

    def drive(self, nursery: trio.Nursery) -> None:
        """Keep the connection going in `nursery`, which is cancelled when it is lost."""
        self._scope = nursery.cancel_scope
        nursery.start_soon(self._read)
        nursery.start_soon(self._write)
        nursery.start_soon(self._tick)

    async def say_goodbye(self) -> None:
        """Send DISCONNECT, so that the broker keeps the will to itself."""
        with trio.move_on_after(GOODBYE, shield=True):
            rc = self._client.disconnect()
            while rc == MQTTErrorCode.MQTT_ERR_SUCCESS and self._client.want_write():
                rc = await self._write_some()

    def close(self) -> None:
        """Close the socket, if paho has not."""
        sock = self._client.socket()
        self._client.on_socket_close = None  # paho closes once more when it is collected, far from trio
        if sock is not None:
            trio.lowlevel.notify_closing(sock)
            sock.close()

    async def _read(self) -> None:
        while True:
            self._check(await self._read_some())
            if self._client.is_discarding:
                self._progress_at = trio.current_time()  # the answers that we wait for are behind it

    async def _write(self) -> None:
        while True:
            self.flush()
            while self._client.want_write():
                self._check(await self._write_some())
            self._to_write = trio.Event()
            await self._to_write.wait()

    async def _tick(self) -> None:
        while True:
            self._promise(TICK)
            await trio.sleep(TICK)
            self._check(self._client.loop_misc())
            if self._acks and trio.current_time() - self._progress_at > ACK_PATIENCE:
                self._fail(reason_codes.unanswered(self._at, ACK_PATIENCE))

    async def _read_some(self) -> MQTTErrorCode:
        sock = self._client.socket()
        if self._client.has_read_ahead or (isinstance(sock, ssl.SSLSocket) and sock.pending()):
            await trio.lowlevel.checkpoint()
        else:
            await _ready(trio.lowlevel.wait_readable, sock)
        try:
            return self._client.loop_read()
        except MQTTException:  # a packet that is none
            return MQTTErrorCode.MQTT_ERR_PROTOCOL

    async def _write_some(self) -> MQTTErrorCode:
        await _ready(trio.lowlevel.wait_writable, self._client.socket())
        return self._client.loop_write()

    def _check(self, rc: MQTTErrorCode) -> None:
        if rc != MQTTErrorCode.MQTT_ERR_SUCCESS or self._client.socket() is None:
            self._fail(self._why(rc))

    def _fail(self, outage: Outage) -> None:
        """The first sign of the end says most; what follows only comes of it."""
        if self.lost is None:
            self.lost = outage
        self._scope.cancel()

    def _why(self, rc: MQTTErrorCode) -> Outage:
        from_broker, code, text = self._disconnect or (False, 0, "")
        if from_broker:
            return reason_codes.disconnect(code, text, self._at)
        if code == reason_codes.KEEPALIVE_TIMEOUT:
            return reason_codes.unanswered(self._at, self._keepalive)
        if rc == MQTTErrorCode.MQTT_ERR_PROTOCOL:
            return reason_codes.not_mqtt(self._at, self.version)
        return reason_codes.lost(self._at, self._errors.last)

    def _no_connack(self, rc: MQTTErrorCode) -> Exception:
        if rc == MQTTErrorCode.MQTT_ERR_CONN_LOST and reason_codes.is_closing(self._errors.last):
            return _Rejected(None, reason_codes.closed_at_connect(self._at))
        return self._why(rc)

    def _listen(self) -> None:
        client = self._client
        client.enable_logger(self._errors.logger)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_socket_register_write = self._on_socket_register_write
        client.on_socket_close = self._on_socket_close

    def _on_connect(
        self, _c: object, _u: object, _flags: object, code: ReasonCode, properties: Properties | None
    ) -> None:
        self._connack = (code.value, reason_string(properties))
        self.limits = BrokerLimits.of(properties)
        self._remaining_max = self.limits.remaining_max
        self._window = trio.Semaphore(min(WINDOW, self.limits.receive_maximum))

    def _on_disconnect(
        self, _c: object, _u: object, flags: paho.DisconnectFlags, code: ReasonCode, properties: Properties | None
    ) -> None:
        self._disconnect = (flags.is_disconnect_packet_from_server, code.value, reason_string(properties))

    def _on_publish(self, _c: object, _u: object, mid: int, code: ReasonCode, properties: Properties | None) -> None:
        on_ack = self._acks.pop(mid)
        self._progress_at = trio.current_time()
        self._window.release()
        on_ack(ACCEPTED if code is TAKEN else Ack(code.value, reason_string(properties) or str(code)))
        if not self._acks:
            self._all_acked.set()

    def _on_socket_register_write(self, *_: object) -> None:
        self._to_write.set()

    def _on_socket_close(self, _c: object, _u: object, sock: Any) -> None:
        trio.lowlevel.notify_closing(sock)


async def _ready(wait: Callable[[Any], Awaitable[None]], sock: Any) -> None:
    """Wait for a socket that paho may have closed, or close meanwhile; its next return code tells then."""
    with suppress(trio.ClosedResourceError):
        if sock is None:
            await trio.lowlevel.checkpoint()
        else:
            await wait(sock)
