"""Whole connections to a real Mosquitto, and the ways in which they fail."""

import json
import socket
import traceback
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trio
import trustme
from structlog.testing import capture_logs

from interhuman2mqtt.config import SecretRef
from interhuman2mqtt.errors import Outage, Reason, Refused
from interhuman2mqtt.publish.mqtt.poison import FAILURES
from interhuman2mqtt.publish.outbox.parked import QUARANTINE, REFUSED
from publish.helpers import Bench, a_state_message, an_event_message, login, running, until
from support.mosquitto import Broker, Tls, free_port, mosquitto, subscribed
from support.netproxy import PIECE, network
from support.processes import PATIENCE_S

STATE = "interhuman/lobby-1/bridge/state"
EXPIRED = datetime.now(UTC) - timedelta(days=1)


async def fails(bench: Bench) -> Outage:
    """How the next connection fails."""
    with trio.fail_after(PATIENCE_S), pytest.raises(Outage) as caught:
        await bench.publisher.run_connection()
    return caught.value


@pytest.mark.parametrize(("protocol", "spoken"), [("5", "5"), ("3.1.1", "3.1.1"), ("auto", "5")])
async def test_a_whole_connection(tmp_path: Path, protocol: str, spoken: str) -> None:
    """Retained state, `online`, the events and `stopped` arrive in this order, by each version; no will follows."""
    async with mosquitto(tmp_path) as broker, subscribed(broker) as subscriber:
        bench = Bench(broker.url, mqtt={"protocol": protocol})
        bench.publisher.publish(an_event_message("front", 1))
        bench.publisher.publish(a_state_message("front/status", "{}"))
        await bench.run_and_stop()
        await subscriber.wait_for(lambda seen: len(seen) == 4)
        await broker.wait_log("Client interhuman-lobby-1 disconnected.")
    assert [message.topic.removeprefix("interhuman/lobby-1/") for message in subscriber.messages] == [
        "front/status",
        "bridge/state",
        "front/event/x",
        "bridge/state",
    ]
    assert b'"online"' in subscriber.payloads(STATE)[0]
    assert b'"stopped"' in subscriber.payloads(STATE)[1]
    assert bench.phases == ["connecting", "online", "stopped"]
    assert bench.states[1].detail == f"localhost:{broker.port}, MQTT {spoken}"
    assert bench.outbox.depth.rows == 0


async def test_mqtt_5_describes_the_payload(tmp_path: Path) -> None:
    """An event carries content type, payload format, expiry and the user properties; a state carries no expiry."""
    async with mosquitto(tmp_path) as broker, subscribed(broker) as subscriber:
        bench = Bench(broker.url)
        bench.publisher.publish(an_event_message("front", 1))
        await bench.run_and_stop()
        event = await subscriber.wait_topic("event/x")
        state = await subscriber.wait_topic(STATE)
    assert event.properties == {
        "ContentType": "application/json",
        "PayloadFormatIndicator": 1,
        "MessageExpiryInterval": 3600,
        "UserProperty": [("schema", "1"), ("type", "x"), ("id", "lobby-1/front/s/1")],
    }
    assert "MessageExpiryInterval" not in state.properties


async def test_states_are_retained_and_events_are_not(tmp_path: Path) -> None:
    """Who subscribes later gets the states out of the broker's store, and no event."""
    async with mosquitto(tmp_path) as broker:
        bench = Bench(broker.url)
        bench.publisher.publish(an_event_message("front", 1))
        bench.publisher.publish(a_state_message("front/status", "{}"))
        await bench.run_and_stop()
        async with subscribed(broker) as subscriber:
            await subscriber.wait_for(lambda seen: len(seen) == 2)
    assert {(message.topic, message.retained) for message in subscriber.messages} == {
        ("interhuman/lobby-1/front/status", True),
        (STATE, True),
    }


async def test_nobody_listens() -> None:
    """A broker that is not there is an Outage that names host and port."""
    port = free_port()
    bench = Bench(f"mqtt://localhost:{port}")
    error = await fails(bench)
    assert (type(error), error.reason) == (Outage, Reason.BROKER_UNREACHABLE)
    assert f"localhost:{port}" in error.detail
    assert bench.phases == ["connecting", "offline"]


