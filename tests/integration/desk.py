"""Somebody who asks a running daemon by MQTT, and gets its answers."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

from integration.helpers import BOX, Box, Json, Site, box, site
from support.mosquitto import Speaker, speaking

REQUEST = f"interhuman/{BOX}/bridge/request"


class Desk:
    """Somebody who sends requests to a daemon, and gets its answers."""

    def __init__(self, around: Site, daemon: Box, speaker: Speaker) -> None:
        self.around = around
        self.daemon = daemon
        self.speaker = speaker

    async def ask(self, command: str, within: float = 20.0, **fields: object) -> Json:
        """Send a request, and wait for its answer."""
        transaction = str(uuid4())
        await self.speaker.say(f"{REQUEST}/{command}", json.dumps({**fields, "transaction": transaction}))
        return await self.answer(command, transaction, within)

    async def answer(self, command: str, transaction: str, within: float = 20.0) -> Json:
        """The answer to a request."""

        def found() -> list[Json]:
            said = map(json.loads, self.around.subscriber.payloads(f"bridge/response/{command}"))
            return [answer for answer in said if answer.get("transaction") == transaction]

        await self.around.subscriber.wait_for(lambda _: found(), within)
        return found()[0]

    def answered(self, command: str) -> int:
        """How many requests of a kind were answered so far."""
        return len(self.around.subscriber.payloads(f"bridge/response/{command}"))

    @property
    def dropped(self) -> int:
        """How many messages were dropped in floods that are over."""
        return sum(line["dropped"] for line in self.daemon.log if line["event"] == "requests are heard again")


@asynccontextmanager
async def running(
    folder: Path, cameras: Json, *options: str, lines: Sequence[str] = (), **mqtt: object
) -> AsyncIterator[Desk]:
    """A daemon that has subscribed, or need not, and somebody who asks; `options` are the cloud's."""
    async with site(folder, *options, lines=lines) as around, speaking(around.broker) as speaker:
        config = around.config(cameras, mqtt={"url": around.broker.url, **mqtt})
        async with box(folder, config) as daemon:
            if mqtt.get("requests") != "off":
                await around.broker.wait_log("bridge/request/+ (QoS 1)", within=20)
            yield Desk(around, daemon, speaker)
            assert await daemon.stop() == 0
