"""Peers that are no good broker: each is told apart, and none confuses us for long."""

import socket
import ssl
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
import trustme
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from trio.testing import MockClock

from interhuman2mqtt.errors import Outage, Overloaded, Reason, Refused
from interhuman2mqtt.publish.mqtt.connect import Offer, open_client
from interhuman2mqtt.publish.mqtt.connection import ACK_TIMEOUT_S
from publish.helpers import (
    Bench,
    Script,
    a_state_message,
    an_answer_message,
    an_event_message,
    answer,
    listen,
    peer,
    until,
)
from support.processes import PATIENCE_S

WELCOME_311 = bytes.fromhex("20 02 00 00")
WELCOME_5 = bytes.fromhex("20 03 00 00 00")
TOO_NEW_311 = bytes.fromhex("20 02 00 01")
TOO_NEW_5 = bytes.fromhex("20 03 00 84 00")


async def fails(*scripts: Script, protocol: str = "auto", patience: float = 5.0) -> Outage:
    """How a connection to a peer fails that plays these scripts, one per connection."""
    async with peer(*scripts) as url:
        with trio.fail_after(PATIENCE_S), pytest.raises(Outage) as caught:
            await Bench(url, mqtt={"protocol": protocol}, timeout=patience).publisher.run_connection()
    return caught.value


async def acknowledge(stream: trio.SocketStream) -> None:
    """A script for MQTT 3.1.1: acknowledge each PUBLISH that comes, one to a segment."""
    async for data in stream:
        rest = data
        while rest and rest[0] >> 4 == 3:
            size, topic = rest[1], int.from_bytes(rest[2:4], "big")
            await stream.send_all(b"\x40\x02" + rest[4 + topic : 6 + topic])
            rest = rest[2 + size :]


async def hang_up(stream: trio.SocketStream) -> None:
    """A script: read CONNECT and close."""
    await stream.receive_some()


async def say_nothing(stream: trio.SocketStream) -> None:
    """A script: read CONNECT, and leave it at that."""
    while await stream.receive_some():
        pass


async def test_auto_tries_the_older_protocol_after_silence() -> None:
    """A broker that does not answer a CONNECT of MQTT 5 at all is asked for 3.1.1."""
    async with peer(say_nothing, answer(WELCOME_311, then=acknowledge)) as url:
        bench = Bench(url, timeout=0.2)
        await bench.run_and_stop()
    assert bench.phases == ["connecting", "online", "stopped"]


@pytest.mark.parametrize("refusal", [answer(TOO_NEW_311), answer(TOO_NEW_5), hang_up])
async def test_auto_tries_the_older_protocol(refusal: Script) -> None:
    """A broker that refuses MQTT 5, in its own words, in 3.1.1's, or by hanging up, is asked for 3.1.1 at once."""
    async with peer(refusal, answer(WELCOME_311, then=acknowledge)) as url:
        bench = Bench(url)
        await bench.run_and_stop()
    assert bench.phases == ["connecting", "online", "stopped"]
    assert (bench.states[1].detail or "").endswith("MQTT 3.1.1")


@pytest.mark.parametrize(
    ("protocol", "refusal", "says"),
    [("5", TOO_NEW_5, "version of MQTT"), ("5", TOO_NEW_311, "version of MQTT"), ("3.1.1", TOO_NEW_311, "MQTT 3.1.1")],
)
async def test_a_chosen_protocol_that_is_refused(protocol: str, refusal: bytes, says: str) -> None:
    """Without `auto` a refused version is the end of the attempt, and says which key decides it."""
    error = await fails(answer(refusal), protocol=protocol)
    assert says in error.detail
    assert "mqtt.protocol" in error.detail


async def test_a_port_that_always_hangs_up() -> None:
    """A peer that closes at each CONNECT is reported as that, after both versions were tried."""
    error = await fails(hang_up, hang_up)
    assert "closed the connection instead of answering CONNECT" in error.detail


