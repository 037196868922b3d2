"""A cloud played by the test itself over trio-websocket, and what a session is given to talk to it."""

import json
import math
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import outcome
import trio
from trio.testing import MemoryReceiveStream, MemorySendStream, memory_stream_pair
from trio_websocket import ConnectionClosed, WebSocketConnection, WebSocketRequest, wrap_server_stream
from wsproto.utilities import ProtocolError

from interhuman2mqtt.cloud.event_mapper import EventMapper, MediaOrigin
from interhuman2mqtt.cloud.http import HostPort
from interhuman2mqtt.cloud.session import run_session
from interhuman2mqtt.cloud.session_types import Anomaly, SessionEnd, SessionLimits, SessionOptions
from interhuman2mqtt.cloud.transport import Dial, Server
from interhuman2mqtt.errors import Outage
from interhuman2mqtt.events import Event, MediaChunk
from support.clocks import Clocks

KEY = "ih_live_do-not-print-me"
SESSION = "7c1e5a2e-0000-4000-8000-000000000001"
CORRELATION = "550e8400-0000-4000-8000-000000000002"
EPOCH = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
SERVER = Server("ws://cloud.test/v2/stream/analyze")

OPTIONS = {
    "include": ["conversation_quality_overall", "conversation_quality_timeline"],
    "goal_dimensions": None,
    "model": ["inter-2", "inter-2-audio"],
}
READY = {
    "session_idle_timeout_seconds": 300,
    "session_max_duration_seconds": 3600,
    "max_segment_duration_seconds": None,
    "min_segment_size_bytes": 1,
    "max_segment_size_bytes": 33554432,
    "supported_session_config_options": OPTIONS,
}

Play = Callable[["Cloud"], Awaitable[None]]


def envelope(kind: str, data: dict[str, Any] | None = None) -> dict[str, Any]:
    """An envelope as the cloud sends it today."""
    stamp = "2026-11-22T10:00:12.345678Z"
    return {"type": kind, "timestamp": stamp, "correlation_id": CORRELATION, "data": data or {}}


def frame(kind: str, data: dict[str, Any] | None = None) -> str:
    return json.dumps(envelope(kind, data))


class Cloud:
    """The other end of one session's WebSocket."""

    def __init__(self, websocket: WebSocketConnection, request: WebSocketRequest) -> None:
        self.websocket = websocket
        self.path = request.path
        self.headers = dict(request.headers)
        self.media: list[bytes] = []
        self.texts: list[dict[str, Any]] = []

    async def send_message(self, kind: str, data: dict[str, Any] | None = None) -> None:
        await self.websocket.send_message(frame(kind, data))

    async def ready(self, **changes: Any) -> None:
        await self.send_message("session.ready", READY | changes)

    async def error(self, code: str) -> None:
        await self.send_message("error", {"code": code, "message": f"what {code} means", "link": None, "segment": None})

    async def receive(self) -> str | bytes:
        message: str | bytes = await self.websocket.get_message()
        if isinstance(message, bytes):
            self.media.append(message)
        else:
            self.texts.append(json.loads(message))
        return message

    async def hear_until_close(self) -> None:
        """Takes media until `session.close`, which it is the caller's to answer."""
        while {"type": "session.close"} not in self.texts:
            await self.receive()

    async def end(self) -> None:
        """The graceful end: the drain is over at once."""
        await self.send_message("session.closing", {"max_drain_seconds": 30})
        await self.send_message("session.ended", {"reason": "client_shutdown"})
        await self.websocket.aclose()

    async def serve(self) -> None:
        """A whole session in which nothing happens."""
        await self.ready()
        await self.hear_until_close()
        await self.end()


class Tape:
    """An observer that records everything that it receives."""

    def __init__(self) -> None:
        self.limits: SessionLimits | None = None
        self.events: list[Event] = []
        self.chunks: list[MediaChunk] = []
        self.proven: list[tuple[MediaChunk, float | None]] = []
        self.anomalies: list[tuple[Anomaly, str]] = []
        self.refused: list[MediaChunk] = []
        self.complaints: list[Outage | None] = []

    def ready(self, limits: SessionLimits, correlation_id: str | None) -> None:
        assert correlation_id == CORRELATION
        self.limits = limits

    def event(self, event: Event) -> None:
        self.events.append(event)

    def sent(self, chunk: MediaChunk) -> None:
        self.chunks.append(chunk)

    def delivered(self, chunk: MediaChunk, round_trip: float | None) -> None:
        self.proven.append((chunk, round_trip))

    def rejected(self, chunk: MediaChunk) -> None:
        self.refused.append(chunk)

    def complained(self, outage: Outage | None) -> None:
        self.complaints.append(outage)

    def too_short(self) -> None:
        """Its recordings are as long as they are."""

    def on_anomaly(self, anomaly: Anomaly, detail: str) -> None:
        self.anomalies.append((anomaly, detail))

    @property
    def types(self) -> list[str]:
        return [event.type for event in self.events]


