"""Whatever bytes the other side of the cloud's socket sends, a session ends in an Outage or in order: never in a bug.

Each session is a valid one whose bytes were damaged by a seeded generator: the answer to the upgrade, then frames.
Everything is in memory and on a mock clock, so that tens of thousands take minutes (`make test-full`).
"""

import base64
import hashlib
import json
import random
import struct
from contextlib import suppress
from functools import partial

import outcome
import pytest
import trio
from trio.testing import MockClock, memory_stream_pair

from cloud.played import KEY, READY, SERVER, Film, Tape, chunk, frame, interpreter
from interhuman2mqtt.cloud.http import HostPort
from interhuman2mqtt.cloud.session import run_session
from interhuman2mqtt.cloud.session_types import SessionEnd, SessionOptions
from interhuman2mqtt.errors import Outage

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
DATES = ("Mon, 01 Jan 99999999999999999999 00:00:00 GMT", "Mon, 01 Jan 0001 00:00:00 +2359", "-5", "1e9", "9" * 400, "")
STRANGE = (b"\xff\xfe", b"\xe9t\xe9", b"\x00", b", ,", b"permessage-deflate; x=\xff", b"a" * 70_000, b'"', b"\r\n x")
NAMES = (b"Connection", b"Upgrade", b"Sec-WebSocket-Protocol", b"Sec-WebSocket-Extensions", b"X-Correlation-ID", b"Via")
STATUSES = (b"101", b"100", b"200", b"301", b"400", b"401", b"404", b"429", b"503", b"999", b"1", b"x")
TEXTS = (
    frame("session.ready", READY),
    frame("session.updated", {"include": []}),
    frame("session.closing", {"max_drain_seconds": 1}),
    frame("session.ended", {"reason": "client_shutdown"}),
    frame("error", {"code": "ih5004", "message": "m", "segment": 1}),
    frame("signal.detected", {"signal_type": "interest", "start": 1.0}),
    frame("coverage.dropped", {"ranges": [{"start": 1, "end": 2}]}),
    '{"status": "result", "signals": [{"type": "interest", "start": 1, "end": 1e400}]}',
)
ODD_VALUES: tuple[object, ...] = (
    None,
    True,
    -1,
    1e308,
    -1e308,
    2**70,
    10**400,
    "\ud800",
    "x" * 300,
    [],
    {},
    [[[]]],
    {"a": {"b": []}},
    "NaN",
)


