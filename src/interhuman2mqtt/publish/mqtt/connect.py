"""Connecting to the broker: from settings to a connection that CONNACK has accepted."""

import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import NamedTuple
from urllib.parse import urlsplit

import trio
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from interhuman2mqtt.config import Mqtt, secrets
from interhuman2mqtt.errors import ConfigError, Outage, Reason
from interhuman2mqtt.publish.message import Message
from interhuman2mqtt.publish.mqtt import reason_codes
from interhuman2mqtt.publish.mqtt.connection import BrokerConnection, ConnectRejected
from interhuman2mqtt.publish.mqtt.paho_client import PahoClient
from interhuman2mqtt.publish.mqtt.reason_codes import QOS_NOT_SUPPORTED, RETAIN_NOT_SUPPORTED, UNSUPPORTED_VERSION
from interhuman2mqtt.publish.mqtt.tls import tls_context
from interhuman2mqtt.publish.mqtt.types import INCOMING_MAX, INCOMING_PACKET_MAX
from interhuman2mqtt.runtime.watchdog import Heartbeat

PORTS = {"mqtt": 1883, "mqtts": 8883}


class Endpoint(NamedTuple):
    """Host and port of the broker."""

    host: str
    port: int
    tls: bool

    @classmethod
    def of(cls, url: str) -> "Endpoint":
        """Return the endpoint of `mqtt.url`; raises ConfigError."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise ConfigError(f"mqtt.url: {error}") from error
        if parts.scheme not in PORTS or not host:
            raise ConfigError("mqtt.url: must be mqtt://HOST[:PORT], or mqtts:// for TLS")
        return cls(host, port or PORTS[parts.scheme], parts.scheme == "mqtts")

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class ConnectSettings(NamedTuple):
    """Everything that a connection is made of. It may be printed: the password is only read where it is used."""

    mqtt: Mqtt
    endpoint: Endpoint
    will: Message | None
    keepalive: int
    """Seconds; a broker that sends nothing for twice as long is given up."""
    timeout: float
    """Seconds for one attempt, from DNS to CONNACK."""
    heartbeat: Heartbeat = lambda _seconds: None
    """Called with how long each wait of a connection may last."""
    incoming_max: int = INCOMING_PACKET_MAX
    """Bytes of a packet that the broker may send us."""
    session_expiry: int = 0
    """Seconds for which the broker keeps our subscriptions, and what comes by them while we are away; MQTT 5 only."""


class Offer(NamedTuple):
    """Options of CONNECT; some refusals are answered by asking for less."""

    version: int = 5
    """5, or 4 for MQTT 3.1.1: the protocol's own numbers."""
    negotiable: bool = False
    """True where 3.1.1 will do too."""
    will_qos: int = 1
    will_retain: bool = True

    @classmethod
    def of(cls, protocol: str) -> "Offer":
        """Return the first offer by `mqtt.protocol`: auto, 5 or 3.1.1."""
        return cls(version=4 if protocol == "3.1.1" else 5, negotiable=protocol == "auto")

    def after(self, code: int | None) -> "Offer | None":
        """Return the next offer after a refusal by CONNACK's `code` (None: closed without one); None: there is none."""
        if self.negotiable and self.version == 5 and code in (UNSUPPORTED_VERSION, None):
            return self._replace(version=4)
        if code == RETAIN_NOT_SUPPORTED and self.will_retain:
            return self._replace(will_retain=False)
        if code == QOS_NOT_SUPPORTED and self.will_qos:
            return self._replace(will_qos=0)
        return None


