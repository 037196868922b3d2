"""MQTT 5 properties: those that we send, packed or as paho's own objects, and the one that we read everywhere."""

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from interhuman2mqtt.publish.message import Message
from interhuman2mqtt.publish.mqtt.types import INCOMING_MAX, INCOMING_PACKET_MAX

PAYLOAD_FORMAT = b"\x01"
EXPIRY = b"\x02"
CONTENT_TYPE = b"\x03"
CORRELATION = b"\x09"
USER_PROPERTY = b"\x26"


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


def connect_properties() -> Properties:
    """Return the properties of CONNECT: how much the broker may send us."""
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.MaximumPacketSize = INCOMING_PACKET_MAX
    properties.ReceiveMaximum = INCOMING_MAX
    return properties


def will_properties(will: Message) -> Properties:
    """Return the properties of a will."""
    properties = Properties(PacketTypes.WILLMESSAGE)  # type: ignore[no-untyped-call]
    properties.PayloadFormatIndicator = 1  # UTF-8
    properties.ContentType = will.content_type
    properties.UserProperty = list(will.properties)
    return properties


def reason_string(properties: Properties | None) -> str:
    """Return the broker's own words for people (3.4.2.2.2); empty where there are none, and in MQTT 3.1.1."""
    return str(getattr(properties, "ReasonString", ""))


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
