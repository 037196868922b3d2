"""Parts of the simulator's tests: real media made here, a running simulator, and a client that reads JSON."""

import json
import math
from array import array
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from fractions import Fraction
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import trio
import trio.testing
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.stream import VideoStream
from trio_websocket import ConnectionClosed, ConnectionRejected, WebSocketConnection, wrap_client_stream

from interhuman2mqtt.simulator.server import Address, Simulator, serve
from interhuman2mqtt.simulator.settings import Pace, Settings
from support.processes import PATIENCE_S

FPS = 15
RATE = 48_000
SAMPLES = 960
"""Per frame of audio: what Opus takes; the encoder of AAC cuts its own."""
FAST = Pace(window=2.0, stride=1.0, cadence=3.0)
BOTH_FLAGS = ("conversation_quality_overall", "conversation_quality_timeline")
FRAGMENTED = {"movflags": "frag_keyframe+empty_moov+default_base_moof+skip_trailer"}


class Sink:
    """A file that can only be written."""

    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes) -> int:
        self.data += bytes(data)
        return len(data)


@cache
def clip(
    seconds: int, *, gop: int = FPS, video: str | None = "libx264", audio: str | None = "aac", kind: str = "mp4"
) -> bytes:
    """A tiny clip of so many seconds: fragmented MP4, or WebM where `kind` says so; `gop` in frames."""
    sink = Sink()
    options = FRAGMENTED if kind == "mp4" else {"live": "1", "cluster_time_limit": "1000"}
    with av.open(sink, "w", format=kind, options=options) as container:
        pictures = video_stream(container, video, gop) if video else None
        sounds = audio_stream(container, audio) if audio else None
        for second in range(seconds):
            if pictures:
                add_video(container, pictures, second)
            if sounds:
                add_audio(container, sounds, second)
        if pictures:
            container.mux(pictures.encode(None))
        if sounds:
            container.mux(sounds.encode(None))
    return sink.data


def video_stream(container: OutputContainer, codec: str, gop: int) -> VideoStream:
    stream = container.add_stream(codec, rate=FPS)
    assert isinstance(stream, VideoStream)
    stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
    stream.gop_size = gop
    if codec == "libx264":
        stream.options = {"preset": "ultrafast", "tune": "zerolatency", "sc_threshold": "0"}
    return stream


def audio_stream(container: OutputContainer, codec: str) -> AudioStream:
    stream = container.add_stream(codec, rate=RATE)
    assert isinstance(stream, AudioStream)
    stream.layout = "mono"
    return stream


def add_video(container: OutputContainer, stream: VideoStream, second: int) -> None:
    for number in range(second * FPS, (second + 1) * FPS):
        frame = av.VideoFrame(160, 96, "yuv420p")
        for shade, plane in enumerate(frame.planes, start=1):
            plane.update(bytes((i * shade + number * 7) % 256 for i in range(plane.buffer_size)))
        frame.pts, frame.time_base = number, Fraction(1, FPS)
        container.mux(stream.encode(frame))


def add_audio(container: OutputContainer, stream: AudioStream, second: int) -> None:
    tone = array("h", (int(8000 * math.sin(i / 20)) for i in range(SAMPLES))).tobytes()
    for at in range(second * RATE, (second + 1) * RATE, SAMPLES):
        frame = av.AudioFrame(format="s16", layout="mono", samples=SAMPLES)
        frame.planes[0].update(tone.ljust(frame.planes[0].buffer_size, b"\0"))
        frame.sample_rate, frame.pts, frame.time_base = RATE, at, Fraction(1, RATE)
        container.mux(stream.encode(frame))


def fragments(media: bytes) -> list[bytes]:
    """Fragmented MP4 cut as a client cuts it: the first piece has the init segment and the first fragment."""
    pieces: list[bytes] = []
    for kind, box in boxes(media):
        if kind == b"moof" and pieces and b"moof" in pieces[-1]:
            pieces.append(box)
        else:
            pieces[-1:] = [(pieces[-1] if pieces else b"") + box]
    return pieces


