"""A client that sends requests to a running daemon by MQTT, and receives its answers."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

from integration.helpers import BOX, Box, Json, Peers, box, run_peers
from support.mosquitto import PublishingClient, publishing_client
from support.processes import PATIENCE_S

REQUEST = f"interhuman/{BOX}/bridge/request"


class RequestClient:
    """Sends requests to a daemon, and receives its answers."""

    def __init__(self, peers: Peers, daemon: Box, publisher: PublishingClient) -> None:
        self.peers = peers
        self.daemon = daemon
        self.publisher = publisher

    async def ask(self, command: str, within: float = PATIENCE_S, **fields: object) -> Json:
        """Send a request, and wait for its answer."""
        transaction = str(uuid4())
        await self.publisher.publish(f"{REQUEST}/{command}", json.dumps({**fields, "transaction": transaction}))
        return await self.answer(command, transaction, within)

    async def answer(self, command: str, transaction: str, within: float = PATIENCE_S) -> Json:
        """The answer to a request."""

        def found() -> list[Json]:
            answers = map(json.loads, self.peers.subscriber.payloads(f"bridge/response/{command}"))
            return [answer for answer in answers if answer.get("transaction") == transaction]

        await self.peers.subscriber.wait_for(lambda _: found(), within)
        return found()[0]

    def answered(self, command: str) -> int:
        """How many requests of a kind were answered so far."""
        return len(self.peers.subscriber.payloads(f"bridge/response/{command}"))

    @property
    def dropped(self) -> int:
        """How many messages were dropped in floods that are over."""
        return sum(line["dropped"] for line in self.daemon.log if line["event"] == "requests are received again")


@asynccontextmanager
async def running(
    folder: Path, cameras: Json, *options: str, lines: Sequence[str] = (), **mqtt: object
) -> AsyncIterator[RequestClient]:
    """A daemon that has subscribed, or need not, and a client of its requests; `options` are the cloud's."""
    async with run_peers(folder, *options, lines=lines) as peers, publishing_client(peers.broker) as publisher:
        config = peers.config(cameras, mqtt={"url": peers.broker.url, **mqtt})
        async with box(folder, config) as daemon:
            if mqtt.get("requests") != "off":
                await peers.broker.wait_log("bridge/request/+ (QoS 1)")
            yield RequestClient(peers, daemon, publisher)
            assert await daemon.stop() == 0
