"""Connections that break, and what is saved from them."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

import pytest
import trio
from trio.testing import MockClock, memory_stream_pair
from wsproto.events import CloseConnection

from cloud.listening import attempt, attempt_at, cloud, listen, tls_cloud
from cloud.played import KEY, SERVER, SESSION, Cloud, Film, Play, Tape, chunk, converse, interpreter, memory_dial
from interhuman2mqtt.cloud.http import ApiKey, HostPort, UpgradeRequest
from interhuman2mqtt.cloud.session import run_session
from interhuman2mqtt.cloud.session_types import EndCause, SessionEnd, SessionOptions
from interhuman2mqtt.cloud.streams import ForgivingStream
from interhuman2mqtt.cloud.transport import Server
from interhuman2mqtt.cloud.websocket import ConnectionOver, connect
from interhuman2mqtt.errors import Outage, Overloaded, Reason, Refused
from interhuman2mqtt.events import MediaChunk


async def test_a_broken_websocket() -> None:
    """Frames that break the WebSocket protocol are an outage, never a bug of ours."""

    async def act(ours: Cloud) -> None:
        await ours.ready()
        await ours.receive()
        await ours.websocket._stream.send_all(b"\xff\xff\xff\xff\xff")
        await trio.sleep(1)

    with pytest.raises(Outage) as caught:
        await attempt_at(partial(cloud, act=act), film=Film([chunk(0)]))
    assert caught.value.reason is Reason.PROTOCOL


async def test_a_ping_while_we_close(autojump_clock: MockClock) -> None:
    """A ping that crosses our close frame, which trio-websocket cannot answer, changes nothing."""

    async def act(ours: Cloud) -> None:
        await ours.ready()
        await ours.hear_until_close()
        await ours.send_message("session.ended")
        with suppress(trio.BrokenResourceError):
            while True:
                async with ours.websocket._stream_lock:
                    await ours.websocket._stream.send_all(b"\x89\x01x")
                await trio.sleep(0.1)

    end = await converse(act, Film([chunk(0, last=True)]), Tape())
    assert end == SessionEnd(EndCause.FINISHED, drained=True)


async def names_an_error(cloud: Cloud) -> None:
    await cloud.error("ih3006")


async def closes(cloud: Cloud) -> None:
    await cloud.websocket._send(CloseConnection(code=1013, reason="later"))


LAST_WORDS = {"error": (names_an_error, Refused, "ih3006"), "close": (closes, Overloaded, "1013 later")}


@pytest.mark.parametrize("serve", [cloud, tls_cloud])
@pytest.mark.parametrize("last", LAST_WORDS.values(), ids=LAST_WORDS)
async def test_last_words_survive_a_reset(
    serve: Callable[..., Awaitable[None]], last: tuple[Play, type[Outage], str], ca_file: str
) -> None:
    """Events, and the error or the close code that says why, are read, though we were sending at that moment."""
    send_message, kind, says = last

    async def act(ours: Cloud) -> None:
        await ours.ready(supported_session_config_options=None)
        await ours.receive()
        for number in range(50):
            await ours.send_message("feedback.generated", {"feedback": f"advice {number}"})
        await send_message(ours)
        await trio.aclose_forcefully(ours.websocket._stream)  # with media unread: the kernel answers with RST

    for _ in range(5):
        tape = Tape()
        film = Film([chunk(number, payload=b"x" * 300_000, seconds=0.01) for number in range(50)])
        async with trio.open_nursery() as nursery:
            port = await listen(nursery, partial(serve, act=act))
            scheme = "wss" if serve is tls_cloud else "ws"
            server = Server(f"{scheme}://localhost:{port}/v2", ca_file=ca_file)
            with pytest.raises(kind, match=says):
                await attempt(server, tape=tape, film=film)
            nursery.cancel_scope.cancel()
        assert tape.types[:51] == ["session.ready", *["feedback.generated"] * 50]
        assert tape.types[51:] == (["error"] if kind is Refused else [])
        assert 0 < len(tape.chunks) < 50


async def test_a_connection_that_is_over() -> None:
    """What is sent after the end is reported as over, not as a bug; closing again does no harm."""

    async def act(ours: Cloud) -> None:
        await ours.websocket.aclose(4003, "no scope")

    async with trio.open_nursery() as nursery:
        way = memory_dial(nursery, act)
        connection = await connect(nursery, SERVER, UpgradeRequest(ApiKey(KEY), SESSION, None), way)
        for attempted in (connection.receive(), connection.send("late"), connection.ping(b"1")):
            with pytest.raises(ConnectionOver, match="4003 no scope"):
                await attempted
        await connection.close()
        await connection.close()
        nursery.cancel_scope.cancel()


async def test_our_streams_are_streams() -> None:
    """The stream that forgives passes everything on, and after a failure takes what cannot be sent any more."""
    ours, theirs = memory_stream_pair()
    stream = ForgivingStream(ours)
    await stream.wait_send_all_might_not_block()
    await stream.send_all(b"before")
    assert await theirs.receive_some() == b"before"
    await theirs.send_all(b"last words")
    await theirs.aclose()
    for _ in range(2):
        await stream.send_all(b"after")
        assert stream.broken
    assert await stream.receive_some() == b"last words"
    assert await stream.receive_some() == b""
    await stream.aclose()
    with pytest.raises(trio.ClosedResourceError):
        await stream.receive_some()


async def test_a_connection_that_is_gone_before_the_ping(autojump_clock: MockClock) -> None:
    """A ping that cannot be sent is one more sign of the end, and not its cause."""
    streams: list[trio.testing.MemorySendStream] = []

    class Scissors(Tape):
        def sent(self, chunk: MediaChunk) -> None:
            super().sent(chunk)
            streams[0].close()

    async def act(cloud: Cloud) -> None:
        await cloud.ready()
        while True:
            await cloud.receive()

    async with trio.open_nursery() as nursery:

        async def way(address: HostPort) -> trio.abc.Stream:
            stream = await memory_dial(nursery, act)(address)
            assert isinstance(stream, trio.StapledStream)
            streams.append(stream.send_stream)
            return stream

        with pytest.raises(Outage) as caught:
            await run_session(
                SERVER,
                KEY,
                SessionOptions(),
                Film([chunk(0)]),
                mapper=interpreter(),
                observer=Scissors(),
                dial=way,
            )
        nursery.cancel_scope.cancel()
    assert caught.value.reason is Reason.CONNECTION_LOST
