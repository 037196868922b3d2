"""The page as a process beside a real broker, and a browser's requests to it."""

import json
import os
import re
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx  # noqa: ASYNC127 - the SDK of the vendor brings it
import tomli_w
import trio

from support.mosquitto import Broker, PublishingClient, free_port, mosquitto, publishing_client
from support.processes import PATIENCE_S, ChildProcess, running

Json = dict[str, Any]
PASSWORD = "open sesame"
BOX, CAMERA = "lobby-1", "front"


class Site:
    """A broker, a page, somebody who publishes as boxes do, and a client that has not logged in."""

    def __init__(
        self,
        broker: Broker,
        publisher: PublishingClient,
        client: httpx.AsyncClient,
        process: ChildProcess,
        number: int = 0,
    ) -> None:
        self.broker = broker
        self.publisher = publisher
        self.client = client
        self.process = process
        self.number = number

    async def say(self, topic: str, payload: Json, *, retain: bool = False) -> None:
        """Publish below the base topic."""
        await self.publisher.publish(f"interhuman/{topic}", json.dumps(payload), retain=retain)

    async def status(self, state: str = "streaming", **more: Any) -> None:
        """Publish that the box is online and its camera in a state."""
        await self.say(f"{BOX}/bridge/state", {"state": "online", "boot_id": "1", "since": ago(900)}, retain=True)
        await self.say(f"{BOX}/{CAMERA}/status", {"state": state, "since": ago(600), **more}, retain=True)

    async def event(self, kind: str, data: Json, *, seconds_ago: float = 0.0, **more: Any) -> None:
        """Publish an event, numbered as those of one session are."""
        self.number += 1
        payload = {
            "id": f"{BOX}/{CAMERA}/s/{self.number}",
            "type": kind,
            "session": "s",
            "received_at": ago(0),
            "start_at": ago(seconds_ago),
            "data": data,
            **more,
        }
        await self.say(f"{BOX}/{CAMERA}/event/{kind}", payload)

    async def late(self, kind: str, data: Json, start_at: str, end_at: str | None = None) -> None:
        """Publish an event of a recording."""
        dated = {"received_at": ago(0), "start_at": start_at, "end_at": end_at}
        payload = {"id": f"{BOX}/{CAMERA}/job/1", "type": kind, "session": "u", **dated, "data": data}
        await self.say(f"{BOX}/{CAMERA}/late/{kind}", payload)

    def lose_event(self) -> None:
        """Count an event that never comes, as a broker drops it from a full queue."""
        self.number += 1

    async def fleet(self, enough: Callable[[Json], Any]) -> Json:
        """The fleet, as soon as it is as wanted."""
        return await self.wait("/api/fleet", enough)

    async def wait(self, path: str, enough: Callable[[Json], Any]) -> Json:
        """An answer, as soon as it is as wanted."""
        with trio.fail_after(PATIENCE_S):
            while not enough(found := (await self.client.get(path)).json()):  # noqa: ASYNC110 - HTTP wakes nobody
                await trio.sleep(0.05)
        return dict(found)

    async def stop(self) -> None:
        """End the page in order."""
        self.process.process.terminate()
        with trio.fail_after(PATIENCE_S):
            assert await self.process.process.wait() == 0

    async def kill(self) -> None:
        """End the page as a power cut does."""
        self.process.process.kill()
        await self.process.process.wait()

    async def login(self) -> None:
        """Log in, and carry the token from then on."""
        assert (await self.post("/api/login", {"password": PASSWORD})).status_code == 204
        self.client.headers["x-csrf-token"] = (await self.client.get("/api/session")).json()["csrf"]

    async def post(self, path: str, body: Json, **headers: str) -> httpx.Response:
        """A request of the page's own script.

        On a connection of its own: the page closes one on which it answered without reading what was sent, and httpx
        does not try again on another, as browsers do.
        """
        own = {"origin": str(self.client.base_url).rstrip("/"), "connection": "close"}
        return await self.client.post(path, json=body, headers={**own, **headers})


class Capture:
    """The daemon's end: what it accepted, recorder by recorder."""

    def __init__(self, folder: Path, camera: str = "table") -> None:
        self.path = folder / camera
        self.streams: list[trio.SocketStream] = []
        self.accepted = trio.Event()
        self.says = b'{"buffer": 20.0}\n'

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Accept, as long as the context lasts."""
        with trio.socket.socket(trio.socket.AF_UNIX) as listener:
            await listener.bind(str(self.path))
            listener.listen(1)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._accept, listener)
                yield
                nursery.cancel_scope.cancel()
        self.path.unlink()
        for stream in self.streams:
            await stream.aclose()

    async def _accept(self, listener: trio.socket.SocketType) -> None:
        while True:
            connection, _ = await listener.accept()
            self.streams.append(trio.SocketStream(connection))
            await self.streams[-1].send_all(self.says)
            self.accepted.set()

    async def read(self, number: int = -1) -> bytes:
        """What came of a recorder until now."""
        return bytes(await self.streams[number].receive_some(1 << 20))


def ago(seconds: float) -> str:
    return (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat()


@asynccontextmanager
async def site(folder: Path, *, mqtt: Json | None = None, **web: Any) -> AsyncIterator[Site]:
    """A page with a password, on loopback."""
    (folder / "web.pw").write_text(PASSWORD)
    (folder / "web.pw").chmod(0o600)
    async with mosquitto(folder) as broker, publishing_client(broker) as publisher:
        table = {"listen": f"127.0.0.1:{free_port()}", "password": {"file": str(folder / "web.pw")}, **web}
        config = {"box": {"id": "page"}, "mqtt": {"url": broker.url, **(mqtt or {})}, "web": table}
        (folder / "web.toml").write_text(tomli_w.dumps(config))
        async with served(folder, broker, publisher) as made:
            yield made


@asynccontextmanager
async def served(folder: Path, broker: Broker, publisher: PublishingClient, number: int = 0) -> AsyncIterator[Site]:
    """The page of a folder, which ends in order; `number` is that of the last event."""
    command = [sys.executable, "-m", "interhuman2mqtt", "web", "--config", str(folder / "web.toml")]
    places = {"STATE_DIRECTORY": str(folder / "state"), "RUNTIME_DIRECTORY": str(folder / "run")}
    async with running(command, {**os.environ, **places}) as process:
        line = await process.wait_line(lambda line: "the page is served" in line)
        found = re.search(r"http://[^\"' ]+", line)
        assert found
        async with httpx.AsyncClient(base_url=found[0], timeout=20) as client:
            made = Site(broker, publisher, client, process, number)
            await made.fleet(lambda fleet: "error" in fleet or fleet["broker"]["state"] == "connected")
            yield made
        if process.process.returncode is None:
            await made.stop()