SOURCE_S = 100.0
"""Where a recording begins on the timeline of its source."""


def chunk(number: int, *, last: bool = False, payload: bytes | None = None, seconds: float = 2.0) -> MediaChunk:
    """Chunk `number`, from 0 on, of a recording without gaps that began at EPOCH, which is SOURCE_S for its source."""
    start = number * seconds
    return MediaChunk(
        payload=b"media %d" % number if payload is None else payload,
        media_start=start,
        media_end=start + seconds,
        captured_from=start,
        last=last,
        source_start=SOURCE_S + start,
        source_end=SOURCE_S + start + seconds,
    )


class Film:
    """A recording whose chunks are given, one every `every` seconds; after them comes what `then` says."""

    def __init__(self, chunks: Iterable[MediaChunk] = (), *, every: float = 0.0, then: Outage | None = None) -> None:
        self.finished = 0
        self._chunks = list(chunks)
        self._every = every
        self._then = then

    async def next_chunk(self) -> MediaChunk:
        await trio.sleep(self._every)
        if self._chunks:
            return self._chunks.pop(0)
        if self._then is not None:
            raise self._then
        await trio.sleep_forever()
        raise AssertionError

    async def idle(self, seconds: float) -> None:
        await trio.sleep(seconds)

    def finish(self) -> None:
        self.finished += 1


class EndlessFilm:
    """A live recording: a chunk every two seconds, until it is finished."""

    def __init__(self) -> None:
        self._number = -1
        self._last = False

    async def next_chunk(self) -> MediaChunk:
        await trio.sleep(2.0)
        self._number += 1
        return chunk(self._number, last=self._last)

    async def idle(self, seconds: float) -> None:
        await trio.sleep(0 if self._last else seconds)

    def finish(self) -> None:
        self._last = True


async def play(stream: trio.abc.Stream, act: Play) -> None:
    """Serves one connection: the upgrade is accepted, and `act` plays the cloud."""
    try:
        async with stream, trio.open_nursery() as nursery:
            with trio.move_on_after(10) as waiting:
                request = await wrap_server_stream(nursery, stream)
            if not waiting.cancelled_caught:  # else nobody asked; trio-websocket would wait for ever
                await _act(request, act)
            nursery.cancel_scope.cancel()
    except* (ConnectionClosed, ProtocolError):
        pass  # the latter comes from trio-websocket's reader, on a ping that arrives while it closes


async def _act(request: WebSocketRequest, act: Play) -> None:
    websocket = await request.accept(extra_headers=[(b"X-Correlation-ID", CORRELATION.encode())])
    try:
        await act(Cloud(websocket, request))
    finally:
        with trio.move_on_after(5, shield=True):
            await websocket.aclose()


def jam(stream: trio.StapledStream[MemorySendStream, MemoryReceiveStream], after: int | None) -> None:
    """Lets one end of a memory stream take so many sends, and then no more; None: all."""
    pump = stream.send_stream.send_all_hook
    left = math.inf if after is None else after

    async def hook() -> None:
        nonlocal left
        left -= 1
        if left < 0:
            await trio.sleep_forever()
        assert pump is not None
        await pump()

    stream.send_stream.send_all_hook = hook


def memory_dial(nursery: trio.Nursery, act: Play, *, sends: int | None = None, answers: int | None = None) -> Dial:
    """A way to dial the played cloud in memory: no socket, no thread, no real time.

    Only so many of our `sends` and of its `answers` get through, the upgrade included; then nothing moves that way.
    """

    async def dial(address: HostPort) -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        ours, theirs = memory_stream_pair()
        jam(ours, sends)
        jam(theirs, answers)
        nursery.start_soon(play, theirs, act)
        return ours

    return dial


def interpreter(clocks: Clocks | None = None, **options: Any) -> EventMapper:
    """Of a box that was started at EPOCH, where the media of `chunk` begins."""
    clock = (clocks or Clocks(EPOCH)).box_clock()
    return EventMapper(MediaOrigin("lobby-1", "front", SESSION), clock=clock, **options)


async def converse(
    act: Play,
    film: Film | EndlessFilm,
    tape: Tape,
    *,
    wishes: SessionOptions | None = None,
    server: Server = SERVER,
    sends: int | None = None,
    answers: int | None = None,
) -> SessionEnd:
    """One session against the played cloud; whatever the session raises comes out as it is."""
    async with trio.open_nursery() as nursery:
        session = partial(run_session, mapper=interpreter(), observer=tape)
        dial = memory_dial(nursery, act, sends=sends, answers=answers)
        result = await outcome.acapture(session, server, KEY, wishes or SessionOptions(), film, dial=dial)
        nursery.cancel_scope.cancel()
    return result.unwrap()
