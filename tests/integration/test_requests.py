"""Requests to a running daemon, by MQTT: restart, reload, log_level, and who is not listened to."""

import json
import resource
from pathlib import Path

import pytest
import trio

from integration.helpers import BOX, box, run_peers
from integration.requester import REQUEST, running
from support.clips import Clip
from support.mosquitto import Broker, publishing_client, subscribed
from support.processes import PATIENCE_S

FILE = {"source": f"file:{Clip().path()}"}


async def test_a_restart_of_one_camera(tmp_path: Path) -> None:
    """A restart drains the camera's session, starts it anew with another worker, and touches no other camera."""
    async with running(tmp_path, {"front": FILE, "desk": FILE}) as requester:
        front = await requester.peers.wait_status("front", "streaming")
        await requester.peers.wait_status("desk", "streaming")
        before = set(requester.daemon.workers())
        answer = await requester.ask("restart", camera="front")
        assert (answer["status"], answer["error"], answer["data"]) == ("ok", None, {"cameras": ["front"]})
        await requester.peers.wait_latest(
            "front", lambda status: status["state"] == "stopped" or bool(status["session"])
        )
        again = await requester.peers.wait_latest(
            "front", lambda status: status["state"] == "streaming" and status["session"] != front["session"]
        )
        assert again["session"]
        assert len(before & set(requester.daemon.workers())) == 1
        await requester.peers.wait_event("front", "session.ended")
        assert requester.peers.events("desk", "session.ended") == []


async def test_a_restart_of_all(tmp_path: Path) -> None:
    """Without a camera all of them are restarted."""
    async with running(tmp_path, {"front": FILE, "desk": FILE}) as requester:
        await requester.peers.wait_status("front", "streaming")
        await requester.peers.wait_status("desk", "streaming")
        answer = await requester.ask("restart")
        assert answer["data"] == {"cameras": ["front", "desk"]}
        for camera in ("front", "desk"):
            await requester.peers.wait_event(camera, "session.ready", count=2)


async def test_a_restart_keeps_nobody_waiting(tmp_path: Path) -> None:
    """While a session drains for a restart, and another restart waits for the same, other requests are answered."""
    async with running(tmp_path, {"front": FILE}, "--fault", "slow-drain=4") as requester:
        await requester.peers.wait_status("front", "streaming")
        for transaction in ("1", "2"):
            await requester.publisher.publish(f"{REQUEST}/restart", json.dumps({"transaction": transaction}))
        await requester.peers.wait_event("front", "session.closing")
        assert (await requester.ask("log_level", level="debug"))["status"] == "ok"
        assert requester.peers.subscriber.payloads("bridge/response/restart") == []
        assert (await requester.answer("restart", "1"))["status"] == "ok"
        assert (await requester.answer("restart", "2"))["status"] == "ok"
        await requester.peers.wait_event("front", "session.ready", count=2)
        assert len(requester.daemon.workers()) == 1


async def test_a_reload(tmp_path: Path) -> None:
    """A good file is taken over, and the answer says what was stopped and started."""
    async with running(tmp_path, {"same": FILE, "gone": FILE}) as requester:
        await requester.peers.wait_status("same", "streaming")
        requester.daemon.configure(requester.peers.config({"same": FILE, "new": FILE}))
        answer = await requester.ask("reload")
        assert (answer["status"], answer["data"]) == (
            "ok",
            {"stopped": ["gone"], "started": ["new"], "needs_restart": []},
        )
        await requester.peers.wait_status("new", "streaming")
        assert (await requester.ask("restart", camera="new"))["status"] == "ok"
        unknown = await requester.ask("restart", camera="gone")
        assert unknown["error"] == 'there is no camera "gone" on this box'


async def test_a_reload_of_a_bad_file(tmp_path: Path) -> None:
    """A bad file is refused: the answer says where and what is wrong, shows no secret, and nothing changes."""
    async with running(tmp_path, {"front": FILE}) as requester:
        await requester.peers.wait_status("front", "streaming")
        before = requester.daemon.workers()
        bad = {"front": {"sauce": "test:", "password": "hunter2-hunter2"}}
        requester.daemon.configure(requester.peers.config(bad))
        answer = await requester.ask("reload")
        assert (answer["status"], answer["data"]) == ("error", None)
        assert "cameras.front.sauce" in answer["error"]
        assert 'did you mean "source"?' in answer["error"]
        assert "hunter2" not in json.dumps(answer)
        assert requester.daemon.workers() == before
        requester.daemon.configure(requester.peers.config({"front": FILE}))
        assert (await requester.ask("reload"))["data"] == {"stopped": [], "started": [], "needs_restart": []}


async def test_the_log_level(tmp_path: Path) -> None:
    """The level changes at once and is told where it can be seen; nobody else's does."""
    async with running(tmp_path, {"front": FILE}) as requester:
        await requester.peers.wait_status("front", "streaming")
        assert (await requester.ask("log_level", level="error"))["data"] == {"level": "error"}
        await requester.daemon.wait_log("log level changed", to="error")
        quiet = len(requester.daemon.log)
        assert (await requester.ask("log_level", level="loud"))["error"].startswith("level must be one of")
        assert (await requester.ask("log_level", level="info"))["status"] == "ok"
        await requester.daemon.wait_log("log level changed", to="info")
        assert [line["event"] for line in requester.daemon.log[quiet:]] == ["log level changed"]


async def test_the_counts_are_published(tmp_path: Path) -> None:
    """`bridge/health` says how many requests came to what."""
    async with running(tmp_path, {"front": FILE}) as requester:
        health = json.loads((await requester.peers.retained())["bridge/health"])
        assert health["requests"] == {"obeyed": 0, "refused": 0, "dropped": 0}


