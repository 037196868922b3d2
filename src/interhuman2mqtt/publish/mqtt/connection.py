"""One connection to the broker: paho's client, driven by trio's own readiness calls.

No thread does I/O. What paho leaves to its user, and is done here:

- A lost connection shows in a return code, or in a socket that is gone, never in an exception: `_check` looks at both.
- paho knows the broker's receive maximum and largest packet, and enforces neither.
- It has no limit on how long a PUBACK may take.
"""

import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Protocol

import paho.mqtt.client as paho
import trio
from paho.mqtt.enums import MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.exception import MQTTException
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from interhuman2mqtt.errors import Outage
from interhuman2mqtt.publish.message import Message
from interhuman2mqtt.publish.mqtt import reason_codes
from interhuman2mqtt.publish.mqtt.paho_client import SUCCESS, PahoClient, PublishProperties, reason_string
from interhuman2mqtt.publish.mqtt.subscriptions import Subscriptions
from interhuman2mqtt.publish.mqtt.types import Ack, BrokerLimits
from interhuman2mqtt.runtime.beats import sleep_until_beat
from interhuman2mqtt.runtime.notifier import Notifier
from interhuman2mqtt.runtime.watchdog import Heartbeat

WINDOW = 256
"""Messages on their way at most, also where the broker would take more at once."""

ACK_TIMEOUT_S = 60.0
"""Seconds without any PUBACK, while messages wait for theirs, after which the connection is given up."""

KEEPALIVE_CHECK_S = 1.0
"""Seconds between two checks of the keepalive."""

DISCONNECT_S = 2.0
"""Seconds in which DISCONNECT must be gone, lest the broker publishes the will."""

ACCEPTED = Ack(SUCCESS.value, str(SUCCESS))
"""The answer to almost every message."""


class TooLarge(Exception):  # noqa: N818 - it names what happened
    """The broker takes no packet of this size; nothing was sent."""


class ConnectRejected(Exception):  # noqa: N818 - it names what happened
    """CONNECT was answered by a code of failure, or by closing (None); `outage` is the error for everybody else."""

    def __init__(self, code: int | None, outage: Outage) -> None:
        super().__init__(outage.detail)
        self.code = code
        self.outage = outage


class SocketErrors(Protocol):
    """Keeps the last error that paho met on the socket."""

    last: OSError | None