async def test_a_state_is_told_once_while_it_lasts() -> None:
    """A second failure of the same kind is no news."""
    bench = Bench(f"mqtt://localhost:{free_port()}")
    await fails(bench)
    await fails(bench)
    assert bench.phases == ["connecting", "offline"]


async def test_a_name_that_is_not_found() -> None:
    """A host name that DNS does not know is reported as such."""
    error = await fails(Bench("mqtt://no-such-host.invalid"))
    assert error.reason is Reason.BROKER_UNREACHABLE
    assert "no-such-host.invalid:1883" in error.detail
    assert "DNS" in error.detail


async def test_a_name_whose_first_address_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two addresses of a name the first takes no connection and says nothing: we are online by the second."""
    async with mosquitto(tmp_path) as broker:
        with ExitStack() as stack:
            hanging = stack.enter_context(socket.create_server(("127.0.0.2", broker.port), backlog=0))
            for _ in range(2):  # the kernel takes one more than it is asked to
                client = stack.enter_context(socket.socket())
                client.settimeout(0.0)
                client.connect_ex(hanging.getsockname())
            addresses = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"127.0.0.{n}", broker.port)) for n in (2, 1)]
            monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: addresses)
            await Bench(f"mqtt://broker.example:{broker.port}", timeout=2.0).run_and_stop()


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_a_wrong_password(tmp_path: Path, protocol: str) -> None:
    """A refused password is Refused, says which keys to check, and shows the password nowhere."""
    async with mosquitto(tmp_path, users={"edge": "right"}) as broker:
        bench = Bench(broker.url, mqtt={**login(tmp_path, "xyzzy-wrong"), "protocol": protocol})
        error = await fails(bench)
    assert (type(error), error.reason) == (Refused, Reason.BROKER_REFUSED)
    assert "mqtt.password" in error.detail
    assert bench.phases == ["connecting", "refused"]
    shown = traceback.TracebackException.from_exception(error, capture_locals=True)
    assert "xyzzy-wrong" not in "".join(shown.format())
    assert "xyzzy-wrong" not in repr(bench.states) + repr(bench.publisher.__dict__)


async def test_the_right_password(tmp_path: Path) -> None:
    """User name and password let us in, and the password is read again for each connection."""
    users = {"edge": "right", "watcher": "secret"}
    async with (
        mosquitto(tmp_path, users=users) as broker,
        subscribed(broker, user=("watcher", "secret")) as subscriber,
    ):
        await Bench(broker.url, mqtt=login(tmp_path, "right")).run_and_stop()
        await subscriber.wait_for(lambda seen: len(seen) == 2)


async def test_a_secret_that_cannot_be_read_is_its_own_outage(tmp_path: Path) -> None:
    """A password whose file is missing ends the attempt, and is reported as the connection's state."""
    async with mosquitto(tmp_path) as broker:
        bench = Bench(broker.url, mqtt={"username": "edge", "password": SecretRef(file=str(tmp_path / "none"))})
        error = await fails(bench)
    assert error.reason is Reason.SECRET_MISSING
    assert bench.states[-1].reason is Reason.SECRET_MISSING


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


def tls_files(folder: Path, ca: trustme.CA, leaf: trustme.LeafCert, *, client_certificates: bool = False) -> Tls:
    """The CA's and a certificate's files."""
    files = Tls(folder / "ca.pem", folder / "cert.pem", folder / "key.pem", client_certificates)
    ca.cert_pem.write_to_path(files.ca_file)
    leaf.cert_chain_pems[0].write_to_path(files.cert_file)
    leaf.private_key_pem.write_to_path(files.key_file)
    return files


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_tls_with_a_ca_of_ones_own(tmp_path: Path, ca: trustme.CA, protocol: str) -> None:
    """A thousand events pass through TLS, verified against our own CA, each once and in order."""
    tls = tls_files(tmp_path, ca, ca.issue_cert("localhost"))
    async with mosquitto(tmp_path, tls=tls) as broker, subscribed(broker, ca_file=tls.ca_file) as subscriber:
        bench = Bench(broker.url, mqtt={"ca_file": str(tls.ca_file), "protocol": protocol})
        wanted = [an_event_message("front", n) for n in range(1000)]
        for message in wanted:
            bench.publisher.publish(message)
        await bench.run_and_stop(10)
        await subscriber.wait_for(lambda seen: len(seen) == 1002)
    assert subscriber.payloads("event/x") == [message.payload for message in wanted]


