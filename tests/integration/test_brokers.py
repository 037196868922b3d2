"""Whole runs against brokers that are absent, dying, deaf or stingy: what they can take arrives, in order."""

import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
import trio
import trustme

from integration.delivery import BUSY, arrivals, assert_arrived, assert_in_order
from integration.helpers import Box, Json, Peers, box, cloud, configuration, run_peers
from integration.notify_socket import notify_socket
from publish.helpers import answer, listen, peer
from support.clips import Clip
from support.mosquitto import Tls, mosquitto, subscribed
from support.netproxy import Network, network

FILE: Json = {"source": f"file:{Clip().path()}"}
EVENTS = 30
"""So many events are enough to see something."""


async def more_events(peers: Peers, camera: str = "front") -> None:
    """Wait until some more events came."""
    already = len(arrivals(peers, camera))
    await peers.subscriber.wait_for(lambda _: len(arrivals(peers, camera)) >= already + EVENTS, 30)


async def all_said(peers: Peers, daemon: Box, camera: str = "front") -> None:
    """Stop the daemon, and wait for the last event; every one that the cloud sent must have come, in order."""
    assert await daemon.stop() == 0
    await peers.wait_event(camera, "session.ended")
    assert_in_order(peers, camera)
    assert assert_arrived(peers, camera) > EVENTS


@asynccontextmanager
async def by_the_way(folder: Path, **broker: object) -> AsyncIterator[tuple[Peers, Network]]:
    """A site whose broker is made with these options, and a way to it for the daemon alone."""
    async with (
        mosquitto(folder, **broker) as server,
        subscribed(server) as subscriber,
        cloud(folder / "cloud", *BUSY) as simulated,
        network(server.port) as way,
    ):
        yield Peers(folder, server, simulated, subscriber, None), way


def through(peers: Peers, way: Network, **sections: Json) -> Json:
    """A configuration that leads that way."""
    return peers.config({"front": FILE}, mqtt={"url": f"mqtt://localhost:{way.port}"}, **sections)


@asynccontextmanager
async def peers_and_daemon(folder: Path, **broker: object) -> AsyncIterator[tuple[Peers, Network, Box]]:
    """The same with a daemon that goes that way."""
    async with by_the_way(folder, **broker) as (peers, way), box(folder, through(peers, way)) as daemon:
        yield peers, way, daemon


async def test_a_broker_that_is_killed(tmp_path: Path) -> None:
    """All that happens while a broker is dead arrives once it is back, in order, and the retained state with it."""
    # Without a limit all that the broker acknowledged was on its way to the subscriber when it died. Yet a client that
    # writes into a connection that is gone reads no more of what came through it: so it may read in peace before.
    async with peers_and_daemon(tmp_path, lines=["max_inflight_messages 0"]) as (peers, way, daemon):
        await more_events(peers)
        peers.broker.freeze()
        await trio.sleep(1)
        await peers.broker.kill()
        await daemon.wait_log("broker", state="offline")
        await way.refuse()
        await trio.sleep(2)
        await peers.broker.start()
        await peers.broker.wait_log("Received SUBSCRIBE")
        await way.accept()
        await peers.subscriber.wait_for(lambda _: said(daemon, "online") == 2, 30)
        left = await peers.retained()
        assert json.loads(left["bridge/state"])["state"] == "online"
        assert json.loads(left["front/status"])["state"] == "streaming"
        assert "bridge/info" in left
        await more_events(peers)
        await all_said(peers, daemon)


def said(daemon: Box, state: str) -> int:
    """How often the log said this of the broker."""
    return len([line for line in daemon.log if line["event"] == "broker" and line.get("state") == state])


async def test_a_broker_that_is_frozen(tmp_path: Path) -> None:
    """A broker that stands still for a while and goes on has missed nothing."""
    async with by_the_way(tmp_path) as (peers, way), box(tmp_path, through(peers, way)) as daemon:
        await more_events(peers)
        peers.broker.freeze()
        await trio.sleep(3)
        peers.broker.thaw()
        await more_events(peers)
        await all_said(peers, daemon)
        assert said(daemon, "online") == 1


async def test_a_network_that_breaks(tmp_path: Path) -> None:
    """Over a line that is reset, cut and refused again and again everything arrives, in order."""
    async with by_the_way(tmp_path) as (peers, way), box(tmp_path, through(peers, way)) as daemon:
        for _ in range(4):
            await more_events(peers)
            way.reset()
        way.cut()
        await trio.sleep(1)
        way.reset()
        way.mend()
        await more_events(peers)
        await all_said(peers, daemon)


