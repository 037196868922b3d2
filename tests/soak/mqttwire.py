"""MQTT's control packets, taken apart just enough to know what was published and what was acknowledged; no I/O."""

from collections.abc import Iterator
from typing import NamedTuple

CONNECT, PUBLISH, PUBACK = 1, 3, 4
"""Types of control packets (MQTT 5, 2.1.2)."""


class Packet(NamedTuple):
    """One control packet: the type and the flags of its first byte, and what follows its length."""

    kind: int
    flags: int
    body: bytes


class Publish(NamedTuple):
    """What a PUBLISH says."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    number: int | None
    """The packet identifier, which a PUBACK repeats; None with QoS 0."""


class Splitter:
    """Cuts one direction of a connection into packets, however its bytes arrive."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Packet]:
        """The packets that are whole now."""
        self._buffer += data
        while (size := self._size()) is not None:
            head, length = size
            first, body = self._buffer[0], bytes(self._buffer[head : head + length])
            del self._buffer[: head + length]
            yield Packet(first >> 4, first & 0xF, body)

    def _size(self) -> tuple[int, int] | None:
        """Bytes of the first packet's head and of its rest; None while it is not whole."""
        found = varint(self._buffer, 1)
        if found is None or len(self._buffer) < found[1] + found[0]:
            return None
        return found[1], found[0]


def whole(packet: Packet) -> bytes:
    """A packet as it goes over the wire."""
    rest = len(packet.body)
    length = bytearray()
    while rest >= 0x80:
        length.append(rest & 0x7F | 0x80)
        rest >>= 7
    return bytes([packet.kind << 4 | packet.flags, *length, rest]) + packet.body


def varint(data: bytes | bytearray, at: int) -> tuple[int, int] | None:
    """A variable byte integer (MQTT 5, 1.5.5) and the place after it; None where it does not end."""
    value = shift = 0
    for place in range(at, min(at + 4, len(data))):
        value |= (data[place] & 0x7F) << shift
        if not data[place] & 0x80:
            return value, place + 1
        shift += 7
    return None


def version(connect: Packet) -> int:
    """The protocol level of a CONNECT: 4 is MQTT 3.1.1, 5 is MQTT 5."""
    return connect.body[2 + _number(connect.body, 0)]


def publish(packet: Packet, level: int) -> Publish:
    """A PUBLISH of a client that spoke this protocol level."""
    end = 2 + _number(packet.body, 0)
    topic, qos = packet.body[2:end].decode(), packet.flags >> 1 & 3
    number = _number(packet.body, end) if qos else None
    end += 2 if qos else 0
    if level >= 5:
        length, begin = varint(packet.body, end) or (0, end)
        end = begin + length
    return Publish(topic, packet.body[end:], qos, bool(packet.flags & 1), number)


def puback(packet: Packet) -> tuple[int, bool]:
    """The packet identifier of a PUBACK, and whether the broker took the message (MQTT 5, 3.4.2.1)."""
    return _number(packet.body, 0), len(packet.body) < 3 or packet.body[2] < 0x80


def _number(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 2], "big")