async def test_a_client_certificate(tmp_path: Path, ca: trustme.CA) -> None:
    """A broker that asks for a client certificate lets us in with it, and without it says what is missing."""
    tls = tls_files(tmp_path, ca, ca.issue_cert("localhost"), client_certificates=True)
    ours = tmp_path / "ours.pem"
    ca.issue_cert("edge").private_key_and_cert_chain_pem.write_to_path(ours)
    async with mosquitto(tmp_path, tls=tls) as broker:
        bench = Bench(broker.url, mqtt={"ca_file": str(tls.ca_file), "cert_file": str(ours)})
        await bench.run_and_stop()
        assert bench.phases == ["connecting", "online", "stopped"]
        error = await fails(Bench(broker.url, mqtt={"ca_file": str(tls.ca_file)}))
    assert (type(error), error.reason) == (Refused, Reason.TLS_FAILED)
    assert "mqtt.cert_file" in error.detail


@pytest.mark.parametrize(
    ("issue", "says"),
    [
        (lambda ca: ca.issue_cert("elsewhere.example"), "another host name"),
        (lambda ca: ca.issue_cert("localhost", not_before=EXPIRED - timedelta(1), not_after=EXPIRED), "expired"),
        (lambda _: trustme.CA().issue_cert("localhost"), "CA that is not known"),
    ],
)
async def test_a_certificate_that_is_not_accepted(
    tmp_path: Path, ca: trustme.CA, issue: Callable[[trustme.CA], trustme.LeafCert], says: str
) -> None:
    """Another host's, an expired and an unknown CA's certificate: each is Refused with a sentence of its own."""
    tls = tls_files(tmp_path, ca, issue(ca))
    async with mosquitto(tmp_path, tls=tls) as broker:
        error = await fails(Bench(broker.url, mqtt={"ca_file": str(tls.ca_file)}))
    assert (type(error), error.reason) == (Refused, Reason.TLS_FAILED)
    assert says in error.detail
    assert f"localhost:{broker.port}" in error.detail


async def test_an_address_that_the_certificate_does_not_name(tmp_path: Path, ca: trustme.CA) -> None:
    """A certificate for a host name does not serve for its address."""
    tls = tls_files(tmp_path, ca, ca.issue_cert("localhost"))
    async with mosquitto(tmp_path, tls=tls) as broker:
        error = await fails(Bench(f"mqtts://127.0.0.1:{broker.port}", mqtt={"ca_file": str(tls.ca_file)}))
    assert "does not name this address" in error.detail


async def test_tls_to_a_plain_port_and_the_reverse(tmp_path: Path, ca: trustme.CA) -> None:
    """Taking one port for the other is reported as such, not as a riddle."""
    (tmp_path / "tls").mkdir()
    tls = tls_files(tmp_path / "tls", ca, ca.issue_cert("localhost"))
    async with mosquitto(tmp_path) as plain, mosquitto(tmp_path / "tls", tls=tls) as secure:
        to_plain = await fails(Bench(f"mqtts://localhost:{plain.port}", timeout=2.0))
        to_secure = await fails(Bench(f"mqtt://localhost:{secure.port}", timeout=2.0))
    assert to_plain.reason in {Reason.TLS_FAILED, Reason.BROKER_UNREACHABLE}
    assert "mqtts://" in to_secure.detail


async def test_a_killed_broker(tmp_path: Path) -> None:
    """A broker that dies is an Outage: the connection was lost."""
    async with mosquitto(tmp_path) as broker, trio.open_nursery() as nursery:
        bench = Bench(broker.url)

        @nursery.start_soon
        async def kill() -> None:
            await until(lambda: "online" in bench.phases)
            await broker.kill()

        error = await fails(bench)
    assert (type(error), error.reason) == (Outage, Reason.BROKER_LOST)
    assert bench.phases == ["connecting", "online", "offline"]


async def test_a_frozen_broker(tmp_path: Path) -> None:
    """A broker that stands still is noticed by the keepalive. In real time: the keepalive is one second here."""
    async with mosquitto(tmp_path) as broker, trio.open_nursery() as nursery:
        bench = Bench(broker.url, keepalive=1)

        @nursery.start_soon
        async def freeze() -> None:
            await until(lambda: "online" in bench.phases)
            broker.freeze()

        error = await fails(bench)
        broker.thaw()
    assert error.reason is Reason.BROKER_LOST
    assert "did not answer for 1 s" in error.detail


