"""What replaces methods of paho's does the same."""

import inspect
import re
import socket
from collections.abc import Iterator
from importlib import metadata

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from interhuman2mqtt.publish.mqtt.paho_client import JOINED_MAX, PahoClient

CONNACK = b"\x20\x03\x00\x00\x00"
MESSAGES = 20


class Ends:
    """A client that is connected with us, and the answers that it reported."""

    def __init__(self, protocol: MQTTProtocolVersion) -> None:
        self.client = PahoClient(CallbackAPIVersion.VERSION2, protocol=protocol)
        self.answers: dict[int, tuple[bool, str]] = {}
        self.client.on_publish = self._answered
        with socket.create_server(("127.0.0.1", 0)) as server:
            self.client.connect(*server.getsockname())
            self.ours, _ = server.accept()
        self.ours.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.client.loop_write()
        self.ours.sendall(CONNACK if protocol == MQTTProtocolVersion.MQTTv5 else CONNACK[:1] + b"\x02\x00\x00")
        self.read()

    def read(self) -> None:
        """All that came, as who waits for the socket would."""
        self.client.loop_read()
        while self.client.has_read_ahead:
            assert self.client.loop_read() == MQTTErrorCode.MQTT_ERR_SUCCESS

    def _answered(self, _c: object, _u: object, mid: int, code: ReasonCode, properties: Properties | None) -> None:
        self.answers[mid] = code.is_failure, getattr(properties, "ReasonString", "")


@pytest.fixture(params=[MQTTProtocolVersion.MQTTv5, MQTTProtocolVersion.MQTTv311])
def ends(request: pytest.FixtureRequest) -> Iterator[Ends]:
    made = Ends(request.param)
    yield made
    made.ours.close()
    made.client.disconnect()


def puback(mid: int, rest: bytes = b"") -> bytes:
    return b"\x40" + bytes([2 + len(rest)]) + mid.to_bytes(2) + rest


def test_many_answers_in_one_piece(ends: Ends) -> None:
    """Of what came together nothing is left lying, although the socket has no more to tell of it."""
    mids = [ends.client.publish("topic", b"{}", qos=1).mid for _ in range(MESSAGES)]
    ends.ours.sendall(b"".join(map(puback, mids)))
    ends.read()
    assert list(ends.answers) == mids
    assert set(ends.answers.values()) == {(False, "")}


def test_an_answer_in_many_pieces(ends: Ends) -> None:
    """A packet may end anywhere in what the socket gives at once."""
    mids = [ends.client.publish("topic", b"{}", qos=1).mid for _ in range(2)]
    for byte in b"".join(map(puback, mids)):
        ends.ours.sendall(bytes([byte]))
        ends.read()
    assert list(ends.answers) == mids


@pytest.mark.parametrize(
    ("rest", "told"),
    [
        (b"\x00", (False, "")),
        (b"\x10", (False, "")),
        (b"\x87", (True, "")),
        (b"\x00\x00", (False, "")),
        (b"\x87\x05\x1f\x00\x02no", (True, "no")),
    ],
)
def test_every_answer_is_told_for_what_it_says(rest: bytes, told: tuple[bool, str]) -> None:
    """With or without a reason code and properties, and also where nobody listens (0x10), which is no refusal."""
    ends = Ends(MQTTProtocolVersion.MQTTv5)
    mid = ends.client.publish("topic", b"{}", qos=1).mid
    ends.ours.sendall(puback(mid, rest))
    ends.read()
    assert ends.answers == {mid: told}
    ends.ours.close()


