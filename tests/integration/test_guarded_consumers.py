"""The examples beside a broker that asks for a user and TLS, and one that refuses them."""

import os
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trustme
from msgspec import structs

from publish.helpers import Bench, an_event_message, login, peer, small_broker
from support import npm
from support.mosquitto import Broker, Tls, mosquitto
from support.processes import PATIENCE_S, ChildProcess, running

CONSUMERS = Path(__file__).parents[2] / "config" / "examples"
PAYLOAD = b'{"start_at":"2026-11-22T10:00:03Z","box":"lobby-1","camera":"front","data":{"signal_type":"stress"}}'
Command = Callable[[Path, str, int, Path | None], Awaitable[tuple[list[str], dict[str, str]]]]
"""The command line of a consumer, and what is added to its environment; with a CA by TLS and a user."""


async def python(_folder: Path, host: str, port: int, ca: Path | None) -> tuple[list[str], dict[str, str]]:
    """`config/examples/python`."""
    await trio.lowlevel.checkpoint()
    guarded = [] if ca is None else ["--user", "reader", "--ca", str(ca)]
    return [sys.executable, str(CONSUMERS / "python" / "subscribe.py"), host, str(port), *guarded], {}


async def node(folder: Path, host: str, port: int, ca: Path | None) -> tuple[list[str], dict[str, str]]:
    """`config/examples/node`."""
    home = await trio.to_thread.run_sync(npm.installed, "mqtt")
    (folder / "node_modules").symlink_to(home / "node_modules")
    script = folder / "subscribe.mjs"
    script.write_bytes((CONSUMERS / "node" / "subscribe.mjs").read_bytes())
    url = f"mqtt://{host}:{port}" if ca is None else f"mqtts://reader@{host}:{port}"
    return ["node", str(script), url], {} if ca is None else {"NODE_EXTRA_CA_CERTS": str(ca)}


BOTH = pytest.mark.parametrize("command", [python, node], ids=lambda command: command.__name__)


@asynccontextmanager
async def guarded(folder: Path) -> AsyncIterator[tuple[Broker, Path]]:
    """A broker with TLS that lets in users with their passwords only, and the file of its authority."""
    ca = trustme.CA()
    tls = Tls(folder / "ca.pem", folder / "cert.pem", folder / "key.pem")
    ca.cert_pem.write_to_path(tls.ca_file)
    leaf = ca.issue_cert("localhost")
    leaf.cert_chain_pems[0].write_to_path(tls.cert_file)
    leaf.private_key_pem.write_to_path(tls.key_file)
    async with mosquitto(folder, users={"reader": "right", "box": "box"}, tls=tls) as broker:
        yield broker, tls.ca_file


@asynccontextmanager
async def consumer(
    folder: Path, command: Command, broker: Broker, ca: Path, password: str
) -> AsyncIterator[ChildProcess]:
    line, env = await command(folder, "localhost", broker.port, ca)
    async with running(line, {**os.environ, **env, "MQTT_PASSWORD": password}) as process:
        yield process


@BOTH
async def test_by_a_user_and_tls(tmp_path: Path, command: Command) -> None:
    """With user, password and the broker's authority it prints what comes, and the password is on no command line."""
    async with guarded(tmp_path) as (broker, ca), consumer(tmp_path, command, broker, ca, "right") as process:
        await broker.wait_log("event/signal.detected (QoS 1)")
        assert b"right" not in await trio.Path(f"/proc/{process.process.pid}/cmdline").read_bytes()
        bench = Bench(broker.url, mqtt={**login(tmp_path, "box", user="box"), "ca_file": str(ca)})
        topic = "interhuman/lobby-1/front/event/signal.detected"
        bench.publisher.publish(structs.replace(an_event_message("front", 1, PAYLOAD), topic=topic))
        await bench.run_and_stop()
        await process.wait_line(lambda line: line == "2026-11-22T10:00:03Z lobby-1 front stress")


@BOTH
async def test_a_password_that_is_refused(tmp_path: Path, command: Command) -> None:
    """Who is refused says so, where to look, and ends with 1 instead of asking for ever."""
    async with guarded(tmp_path) as (broker, ca), consumer(tmp_path, command, broker, ca, "wrong") as process:
        line = await process.wait_line(lambda line: "refused" in line)
        assert re.search("MQTT_PASSWORD", line)
        with trio.fail_after(PATIENCE_S):
            assert await process.process.wait() == 1


@BOTH
async def test_a_subscription_that_is_refused(tmp_path: Path, command: Command) -> None:
    """Who may come in and not subscribe says that, and ends with 1."""
    broker = small_broker(lambda identifier, _: b"\x90\x03" + identifier + b"\x80")
    async with peer(broker) as url:
        line, env = await command(tmp_path, "127.0.0.1", int(url.rpartition(":")[2]), None)
        async with running(line, {**os.environ, **env}) as process:
            await process.wait_line(lambda line: "does not let us subscribe" in line and "ACL" in line)
            with trio.fail_after(PATIENCE_S):
                assert await process.process.wait() == 1
