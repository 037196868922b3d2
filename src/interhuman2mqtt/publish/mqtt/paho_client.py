"""paho's client, with some of its methods replaced: those that end what could go on, and those that cost too much.

The properties of PUBLISH as they go over the wire (MQTT 5, 2.2.2 and 3.3.2.3).

paho makes and packs them too, in about twenty times the time, which was a third of what an event cost altogether.
"""

import socket
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, Self

import paho.mqtt.client as paho
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.exception import MQTTException
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from interhuman2mqtt.publish.message import Message
from interhuman2mqtt.publish.mqtt.types import INCOMING_PACKET_MAX

PAYLOAD_FORMAT = b"\x01"
EXPIRY = b"\x02"
CONTENT_TYPE = b"\x03"
CORRELATION = b"\x09"
USER_PROPERTY = b"\x26"


class Packed(Properties):
    """Properties of a message that paho need not pack."""

    _bytes: bytes

    def __init__(self, message: Message) -> None:
        object.__setattr__(self, "_bytes", packed(message))  # as an attribute paho would take it for a property

    def pack(self) -> bytes:
        """As they go over the wire, their length before them."""
        return self._bytes

    def __str__(self) -> str:
        return f"{len(self._bytes)} bytes"

    def __len__(self) -> int:
        return len(self._bytes)


def packed(message: Message) -> bytes:
    """What MQTT 5 says of a message beside its payload."""
    is_utf8 = message.content_type == "application/json"
    parts = [PAYLOAD_FORMAT, b"\x01" if is_utf8 else b"\x00"]
    if message.expiry is not None:
        parts += [EXPIRY, message.expiry.to_bytes(4)]
    parts += [CONTENT_TYPE, _prefixed(message.content_type.encode())]
    if message.correlation is not None:
        parts += [CORRELATION, _prefixed(message.correlation)]
    for name, value in message.properties:
        parts += [USER_PROPERTY, _prefixed(name.encode()), _prefixed(value.encode())]
    body = b"".join(parts)
    return _variable(len(body)) + body


def _prefixed(value: bytes) -> bytes:
    """A string or binary data, by its length (1.5.4, 1.5.6)."""
    return len(value).to_bytes(2) + value


def _variable(number: int) -> bytes:
    """A variable byte integer (1.5.5)."""
    digits = bytearray()
    while number >= 0x80:
        digits.append(number & 0x7F | 0x80)
        number >>= 7
    digits.append(number)
    return bytes(digits)


READ_AHEAD = 16 << 10
"""Bytes: the answers to some thousands of messages."""
TAKEN = ReasonCode(PacketTypes.PUBACK)
TAKEN_CODES = (b"", b"\x00", b"\x10")
"""What follows the identifier in a PUBACK that says no more than that (MQTT 5, 3.4.2.1): success, or nobody listens."""
HEAD = 2 + 0xFFFF + 2
"""Bytes in which a PUBLISH has its topic and its identifier (MQTT 5, 3.3.2); of one too large no more is kept."""
PUBLISH = 0x30
NO_PROPERTIES = Properties(PacketTypes.PUBACK)  # type: ignore[no-untyped-call]


