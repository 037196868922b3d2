"""Requests to a running daemon, by MQTT: restart, reload, log_level, and who is not listened to."""

import json
import resource
from pathlib import Path

import pytest
import trio

from integration.desk import REQUEST, running
from integration.helpers import BOX, box, site
from support.clips import Clip
from support.mosquitto import Broker, speaking, subscribed

FILE = {"source": f"file:{Clip().path()}"}


async def test_a_restart_of_one_camera(tmp_path: Path) -> None:
    """A restart drains the camera's session, starts it anew with another worker, and touches no other camera."""
    async with running(tmp_path, {"front": FILE, "desk": FILE}) as desk:
        front = await desk.around.wait_status("front", "streaming")
        await desk.around.wait_status("desk", "streaming")
        before = set(desk.daemon.workers())
        answer = await desk.ask("restart", camera="front")
        assert (answer["status"], answer["error"], answer["data"]) == ("ok", None, {"cameras": ["front"]})
        await desk.around.wait_latest("front", lambda status: status["state"] == "stopped" or bool(status["session"]))
        again = await desk.around.wait_latest(
            "front", lambda status: status["state"] == "streaming" and status["session"] != front["session"]
        )
        assert again["session"]
        assert len(before & set(desk.daemon.workers())) == 1
        await desk.around.wait_event("front", "session.ended")
        assert desk.around.events("desk", "session.ended") == []


async def test_a_restart_of_all(tmp_path: Path) -> None:
    """Without a camera all of them are restarted."""
    async with running(tmp_path, {"front": FILE, "desk": FILE}) as desk:
        await desk.around.wait_status("front", "streaming")
        await desk.around.wait_status("desk", "streaming")
        answer = await desk.ask("restart")
        assert answer["data"] == {"cameras": ["front", "desk"]}
        for camera in ("front", "desk"):
            await desk.around.wait_event(camera, "session.ready", count=2)


async def test_a_restart_keeps_nobody_waiting(tmp_path: Path) -> None:
    """While a session drains for a restart, and another restart waits for the same, other requests are answered."""
    async with running(tmp_path, {"front": FILE}, "--fault", "slow-drain=4") as desk:
        await desk.around.wait_status("front", "streaming")
        for transaction in ("1", "2"):
            await desk.speaker.say(f"{REQUEST}/restart", json.dumps({"transaction": transaction}))
        await desk.around.wait_event("front", "session.closing")
        assert (await desk.ask("log_level", level="debug"))["status"] == "ok"
        assert desk.around.subscriber.payloads("bridge/response/restart") == []
        assert (await desk.answer("restart", "1"))["status"] == "ok"
        assert (await desk.answer("restart", "2"))["status"] == "ok"
        await desk.around.wait_event("front", "session.ready", count=2)
        assert len(desk.daemon.workers()) == 1


async def test_a_reload(tmp_path: Path) -> None:
    """A good file is taken over, and the answer says what was stopped and started."""
    async with running(tmp_path, {"same": FILE, "gone": FILE}) as desk:
        await desk.around.wait_status("same", "streaming")
        desk.daemon.configure(desk.around.config({"same": FILE, "new": FILE}))
        answer = await desk.ask("reload")
        assert (answer["status"], answer["data"]) == (
            "ok",
            {"stopped": ["gone"], "started": ["new"], "needs_restart": []},
        )
        await desk.around.wait_status("new", "streaming")
        assert (await desk.ask("restart", camera="new"))["status"] == "ok"
        unknown = await desk.ask("restart", camera="gone")
        assert unknown["error"] == 'there is no camera "gone" on this box'


async def test_a_reload_of_a_bad_file(tmp_path: Path) -> None:
    """A bad file is refused: the answer says where and what is wrong, shows no secret, and nothing changes."""
    async with running(tmp_path, {"front": FILE}) as desk:
        await desk.around.wait_status("front", "streaming")
        before = desk.daemon.workers()
        bad = {"front": {"sauce": "test:", "password": "hunter2-hunter2"}}
        desk.daemon.configure(desk.around.config(bad))
        answer = await desk.ask("reload")
        assert (answer["status"], answer["data"]) == ("error", None)
        assert "cameras.front.sauce" in answer["error"]
        assert 'did you mean "source"?' in answer["error"]
        assert "hunter2" not in json.dumps(answer)
        assert desk.daemon.workers() == before
        desk.daemon.configure(desk.around.config({"front": FILE}))
        assert (await desk.ask("reload"))["data"] == {"stopped": [], "started": [], "needs_restart": []}


async def test_the_log_level(tmp_path: Path) -> None:
    """The level changes at once and is told where it can be seen; nobody else's does."""
    async with running(tmp_path, {"front": FILE}) as desk:
        await desk.around.wait_status("front", "streaming")
        assert (await desk.ask("log_level", level="error"))["data"] == {"level": "error"}
        await desk.daemon.wait_log("log level changed", to="error")
        quiet = len(desk.daemon.log)
        assert (await desk.ask("log_level", level="loud"))["error"].startswith("level must be one of")
        assert (await desk.ask("log_level", level="info"))["status"] == "ok"
        await desk.daemon.wait_log("log level changed", to="info")
        assert [line["event"] for line in desk.daemon.log[quiet:]] == ["log level changed"]


async def test_the_counts_are_published(tmp_path: Path) -> None:
    """`bridge/health` says how many requests came to what."""
    async with running(tmp_path, {"front": FILE}) as desk:
        health = json.loads((await desk.around.retained())["bridge/health"])
        assert health["requests"] == {"obeyed": 0, "refused": 0, "dropped": 0}