async def test_one_message_at_a_time(tmp_path: Path) -> None:
    """With receive maximum 1 everything arrives, in order."""
    async with peers_and_daemon(tmp_path, lines=["max_inflight_messages 1"]) as (peers, _, daemon):
        await more_events(peers)
        await all_said(peers, daemon)


SMALL = 900
"""Bytes of a packet: some events are larger, most are not."""


async def test_a_small_largest_packet(tmp_path: Path) -> None:
    """What is too large for the broker is dropped and reported on the log; all else arrives in order."""
    lines = [f"max_packet_size {SMALL}"]
    async with peers_and_daemon(tmp_path, lines=lines) as (peers, _, daemon):
        await more_events(peers)
        await daemon.wait_log("messages dropped", rule="too_large")
        assert await daemon.stop() == 0
        assert_in_order(peers, "front")
        dropped = [line for line in daemon.log if line["event"] == "messages dropped"]
        assert {line["rule"] for line in dropped} == {"too_large"}
        assert f"takes packets of {SMALL} bytes" in dropped[0]["detail"]
        arrived = {event["id"] for event in arrivals(peers, "front")}
        numbers = sorted(int(id_.rpartition("/")[2]) for id_ in arrived)
        assert len(arrived) < numbers[-1]  # some are missing, and only by the rule


ACL = ["topic readwrite #", "topic deny interhuman/lobby-1/front/event/engagement.updated"]


async def test_one_topic_that_is_forbidden(tmp_path: Path) -> None:
    """The others arrive in order meanwhile; what was parked survives the restart, and arrives once it is allowed."""
    async with peers_and_daemon(tmp_path, acl=ACL) as (peers, _, daemon):
        await daemon.wait_log("topics parked", topic="interhuman/lobby-1/front/event/engagement.updated")
        await more_events(peers)
        assert await daemon.stop() == 0
        kept = (await daemon.wait_log("events are kept for the next start"))["events"]
        assert_in_order(peers, "front")
        assert peers.events("front", "engagement.updated") == []
        await peers.broker.allow(ACL[:1])
        await daemon.start()
        await peers.subscriber.wait_for(lambda _: len(peers.events("front", "engagement.updated")) >= kept, 30)
        assert await daemon.stop() == 0
        parked = [event["data"] for event in peers.events("front", "engagement.updated")]
        said = [line["data"] for line in peers.cloud.happened("event", type="engagement.updated")]
        assert parked[:kept] == said[:kept]


class Case(NamedTuple):
    """What is wrong with the broker at first, and how that is reported."""

    make: Callable[[Path, int], Json]
    """From a folder and the broker's port to `[mqtt]`."""
    state: str
    reason: str
    says: str


def expired(folder: Path, port: int) -> Json:
    return {"url": f"mqtts://localhost:{port}", "ca_file": str(folder / "ca.pem")}


CASES = {
    "absent": Case(lambda *_: {"url": "mqtt://localhost:9"}, "offline", "broker_unreachable", "nothing listens at"),
    "DNS": Case(
        lambda *_: {"url": "mqtt://no-such-host.invalid"},
        "offline",
        "broker_unreachable",
        "this box's DNS",
    ),
    "password": Case(
        lambda _, port: {"url": f"mqtt://localhost:{port}", "username": "edge", "password": {"env": "WRONG"}},
        "refused",
        "broker_refused",
        "check mqtt.username and mqtt.password",
    ),
    "certificate": Case(expired, "refused", "tls_failed", "has a certificate that has expired"),
}


@asynccontextmanager
async def strict_brokers(folder: Path) -> AsyncIterator[tuple[int, int]]:
    """The ports of a broker that wants a password, and of one whose certificate has expired."""
    ca, yesterday = trustme.CA(), datetime.now(UTC) - timedelta(days=1)
    leaf = ca.issue_cert("localhost", not_before=yesterday - timedelta(days=1), not_after=yesterday)
    files = Tls(folder / "ca.pem", folder / "cert.pem", folder / "key.pem")
    ca.cert_pem.write_to_path(files.ca_file)
    leaf.cert_chain_pems[0].write_to_path(files.cert_file)
    leaf.private_key_pem.write_to_path(files.key_file)
    for name in ("password", "certificate"):
        (folder / name).mkdir()
    async with (
        mosquitto(folder / "password", users={"edge": "right"}) as with_password,
        mosquitto(folder / "certificate", tls=files) as with_certificate,
    ):
        yield with_password.port, with_certificate.port