class PahoClient(paho.Client):
    """A client for one connection; a new one needs a new client."""

    on_unreadable: Callable[[], None] | None = None
    """Told of each message that cannot be read; it is acknowledged all the same."""

    on_oversized: Callable[[bytes, int, bool], None] | None = None
    """Told of each message that is larger than we take: its topic, its size, and whether it was retained."""

    open_tcp: Callable[[], socket.socket] | None = None
    """Opens the connection."""

    _read = b""
    _taken = 0

    @property
    def has_read_ahead(self) -> bool:
        """Whether there is something to read of which the socket does not know any more."""
        return self._taken < len(self._read)

    @property
    def is_discarding(self) -> bool:
        """Whether a packet comes in that is larger than we take."""
        return self._in_packet["remaining_length"] > INCOMING_PACKET_MAX

    def _sock_recv(self, bufsize: int) -> bytes:
        """What paho asks for, which is a byte, another one, and the rest: three calls of the kernel for each packet.

        paho keeps whatever comes, up to 256 MB of one packet: MQTT 3.1.1 has no way to ask for less, and not every
        broker of MQTT 5 obeys. Ending the connection would not help where the message is retained: it would come again.
        """
        if self.is_discarding and not isinstance(self._in_packet["packet"], _Head):
            self._discard()
        if not self.has_read_ahead:
            self._read, self._taken = super()._sock_recv(READ_AHEAD), 0
        begins, self._taken = self._taken, min(self._taken + bufsize, len(self._read))
        return self._read[begins : self._taken]

    def _discard(self) -> None:
        """From here on only the head of the packet is kept. Raises OSError where it is none that may be large."""
        if self._in_packet["command"] & 0xF0 != PUBLISH:
            kind, size = self._in_packet["command"] >> 4, self._in_packet["remaining_length"]
            raise OSError(f"it sent {size} bytes in a packet of type {kind}, and we take {INCOMING_PACKET_MAX}")
        self._in_packet["packet"] = _Head()

    def _packet_handle(self) -> MQTTErrorCode:
        """Of a message that was discarded we say that we have it, lest the broker waits for that for ever."""
        if not self.is_discarding:
            return super()._packet_handle()
        command, head = self._in_packet["command"], self._in_packet["packet"]
        mid = packet_identifier(command, head)
        if self.on_oversized is not None:
            topic = bytes(head[2 : 2 + int.from_bytes(head[:2])])
            self.on_oversized(topic, self._in_packet["remaining_length"], bool(command & 0x01))
        return MQTTErrorCode.MQTT_ERR_SUCCESS if mid is None else self._send_puback(mid)

    def _create_socket_connection(self) -> socket.socket:
        """By itself paho tries one address after the other, and the first one that hangs takes all the time."""
        return super()._create_socket_connection() if self.open_tcp is None else self.open_tcp()

    def _handle_pubackcomp(self, cmd: Literal["PUBACK", "PUBCOMP"]) -> MQTTErrorCode:
        """Almost each PUBACK says the same, and needs no new objects for it."""
        packet = bytes(self._in_packet["packet"])
        mid = int.from_bytes(packet[:2])
        if cmd != "PUBACK" or packet[2:] not in TAKEN_CODES or mid not in self._out_messages:
            return super()._handle_pubackcomp(cmd)
        return self._do_on_publish(mid, TAKEN, NO_PROPERTIES)

    def _handle_publish(self) -> MQTTErrorCode:
        """By itself paho ends the connection over U+FEFF in a property, which MQTT allows (5, 1.5.4.3).

        Brokers pass it on, so whoever may send us a request could cut us off, and with a retained one for ever.
        """
        try:
            return super()._handle_publish()
        except MQTTException:
            mid = packet_identifier(self._in_packet["command"], self._in_packet["packet"])
            if self.on_unreadable is not None:
                self.on_unreadable()
            return MQTTErrorCode.MQTT_ERR_SUCCESS if mid is None else self._send_puback(mid)


class _Head(bytearray):
    """The beginning of a packet of which nothing else is kept."""

    def __iadd__(self, more: object) -> Self:
        if isinstance(more, bytes):
            self.extend(more[: HEAD - len(self)])
        return self


def packet_identifier(command: int, packet: bytes | bytearray) -> int | None:
    """The identifier that a PUBLISH (MQTT 5, 3.3) is acknowledged by; None at QoS 0. `packet` begins after its length.

    Raises:
        MQTTException: There is none where it must be; the packet is none.
    """
    if not command & 0x06:
        return None
    try:
        (topic_length,) = struct.unpack_from("!H", packet)
        (mid,) = struct.unpack_from("!H", packet, 2 + topic_length)
    except struct.error as error:
        raise MQTTException("PUBLISH is too short") from error
    return int(mid)


@contextmanager
def corked(sock: object, *, several: bool) -> Iterator[None]:
    """Let the kernel gather several packets, which costs both ends less than one by one.

    Linux only (tcp(7), TCP_CORK); elsewhere each goes by itself.
    """
    if not (several and isinstance(sock, socket.socket) and sys.platform == "linux"):
        yield
        return
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
    try:
        yield
    finally:
        if sock.fileno() >= 0:  # paho closes it where writing fails
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)
