"""Pauses by MQTT: what is asked for is held, and a level on the broker is handled whenever we come to hear of it."""

import signal
from pathlib import Path

import pytest
import trio

from integration.helpers import BOX, Json, box, run_peers
from integration.requester import running
from interhuman2mqtt.policy.pauses import PauseOrigin, Pauses
from support.clips import Clip
from support.mosquitto import publishing_client
from support.processes import PATIENCE_S

FILE = {"source": f"file:{Clip().path()}"}
LEVEL = f"interhuman/{BOX}/front/pause/set"


def streams(status: Json) -> bool:
    """Whether a status says so."""
    return bool(status["state"] == "streaming")


def is_paused(status: Json) -> bool:
    """Whether a status says so."""
    return bool(status["state"] == "paused")


async def test_one_camera(tmp_path: Path) -> None:
    """A request pauses its camera alone: no worker is left of it; another request lifts that."""
    async with running(tmp_path, {"front": FILE, "desk": FILE}) as requester:
        for camera in ("front", "desk"):
            await requester.peers.wait_status(camera, "streaming")
        answer = await requester.ask("pause", camera="front")
        assert (answer["status"], answer["data"]["changed"], answer["data"]["paused"]) == ("ok", ["front"], ["front"])
        await requester.peers.wait_latest("front", is_paused)
        assert len(requester.daemon.workers()) == 1
        assert streams(requester.peers.statuses("desk")[-1])
        again = await requester.ask("resume", camera="front")
        assert (again["data"]["changed"], again["data"]["paused"]) == (["front"], [])
        await requester.peers.wait_latest("front", streams)
        assert requester.peers.events("desk", "session.ended") == []


async def test_all_cameras(tmp_path: Path) -> None:
    """Without a camera all are paused, and all resumed; to resume one is answered with what still holds."""
    async with running(tmp_path, {"front": FILE, "desk": FILE}) as requester:
        await requester.ask("pause")
        for camera in ("front", "desk"):
            await requester.peers.wait_latest(camera, is_paused)
        one = await requester.ask("resume", camera="front")
        assert (one["data"]["changed"], one["data"]["paused"]) == ([], ["all"])
        await requester.ask("resume")
        for camera in ("front", "desk"):
            await requester.peers.wait_latest(camera, streams)


@pytest.mark.parametrize("retain", [False, True])
async def test_a_level(tmp_path: Path, retain: bool) -> None:  # noqa: FBT001 - pytest's own way
    """`pause/set` pauses and resumes its camera at once, published with the retain flag or without."""
    async with running(tmp_path, {"front": FILE}) as requester:
        await requester.peers.wait_status("front", "streaming")
        await requester.publisher.publish(LEVEL, "ON", retain=retain)
        await requester.peers.wait_latest("front", is_paused)
        assert requester.daemon.workers() == {}
        await requester.publisher.publish(LEVEL, "off", retain=retain)
        await requester.peers.wait_latest("front", streams)


async def test_a_level_that_was_set_during_an_outage(tmp_path: Path) -> None:
    """What was retained on the broker while we were offline is applied as soon as we are back."""
    async with running(tmp_path, {"front": FILE}) as requester:
        await requester.peers.wait_status("front", "streaming")
        requester.daemon.send(signal.SIGSTOP)
        await requester.peers.broker.restart()
        async with publishing_client(requester.peers.broker) as publisher:
            await publisher.publish(LEVEL, "ON", retain=True)
        requester.daemon.send(signal.SIGCONT)
        told = await requester.daemon.wait_log("pause/set")
        assert (told["on"], told["retained"]) == (True, True)
        await requester.peers.wait_latest("front", is_paused)
        with trio.fail_after(PATIENCE_S):
            while requester.daemon.workers():  # noqa: ASYNC110 - nobody announces the end of a process
                await trio.sleep(0.05)


async def test_a_retained_off_is_no_news(tmp_path: Path) -> None:
    """A retained OFF lifts no pause that was made in another way; said live, it lifts that too."""
    Pauses(tmp_path).pause("front", PauseOrigin.COMMAND)
    async with run_peers(tmp_path) as peers, publishing_client(peers.broker) as publisher:
        await publisher.publish(LEVEL, "OFF", retain=True)
        async with box(tmp_path, peers.config({"front": FILE})) as daemon:
            told = await daemon.wait_log("pause/set")
            assert (told["on"], told["retained"]) == (False, True)
            await peers.wait_latest("front", is_paused)
            await trio.sleep(2)  # twice as long as the policy may take to look
            assert {state for state, _ in peers.states("front")} <= {"connecting", "paused"}
            await publisher.publish(LEVEL, "OFF", retain=True)
            await peers.wait_latest("front", streams)
            assert await daemon.stop() == 0


async def test_a_retained_off_lifts_what_the_level_paused(tmp_path: Path) -> None:
    """A pause that came by the level ends by it, also where we only hear of the end when we come back."""
    Pauses(tmp_path).pause("front", PauseOrigin.PAUSE_SET)
    async with run_peers(tmp_path) as peers, publishing_client(peers.broker) as publisher:
        await publisher.publish(LEVEL, "OFF", retain=True)
        async with box(tmp_path, peers.config({"front": FILE})) as daemon:
            await peers.wait_latest("front", streams)
            assert await daemon.stop() == 0


async def test_a_pause_survives_the_daemon(tmp_path: Path) -> None:
    """A camera that was paused by a request is paused still after the daemon was killed and started again."""
    async with running(tmp_path, {"front": FILE}) as requester:
        await requester.peers.wait_status("front", "streaming")
        await requester.ask("pause", camera="front")
        await requester.peers.wait_latest("front", is_paused)
        opened = len(requester.peers.cloud.happened("opened"))
        requester.daemon.send(signal.SIGKILL)
        await requester.daemon.wait()
        await requester.daemon.start()
        await requester.daemon.wait_log("broker", state="online")
        await trio.sleep(2)
        assert is_paused(requester.peers.statuses("front")[-1])
        assert len(requester.peers.cloud.happened("opened")) == opened


async def test_a_pause_that_cannot_be_made(tmp_path: Path) -> None:
    """Where the pause cannot be written down, it holds all the same, and the answer says why it may not last."""
    (tmp_path / "paused").write_text("a file where the folder must be")
    async with running(tmp_path, {"front": FILE}) as requester:
        answer = await requester.ask("pause", camera="front")
        assert answer["status"] == "ok"
        assert {"all", "front"} & set(answer["data"]["paused"])  # all, once it is seen that none can be read
        assert "cannot be written down" in answer["data"]["detail"]


async def test_a_camera_that_a_reload_adds(tmp_path: Path) -> None:
    """It is paused by what the broker has retained for it all along, before it was opened even once."""
    async with running(tmp_path, {"front": FILE}) as requester:
        await requester.publisher.publish(f"interhuman/{BOX}/added/pause/set", "ON", retain=True)
        for number in range(300):
            await requester.publisher.publish(f"interhuman/{BOX}/other{number}/pause/set", "ON", retain=True)
        await requester.peers.wait_status("front", "streaming")
        requester.daemon.configure(
            requester.peers.config({"front": FILE, "added": FILE}, mqtt={"url": requester.peers.broker.url})
        )
        assert (await requester.ask("reload"))["data"]["started"] == ["added"]
        await requester.peers.wait_status("added", "paused", "paused")
        assert {state for state, _ in requester.peers.states("added")} <= {"connecting", "paused"}
        assert len(requester.daemon.workers()) == 1
        assert sum(line["event"] == "source opened" for line in requester.daemon.log) == 1