def boxes(media: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Type and bytes of each top-level box."""
    at = 0
    while at < len(media):
        size = int.from_bytes(media[at : at + 4], "big")
        yield media[at + 4 : at + 8], media[at : at + size]
        at += size


def clusters(media: bytes) -> list[bytes]:
    """WebM cut at its clusters; the first piece has the header."""
    head, *rest = media.split(b"\x1f\x43\xb6\x75")
    pieces = [b"\x1f\x43\xb6\x75" + piece for piece in rest]
    return [head + pieces[0], *pieces[1:]]


def as_a_browser_cuts(media: bytes, about: int) -> list[bytes]:
    """WebM cut as Chromium's MediaRecorder does: each blob but the first begins one byte inside a SimpleBlock."""
    cuts = [0]
    while (found := media.find(b"\xa3", cuts[-1] + about)) != -1:
        cuts.append(found + 1)
    return [media[start:end] for start, end in pairwise([*cuts, len(media)])]


@asynccontextmanager
async def simulator(settings: Settings) -> AsyncIterator[Address]:
    """A simulator that runs in this process, on a free port."""
    async with trio.open_nursery() as nursery:
        address: Address = await nursery.start(serve, settings)
        yield address
        nursery.cancel_scope.cancel()


class Client:
    """The client's side of one session, without any opinion of its own."""

    def __init__(self, socket: WebSocketConnection) -> None:
        self.socket = socket
        self.events: list[dict[str, Any]] = []

    async def next(self) -> dict[str, Any]:
        """The next message."""
        with trio.fail_after(PATIENCE_S):
            event: dict[str, Any] = json.loads(await self.socket.get_message())
        self.events.append(event)
        return event

    async def until(self, kind: str) -> dict[str, Any]:
        """The next message of a type, what comes before it being kept in `events`."""
        while (event := await self.next())["type"] != kind:
            pass
        return event

    async def send_message(self, **frame: object) -> None:
        await self.socket.send_message(json.dumps(frame))

    async def send(self, *chunks: bytes) -> None:
        for chunk in chunks:
            await self.socket.send_message(chunk)

    async def drain(self) -> list[dict[str, Any]]:
        """Close gracefully and read to the end; all events of the session."""
        await self.send_message(type="session.close")
        await self.closed()
        return self.events

    async def closed(self, within: float = PATIENCE_S) -> int:
        """Read until the connection is closed; the close code."""
        with trio.fail_after(within):
            try:
                while True:
                    self.events.append(json.loads(await self.socket.get_message()))
            except ConnectionClosed as closed:
                return int(closed.reason.code) if closed.reason else 1006


@asynccontextmanager
async def session(
    address: Address, path: str = "/v2/stream/analyze", key: str = "ih_test", **headers: str
) -> AsyncIterator[Client]:
    """An open connection, nothing read yet; raises ConnectionRejected."""
    extra = [(b"Authorization", f"Bearer {key}".encode())]
    extra += [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    stream = await trio.open_tcp_stream(address.host, address.port)
    async with connected(stream, path, extra) as client:
        yield client


@asynccontextmanager
async def connected(
    stream: Any, path: str, headers: list[tuple[bytes, bytes]], subprotocols: Sequence[str] = ()
) -> AsyncIterator[Client]:
    """The handshake over any stream, which is closed in the end; trio_websocket forgets that after a refusal."""
    refused: ExceptionGroup[ConnectionRejected] | None = None
    try:
        async with stream, trio.open_nursery() as nursery:
            # trio_websocket waits for ever for a server that closes instead of answering
            with trio.fail_after(PATIENCE_S):
                socket = await wrap_client_stream(
                    nursery, stream, "simulator", path, extra_headers=headers, subprotocols=subprotocols
                )
            yield Client(socket)
            with trio.move_on_after(1):
                await socket.aclose()
            nursery.cancel_scope.cancel()
    except* ConnectionRejected as group:
        refused = group
    if refused is not None:
        raise refused.exceptions[0]


@asynccontextmanager
async def in_memory(settings: Settings) -> AsyncIterator[Client]:
    """A session without a socket, so that a mock clock may be used."""
    near, far = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Simulator(settings).serve_stream, far)
        async with connected(near, "/v2/stream/analyze", [(b"Authorization", b"Bearer k")]) as client:
            yield client


async def recorded(directory: Path, what: str, within: float = PATIENCE_S) -> None:
    """Wait until the record of a run says it; it is written by the server, after its client was told."""
    with trio.fail_after(within):
        while f'"what":"{what}"' not in await trio.Path(directory / "sessions.jsonl").read_text():  # noqa: ASYNC110 - a file
            await trio.sleep(0.01)


def kinds(events: Sequence[dict[str, Any]]) -> list[str]:
    return [event["type"] for event in events]


def only(events: Sequence[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    """The data of all events of a type."""
    return [event["data"] for event in events if event["type"] == kind]


def plain(events: Sequence[dict[str, Any]]) -> list[tuple[str, Any]]:
    """Type and data: what is the same in a repetition."""
    return [(event["type"], event["data"]) for event in events]
