"""kill -9 at any moment loses no event that was accepted, and orders none anew."""

import os
import random
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest
import trio

from integration.delivery import BUSY, arrivals, assert_arrived, assert_in_order, first_arrivals, stored_ids
from integration.helpers import Box, Peers, box, run_peers
from support.clips import Clip
from support.netproxy import Network, network

KILLS = int(os.environ.get("INTERHUMAN2MQTT_TEST_KILLS", "3"))
CAMERAS = {"front": {"source": f"file:{Clip().path()}"}, "desk": {"source": f"file:{Clip().path()}"}}
ACCEPTED_S = 1.0
"""An event that the cloud sent so long ago has been accepted."""


class Victim:
    """A daemon that is killed again and again, and what it must not have lost."""

    def __init__(self, daemon: Box, peers: Peers, way: Network) -> None:
        self.daemon = daemon
        self.peers = peers
        self.way = way
        self.accepted: set[str] = set()
        self.times: list[tuple[float, float]] = []
        """Of each life: when it streamed, and when all that was sent then had to be accepted."""

    async def live_and_die(self, number: int, chance: random.Random) -> None:
        """Some seconds with the broker there or not, then the end, and the next start."""
        began = time.monotonic()
        if chance.random() < 0.5:
            await self.way.refuse()
            self.way.reset()
        await self.daemon.wait_log("camera", state="streaming")
        await trio.sleep(chance.uniform(0.0, 3.0))
        self.daemon.send(signal.SIGKILL)
        self.times.append((began, time.monotonic() - ACCEPTED_S))
        await self.daemon.wait()
        folder = self.peers.folder
        self.accepted |= await trio.to_thread.run_sync(
            stored_ids, folder / "outbox.sqlite", folder / f"left-by-{number}"
        )
        await self.way.accept()
        await self.daemon.start()

    def assert_nothing_lost(self) -> None:
        """All that was accepted arrived, and in order."""
        arrived = {event["id"] for camera in CAMERAS for event in first_arrivals(self.peers, camera)}
        assert self.accepted - arrived == set()
        for camera in CAMERAS:
            assert_in_order(self.peers, camera)
            for since, until in self.times:
                assert assert_arrived(self.peers, camera, since, until) > 0


@pytest.mark.parametrize("seed", [20261124])
async def test_kill_9(tmp_path: Path, seed: int) -> None:
    """Every event accepted before a kill reaches the subscriber; repeats are the same; the order holds."""
    chance = random.Random(seed)
    async with run_peers(tmp_path, *BUSY) as peers, network(peers.broker.port) as way:
        config = peers.config(CAMERAS, mqtt={"url": f"mqtt://localhost:{way.port}"})
        async with box(tmp_path, config) as daemon:
            victim = Victim(daemon, peers, way)
            for number in range(KILLS):
                await victim.live_and_die(number, chance)
            await daemon.wait_log("broker", state="online")
            await daemon.wait_log("camera", state="streaming")
            assert await daemon.stop() == 0
        with suppress(AssertionError):  # which would not say what is missing
            await peers.subscriber.wait_for(lambda _: victim.accepted <= ids(peers), 30)
        victim.assert_nothing_lost()


def ids(peers: Peers) -> set[str]:
    """The ids of all events that came."""
    return {event["id"] for camera in CAMERAS for event in arrivals(peers, camera)}