async def test_a_broker_that_is_frozen_from_the_start(tmp_path: Path) -> None:
    """A broker whose kernel accepts and which never answers is given up after the time for one attempt."""
    async with mosquitto(tmp_path) as broker:
        broker.freeze()
        error = await fails(Bench(broker.url, timeout=0.5))
        broker.thaw()
    assert error.reason is Reason.BROKER_UNREACHABLE
    assert "within 0.5 s" in error.detail


async def test_a_broker_that_comes_back_empty_gets_everything_again(tmp_path: Path) -> None:
    """After a restart without its store the broker gets all retained state, and `online` only after it."""
    async with mosquitto(tmp_path) as broker:
        bench = Bench(broker.url)
        for n in range(20):
            bench.publisher.publish(a_state_message(f"cam{n}/status", str(n)))
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def kill() -> None:
                await until(lambda: "online" in bench.phases and bench.outbox.depth.rows == 0)
                await broker.kill()

            await fails(bench)
        await broker.start()
        async with subscribed(broker) as subscriber, running(bench):
            await subscriber.wait_topic(STATE)
    *states, online = subscriber.messages[:21]
    assert (online.topic, b'"online"' in online.payload) == (STATE, True)
    assert [message.payload for message in states] == [str(n).encode() for n in range(20)]


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_the_same_client_id_twice(tmp_path: Path, protocol: str) -> None:
    """Who is thrown out by a namesake, by a broker that does not say so, is told of that possibility."""
    async with mosquitto(tmp_path) as broker, trio.open_nursery() as nursery:
        first, second = (Bench(broker.url, mqtt={"protocol": protocol}) for _ in range(2))

        @nursery.start_soon
        async def take_over() -> None:
            await until(lambda: "online" in first.phases)
            await second.publisher.run_connection()

        error = await fails(first)
        await until(lambda: "online" in second.phases)
        nursery.cancel_scope.cancel()
    assert (type(error), error.reason) == (Outage, Reason.BROKER_LOST)
    assert "second client with our client id" in error.detail


async def test_a_client_id_that_the_broker_rejects(tmp_path: Path) -> None:
    """A client id that is refused says which key to change."""
    async with mosquitto(tmp_path, lines=["clientid_prefixes allowed-"]) as broker:
        error = await fails(Bench(broker.url))
    assert type(error) is Refused
    assert "localhost" in error.detail


async def start_with(broker: Broker, *, within: float = 5.0, messages: int = 10) -> Bench:
    """Publish some events through `broker`, to the end."""
    bench = Bench(broker.url)
    for n in range(messages):
        bench.publisher.publish(an_event_message("front", n))
    await bench.run_and_stop(within)
    return bench


async def test_one_message_at_a_time(tmp_path: Path) -> None:
    """A broker with receive maximum 1 gets one message after the other, all of them, in order."""
    async with mosquitto(tmp_path, lines=["max_inflight_messages 1"]) as broker, subscribed(broker) as subscriber:
        bench = await start_with(broker, messages=200)
        await subscriber.wait_for(lambda seen: len(seen) == 202)
        log = list(broker.log)
    assert subscriber.payloads("event/x") == [an_event_message("front", n).payload for n in range(200)]
    assert bench.dropped == []
    mine = [line for line in log if "PUBLISH from interhuman" in line or "PUBACK to interhuman" in line]
    assert all(("PUBLISH" in line) == (n % 2 == 0) for n, line in enumerate(mine))


async def test_a_message_that_is_too_large_is_dropped_alone(tmp_path: Path) -> None:
    """What the broker's largest packet cannot hold is dropped, counted and reported; its neighbours arrive."""
    async with mosquitto(tmp_path, lines=["max_packet_size 500"]) as broker, subscribed(broker) as subscriber:
        bench = Bench(broker.url)
        bench.publisher.publish(an_event_message("front", 1))
        bench.publisher.publish(an_event_message("front", 2, b"x" * 600))
        bench.publisher.publish(an_event_message("front", 3))
        bench.publisher.publish(a_state_message("front/state/signals", "y" * 600))
        await bench.run_and_stop()
        await subscriber.wait_for(lambda seen: len(seen) == 4)
    assert len(subscriber.payloads("event/x")) == 2
    assert [(topic.rpartition("/")[2], loss) for topic, loss, _ in bench.dropped] == [
        ("signals", "too_large"),
        ("x", "too_large"),
    ]
    assert "500 bytes" in bench.dropped[0][2]
    assert bench.outbox.depth.rows == 0


