"""paho's client with the methods replaced that end what could go on, and those that cost too much.

Whatever reaches into paho's private parts is here and nowhere else: paho is pinned to one minor version, and a test
compares the names and signatures that are used.
"""

import socket
import struct
from collections.abc import Callable
from typing import Literal, Self

import paho.mqtt.client as paho
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.exception import MQTTException
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from interhuman2mqtt.publish.message import Message
from interhuman2mqtt.publish.mqtt.types import INCOMING_PACKET_MAX

# Why paho at all, and why from the inside. There is no maintained MQTT client for trio: aiomqtt and gmqtt need asyncio,
# of which trio-asyncio would be a second loop within ours, and paho's own thread (`loop_start`) would call us from
# outside trio. paho's `loop_read`, `loop_write` and `loop_misc` are meant for somebody else's loop, and do one step
# each. What is private below has no public form: upstream offers neither a limit of what is read nor a way to go on
# after a message that it cannot parse.

PAYLOAD_FORMAT = b"\x01"
EXPIRY = b"\x02"
CONTENT_TYPE = b"\x03"
CORRELATION = b"\x09"
USER_PROPERTY = b"\x26"

JOINED_MAX = 64 << 10
"""Bytes of packets that are written together: what a socket does not take at once paho copies for each attempt."""
READ_AHEAD = 16 << 10
"""Bytes: the answers to some thousands of messages."""
SUCCESS = ReasonCode(PacketTypes.PUBACK)
SUCCESS_CODES = (b"", b"\x00", b"\x10")
"""Bytes after the identifier in a PUBACK that mean just that (MQTT 5, 3.4.2.1): success, or nobody listens."""
HEAD = 2 + 0xFFFF + 2
"""Bytes in which a PUBLISH has its topic and its identifier (MQTT 5, 3.3.2); of one too large no more is kept."""
PUBLISH = 0x30
NO_PROPERTIES = Properties(PacketTypes.PUBACK)  # type: ignore[no-untyped-call]


def _know_too_large() -> None:
    """Let paho read a PUBACK of 0x95."""
    # Mosquitto 2.0 answers so to a message above its message_size_limit. MQTT 5 has no such PUBACK, and paho would take
    # it for the end of the protocol: the same message would end one connection after the other.
    [(name, packets)] = ReasonCode.names[0x95].items()
    ReasonCode.names = {**ReasonCode.names, 0x95: {name: [*packets, PacketTypes.PUBACK]}}


_know_too_large()


class PahoClient(paho.Client):
    """A client for one connection; a new one needs a new client."""

    on_unreadable: Callable[[], None] | None = None
    """Called for each message that cannot be read; it is acknowledged all the same."""

    on_oversized: Callable[[bytes, int, bool], None] | None = None
    """Called for each message that is larger than we take with its topic, its size, and whether it was retained."""

    incoming_max = INCOMING_PACKET_MAX
    """Bytes of a packet that we take."""

    open_tcp: Callable[[], socket.socket] | None = None
    """Opens the TCP connection; None: as paho does."""

    _read = b""
    _consumed = 0

    @property
    def has_read_ahead(self) -> bool:
        """True while there is something to read of which the socket does not know any more."""
        return self._consumed < len(self._read)

    @property
    def is_discarding(self) -> bool:
        """True while a packet comes in that is larger than we take."""
        return self._in_packet["remaining_length"] > self.incoming_max

    def _sock_recv(self, bufsize: int) -> bytes:
        """Return up to `bufsize` bytes out of what was read ahead."""
        # paho asks for a byte, another one, and the rest: three calls of the kernel for each packet. And it keeps
        # whatever comes, up to 256 MB of one packet: MQTT 3.1.1 has no way to ask for less, and not every broker of
        # MQTT 5 complies. Ending the connection would not help where the message is retained: it would come again.
        if self.is_discarding and not isinstance(self._in_packet["packet"], _Head):
            self._discard()
        if not self.has_read_ahead:
            self._read, self._consumed = super()._sock_recv(READ_AHEAD), 0
        begins, self._consumed = self._consumed, min(self._consumed + bufsize, len(self._read))
        return self._read[begins : self._consumed]

    def _discard(self) -> None:
        """Keep only the head of the packet from here on. Raises OSError where it is none that may be large."""
        if self._in_packet["command"] & 0xF0 != PUBLISH:
            kind, size = self._in_packet["command"] >> 4, self._in_packet["remaining_length"]
            raise OSError(f"it sent {size} bytes in a packet of type {kind}, and we take {self.incoming_max}")
        self._in_packet["packet"] = _Head()

    def _packet_queue(
        self, command: int, packet: bytes | bytearray, mid: int, qos: int, info: paho.MQTTMessageInfo | None = None
    ) -> MQTTErrorCode:
        """Queue a packet to be written, as a part of the one before it where that still waits."""
        # paho writes each packet by a call of its own, and with TCP_NODELAY each of those becomes a segment, and a
        # wakeup of the broker. Without TCP_NODELAY (Nagle) a single event would wait for the broker's TCP to answer the
        # one before it, up to 40 ms. TCP_CORK around the calls joins the segments only.
        last = self._out_packet[-1] if self._out_packet else None
        if last is None or not _may_join(last["packet"], last["qos"], packet, qos):
            return super()._packet_queue(command, packet, mid, qos, info)
        last["packet"] += packet
        last["to_process"] += len(packet)
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _packet_handle(self) -> MQTTErrorCode:
        """Handle a whole packet; a message that was discarded is acknowledged, lest the broker waits for ever."""
        if not self.is_discarding:
            return super()._packet_handle()
        command, head = self._in_packet["command"], self._in_packet["packet"]
        mid = packet_identifier(command, head)
        if self.on_oversized is not None:
            topic = bytes(head[2 : 2 + int.from_bytes(head[:2])])
            self.on_oversized(topic, self._in_packet["remaining_length"], bool(command & 0x01))
        return MQTTErrorCode.MQTT_ERR_SUCCESS if mid is None else self._send_puback(mid)

    def _create_socket_connection(self) -> socket.socket:
        """Return a connected socket (`open_tcp` says why not by paho's own way)."""
        return super()._create_socket_connection() if self.open_tcp is None else self.open_tcp()

    def _handle_pubackcomp(self, cmd: Literal["PUBACK", "PUBCOMP"]) -> MQTTErrorCode:
        """Handle a PUBACK; one that means success by a short way."""
        # Almost each PUBACK does. paho makes a ReasonCode and Properties for each, and parses both.
        packet = bytes(self._in_packet["packet"])
        mid = int.from_bytes(packet[:2])
        if cmd != "PUBACK" or packet[2:] not in SUCCESS_CODES or mid not in self._out_messages:
            return super()._handle_pubackcomp(cmd)
        return self._do_on_publish(mid, SUCCESS, NO_PROPERTIES)

    def _handle_publish(self) -> MQTTErrorCode:
        """Handle a PUBLISH; one that paho cannot parse is reported and acknowledged."""
        # By itself paho ends the connection over U+FEFF in a property, which MQTT allows (5, 1.5.4.3). Brokers pass it
        # on, so whoever may send us a request could cut us off, and with a retained one for ever.
        try:
            return super()._handle_publish()
        except MQTTException:
            mid = packet_identifier(self._in_packet["command"], self._in_packet["packet"])
            if self.on_unreadable is not None:
                self.on_unreadable()
            return MQTTErrorCode.MQTT_ERR_SUCCESS if mid is None else self._send_puback(mid)