async def test_retained_requests_are_not_obeyed(tmp_path: Path) -> None:
    """A request that somebody left on the broker restarts nothing when we come; the log says once to clear it."""
    async with site(tmp_path) as around, speaking(around.broker) as speaker:
        await speaker.say(f"{REQUEST}/restart", "{}", retain=True)
        async with box(tmp_path, around.config({"front": FILE})) as daemon:
            told = await daemon.wait_log("message ignored")
            assert (told["why"], "clear it" in told["detail"]) == ("retained", True)
            await around.wait_status("front", "streaming")
            assert around.subscriber.payloads("bridge/response/restart") == []
            assert await daemon.stop() == 0
        assert len(around.cloud.happened("opened")) == 1


async def test_switched_off(tmp_path: Path) -> None:
    """With `mqtt.requests = "off"` nothing is listened to but the birth of Home Assistant."""
    async with running(tmp_path, {"front": FILE}, requests="off") as desk:
        await desk.around.wait_status("front", "streaming")
        await desk.speaker.say(f"{REQUEST}/restart", "{}")
        await desk.around.wait_event("front", "conversation_quality.updated")
        assert subscriptions(desk.around.broker) == {"homeassistant/status"}
        assert desk.around.subscriber.payloads("bridge/response/restart") == []


async def test_read_only(tmp_path: Path) -> None:
    """With `mqtt.requests = "read-only"` what would change something is refused, and says by which key."""
    async with running(tmp_path, {"front": FILE}, requests="read-only") as desk:
        answer = await desk.ask("restart")
        assert "mqtt.requests" in answer["error"]
        assert subscriptions(desk.around.broker) == {f"{REQUEST}/+", "homeassistant/status"}


async def test_after_an_outage_of_the_broker(tmp_path: Path) -> None:
    """When the broker comes back, requests are heard and answered again."""
    async with running(tmp_path, {"front": FILE}) as desk:
        await desk.around.wait_status("front", "streaming")
        await desk.around.broker.restart()
        await desk.around.broker.wait_log("bridge/request/+ (QoS 1)", within=30)
        async with speaking(desk.around.broker) as speaker, subscribed(desk.around.broker) as subscriber:
            await speaker.say(f"{REQUEST}/log_level", '{"level": "debug"}')
            answer = json.loads((await subscriber.wait_topic("bridge/response/log_level")).payload)
        assert answer["status"] == "ok"


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_a_daemon_among_hostile_requests(tmp_path: Path, protocol: str) -> None:
    """Nonsense of many kinds is answered or ignored, and costs neither the connection nor an event's order."""
    nonsense = [b"\x00", b"\xff" * 100, b"[" * 60_000, b'{"camera": {}}', b" " * 70_000, b'{"transaction": NaN}']
    async with running(tmp_path, {"front": FILE}, protocol=protocol) as desk:
        await desk.around.wait_status("front", "streaming")
        for payload in nonsense:
            await desk.speaker.say(f"{REQUEST}/pause", payload)
            await desk.speaker.say(f"interhuman/{BOX}/front/pause/set", payload)
        await desk.speaker.say(f"{REQUEST}/\u00e9 \u2028..", "{}")
        await desk.speaker.say(f"{REQUEST}/reload", "{}", ResponseTopic="/" * 300)
        with trio.fail_after(20):
            assert (await desk.ask("reload"))["status"] == "ok"
        assert sum("Sending CONNACK to interhuman-lobby-1" in line for line in desk.around.broker.log) == 1
        answers = [json.loads(payload) for payload in desk.around.subscriber.payloads("bridge/response/pause")]
        assert [answer["status"] for answer in answers] == ["error"] * len(nonsense)


async def test_a_flood(tmp_path: Path) -> None:
    """Of 10,000 requests at once each is answered or counted as dropped; events keep their order, memory its bounds."""
    async with running(tmp_path, {"front": FILE}, lines=["max_queued_messages 0"]) as desk:
        await desk.around.wait_status("front", "streaming")
        before = resident(desk.daemon.pid)
        sent = [
            desk.speaker.start(f"{REQUEST}/log_level", json.dumps({"transaction": "x" * 900})) for _ in range(10_000)
        ]
        await trio.to_thread.run_sync(sent[-1].wait_for_publish, 120)
        await desk.daemon.wait_log("requests are heard again", within=60)
        await desk.around.subscriber.wait_for(lambda _: desk.answered("log_level") + desk.dropped == 10_000, 60)
        assert desk.dropped > 5000
        assert (await desk.ask("reload"))["status"] == "ok"
        assert resident(desk.daemon.pid) < before + 20_000_000
        await desk.around.wait_event("front", "conversation_quality.updated", count=3)
        numbers = [int(event["id"].rpartition("/")[2]) for event in desk.around.events("front")]
        assert numbers == sorted(set(numbers))
        assert sum("Sending CONNACK to interhuman-lobby-1" in line for line in desk.around.broker.log) == 1


def subscriptions(broker: Broker) -> set[str]:
    """What the daemon has subscribed to, as Mosquitto logs it: `CLIENT QOS FILTER`."""
    client = "interhuman-lobby-1 1 "
    return {line.partition(client)[2] for line in broker.log if client in line}


def resident(pid: int) -> int:
    """Bytes of memory that a process holds."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()
