"""Home Assistant beside a whole run: what it would make of all that the daemon says, and of what it asks for."""

import json
import signal
from pathlib import Path

from integration.helpers import BOX, Peers, box, run_peers
from interhuman2mqtt.publish.homeassistant import entity as words
from interhuman2mqtt.publish.homeassistant.discovery import DELAY_S
from publish.homeassistant.rendering import Rendered, refused, rendered
from publish.homeassistant.rules import Json, clashes, problems
from support.clips import Clip
from support.mosquitto import PublishingClient, Received, publishing_client
from support.processes import PATIENCE_S

FILE: Json = {"source": f"file:{Clip().path()}"}
CAMERAS: Json = {"front": {**FILE, "name": "Front desk"}, "desk": {"source": "file:/nowhere.mp4"}}
"""One that streams, and one that cannot."""
RETAINED = {
    "bridge/state",
    "bridge/info",
    "bridge/health",
    "front/status",
    "front/state/engagement",
    "front/state/signals",
    "front/state/conversation_quality",
}
EVENTS = f"interhuman/{BOX}/front/event/"


def config_topic(name: str, prefix: str = "homeassistant") -> str:
    """Where a device of our box is announced."""
    return f"{prefix}/device/interhuman_{BOX}_{name}/config"


def payloads_of(peers: Peers, topic: str) -> list[bytes]:
    """All payloads that came on a topic."""
    return [message.payload for message in peers.subscriber.messages if message.topic == topic]


async def wait_payloads(peers: Peers, topic: str, count: int, within: float = PATIENCE_S) -> bytes:
    """The payload that makes them so many."""
    await peers.subscriber.wait_for(lambda _: len(payloads_of(peers, topic)) >= count, within)
    return payloads_of(peers, topic)[count - 1]


async def use(peers: Peers, publisher: PublishingClient, key: str, option: str) -> None:
    """Do to an entity of the camera front what Home Assistant would."""
    entity = json.loads(payloads_of(peers, config_topic("front"))[-1])["components"][key]
    await publisher.publish(entity["command_topic"], entity.get(option, option))


async def test_a_whole_run(tmp_path: Path) -> None:
    """All that Home Assistant is told of a run it can take, and what it asks for by its entities is done."""
    async with run_peers(tmp_path) as peers, publishing_client(peers.broker) as publisher:
        async with box(tmp_path, peers.config(CAMERAS)) as daemon:
            await peers.wait_status("front", "streaming")
            await peers.wait_status("desk", "offline", "not_found")
            await publisher.publish("homeassistant/status", "online")
            for type_ in ("signal.detected", "signal.ended", "engagement.updated", "conversation_quality.updated"):
                await peers.wait_event("front", type_)
            await use(peers, publisher, "pause", "ON")
            await peers.wait_status("front", "paused", "paused")
            await use(peers, publisher, "pause", "OFF")
            await peers.wait_latest("front", lambda status: bool(status["state"] == "streaming"))
            await use(peers, publisher, "restart", "payload_press")
            answer = json.loads((await peers.subscriber.wait_topic("bridge/response/restart")).payload)
            assert (answer["status"], answer["data"]) == ("ok", {"cameras": ["front"]})
            await wait_payloads(peers, config_topic("front"), 2, within=DELAY_S + 20)
            await wait_payloads(peers, f"interhuman/{BOX}/front/status", 8)
            assert await daemon.stop() == 0
        assert_announced_first(peers.subscriber.messages)
        assert_published_again(peers)
        assert_taken(peers.subscriber.messages)


def assert_announced_first(messages: list[Received]) -> None:
    """Devices are announced before anything of theirs is said to be online; and nothing is announced otherwise."""
    told = {message.topic: message.payload for message in messages if message.topic.endswith("/config")}
    assert set(told) == {config_topic(name) for name in ("bridge", "front", "desk")}
    assert [problem for topic, payload in told.items() for problem in problems(topic, payload)] == []
    assert clashes(told.values()) == []
    online = [message.topic.endswith("bridge/state") and b'"online"' in message.payload for message in messages]
    assert max(map([message.topic for message in messages].index, told)) < online.index(True)


def assert_published_again(peers: Peers) -> None:
    """After Home Assistant's birth all devices came once more, unchanged, and then all that is retained."""
    topics = [message.topic for message in peers.subscriber.messages]
    born = topics.index("homeassistant/status")
    for name in ("bridge", "front", "desk"):
        first, again = payloads_of(peers, config_topic(name))
        assert first == again
    last = max(topics.index(config_topic(name), born) for name in ("bridge", "front", "desk"))
    assert {f"interhuman/{BOX}/bridge/{name}" for name in ("info", "health")} <= set(topics[last:])
    assert f"interhuman/{BOX}/desk/status" in topics[last:]