def accepts(request: bytes) -> bytes:
    """The Sec-WebSocket-Accept that belongs to a request (RFC 6455, 4.2.2)."""
    key = next(line for line in request.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key:"))
    return base64.b64encode(hashlib.sha1(key.split(b":", 1)[1].strip() + GUID).digest())


def damaged(data: bytes, chance: random.Random) -> bytes:
    """Some bytes of it changed, cut out, or put in."""
    piece = bytearray(data)
    for _ in range(chance.choice((0, 0, 1, 1, 2, 8))):
        at = chance.randrange(len(piece) + 1)
        match chance.randrange(3):
            case 0:
                piece[at : at + 1] = bytes([chance.randrange(256)])
            case 1:
                del piece[at : at + chance.randrange(1, 9)]
            case _:
                piece[at:at] = chance.randbytes(chance.randrange(1, 9))
    return bytes(piece)


def an_upgrade(request: bytes, chance: random.Random) -> bytes:
    """An answer to the upgrade: mostly one that is taken, so that what follows is read too."""
    headers = [(b"Connection", b"Upgrade"), (b"Upgrade", b"websocket"), (b"Sec-WebSocket-Accept", accepts(request))]
    status = b"101"
    if chance.random() < 0.4:
        return reply(status, headers)
    if chance.random() < 0.5:
        status = chance.choice(STATUSES)
    for _ in range(chance.randrange(3)):
        headers.insert(chance.randrange(4), (chance.choice(NAMES), chance.choice(STRANGE)))
    if chance.random() < 0.5:
        headers.append((b"Retry-After", chance.choice(DATES).encode()))
    body = chance.choice((b"", b"{}", b'{"error_id": "ih2001"}', b'{"error_id": 7}', chance.randbytes(30)))
    return damaged(reply(status, headers) + body, chance)


def reply(status: bytes, headers: list[tuple[bytes, bytes]]) -> bytes:
    lines = b"".join(b"%s: %s\r\n" % header for header in headers)
    return b"HTTP/1.1 %s Whatever\r\n%s\r\n" % (status, lines)


def a_frame(chance: random.Random) -> bytes:
    """A WebSocket frame (RFC 6455, 5.2) as a server may send it, or may not."""
    opcode = chance.choice((1, 1, 1, 1, 1, 2, 0, 8, 9, 10, chance.randrange(16)))
    if opcode == 8:
        code = chance.choice((1000, 1001, 1006, 1008, 1011, 4003, 0, 65535))
        payload = chance.choice((b"", b"\x03", struct.pack("!H", code) + chance.choice((b"why", b"\xff", b""))))
    else:
        payload = a_text(chance)
    final = 0x80 if chance.random() < 0.9 else 0
    reserved = chance.choice((0,) * 15 + (0x40,))
    size = len(payload)
    length = bytes([size]) if size < 126 else b"\x7e" + struct.pack("!H", size)
    return bytes([final | reserved | opcode]) + length + payload


def a_text(chance: random.Random) -> bytes:
    text = chance.choice(TEXTS)
    if chance.random() < 0.5:
        value = json.loads(text)
        spoil(value, chance)
        text = json.dumps(value)
    data = text.encode("utf-8", "surrogatepass")
    return damaged(data, chance) if chance.random() < 0.3 else data


def spoil(value: object, chance: random.Random) -> None:
    """Put something unforeseen somewhere into JSON."""
    if isinstance(value, dict) and value:
        name = chance.choice(list(value))
        if chance.random() < 0.5 and isinstance(value[name], dict | list):
            spoil(value[name], chance)
        else:
            value[name] = chance.choice(ODD_VALUES)
    elif isinstance(value, list) and value:
        value[0] = chance.choice(ODD_VALUES)


async def play_damaged(stream: trio.abc.Stream, chance: random.Random) -> None:
    """The other side: an answer, a `session.ready` mostly, frames, and perhaps no end."""
    with suppress(trio.BrokenResourceError):
        request = b""
        while b"\r\n\r\n" not in request:
            request += await stream.receive_some()
        data = an_upgrade(request, chance)
        if chance.random() < 0.8:
            ready = TEXTS[0].encode()
            data += b"\x81\x7e" + struct.pack("!H", len(ready)) + ready
        data += damaged(b"".join(a_frame(chance) for _ in range(chance.randrange(8))), chance)
        while data:
            size = chance.choice((1, 7, 400, 100_000))
            await stream.send_all(data[:size])
            data = data[size:]
        if chance.random() < 0.5:
            await trio.sleep(1)
    await stream.aclose()


async def one_session(seed: int) -> outcome.Value[SessionEnd] | outcome.Error:
    """How a session ends whose other side is damaged so."""
    chance = random.Random(seed)
    async with trio.open_nursery() as nursery:

        async def dial(_address: HostPort) -> trio.abc.Stream:
            await trio.lowlevel.checkpoint()
            ours, theirs = memory_stream_pair()
            nursery.start_soon(play_damaged, theirs, chance)
            return ours

        film = Film([chunk(0), chunk(1, last=True)])
        session = partial(run_session, mapper=interpreter(), observer=_Deaf(), dial=dial)
        result = await outcome.acapture(session, SERVER, KEY, SessionOptions(), film)
        nursery.cancel_scope.cancel()
    return result


class _Deaf(Tape):
    """An observer that does not care which correlation id it is told."""

    def ready(self, *_: object) -> None:
        """Nothing is checked."""


async def bugs_among(seeds: range) -> list[tuple[int, BaseException]]:
    """The seeds whose sessions end in anything but an Outage that says why, or in order."""
    results = [(seed, await one_session(seed)) for seed in seeds]
    errors = [(seed, result.error) for seed, result in results if isinstance(result, outcome.Error)]
    return [(seed, error) for seed, error in errors if not (isinstance(error, Outage) and error.detail)]


async def test_no_bytes_of_the_cloud_are_a_bug(autojump_clock: MockClock) -> None:
    """A sample of damaged sessions: each ends in order, or in an Outage that says why."""
    assert await bugs_among(range(400)) == []


@pytest.mark.full
async def test_tens_of_thousands_of_damaged_sessions(autojump_clock: MockClock) -> None:
    """The same with many more seeds."""
    assert await bugs_among(range(1_000, 31_000)) == []
