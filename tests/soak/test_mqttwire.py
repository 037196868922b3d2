"""MQTT is taken apart as paho puts it together, however its bytes arrive."""

import paho.mqtt.client as paho
import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from soak import mqttwire
from soak.mqttwire import Packet, Publish, Splitter, whole
from soak.relay import Quota


class Wire:
    """Takes what paho would send."""

    def __init__(self, version: MQTTProtocolVersion) -> None:
        self.client = paho.Client(CallbackAPIVersion.VERSION2, "soak", protocol=version)
        self.sent = b""
        self.client._packet_queue = self._take  # type: ignore[method-assign, assignment]

    def _take(self, _command: int, packet: bytes, *_: object) -> int:
        self.sent += bytes(packet)
        return 0


def pieces(data: bytes, size: int) -> list[Packet]:
    splitter = Splitter()
    return [packet for at in range(0, len(data), size) for packet in splitter.feed(data[at : at + size])]


@given(
    payloads=st.lists(st.binary(max_size=300), min_size=1, max_size=4),
    size=st.integers(1, 400),
    version=st.sampled_from([MQTTProtocolVersion.MQTTv311, MQTTProtocolVersion.MQTTv5]),
    flags=st.tuples(st.integers(0, 1), st.booleans()),
)
def test_what_paho_publishes(
    payloads: list[bytes], size: int, version: MQTTProtocolVersion, flags: tuple[int, bool]
) -> None:
    """Topic, payload, QoS, retain and packet identifier are read as they were meant, with and without properties."""
    wire, (qos, retain), properties = Wire(version), flags, None
    if version is MQTTProtocolVersion.MQTTv5:
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.ContentType = "application/json"
        properties.UserProperty = [("type", "x" * 150)]
    wire.client._send_connect(60)
    wire.client._sock = object()  # type: ignore[assignment]  # it only looks whether there is one
    for number, payload in enumerate(payloads, 1):
        wire.client._send_publish(number, b"a/b", payload, qos, retain, properties=properties)
    wire.client._sock = None
    connect, *rest = pieces(wire.sent, size)
    level = mqttwire.version(connect)
    assert level == version.value
    assert [mqttwire.publish(packet, level) for packet in rest] == [
        Publish("a/b", payload, qos, retain, number if qos else None) for number, payload in enumerate(payloads, 1)
    ]


def test_acknowledgements() -> None:
    """A PUBACK is good without a reason code and with one below 0x80, and bad with one above."""
    packets = pieces(bytes([0x40, 2, 1, 7, 0x40, 3, 0, 9, 0x10, 0x40, 4, 0, 10, 0x87, 0]), 3)
    assert [packet.kind for packet in packets] == [mqttwire.PUBACK] * 3
    assert [mqttwire.puback(packet) for packet in packets] == [(263, True), (9, True), (10, False)]


@pytest.mark.parametrize("length", [0, 2, 127, 128, 300, 20_000])
def test_a_packet_is_whole_again(length: int) -> None:
    """What was cut into packets is put together as it was."""
    packet = Packet(3, 2, bytes(length))
    assert list(Splitter().feed(whole(packet))) == [packet]


def test_a_quota_that_is_spent() -> None:
    """PUBACKs say so while it is, whichever way they are cut; all else passes as it was."""
    quota = Quota()
    alter = quota.alter()
    assert alter(b"\x40\x02\x00\x07\xd0\x00") == b"\x40\x02\x00\x07\xd0\x00"
    quota.is_spent = True
    assert alter(b"\x40\x02\x00") + alter(b"\x08\xd0\x00") == b"\x40\x03\x00\x08\x97\xd0\x00"
    assert alter(b"") == b""
