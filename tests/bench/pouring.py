"""A cloud that costs next to nothing, as a process: it takes any media, and pours out events as fast as it is asked to.

    python -m bench.pouring [--cert FILE --cert-key FILE] [--save DIR] [--rate N] [--events N] [--after CHUNKS]

Its first line is `listening PORT`; then one line of JSON for each chunk: `session`, `chunk` from 0, `at` (time.time()).
A recording that is uploaded is a job that is done, in which nothing was found: `uploaded BEGAN ENDED` (time.time()).
Events carry `sent_ns` (time.time_ns()) in their data, so that who receives them knows how old they are.
"""

import argparse
import json
import math
import re
import ssl
import sys
import time
from collections.abc import Mapping
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import trio
from trio_websocket import ConnectionClosed, WebSocketRequest, wrap_server_stream
from wsproto.events import TextMessage

READY = {
    "session_idle_timeout_seconds": 300,
    "session_max_duration_seconds": 36_000,
    "max_segment_duration_seconds": None,
    "min_segment_size_bytes": 1,
    "max_segment_size_bytes": 32 << 20,
    "supported_session_config_options": {"include": [], "goal_dimensions": None, "model": ["inter-2"]},
}
NO_TIME = 10**18
JOB = "0123456789abcdef0123456789abcdef"
AT_ONCE = 10
"""Frames in one write, where there is no rate."""
RATIONALE = "Brows drawn together after the explanation, gaze averted, and a pause before the answer."


def frame(kind: str, data: Mapping[str, object]) -> str:
    """A message as the cloud sends it."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime())
    return json.dumps({"type": kind, "timestamp": stamp, "correlation_id": "bench", "data": data})


async def serve(options: argparse.Namespace, sessions: "count[int]", request: WebSocketRequest) -> None:
    """One session."""
    websocket = await request.accept()
    number = next(sessions)
    try:
        await websocket.send_message(frame("session.ready", READY))
        async with trio.open_nursery() as nursery:
            chunk = 0
            while True:
                message = await websocket.get_message()
                if isinstance(message, bytes):
                    say({"session": number, "chunk": chunk, "at": time.time(), "size": len(message)})
                    if options.save:
                        with (options.save / f"{number}.mp4").open("ab") as file:
                            file.write(message)
                    chunk += 1
                    if chunk == options.after and options.events:
                        nursery.start_soon(pour, websocket, options.rate, options.events)
                elif "session.close" in message:
                    await websocket.send_message(frame("session.ended", {}))
                    await websocket.aclose()
                else:
                    await websocket.send_message(frame("session.updated", {"include": [], "goal_dimensions": None}))
    except* ConnectionClosed:
        pass


async def pour(websocket: Any, rate: float, events: int) -> None:
    """So many events, so many a second.

    The frames are made before and go past trio-websocket, whose sending would be a part of what is measured.
    """
    began = trio.current_time()
    frames = [made(websocket, n) for n in range(3)]
    at_once = 1 if rate < math.inf else AT_ONCE
    for first in range(0, events, at_once):
        if rate < math.inf:
            await trio.sleep_until(began + first / rate)
        several = (frames[1 + n % 2 if n else 0] for n in range(first, min(events, first + at_once)))
        async with websocket._stream_lock:
            now = b"%d" % time.time_ns()
            await websocket._stream.send_all(b"".join(b + now + a for b, a in several))


def made(websocket: Any, n: int) -> tuple[bytes, bytes]:
    """The frame of the n-th event, but for the nineteen digits of the time of its sending."""
    data = {
        "signal_type": "hesitation",
        "start": 1.0,
        "probability": ("medium", "high")[n % 2],
        "rationale": RATIONALE,
        "sent_ns": NO_TIME,
    }
    text = frame("signal.detected" if n == 0 else "signal.updated", data)
    before, _, after = websocket._wsproto.send(TextMessage(text)).partition(b"%d" % NO_TIME)
    return before, after


class Prefixed(trio.abc.Stream):
    """A stream of which something was read already."""

    def __init__(self, begin: bytes, stream: trio.abc.Stream) -> None:
        self._begin = begin
        self._stream = stream

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        begin, self._begin = self._begin, b""
        return begin or await self._stream.receive_some(max_bytes)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        await self._stream.aclose()


async def take_upload(stream: trio.abc.Stream, begin: bytes) -> None:
    """Take a request of the upload endpoints, and answer that the job is done."""
    began = time.time()
    head, _, body = begin.partition(b"\r\n\r\n")
    left = int((re.search(rb"(?i)content-length: *(\d+)", head) or [b"", b"0"])[1]) - len(body)
    while left > 0 and (data := await stream.receive_some(64 << 10)):
        left -= len(data)
    answer = json.dumps({"job_id": JOB, "status": "completed", "result": {"windows": [], "signals": []}}).encode()
    await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(answer), answer))
    await stream.aclose()
    if head.startswith(b"POST"):
        sys.stdout.write(f"uploaded {began} {time.time()}\n")
        sys.stdout.flush()


def say(line: object) -> None:
    """One line of JSON."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


async def main() -> None:
    """Serve until it is killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cert")
    parser.add_argument("--cert-key")
    parser.add_argument("--save", type=Path)
    parser.add_argument("--rate", type=float, default=math.inf)
    parser.add_argument("--events", type=int, default=0)
    parser.add_argument("--after", type=int, default=1)
    options = parser.parse_args()
    context = None
    if options.cert:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(options.cert, options.cert_key)
    sessions = count()

    async def handle(stream: trio.abc.Stream) -> None:
        if context is not None:
            stream = trio.SSLStream(stream, context, server_side=True, https_compatible=True)
        begin = bytes(await stream.receive_some(64 << 10))
        if b"/v2/upload/" in begin.partition(b"\r\n")[0]:
            await take_upload(stream, begin)
            return
        async with trio.open_nursery() as nursery:
            behind = Prefixed(begin, stream)
            await serve(options, sessions, await wrap_server_stream(nursery, behind, max_message_size=64 << 20))

    async def outlive(stream: trio.abc.Stream) -> None:
        try:
            await handle(stream)
        except* (trio.BrokenResourceError, trio.ClosedResourceError, ConnectionClosed):
            pass  # a small box gives up in the middle of a handshake, and must not take the cloud of all along

    async with trio.open_nursery() as nursery:
        [listener] = await nursery.start(partial(trio.serve_tcp, outlive, 0, host="127.0.0.1"))
        sys.stdout.write(f"listening {listener.socket.getsockname()[1]}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    trio.run(main)
