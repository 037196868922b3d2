"""The examples in `config/examples`, each as its user runs it, beside one live run."""

import json
import re
import sys
import tomllib
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from integration import contract
from integration.helpers import BOX, box, run_peers
from support import npm
from support.clips import Clip
from support.mosquitto import Broker, Received
from support.processes import ChildProcess, running

CONSUMERS = Path(__file__).parents[2] / "config" / "examples"
SIGNAL = re.compile(rf"\d{{4}}-\S+Z {BOX} front [a-z_]+")
"""What the subscribers print."""
PATIENCE_S = 60.0
TELEGRAF = tomllib.loads((CONSUMERS / "telegraf" / "interhuman.conf").read_text())["inputs"]["mqtt_consumer"]


async def test_the_consumers_hear_a_live_run(tmp_path: Path) -> None:
    """Python, Node and Node-RED get a camera's signals; Telegraf's paths lead to values in what is published."""
    async with run_peers(tmp_path) as peers, AsyncExitStack() as stack:
        listening = [await stack.enter_async_context(_python(peers.broker))]
        if npm.IS_THERE:
            listening.append(await stack.enter_async_context(_node(tmp_path, peers.broker)))
            await stack.enter_async_context(_node_red(tmp_path, peers.broker))
        config = peers.config({"front": {"source": f"file:{Clip().path()}"}})
        async with box(tmp_path, config) as daemon:
            for subscriber in listening:
                await subscriber.wait_line(lambda line: SIGNAL.fullmatch(line) is not None, PATIENCE_S)
            if npm.IS_THERE:
                sentence = await peers.subscriber.wait_topic("notify/interhuman", PATIENCE_S)
                assert re.fullmatch("front: [a-z_]+, (medium|high)", sentence.payload.decode())
            await peers.wait_event("front", "signal.ended", PATIENCE_S)
            await peers.wait_event("front", "conversation_quality.updated", PATIENCE_S)
            assert await daemon.stop() == 0
    assert list(_dead_ends(peers.subscriber.messages)) == []
    if not npm.IS_THERE:
        pytest.skip("npm is not installed, so neither Node nor Node-RED was run")


@pytest.mark.parametrize("consumer", TELEGRAF, ids=lambda consumer: consumer["client_id"])
def test_telegraf_loses_nothing(consumer: dict[str, Any]) -> None:
    """Each input has QoS 1, a session that persists, and topics of the contract; their levels become tags."""
    assert (consumer["qos"], consumer["persistent_session"]) == (1, True)
    [parsing] = consumer["topic_parsing"]
    for topic in consumer["topics"]:
        assert contract.channel_of(topic.replace("+", "x")).is_ours
        assert topic.count("/") == parsing["topic"].count("/") == parsing["tags"].count("/")


def test_no_two_inputs_of_telegraf_take_each_others_session() -> None:
    """Each has a client id of its own."""
    ids = [consumer["client_id"] for consumer in TELEGRAF]
    assert len(set(ids)) == len(ids)


def _dead_ends(messages: list[Received]) -> Iterator[str]:
    """The paths that lead to nothing: in any topic, or where that may happen in all of them."""
    for consumer in TELEGRAF:
        payloads = [json.loads(_first(messages, topic)) for topic in consumer["topics"]]
        for path, optional in _paths(consumer):
            found = [_leads_somewhere(path, payload) for payload in payloads]
            if not (any if optional else all)(found):
                yield f"{consumer['client_id']}: {path}"


def _first(messages: list[Received], topic: str) -> bytes:
    pattern = re.compile(re.escape(topic).replace(r"\+", "[^/]+"))
    return next(message.payload for message in messages if pattern.fullmatch(message.topic))


def _paths(consumer: dict[str, Any]) -> Iterator[tuple[str, bool]]:
    """Where values are looked for, and whether there may be none."""
    [parser] = consumer["json_v2"]
    yield parser["timestamp_path"], False
    for item in (*parser.get("tag", ()), *parser.get("field", ()), *parser.get("object", ())):
        yield item["path"], item.get("optional", False)


def _leads_somewhere(path: str, payload: Any) -> bool:
    for name in path.split("."):
        if not isinstance(payload, dict) or payload.get(name) is None:
            return False
        payload = payload[name]
    return True


@asynccontextmanager
async def _python(broker: Broker) -> AsyncIterator[ChildProcess]:
    command = [sys.executable, str(CONSUMERS / "python" / "subscribe.py"), "localhost", str(broker.port)]
    async with running(command) as process:
        yield process


@asynccontextmanager
async def _node(folder: Path, broker: Broker) -> AsyncIterator[ChildProcess]:
    home = await trio.to_thread.run_sync(npm.installed, "mqtt")
    (folder / "node_modules").symlink_to(home / "node_modules")
    script = folder / "subscribe.mjs"
    script.write_bytes((CONSUMERS / "node" / "subscribe.mjs").read_bytes())
    async with running(["node", str(script), broker.url]) as process:
        yield process


@asynccontextmanager
async def _node_red(folder: Path, broker: Broker) -> AsyncIterator[ChildProcess]:
    """Node-RED with the flow as it is but for the broker's port, and without its editor; once its flow is running."""
    home = await trio.to_thread.run_sync(npm.installed, "node-red")
    user = folder / "node-red"
    user.mkdir()
    flow = (CONSUMERS / "node-red" / "flow.json").read_text()
    (user / "flow.json").write_text(flow.replace('"1883"', f'"{broker.port}"'))
    settings = {"flowFile": "flow.json", "httpAdminRoot": False, "httpNodeRoot": False, "telemetry": {"enabled": False}}
    (user / "settings.js").write_text(f"module.exports = {json.dumps(settings)};")
    async with running([str(home / "node_modules" / ".bin" / "node-red"), "--userDir", str(user)]) as process:
        await process.wait_line(lambda line: "Connected to broker" in line, PATIENCE_S)
        yield process