async def test_the_largest_packet_that_fits_is_taken(tmp_path: Path) -> None:
    """The size that we compute is the broker's: one byte less than the limit and the limit itself pass."""
    async with mosquitto(tmp_path, lines=["max_packet_size 500"]) as broker:
        bench = Bench(broker.url)
        for size in range(330, 400):
            bench.publisher.publish(an_event_message("front", size, b"x" * size))
        await bench.run_and_stop()
        log = [line for line in broker.log if "PUBLISH from interhuman" in line and "event/x" in line]
    assert bench.phases[-1] == "stopped"
    assert len(log) + len(bench.dropped) == 70
    assert log
    assert bench.dropped


async def run_until_empty(bench: Bench) -> int:
    """Connect again and again until everything is published or lost; how many connections were lost."""
    bench.publisher.stop(60)
    for lost in range(20):
        try:
            await bench.publisher.run_connection()
        except Outage:
            continue
        return lost
    raise AssertionError(bench.outbox.depth)


async def test_a_message_above_the_brokers_own_limit(tmp_path: Path) -> None:
    """Mosquitto's PUBACK of 0x95, which MQTT 5 does not know, costs the message and not the connection."""
    async with mosquitto(tmp_path, lines=["message_size_limit 500"]) as broker, subscribed(broker) as subscriber:
        bench = Bench(broker.url)
        for n, size in enumerate((10, 600, 10)):
            bench.publisher.publish(an_event_message("front", n, b"x" * size))
        await bench.run_and_stop()
        await subscriber.wait_for(lambda seen: len(seen) == 4)
    assert [rule for _, rule, _ in bench.dropped] == ["too_large"]


async def test_a_message_that_ends_each_connection(tmp_path: Path) -> None:
    """Where a broker closes on a message without a word, this one is parked and kept, and the others arrive."""
    lines = ["max_packet_size 500"]
    async with mosquitto(tmp_path, lines=lines) as broker, subscribed(broker) as subscriber:
        bench = Bench(broker.url, mqtt={"protocol": "3.1.1"})
        for n in range(40):
            bench.publisher.publish(an_event_message("front", n, b"x" * 600 if n == 20 else b"%d" % n))
        bench.publisher.publish(a_state_message("front/status", "{}"))
        bench.publisher.publish(a_state_message("front/state/last_event", "y" * 600))
        with capture_logs() as logs:
            lost = await run_until_empty(bench)
            await subscriber.wait_topic("front/event/x")
            await until(lambda: len(set(subscriber.payloads("event/x"))) == 39)
            assert 2 * FAILURES <= lost <= 2 * FAILURES + 4
            assert await run_until_empty(bench) == 0
            bench.now += QUARANTINE.first
            assert 2 <= await run_until_empty(bench) <= 4
            assert await run_until_empty(bench) == 0
    assert bench.dropped == []
    assert (bench.outbox.depth.rows, bench.outbox.depth.parked) == (2, 2)
    assert bench.outbox.retained_topics() <= bench.publisher.topics
    assert list(dict.fromkeys(subscriber.payloads("event/x"))) == [b"%d" % n for n in range(40) if n != 20]
    assert subscriber.payloads("front/status")
    assert [line["topic"].rpartition("/")[2] for line in logs if line["event"] == "quarantined"] == ["last_event", "x"]