async def test_retained_requests_are_not_obeyed(tmp_path: Path) -> None:
    """A request that somebody left on the broker restarts nothing when we come; the log says once to clear it."""
    async with run_peers(tmp_path) as peers, publishing_client(peers.broker) as publisher:
        await publisher.publish(f"{REQUEST}/restart", "{}", retain=True)
        async with box(tmp_path, peers.config({"front": FILE})) as daemon:
            told = await daemon.wait_log("message ignored")
            assert (told["why"], "clear it" in told["detail"]) == ("retained", True)
            await peers.wait_status("front", "streaming")
            assert peers.subscriber.payloads("bridge/response/restart") == []
            assert await daemon.stop() == 0
        assert len(peers.cloud.happened("opened")) == 1


async def test_switched_off(tmp_path: Path) -> None:
    """With `mqtt.requests = "off"` nothing is listened to but the birth of Home Assistant."""
    async with running(tmp_path, {"front": FILE}, requests="off") as requester:
        await requester.peers.wait_status("front", "streaming")
        await requester.publisher.publish(f"{REQUEST}/restart", "{}")
        await requester.peers.wait_event("front", "conversation_quality.updated")
        assert subscriptions(requester.peers.broker) == {"homeassistant/status"}
        assert requester.peers.subscriber.payloads("bridge/response/restart") == []


async def test_read_only(tmp_path: Path) -> None:
    """With `mqtt.requests = "read-only"` what would change something is refused, and says by which key."""
    async with running(tmp_path, {"front": FILE}, requests="read-only") as requester:
        answer = await requester.ask("restart")
        assert "mqtt.requests" in answer["error"]
        assert subscriptions(requester.peers.broker) == {f"{REQUEST}/+", "homeassistant/status"}


async def test_after_an_outage_of_the_broker(tmp_path: Path) -> None:
    """When the broker comes back, requests are heard and answered again."""
    async with running(tmp_path, {"front": FILE}) as requester:
        await requester.peers.wait_status("front", "streaming")
        await requester.peers.broker.restart()
        await requester.peers.broker.wait_log("bridge/request/+ (QoS 1)")
        async with (
            publishing_client(requester.peers.broker) as publisher,
            subscribed(requester.peers.broker) as subscriber,
        ):
            await publisher.publish(f"{REQUEST}/log_level", '{"level": "debug"}')
            answer = json.loads((await subscriber.wait_topic("bridge/response/log_level")).payload)
        assert answer["status"] == "ok"


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_a_daemon_among_hostile_requests(tmp_path: Path, protocol: str) -> None:
    """Nonsense of many kinds is answered or ignored, and costs neither the connection nor an event's order."""
    nonsense = [b"\x00", b"\xff" * 100, b"[" * 60_000, b'{"camera": {}}', b" " * 70_000, b'{"transaction": NaN}']
    async with running(tmp_path, {"front": FILE}, protocol=protocol) as requester:
        await requester.peers.wait_status("front", "streaming")
        for payload in nonsense:
            await requester.publisher.publish(f"{REQUEST}/pause", payload)
            await requester.publisher.publish(f"interhuman/{BOX}/front/pause/set", payload)
        await requester.publisher.publish(f"{REQUEST}/\u00e9 \u2028..", "{}")
        await requester.publisher.publish(f"{REQUEST}/reload", "{}", ResponseTopic="/" * 300)
        with trio.fail_after(PATIENCE_S):
            assert (await requester.ask("reload"))["status"] == "ok"
        assert sum("Sending CONNACK to interhuman-lobby-1" in line for line in requester.peers.broker.log) == 1
        answers = [json.loads(payload) for payload in requester.peers.subscriber.payloads("bridge/response/pause")]
        assert [answer["status"] for answer in answers] == ["error"] * len(nonsense)


async def test_a_flood(tmp_path: Path) -> None:
    """Of 10,000 requests at once each is answered or counted as dropped; events keep their order, memory its bounds."""
    async with running(tmp_path, {"front": FILE}, lines=["max_queued_messages 0"]) as requester:
        await requester.peers.wait_status("front", "streaming")
        before = resident(requester.daemon.pid)
        sent = [
            requester.publisher.publish_nowait(f"{REQUEST}/log_level", json.dumps({"transaction": "x" * 900}))
            for _ in range(10_000)
        ]
        await trio.to_thread.run_sync(sent[-1].wait_for_publish, 120)
        await requester.daemon.wait_log("requests are received again")
        await requester.peers.subscriber.wait_for(
            lambda _: requester.answered("log_level") + requester.dropped == 10_000, 60
        )
        assert requester.dropped > 5000
        assert (await requester.ask("reload"))["status"] == "ok"
        assert resident(requester.daemon.pid) < before + 20_000_000
        await requester.peers.wait_event("front", "conversation_quality.updated", count=3)
        numbers = [int(event["id"].rpartition("/")[2]) for event in requester.peers.events("front")]
        assert numbers == sorted(set(numbers))
        assert sum("Sending CONNACK to interhuman-lobby-1" in line for line in requester.peers.broker.log) == 1


def subscriptions(broker: Broker) -> set[str]:
    """What the daemon has subscribed to, as Mosquitto logs it: `CLIENT QOS FILTER`."""
    client = "interhuman-lobby-1 1 "
    return {line.partition(client)[2] for line in broker.log if client in line}


def resident(pid: int) -> int:
    """Bytes of memory that a process holds."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()
