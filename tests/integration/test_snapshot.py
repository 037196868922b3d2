"""A picture on request: what the camera sees now, to who may ask, and nowhere else."""

import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trio

from integration.helpers import BOX, Json
from integration.requester import RequestClient, running
from interhuman2mqtt.config.schedule import DAYS
from support.clips import Clip, frame_numbers
from support.mosquitto import Received

FRONT = {"source": f"file:{Clip().path()}"}
AWAY = {"source": "file:/nowhere/clip.mp4"}
OTHER_DAY = DAYS[(datetime.now(UTC).weekday() + 3) % 7]
NIGHT = {"source": f"file:{Clip().path()}", "schedule": [f"{OTHER_DAY} 03:00-03:01"]}
TOPIC = f"interhuman/{BOX}/front/snapshot"


def number_of(jpeg: bytes) -> int | None:
    """The number that the picture shows."""
    [(_, number)] = frame_numbers(jpeg)
    return number


def pictures(requester: RequestClient) -> list[Received]:
    """What came on the topic so far."""
    return [message for message in requester.peers.subscriber.messages if message.topic == TOPIC]


async def taken(requester: RequestClient, *, retain: bool = False) -> Json:
    """Data of the answer to a request that is handled."""
    answer = await requester.ask("snapshot", camera="front", retain=retain)
    assert (answer["status"], answer["error"]) == ("ok", None)
    return dict(answer["data"])


async def test_a_picture_of_now(tmp_path: Path) -> None:
    """It comes as JPEG of its time, is kept only where asked, is refused with a sentence, and is never on the disk."""
    async with running(tmp_path, {"front": FRONT, "away": AWAY, "night": NIGHT}) as requester:
        await requester.peers.wait_status("front", "streaming")
        told = await taken(requester)
        [came] = pictures(requester)
        assert (told["topic"], told["bytes"], told["size"]) == (TOPIC, len(came.payload), "320x180")
        age = datetime.now(UTC) - datetime.fromisoformat(told["taken_at"])
        assert -1 < age.total_seconds() < 15
        assert number_of(came.payload) is not None
        assert came.properties["ContentType"] == "image/jpeg"
        assert ("type", "snapshot") in came.properties["UserProperty"]
        await refused(requester)
        assert "front/snapshot" not in await requester.peers.retained()

        told = await taken(requester, retain=True)
        assert len((await requester.peers.retained())["front/snapshot"]) == told["bytes"]
        await forgotten(requester)
        told = await taken(requester, retain=True)
        assert (await requester.ask("reload"))["status"] == "ok"
        assert "front/snapshot" in await requester.peers.retained()
        assert (await requester.ask("pause", camera="front"))["status"] == "ok"
        await requester.peers.wait_status("front", "paused", "paused")
        await requester.peers.subscriber.wait_for(lambda _: pictures(requester)[-1].payload == b"")
        assert "front/snapshot" not in await requester.peers.retained()
        answer = await requester.ask("snapshot", camera="front")
        assert answer["error"].startswith("no snapshot of front: it is paused: paused by a request over MQTT")
    files = list(tmp_path.glob("outbox.sqlite*"))  # noqa: ASYNC240 - nothing else runs any more
    assert files
    assert not any(b"\xff\xd8\xff" in file.read_bytes() for file in files)


async def forgotten(requester: RequestClient) -> None:
    """What the broker retains of a camera is cleared on request, the snapshot too, and by command without a broker."""
    cleared = (await requester.ask("forget", camera="front"))["data"]["cleared"]
    assert {TOPIC, f"interhuman/{BOX}/front/state/last_event"} < set(cleared)
    wanted = {(topic, b"") for topic in cleared}
    await requester.peers.subscriber.wait_for(lambda seen: wanted <= {(one.topic, one.payload) for one in seen})
    assert "front/snapshot" not in await requester.peers.retained()
    done = await trio.run_process(
        [sys.executable, "-m", "interhuman2mqtt", "forget", "front"],
        env={**os.environ, "STATE_DIRECTORY": str(requester.daemon.folder)},
        capture_stdout=True,
        capture_stderr=True,
    )
    assert f"at the broker: {', '.join(cleared)} are empty" in done.stdout.decode()
    assert "no page has a history on this machine" in done.stderr.decode()


async def refused(requester: RequestClient) -> None:
    """Of cameras that are not there, away or at rest there is a sentence; of all, a picture of each that there is."""
    wrong = {camera: (await requester.ask("snapshot", camera=camera))["error"] for camera in ("frnt", "away", "night")}
    assert wrong["frnt"] == 'there is no camera "frnt" on this box; did you mean "front"?'
    assert wrong["away"] == "no snapshot of away: its source is not open"
    assert wrong["night"].startswith("no snapshot of night: it is waiting: ")
    answer = await requester.ask("snapshot")
    assert (answer["status"], list(answer["data"]["snapshots"])) == ("error", ["front"])
    assert "no snapshot of night" in answer["error"]
    assert (await requester.ask("snapshot", camera="front", retain="yes"))["error"] == "retain must be true or false"


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_a_broker_with_small_packets(tmp_path: Path, protocol: str) -> None:
    """Too large a picture is refused with the remedy; where MQTT 3.1.1 cannot tell, it costs one connection."""
    lines = ["max_packet_size 10000"]
    async with running(
        tmp_path,
        {"front": {"source": "test:", "size": "640x360", "fps": 10}},
        lines=lines,
        protocol=protocol,
        discovery=False,
    ) as requester:
        await requester.peers.wait_status("front", "streaming")
        errors = [(await requester.ask("snapshot", camera="front"))["error"] for _ in range(2)]
        assert "maximum packet size" in errors[1]
        assert all(error.startswith("no snapshot of front: ") for error in errors)
        assert pictures(requester) == []
        connections = sum("Sending CONNACK to interhuman-lobby-1" in line for line in requester.peers.broker.log)
        assert connections == (1 if protocol == "5" else 2)
        assert json.loads(requester.peers.subscriber.payloads("bridge/state")[-1])["state"] == "online"
