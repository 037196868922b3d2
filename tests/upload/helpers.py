"""Parts of the tests of recordings: a client of a simulator, and servers that answer what they are told."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio
from trio.testing import memory_stream_pair

from interhuman2mqtt.cloud.http import ApiKey, HostPort
from interhuman2mqtt.cloud.transport import Server
from interhuman2mqtt.simulator.faults import parse_fault
from interhuman2mqtt.simulator.settings import Settings, Uploads
from interhuman2mqtt.upload.client import KeySource, Submission, UploadClient, UploadEndpoint, endpoint_of
from simulator.helpers import simulator

KEY = "ih_secret_of_the_tests"
QUICK = Uploads(queued=0.01, running=0.01)
FAR = UploadEndpoint(Server("http://cloud.example"), 2)
SUBMISSION = Submission(filename="recording.mp4", request_id="7c1e0000-0000-4000-8000-000000000000")


@asynccontextmanager
async def client_of_simulator(
    *faults: str, version: int = 2, save: Path | None = None, **settings: Any
) -> AsyncIterator[UploadClient]:
    """A client, and the cloud that it talks to."""
    played = tuple(parse_fault(fault) for fault in faults)
    settings = {"uploads": QUICK, **settings}
    async with simulator(Settings(port=0, faults=played, save=save, **settings)) as address:
        yield UploadClient(endpoint_of(f"{address.url}/v{version}/stream/analyze"), ApiKey(KEY))


@asynccontextmanager
async def client_of(
    play: Callable[[trio.abc.Stream], Awaitable[None]], key: KeySource | None = None
) -> AsyncIterator[UploadClient]:
    """A client whose connections are played by a function, in memory, so that a mock clock may be used."""
    async with trio.open_nursery() as nursery:

        async def dial(_: HostPort) -> trio.abc.Stream:  # noqa: ASYNC124 - as Dial is called
            near, far = memory_stream_pair()
            nursery.start_soon(play, far)
            return near

        yield UploadClient(FAR, key or ApiKey(KEY), dial)
        nursery.cancel_scope.cancel()


async def request_of(stream: trio.abc.Stream) -> bytes:
    """A whole request, by its Content-Length."""
    received = b""
    while True:
        head, end, body = received.partition(b"\r\n\r\n")
        if end:
            fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
            if len(body) >= int(fields.get(b"content-length", 0)):
                return received
        received += bytes(await stream.receive_some(1 << 16))


def answering(answer: bytes) -> Callable[[trio.abc.Stream], Awaitable[None]]:
    """A server that reads the request, answers these bytes, and hangs up."""

    async def play(stream: trio.abc.Stream) -> None:
        await request_of(stream)
        await stream.send_all(answer)
        await stream.aclose()

    return play


def http_answer(status: int, body: bytes, *headers: str) -> bytes:
    head = [f"HTTP/1.1 {status} Some Words", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body