@pytest.mark.parametrize("text", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-OpenSSH_9.2\r\n", b"\xff" * 40])
async def test_a_port_that_speaks_something_else(text: bytes) -> None:
    """A peer of another protocol is no crash, and the error asks whether the port is right."""
    error = await fails(answer(text, then=listen), answer(text, then=listen), patience=0.5)
    assert (type(error), error.reason in {Reason.BROKER_LOST, Reason.BROKER_UNREACHABLE}) == (Outage, True)
    assert "127.0.0.1" in error.detail


@settings(max_examples=60, deadline=None)
@given(st.binary(min_size=1, max_size=60), st.booleans())
def test_no_bytes_are_a_crash(noise: bytes, greeted: bool) -> None:  # noqa: FBT001 - Hypothesis draws it
    """Whatever a peer sends, before CONNACK or after it, the connection ends in an Outage, or goes on."""

    async def main() -> None:
        script = answer(WELCOME_5 + noise if greeted else noise)
        async with peer(script, script) as url:
            with trio.move_on_after(0.3), pytest.raises(Outage):
                await Bench(url, timeout=0.2).publisher.run_connection()

    trio.run(main)


@pytest.mark.parametrize(
    ("code", "kind", "reason"),
    [
        (0x8E, Refused, Reason.TAKEN_OVER),
        (0x97, Overloaded, Reason.BROKER_LOST),
        (0x8B, Outage, Reason.BROKER_LOST),
    ],
)
async def test_a_disconnect_says_why(code: int, kind: type[Outage], reason: Reason) -> None:
    """A broker that ends the connection with a reason code and a sentence is quoted; taken over means: act."""
    words = b"go away"
    properties = b"\x1f" + len(words).to_bytes(2, "big") + words
    packet = bytes([0xE0, 2 + len(properties), code, len(properties)]) + properties
    error = await fails(answer(WELCOME_5 + packet, then=listen))
    assert (type(error), error.reason) == (kind, reason)
    assert "go away" in error.detail


async def test_a_refusal_quotes_the_brokers_own_words() -> None:
    """CONNACK's reason string is part of the error."""
    words = b"no room"
    properties = b"\x1f" + len(words).to_bytes(2, "big") + words
    packet = bytes([0x20, 3 + len(properties), 0, 0x97, len(properties)]) + properties
    error = await fails(answer(packet))
    assert (type(error), error.reason) == (Overloaded, Reason.BROKER_REFUSED)
    assert "no room" in error.detail


async def test_a_will_that_is_refused_is_offered_again_without_what_is_missing() -> None:
    """CONNACK `retain not supported`, then `QoS not supported`: the third CONNECT carries a plain will."""
    flags: list[int] = []

    def refuse(code: int) -> Script:
        async def play(stream: trio.SocketStream) -> None:
            connect = await stream.receive_some()
            flags.append(connect[connect.index(b"MQTT\x05") + 5])
            await stream.send_all(bytes([0x20, 3, 0, code, 0]))

        return play

    error = await fails(refuse(0x9A), refuse(0x9B), refuse(0x87), protocol="5")
    assert type(error) is Refused
    will, qos_1, retain, clean_start = 0x04, 0x08, 0x20, 0x02
    assert flags == [will | qos_1 | retain | clean_start, will | qos_1 | clean_start, will | clean_start]


async def test_the_server_sets_the_window() -> None:
    """With receive maximum 3, exactly three messages are on their way while none is acknowledged."""
    seen = bytearray()

    async def count(stream: trio.SocketStream) -> None:
        async for data in stream:
            seen.extend(data)

    welcome = bytes.fromhex("20 06 00 00 03 21 00 03")
    async with peer(answer(welcome, then=count)) as url, trio.open_nursery() as nursery:
        bench = Bench(url, mqtt={"protocol": "5"})
        for n in range(10):
            bench.publisher.publish(a_state_message(f"cam{n}/status", "{}"))
        nursery.start_soon(bench.publisher.run_connection)
        await until(lambda: seen.count(b"/status") == 3)
        await trio.testing.wait_all_tasks_blocked(0.05)
        nursery.cancel_scope.cancel()
    assert seen.count(b"/status") == 3


def answering(code: int) -> Script:
    """A script for MQTT 5: answer each PUBLISH of an event with this code, all others with 0."""

    async def play(stream: trio.SocketStream) -> None:
        rest = b""
        async for data in stream:
            rest += data
            while len(rest) > 3 and len(rest) >= 3 + (size := rest[1] & 0x7F | rest[2] << 7):
                topic = rest[5 : 5 + int.from_bytes(rest[3:5], "big")]
                mid = rest[5 + len(topic) : 7 + len(topic)]
                await stream.send_all(b"\x40\x03" + mid + bytes([code if b"/event/" in topic else 0]))
                rest = rest[3 + size :]

    return play


@pytest.mark.parametrize(
    ("code", "lost", "kept"),
    [
        (0x80, [], (3, 0)),
        (0x83, [], (3, 0)),
        (0x87, [], (3, 3)),
        (0x91, [], (3, 0)),
        (0x97, [], (3, 0)),
        (0x90, ["broker_refused"] * 3, (0, 0)),
        (0x95, ["too_large"] * 3, (0, 0)),
        (0x99, ["broker_refused"] * 3, (0, 0)),
        (0x10, [], (0, 0)),
    ],
)
async def test_what_a_code_of_puback_means(code: int, lost: list[str], kept: tuple[int, int]) -> None:
    """What may be allowed later is parked, what passes by itself waits; what never will is a loss by rule."""
    async with peer(answer(WELCOME_5, then=answering(code))) as url:
        bench = Bench(url, mqtt={"protocol": "5"})
        for n in range(3):
            bench.publisher.publish(an_event_message("front", n, b"x" * 200))
        await bench.run_and_stop(0.5)
    assert [rule for _, rule, _ in bench.dropped] == lost
    assert (bench.outbox.depth.rows, bench.outbox.depth.parked) == kept


async def test_an_answer_that_is_refused_is_not_parked() -> None:
    """Nobody waits minutes for an answer: a refused one is a loss by rule."""
    async with peer(answer(WELCOME_5, then=answering(0x87))) as url:
        bench = Bench(url, mqtt={"protocol": "5"})
        reply = structs.replace(an_answer_message("x" * 200), topic="interhuman/lobby-1/event/response")
        bench.publisher.publish(reply)
        await bench.run_and_stop()
    assert [rule for _, rule, _ in bench.dropped] == ["broker_refused"]
    assert bench.outbox.depth.rows == 0


async def test_a_broker_that_never_acknowledges(mock_clock: MockClock) -> None:
    """A broker that takes messages and answers none of them is given up after a stated time."""
    came = trio.Event()

    async def take(stream: trio.SocketStream) -> None:
        async for _ in stream:
            came.set()

    async with peer(answer(WELCOME_311, then=take)) as url, trio.open_nursery() as nursery:
        bench = Bench(url, mqtt={"protocol": "3.1.1"})
        caught: list[Outage] = []

        @nursery.start_soon
        async def run() -> None:
            with pytest.raises(Outage) as failure:
                await bench.publisher.run_connection()
            caught.append(failure.value)

        await came.wait()  # a connection that comes about takes real time, and has a limit of its own
        for _ in range(40):
            await trio.testing.wait_all_tasks_blocked(0.01)
            mock_clock.jump(ACK_TIMEOUT_S / 20)
        await trio.testing.wait_all_tasks_blocked(0.01)
    assert caught[0].reason is Reason.BROKER_LOST
    assert "did not answer for 60 s" in caught[0].detail


async def test_what_shares_a_tls_record_with_connack_is_not_left_lying(tmp_path: Path) -> None:
    """A DISCONNECT that came decrypted together with CONNACK is read, though the socket has nothing more to say."""
    disconnect = bytes.fromhex("e0 02 8e 00")
    error = await fails_over_tls(tmp_path, answer(WELCOME_5 + disconnect, then=listen))
    assert error.reason is Reason.TAKEN_OVER


async def test_a_tls_port_that_hangs_up_is_told_like_a_plain_one(tmp_path: Path) -> None:
    """Closing after the handshake without a word of TLS means what it means without TLS."""
    error = await fails_over_tls(tmp_path, cut_off, cut_off)
    assert "closed the connection instead of answering CONNECT" in error.detail


@pytest.mark.parametrize(
    ("certificates", "raised"),
    [(ssl.CERT_REQUIRED, r"ALERT_CERTIFICATE_REQUIRED"), (ssl.CERT_NONE, r"EOF occurred|Broken pipe|reset by peer")],
)
def test_a_write_that_fails_tells_what_waits_to_be_read(
    tmp_path: Path, certificates: ssl.VerifyMode, raised: str
) -> None:
    """Writing into a connection that was closed with an alert raises the alert, without one the failed write."""
    ca, context = _authority(tmp_path)
    context.verify_mode = certificates
    ca.configure_trust(context)

    def judge() -> None:
        connection, _ = listener.accept()
        with connection, suppress(ssl.SSLError):
            context.wrap_socket(connection, server_side=True).close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        judging = threading.Thread(target=judge)
        judging.start()
        url = f"mqtts://127.0.0.1:{listener.getsockname()[1]}"
        client = open_client(Bench(url, mqtt={"ca_file": str(tmp_path / "ca.pem")}).publisher._settings, Offer())
        judging.join()
    sock = client.socket()
    assert isinstance(sock, ssl.SSLSocket)
    with sock, pytest.raises(OSError, match=raised):  # noqa: PT012 - which write fails is the kernel's choice
        for _ in range(100):
            sock.send(b"x")


async def cut_off(stream: trio.SSLStream[trio.SocketStream]) -> None:
    """A script: close the TCP connection underneath TLS, whatever has come."""
    await stream.do_handshake()
    await stream.transport_stream.aclose()


async def fails_over_tls(folder: Path, *scripts: Callable[[Any], Awaitable[None]]) -> Outage:
    """How a connection fails to a peer that plays these scripts over TLS."""
    _, context = _authority(folder)
    rest = list(scripts)

    async def play(stream: trio.SocketStream) -> None:
        await rest.pop(0)(trio.SSLStream(stream, context, server_side=True))

    async with peer(*[play] * len(scripts)) as url:
        bench = Bench(url.replace("mqtt:", "mqtts:"), mqtt={"ca_file": str(folder / "ca.pem")})
        with trio.fail_after(PATIENCE_S), pytest.raises(Outage) as caught:
            await bench.publisher.run_connection()
    return caught.value


def _authority(folder: Path) -> tuple[trustme.CA, ssl.SSLContext]:
    """A CA, whose certificate is in `ca.pem`, and TLS of a server that it vouches for."""
    ca = trustme.CA()
    ca.cert_pem.write_to_path(folder / "ca.pem")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    return ca, context