def test_packets_that_wait_are_written_by_one_call(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is queued together goes out in one call, in its order; what paho has to see written is none of it."""
    written: list[bytes] = []

    def send(_: paho.Client, buf: bytes) -> int:
        written.append(bytes(buf))
        return len(buf)

    ends.client.on_socket_register_write = lambda *_: None  # else each is written when it is queued
    monkeypatch.setattr(paho.Client, "_sock_send", send)
    large = bytes(JOINED_MAX)
    for payload, qos in ((b"1", 1), (b"2", 1), (b"3", 0), (b"4", 1), (large, 1), (b"6", 1)):
        ends.client.publish("topic", payload, qos=qos)
    ends.client.loop_write()
    assert [call[-1:] for call in written] == [b"2", b"3", b"4", b"\0", b"6"]
    assert [call.count(b"topic") for call in written] == [2, 1, 1, 1, 1]
    assert len(written[3]) > JOINED_MAX


def test_what_the_socket_took_in_part(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the socket takes a part, the rest follows with what was queued since, and nothing is written twice."""
    written, room = bytearray(), 0

    def send(_: paho.Client, buf: bytes) -> int:
        nonlocal room
        taken, room = buf[:room], room - len(buf[:room])
        written.extend(taken)
        if not taken:
            raise BlockingIOError
        return len(taken)

    ends.client.on_socket_register_write = lambda *_: None
    monkeypatch.setattr(paho.Client, "_sock_send", send)
    for number in range(10):
        ends.client.publish("topic", b"<%d>" % number, qos=1)
        room = 5
        ends.client.loop_write()
    room = 1000
    ends.client.loop_write()
    assert re.findall(rb"topic[^<]*<(\d)>", written) == [b"%d" % number for number in range(10)]


def test_an_answer_to_nothing(ends: Ends) -> None:
    """A PUBACK that nothing waits for is passed over."""
    ends.ours.sendall(puback(77))
    ends.read()
    assert ends.answers == {}


PRIVATE = {
    "_sock_recv": ["self", "bufsize"],
    "_packet_queue": ["self", "command", "packet", "mid", "qos", "info"],
    "_packet_handle": ["self"],
    "_packet_read": ["self"],
    "_handle_publish": ["self"],
    "_handle_pubackcomp": ["self", "cmd"],
    "_create_socket_connection": ["self"],
    "_do_on_publish": ["self", "mid", "reason_code", "properties"],
    "_send_puback": ["self", "mid"],
}
"""paho's own methods that ours replace or call, with their arguments."""
IN_PACKET = {
    "command",
    "have_remaining",
    "remaining_count",
    "remaining_mult",
    "remaining_length",
    "packet",
    "to_process",
}


def test_the_insides_of_paho_are_where_they_were() -> None:
    """A paho whose private parts have moved is told by this sentence, before riddles of other tests."""
    moved = "paho's inside has moved: look at publish/mqtt/paho_client.py, then raise its bound in pyproject.toml"
    for name, arguments in PRIVATE.items():
        method = getattr(paho.Client, name, None)
        assert method is not None, f"{moved}: {name} is gone"
        assert list(inspect.signature(method).parameters) == arguments, f"{moved}: {name} takes other arguments"
    client = paho.Client(CallbackAPIVersion.VERSION2)
    assert set(client._in_packet) >= IN_PACKET, f"{moved}: the packet that comes in is kept another way"
    assert isinstance(client._in_packet["packet"], bytearray), f"{moved}: the packet that comes in is no bytearray"
    assert list(client._out_packet) == [], f"{moved}: what waits to be written is kept another way"
    assert client._out_messages == {}, f"{moved}: what is on its way is kept another way"
    assert isinstance(ReasonCode.names[0x95], dict), f"{moved}: the names of reason codes are kept another way"
    assert callable(getattr(Properties, "pack", None)), f"{moved}: properties are packed another way"
    for name in ("open_tcp", "on_unreadable", "on_oversized", "has_read_ahead", "is_discarding", "_read", "_consumed"):
        assert not hasattr(client, name), f"{moved}: it has a {name} of its own now"


def test_the_bound_of_paho_is_the_minor_version() -> None:
    """Whoever replaces private methods allows no version that nobody has tried."""
    bounds = [need for need in metadata.requires("interhuman2mqtt") or () if need.startswith("paho-mqtt")]
    assert bounds == ["paho-mqtt<2.3,>=2.2"]