class LastError(logging.Handler):
    """Keeps the error that paho meets on the socket: its return code only says that there was one."""

    def __init__(self) -> None:
        super().__init__()
        self.last: OSError | None = None
        # One per connection, so outside the tree of named loggers, which keeps its own for ever.
        self.logger = logging.Logger("paho", logging.ERROR)  # noqa: LOG001
        self.logger.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Handle what paho logs at level ERROR."""
        self.last = next((value for value in record.args or () if isinstance(value, OSError)), self.last)


@asynccontextmanager
async def connected(settings: ConnectSettings) -> AsyncIterator[BrokerConnection]:
    """Connect, and keep the connection for as long as the block runs.

    Leaving the block in the normal way sends DISCONNECT, so that there is no will; leaving it in any other way
    closes the socket, so that there is. When the connection is lost the block is cancelled.

    Raises:
        Outage: It did not come about, or was lost; the kind and the reason say why.
    """
    connection = await _negotiate(settings)
    try:
        async with trio.open_nursery() as nursery:
            connection.drive(nursery)
            yield connection
            nursery.cancel_scope.cancel()
        if connection.lost is not None:
            raise connection.lost
        await connection.disconnect()
    finally:
        connection.close()


async def _negotiate(settings: ConnectSettings) -> BrokerConnection:
    offer = Offer.of(settings.mqtt.protocol)
    while True:
        # brokers are known that do not even answer a version that they do not speak
        answer = ConnectRejected(None, reason_codes.silent(str(settings.endpoint), settings.timeout))
        with trio.move_on_after(settings.timeout):
            try:
                return await _attempt(settings, offer)
            except ConnectRejected as rejected:
                answer = rejected
        easier = offer.after(answer.code)
        if easier is None:
            raise answer.outage from answer
        offer = easier


async def _attempt(settings: ConnectSettings, offer: Offer) -> BrokerConnection:
    # In a thread: getaddrinfo has no other form, and paho's `connect` does DNS, TCP and the TLS handshake in one
    # blocking call. Its `connect_async` only puts the same call off to a thread of paho's own.
    # If trio gives up meanwhile, the client is never driven: CONNECT stays in its queue, the broker never receives it,
    # and the socket goes with the client.
    try:
        client = await trio.to_thread.run_sync(open_client, settings, offer, abandon_on_cancel=True)
    except OSError as error:
        raise reason_codes.unreachable(error, str(settings.endpoint), settings.timeout) from error
    except UnicodeError as error:  # a name that DNS cannot encode
        raise Outage(Reason.BROKER_UNREACHABLE, f"no connection to {settings.endpoint}: {error}") from error
    errors = LastError()
    client.enable_logger(errors.logger)
    connection = BrokerConnection(client, errors, str(settings.endpoint), settings.keepalive, settings.heartbeat)
    try:
        await connection.handshake()
    except BaseException:
        connection.close()
        raise
    return connection


def open_client(settings: ConnectSettings, offer: Offer) -> PahoClient:
    """Connect as far as TCP or TLS, with CONNECT queued. Blocks; raises OSError, Outage."""
    # A client for each connection. One that connects again would repeat by itself what it had sent and not got
    # acknowledged, beside the outbox, which repeats it too.
    client = PahoClient(
        CallbackAPIVersion.VERSION2,
        settings.mqtt.client_id,
        clean_session=True if offer.version == 4 else None,
        protocol=MQTTProtocolVersion(offer.version),
        reconnect_on_failure=False,
    )
    client.on_socket_register_write = _keep_queued
    client.connect_timeout = settings.timeout
    client.incoming_max = settings.incoming_max
    client.open_tcp = partial(open_tcp, settings.endpoint.host, settings.endpoint.port, settings.timeout)
    client.max_inflight_messages = 0  # no limit, so no queue inside: the window is ours
    client.username_pw_set(settings.mqtt.username, _read_password(settings.mqtt))
    if settings.will is not None:
        _set_will(client, settings.will, offer)
    if settings.endpoint.tls:
        client.tls_set_context(tls_context(settings.mqtt))
    endpoint = settings.endpoint
    if offer.version == 5:
        properties, begins_anew = _connect_properties(settings), settings.session_expiry == 0
        client.connect(endpoint.host, endpoint.port, settings.keepalive, clean_start=begins_anew, properties=properties)
    else:
        client.connect(endpoint.host, endpoint.port, settings.keepalive)
    _disable_nagle(client)
    return client


def open_tcp(host: str, port: int, timeout: float) -> socket.socket:
    """Connect to the first of a host's addresses that answers. Blocks; raises OSError."""
    # socket.create_connection, which paho uses, tries one address after the other, so that one that hangs takes all the
    # time; trio.open_tcp_stream gives it a quarter of a second (RFC 8305). This thread has no loop of its own, and gets
    # one for that long, so that the socket belongs to nobody else when the thread is abandoned.
    try:
        sock = socket.socket(fileno=trio.run(_open_descriptor, host, port, timeout))
    except OSError as error:
        if isinstance(error.__cause__, ExceptionGroup):
            raise error.__cause__.exceptions[0] from None  # of the address that was tried first
        raise
    sock.settimeout(timeout)
    return sock


async def _open_descriptor(host: str, port: int, within: float) -> int:
    with trio.move_on_after(within):
        stream = await trio.open_tcp_stream(host, port)
        return stream.socket.detach()
    raise TimeoutError


def _disable_nagle(client: PahoClient) -> None:
    """Send each packet when it is written: the kernel would keep it until the broker's TCP answers the one before."""
    sock = client.socket()
    if isinstance(sock, socket.socket):  # an SSLSocket is one too
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _set_will(client: PahoClient, will: Message, offer: Offer) -> None:
    properties = _will_properties(will) if offer.version == 5 else None
    client.will_set(will.topic, will.payload, offer.will_qos, offer.will_retain, properties)


def _keep_queued(*_: object) -> None:
    """Write nothing yet."""


def _connect_properties(settings: ConnectSettings) -> Properties:
    """Return the properties of CONNECT: how much the broker may send us, and for how long it keeps our session."""
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.MaximumPacketSize = settings.incoming_max
    if settings.session_expiry:
        properties.SessionExpiryInterval = settings.session_expiry
    properties.ReceiveMaximum = INCOMING_MAX
    return properties


def _will_properties(will: Message) -> Properties:
    """Return the properties of a will."""
    properties = Properties(PacketTypes.WILLMESSAGE)  # type: ignore[no-untyped-call]
    properties.PayloadFormatIndicator = 1  # UTF-8
    properties.ContentType = will.content_type
    properties.UserProperty = list(will.properties)
    return properties


def _read_password(config: Mqtt) -> str | None:
    """Read it anew for each attempt: it may have been rotated. Blocks; raises Outage."""
    return None if config.password is None else secrets.read(config.password, what="mqtt.password").reveal()