def _may_join(waiting: bytes | bytearray, waiting_qos: int, packet: bytes | bytearray, qos: int) -> bool:
    """Decide whether a packet may become a part of the one that waits before it, as PUBLISHes do."""
    # Of QoS 0 are DISCONNECT and what is done once it is written: paho has to see where those end.
    return bool(waiting_qos and qos) and isinstance(waiting, bytearray) and len(waiting) + len(packet) <= JOINED_MAX


class _Head(bytearray):
    """The beginning of a packet of which nothing else is kept."""

    def __iadd__(self, more: object) -> Self:
        if isinstance(more, bytes):
            self.extend(more[: HEAD - len(self)])
        return self


def packet_identifier(command: int, packet: bytes | bytearray) -> int | None:
    """Return the identifier that a PUBLISH (MQTT 5, 3.3) is acknowledged by; None at QoS 0.

    Args:
        command: The first byte of the packet.
        packet: What follows its length.

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


class PublishProperties(Properties):
    """The properties of a PUBLISH, packed already."""

    # paho makes and packs properties in about twenty times the time: it looks up each name in a table, checks each
    # value, and builds lists of single bytes. That was a third of what an event cost from topic to socket, and no other
    # packet of ours is sent often enough to matter; so CONNECT and the will go the ordinary way.
    #
    # Topic aliases would spare some 40 bytes a message, and are not used: they are a table per connection that both
    # ends must keep alike through every refusal, and Mosquitto allows 10 by default for hundreds of our topics.

    _bytes: bytes

    def __init__(self, message: Message) -> None:
        object.__setattr__(self, "_bytes", _pack(message))  # as an attribute paho would take it for a property

    def pack(self) -> bytes:
        """Return them as they go over the wire (2.2.2), their length before them."""
        return self._bytes

    def __str__(self) -> str:
        return f"{len(self._bytes)} bytes"

    def __len__(self) -> int:
        return len(self._bytes)


def _pack(message: Message) -> bytes:
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
    """Return a string or binary data with its length before it (1.5.4, 1.5.6)."""
    return len(value).to_bytes(2) + value


def _variable(number: int) -> bytes:
    """Return a number as a variable byte integer (1.5.5)."""
    digits = bytearray()
    while number >= 0x80:
        digits.append(number & 0x7F | 0x80)
        number >>= 7
    digits.append(number)
    return bytes(digits)


def reason_string(properties: Properties | None) -> str:
    """Return the broker's own words for people (3.4.2.2.2); empty where there are none, and in MQTT 3.1.1."""
    return str(getattr(properties, "ReasonString", ""))