@pytest.mark.parametrize("name", CASES)
async def test_no_broker_at_first(tmp_path: Path, name: str) -> None:
    """What is wrong is in the log and reported to systemd; its events arrive after a restart, in order and late.

    The daemon runs without a broker, is stopped, and started again with one.
    """
    case = CASES[name]
    async with run_peers(tmp_path, *BUSY) as peers, strict_brokers(tmp_path) as ports, notify_socket(tmp_path) as told:
        mqtt = case.make(tmp_path, ports[name == "certificate"])
        env = {"NOTIFY_SOCKET": str(told.path), "WRONG": "wrong"}
        async with box(tmp_path, peers.config({"front": FILE}, mqtt=mqtt), env) as daemon:
            line = await daemon.wait_log("broker", state=case.state, reason=case.reason)
            assert line["level"] == ("error" if case.state == "refused" else "warning")
            place = await told.wait(lambda said: said.startswith(f"STATUS=broker {case.state}: "))
            assert case.says in line["detail"]
            assert case.says in told.datagrams[place]
            await peers.cloud.wait_happened("event", type="conversation_quality.updated")
            await trio.sleep(1)
            assert await daemon.stop() == 0
            assert (await daemon.wait_log("events are kept for the next start"))["events"] > 0
            daemon.configure(peers.config({"front": FILE}))
            await daemon.start()
            await peers.subscriber.wait_for(lambda _: len(peers.events("front", "session.ended")) == 1, 30)
            await more_events(peers)
            assert await daemon.stop() == 0
        await peers.wait_event("front", "session.ended", count=2)
        assert_in_order(peers, "front")
        assert assert_arrived(peers, "front") > EVENTS


async def test_thrown_out_by_a_namesake(tmp_path: Path) -> None:
    """`Session taken over` is shouted on the log and to systemd, and we do not throw the other one out in return."""
    connects: list[float] = []

    async def throw_out(stream: trio.SocketStream) -> None:
        connects.append(time.monotonic())
        await answer(bytes.fromhex("20 03 00 00 00 e0 02 8e 00"), then=listen)(stream)

    async with (
        peer(*[throw_out] * 20) as url,
        cloud(tmp_path / "cloud", *BUSY) as simulated,
        notify_socket(tmp_path) as told,
    ):
        env = {"NOTIFY_SOCKET": str(told.path)}
        async with box(tmp_path, configuration(simulated.url(), url, {"front": FILE}), env) as daemon:
            line = await daemon.wait_log("broker", state="refused", reason="taken_over")
            assert line["level"] == "error"
            assert "give each box an id of its own" in line["detail"]
            await told.wait(lambda said: said.startswith("STATUS=broker refused: another client took our place"))
            await trio.sleep(5)
            assert len(connects) == 1
            assert await daemon.stop() == 0


async def test_two_boxes_with_one_client_id(tmp_path: Path) -> None:
    """Two daemons with one client id meet less and less often, and each says what it looks like; no event is lost."""
    async with by_the_way(tmp_path) as (peers, way):
        (tmp_path / "other").mkdir()
        other_box = through(peers, way, box={"id": "lobby-2"})
        for config in (first := through(peers, way), other_box):
            config["mqtt"]["client_id"] = "the-same"
        async with box(tmp_path, first) as daemon, box(tmp_path / "other", other_box) as other:
            await daemon.wait_log("broker", state="offline")
            await other.wait_log("broker", state="offline")
            await trio.sleep(10)
            met = way.connects
            assert await other.stop() == 0
            lost = [line for line in daemon.log if line["event"] == "broker" and line.get("state") == "offline"]
            assert "a second client with our client id" in lost[0]["detail"]
            assert met < 40
            await more_events(peers)
            await all_said(peers, daemon)


async def test_the_state_of_the_store_is_told(tmp_path: Path) -> None:
    """A store that cannot be written is reported in the log, to systemd and on bridge/health; events flow on."""
    (tmp_path / "outbox.sqlite").mkdir()
    async with run_peers(tmp_path, *BUSY) as peers, notify_socket(tmp_path) as told:
        env = {"NOTIFY_SOCKET": str(told.path)}
        async with box(tmp_path, peers.config({"front": FILE}), env) as daemon:
            line = await daemon.wait_log("outbox file")
            assert "outbox.sqlite is a folder: set outbox.path to a file" in line["detail"]
            await told.wait(lambda said: said.startswith("STATUS=") and "is a folder" in said)
            health = json.loads((await peers.subscriber.wait_topic("bridge/health")).payload)
            assert health["store"] == line["detail"]
            await more_events(peers)
            (tmp_path / "outbox.sqlite").rmdir()
            await daemon.wait_log("outbox file is in order again")
            await all_said(peers, daemon)