def assert_taken(messages: list[Received]) -> None:
    """Every template comes to something that its entity takes, on every message of the run, cleared topics too."""
    told = {message.topic: message.payload for message in messages if message.topic.endswith("/config")}
    found = rendered(told.values(), ((message.topic, message.payload) for message in messages))
    assert [complaint for each in found if (complaint := refused(each))] == []
    assert {each.topic.removeprefix(f"interhuman/{BOX}/") for each in found} >= RETAINED
    assert b"" in {each.payload for each in found}
    assert_values(found)
    assert_events(found, messages)


def assert_values(found: list[Rendered]) -> None:
    """The entities do get values, and among them those that this run must have brought."""

    def values(entity_id: str, option: str = "value_template") -> set[str]:
        name = entity_id.replace("*", f"interhuman_{BOX.replace('-', '_')}")
        return {each.text for each in found if (each.entity["default_entity_id"], each.option) == (name, option)}

    assert values("sensor.*_front_state") >= {"connecting", "streaming", "paused", "stopped"}
    assert values("sensor.*_desk_state") >= {"offline"}
    assert values("sensor.*_front_reason") >= {"none", "paused", "stopped"}
    assert values("switch.*_front_pause") == {"ON", "OFF"}
    assert values("sensor.*_front_engagement") & set(words.ENGAGEMENT)
    assert values("sensor.*_front_engagement", "availability") == {"online", "offline"}
    assert values("sensor.*_front_state", "availability") == {"online", "offline"}
    assert values("sensor.*_bridge_state") == {"online", "stopped"}
    assert values("sensor.*_bridge_streaming") >= {"0"}
    for score in words.SCORES:
        assert values(f"sensor.*_front_{score}") - {"None"}
    signals = [values(f"binary_sensor.*_front_signal_{kind}") for kind in words.SIGNALS]
    assert any("ON" in texts for texts in signals)
    assert all(texts & {"OFF", "None"} for texts in signals)
    details = [
        json.loads(text)
        for kind in words.SIGNALS
        for text in values(f"binary_sensor.*_front_signal_{kind}", "json_attributes_template")
    ]
    assert {detail["probability"] for detail in details if detail} <= {"low", "medium", "high"}
    assert any(details)


def assert_events(found: list[Rendered], messages: list[Received]) -> None:
    """The event entity gets every event of its types, once, with the cloud's own words; none is retained."""
    texts = [each.text for each in found if each.topic.startswith(EVENTS) and each.option == "value_template"]
    got = [json.loads(text) for text in texts if text]
    mine = [message for message in messages if message.topic.startswith(EVENTS)]
    assert not any(message.retained for message in mine)
    sent = [json.loads(message.payload) for message in mine]
    wanted = [event for event in sent if event["type"] in words.EVENTS]
    assert {"signal.detected", "signal.ended", "engagement.updated", "coverage.gap"} <= {e["type"] for e in wanted}
    assert [event["id"] for event in got] == [event["id"] for event in wanted]
    assert [event["data"] for event in got] == [event["data"] for event in wanted]


async def test_nothing_is_left_behind(tmp_path: Path) -> None:
    """Cameras that go or are renamed by a reload, another prefix, discovery switched off: nothing of before is left."""

    def config(cameras: Json, **mqtt: object) -> Json:
        return peers.config(cameras, mqtt={"protocol": "3.1.1", **mqtt})

    async with run_peers(tmp_path) as peers:
        cameras = {"front": FILE, "old": FILE, "gone": FILE}
        async with box(tmp_path, config(cameras)) as first:
            await wait_payloads(peers, config_topic("gone"), 1)
            await first.wait_log("started")
            first.configure(config({"front": {**FILE, "name": "Front desk"}, "new": FILE}))
            first.send(signal.SIGHUP)
            for name in ("gone", "old"):
                assert await wait_payloads(peers, config_topic(name), 2) == b""
            renamed = await wait_payloads(peers, config_topic("front"), 2)
            assert json.loads(renamed)["device"]["name"] == "Front desk"
            await wait_payloads(peers, config_topic("new"), 1)
            assert await first.stop() == 0
        async with box(tmp_path, config({"front": FILE}, discovery_prefix="casa")) as second:
            for name, count in (("bridge", 2), ("front", 3), ("new", 2)):
                assert await wait_payloads(peers, config_topic(name), count) == b""
            await wait_payloads(peers, config_topic("front", "casa"), 1)
            assert await second.stop() == 0
        async with box(tmp_path, config({"front": FILE}, discovery=False)) as third:
            for name in ("bridge", "front"):
                assert await wait_payloads(peers, config_topic(name, "casa"), 2) == b""
            assert await third.stop() == 0
        last = {message.topic: message.payload for message in peers.subscriber.messages}
        assert {payload for topic, payload in last.items() if topic.endswith("/config")} == {b""}