class BrokerConnection:
    """A connection to the broker; made by `connect.connected`, which also ends it.

    Args:
        client: With its socket connected and CONNECT queued.
        errors: What went wrong on that socket.
        endpoint: Host and port, for people.
        keepalive: Seconds of MQTT's keepalive.
        heartbeat: Called with how long each wait may last.
    """

    def __init__(
        self, client: PahoClient, errors: SocketErrors, endpoint: str, keepalive: int, heartbeat: Heartbeat
    ) -> None:
        self.limits = BrokerLimits()
        self.is_resumed = False
        """Whether the broker had kept our session: our subscriptions, and what came by them while we were away."""
        self._remaining_max = self.limits.remaining_max
        self.lost: Outage | None = None
        self.subscriptions = Subscriptions(client)
        self._client = client
        self._errors = errors
        self._endpoint = endpoint
        self._keepalive = keepalive
        self._heartbeat = heartbeat
        self._connack: tuple[int, str] | None = None
        self._disconnect: tuple[bool, int, str] | None = None
        self._acks: dict[int, Callable[[Ack], None]] = {}
        self._progress_at = 0.0
        self._window = WINDOW
        self._acked = Notifier()
        self._to_write = Notifier()
        self._scope = trio.CancelScope()
        self._set_callbacks()

    @property
    def version(self) -> str:
        """The version of MQTT that is spoken: 5 or 3.1.1."""
        return "5" if self._client.protocol == MQTTProtocolVersion.MQTTv5 else "3.1.1"

    async def publish(self, message: Message, on_ack: Callable[[Ack], None]) -> None:
        """Queue a message as soon as fewer are on their way than the broker allows.

        It is written by `flush`, or else with the next turn of the loop. `on_ack` is called with the answer.

        Raises:
            TooLarge: The broker takes no packet of this size; nothing was sent.
        """
        properties = PublishProperties(message) if self.version == "5" else None
        packed = 0 if properties is None else len(properties)
        # Two bytes each for the topic's length and the packet identifier.
        size = 2 + len(message.topic.encode()) + 2 + packed + len(message.payload)
        if size > self._remaining_max:
            raise TooLarge(
                f"the broker at {self._endpoint} takes packets of {self.limits.packet_size} bytes, not {size}"
            )
        while self.lost is not None or len(self._acks) >= self._window:
            self.flush()
            await self._acked.wait()
        retain = message.retain and self.limits.retain
        info = self._client.publish(message.topic, message.payload, self.limits.qos, retain, properties)
        if not self._acks:
            self._progress_at = trio.current_time()
        self._acks[info.mid] = on_ack

    def flush(self) -> None:
        """Write what is queued, as far as the socket takes it at once; the rest is written when it does."""
        self._check(self._client.loop_write())

    async def wait_acked(self) -> None:
        """Wait until nothing is on its way any more."""
        while self._acks:
            await self._acked.wait()

    async def handshake(self) -> None:
        """Send CONNECT and wait for CONNACK; raises ConnectRejected, Outage."""
        rc = MQTTErrorCode.MQTT_ERR_SUCCESS
        while self._connack is None and rc == MQTTErrorCode.MQTT_ERR_SUCCESS:
            rc = await self._write_some() if self._client.want_write() else await self._read_some()
        if self._connack is None:
            raise self._no_connack(rc)
        code, text = self._connack
        if code != 0:
            raise ConnectRejected(code, reason_codes.connack(code, text, self._endpoint))

    def drive(self, nursery: trio.Nursery) -> None:
        """Keep the connection going in `nursery`, which is cancelled when it is lost."""
        self._scope = nursery.cancel_scope
        nursery.start_soon(self._read)
        nursery.start_soon(self._write)
        nursery.start_soon(self._watch_keepalive)

    async def disconnect(self) -> None:
        """Send DISCONNECT, so that the broker keeps the will to itself."""
        with trio.move_on_after(DISCONNECT_S, shield=True):
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
            await self._to_write.wait()

    async def _watch_keepalive(self) -> None:
        while True:
            self._heartbeat(KEEPALIVE_CHECK_S)
            await sleep_until_beat(KEEPALIVE_CHECK_S)
            self._check(self._client.loop_misc())
            if self._acks and trio.current_time() - self._progress_at > ACK_TIMEOUT_S:
                self._fail(reason_codes.unanswered(self._endpoint, ACK_TIMEOUT_S))

    async def _read_some(self) -> MQTTErrorCode:
        sock = self._client.socket()
        if self._client.has_read_ahead or (isinstance(sock, ssl.SSLSocket) and sock.pending()):
            await trio.lowlevel.checkpoint()
        else:
            await _wait_ready(trio.lowlevel.wait_readable, sock)
        try:
            return self._client.loop_read()
        except MQTTException:  # a packet that is none
            return MQTTErrorCode.MQTT_ERR_PROTOCOL

    async def _write_some(self) -> MQTTErrorCode:
        await _wait_ready(trio.lowlevel.wait_writable, self._client.socket())
        return self._client.loop_write()

    def _check(self, rc: MQTTErrorCode) -> None:
        if rc != MQTTErrorCode.MQTT_ERR_SUCCESS or self._client.socket() is None:
            self._fail(self._outage(rc))

    def _fail(self, outage: Outage) -> None:
        """End the connection, for the first reason that there was: what follows only comes of it."""
        if self.lost is None:
            self.lost = outage
        self._scope.cancel()

    def _outage(self, rc: MQTTErrorCode) -> Outage:
        from_broker, code, text = self._disconnect or (False, 0, "")
        if from_broker:
            return reason_codes.disconnect(code, text, self._endpoint)
        if code == reason_codes.KEEPALIVE_TIMEOUT:
            return reason_codes.unanswered(self._endpoint, self._keepalive)
        if rc == MQTTErrorCode.MQTT_ERR_PROTOCOL:
            return reason_codes.not_mqtt(self._endpoint, self.version)
        return reason_codes.lost(self._endpoint, self._errors.last)

    def _no_connack(self, rc: MQTTErrorCode) -> Exception:
        if rc == MQTTErrorCode.MQTT_ERR_CONN_LOST and reason_codes.is_closing(self._errors.last):
            return ConnectRejected(None, reason_codes.closed_at_connect(self._endpoint))
        return self._outage(rc)

    def _set_callbacks(self) -> None:
        client = self._client
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_socket_register_write = self._on_socket_register_write
        client.on_socket_close = self._on_socket_close

    def _on_connect(
        self, _c: object, _u: object, flags: paho.ConnectFlags, code: ReasonCode, properties: Properties | None
    ) -> None:
        self.is_resumed = flags.session_present
        self._connack = (code.value, reason_string(properties))
        self.limits = BrokerLimits.of(properties)
        self._remaining_max = self.limits.remaining_max
        self._window = min(WINDOW, self.limits.receive_maximum)

    def _on_disconnect(
        self, _c: object, _u: object, flags: paho.DisconnectFlags, code: ReasonCode, properties: Properties | None
    ) -> None:
        self._disconnect = (flags.is_disconnect_packet_from_server, code.value, reason_string(properties))

    def _on_publish(self, _c: object, _u: object, mid: int, code: ReasonCode, properties: Properties | None) -> None:
        on_ack = self._acks.pop(mid)
        self._progress_at = trio.current_time()
        on_ack(ACCEPTED if code is SUCCESS else Ack(code.value, reason_string(properties) or str(code)))
        # With each, though to wait for half the window would be fewer packets: Mosquitto leaves Nagle on, so that its
        # second answer waits for what we send, or for 40 ms: draining took twice as long.
        self._acked.set()

    def _on_socket_register_write(self, *_: object) -> None:
        self._to_write.set()

    def _on_socket_close(self, _c: object, _u: object, sock: Any) -> None:
        trio.lowlevel.notify_closing(sock)


async def _wait_ready(wait: Callable[[Any], Awaitable[None]], sock: Any) -> None:
    """Wait for a socket that paho may have closed, or close meanwhile: then its next return code is an error."""
    with suppress(trio.ClosedResourceError):
        if sock is None:
            await trio.lowlevel.checkpoint()
        else:
            await wait(sock)
