"""From settings to a client of paho's whose socket stands and whose CONNECT is queued. It blocks: for a thread.

Nothing is written here. If trio gives up meanwhile, the client is never driven: CONNECT stays in its queue, the broker
never hears of it, and the socket goes with the client.
"""

import logging
import socket
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import trio
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from interhuman2mqtt.config import Mqtt
from interhuman2mqtt.publish.message import Message
from interhuman2mqtt.publish.mqtt.paho_client import PahoClient
from interhuman2mqtt.publish.mqtt.types import INCOMING_MAX, INCOMING_PACKET_MAX, Endpoint, Offer, tls_context
from interhuman2mqtt.runtime.watchdog import Heartbeat


class ConnectSettings(NamedTuple):
    """What a connection is made of. It may be printed: the password is only read where it is used."""

    mqtt: Mqtt
    read_password: Callable[[], str | None]
    """Called in a thread for each attempt; raises Outage."""
    endpoint: Endpoint
    will: Message | None
    keepalive: int
    """Seconds; a broker that says nothing for twice as long is given up."""
    timeout: float
    """Seconds for one attempt, from DNS to CONNACK."""
    promise: Heartbeat = lambda _seconds: None
    """Told how long each wait of a connection may last."""


class LastError(logging.Handler):
    """Keeps the error that paho meets on the socket: its return code says no more than that there was one."""

    def __init__(self) -> None:
        super().__init__()
        self.last: OSError | None = None
        # One per connection, so outside the tree of named loggers, which keeps its own for ever.
        self.logger = logging.Logger("paho", logging.ERROR)  # noqa: LOG001
        self.logger.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Paho logs something at level ERROR."""
        self.last = next((value for value in record.args or () if isinstance(value, OSError)), self.last)


def _know_too_large() -> None:
    """Let paho read a PUBACK of 0x95.

    Mosquitto 2.0 answers so to a message above its message_size_limit. MQTT 5 has no such PUBACK, and paho would take
    it for the end of the protocol: the same message would end one connection after the other.
    """
    [(name, packets)] = ReasonCode.names[0x95].items()
    ReasonCode.names = {**ReasonCode.names, 0x95: {name: [*packets, PacketTypes.PUBACK]}}


_know_too_large()


def dial(settings: ConnectSettings, offer: Offer) -> PahoClient:
    """Connect as far as TCP or TLS, with CONNECT queued. Blocks; raises OSError, Outage."""
    client = PahoClient(
        CallbackAPIVersion.VERSION2,
        settings.mqtt.client_id,
        clean_session=True if offer.version == 4 else None,
        protocol=MQTTProtocolVersion(offer.version),
        reconnect_on_failure=False,
    )
    client.on_socket_register_write = _keep_queued
    client.connect_timeout = settings.timeout
    client.open_tcp = partial(open_tcp, settings.endpoint.host, settings.endpoint.port, settings.timeout)
    client.max_inflight_messages = 0  # no limit, so no queue inside: the window is ours
    client.username_pw_set(settings.mqtt.username, settings.read_password())
    if settings.will is not None:
        _set_will(client, settings.will, offer)
    if settings.endpoint.tls:
        client.tls_set_context(tls_context(settings.mqtt))
    endpoint = settings.endpoint
    if offer.version == 5:
        properties = _connect_properties()
        client.connect(endpoint.host, endpoint.port, settings.keepalive, clean_start=True, properties=properties)
    else:
        client.connect(endpoint.host, endpoint.port, settings.keepalive)
    _send_at_once(client)
    return client


def open_tcp(host: str, port: int, timeout: float) -> socket.socket:
    """Connect to the first of a host's addresses that answers. Blocks; raises OSError.

    One that hangs costs a quarter of a second and not the whole time (RFC 8305). trio knows how to; this thread has no
    loop of its own, and gets one for that long, so that the socket belongs to nobody else when the thread is abandoned.
    """
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


def _send_at_once(client: PahoClient) -> None:
    """Each packet when it is written: the kernel would keep it until the broker's TCP answers the one before."""
    sock = client.socket()
    if isinstance(sock, socket.socket):  # an SSLSocket is one too
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _set_will(client: PahoClient, will: Message, offer: Offer) -> None:
    properties = _will_properties(will) if offer.version == 5 else None
    client.will_set(will.topic, will.payload, offer.will_qos, offer.will_retain, properties)


def _keep_queued(*_: object) -> None:
    """Write nothing yet."""


def _connect_properties() -> Properties:
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.MaximumPacketSize = INCOMING_PACKET_MAX
    properties.ReceiveMaximum = INCOMING_MAX
    return properties


def _will_properties(will: Message) -> Properties:
    properties = Properties(PacketTypes.WILLMESSAGE)  # type: ignore[no-untyped-call]
    properties.PayloadFormatIndicator = 1  # UTF-8
    properties.ContentType = will.content_type
    properties.UserProperty = list(will.properties)
    return properties