async def test_a_line_that_carries_no_large_packets_for_a_while(tmp_path: Path) -> None:
    """What seemed to break the connection arrives a minute later, all of it; nothing is lost or left to be cleared."""
    broken = True

    def cut(_connection: int, way: str, data: bytes) -> None:
        if broken and way == "up" and len(data) == PIECE:
            net.reset()

    async with mosquitto(tmp_path) as broker, network(broker.port, cut) as net, subscribed(broker) as subscriber:
        bench = Bench(f"mqtt://127.0.0.1:{net.port}")
        large = {name: a_state_message(name, name * 1000) for name in ("hallway/discovery", "kitchen/discovery")}
        for message in large.values():
            bench.publisher.publish(message)
        bench.publisher.publish(event := an_event_message("front", 1, b"x" * 3 * PIECE))
        bench.publisher.publish(an_event_message("front", 2))
        await run_until_empty(bench)
        assert bench.outbox.depth.parked == 3
        assert bench.outbox.retained_topics() <= bench.publisher.topics
        bench.publisher.publish(changed := a_state_message("kitchen/discovery", "changed" * 1000))
        broken = False
        bench.now += QUARANTINE.first
        assert await run_until_empty(bench) == 0
        await subscriber.wait_topic("kitchen/discovery")
        await subscriber.wait_topic("hallway/discovery")
        await until(lambda: len(subscriber.payloads("event/x")) >= 2)
    assert subscriber.payloads("hallway/discovery") == [large["hallway/discovery"].payload]
    assert subscriber.payloads("kitchen/discovery") == [changed.payload]
    assert subscriber.payloads("event/x") == [an_event_message("front", 2).payload, event.payload]
    assert (bench.dropped, bench.outbox.depth.rows) == ([], 0)


ACL = ["topic readwrite interhuman/lobby-1/front/#", "topic readwrite interhuman/lobby-1/bridge/#"]


async def test_a_topic_that_the_acl_forbids_is_parked_alone(tmp_path: Path) -> None:
    """Messages answered by `not authorized` stay, counted as parked and logged; the others arrive in order."""
    async with mosquitto(tmp_path, acl=ACL) as broker, subscribed(broker) as subscriber:
        bench = Bench(broker.url)
        for n in range(3):
            bench.publisher.publish(an_event_message("front", n))
            bench.publisher.publish(an_event_message("back", n))
        bench.publisher.publish(a_state_message("back/status", "{}"))
        with capture_logs() as logs:
            await bench.run_and_stop()
        await subscriber.wait_for(lambda seen: len(seen) == 5)
    assert subscriber.payloads("event/x") == [an_event_message("front", n).payload for n in range(3)]
    assert bench.dropped == []
    assert (bench.outbox.depth.rows, bench.outbox.depth.parked) == (4, 4)
    assert [line["detail"] for line in logs if line["event"] == "topics parked"] == [
        "the broker refused it: Not authorized (code 0x87)"
    ]


async def test_a_topic_that_is_allowed_again(tmp_path: Path) -> None:
    """What was parked arrives in order once the broker allows it, by the next connection or the next attempt."""
    async with mosquitto(tmp_path, acl=ACL) as broker, subscribed(broker) as subscriber:
        bench = Bench(broker.url)
        for n in range(30):
            bench.publisher.publish(an_event_message("back", n))
        bench.publisher.publish(a_state_message("back/status", "{}"))
        async with running(bench):
            await until(lambda: bench.outbox.depth.parked == 31)
            bench.publisher.publish(an_event_message("back", 30))
            assert bench.outbox.depth.parked == 32
            await broker.allow([*ACL, "topic readwrite interhuman/lobby-1/back/event/#"])
            bench.now += REFUSED.longest
            bench.publisher.publish(an_event_message("front", 0))
            await until(lambda: bench.outbox.depth.parked == 1)
            await until(lambda: bench.outbox.depth.rows == 1)
        await broker.allow([*ACL, "topic readwrite interhuman/lobby-1/back/#"])
        await bench.run_and_stop()
        await subscriber.wait_topic("back/status")
    assert [json.loads(payload)["n"] for payload in subscriber.payloads("back/event/x")] == list(range(31))
    assert bench.outbox.depth.rows == 0
    assert bench.dropped == []


@pytest.mark.parametrize("line", ["retain_available false", "max_qos 0"])
async def test_a_broker_that_can_do_less(tmp_path: Path, line: str) -> None:
    """Without retained messages, or without QoS 1, we publish as well as the broker can, will included."""
    async with mosquitto(tmp_path, lines=[line]) as broker, subscribed(broker) as subscriber:
        bench = await start_with(broker)
        await subscriber.wait_for(lambda seen: len(seen) == 12)
    assert bench.phases == ["connecting", "online", "stopped"]
    assert bench.outbox.depth.rows == 0
