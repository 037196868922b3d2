"""Uplinks that are slow or blocked: what waits where, what survives, and what must not leave any more."""

import fcntl
import socket
import struct
import termios
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

import outcome
import pytest
import trio
from msgspec import structs
from trio.testing import MockClock
from wsproto.events import Event, Pong

from cloud.listening import attempt, cloud, listen
from cloud.played import (
    KEY,
    SERVER,
    Cloud,
    EndlessFilm,
    Film,
    Play,
    Tape,
    chunk,
    converse,
    interpreter,
    memory_dial,
    play,
)
from interhuman2mqtt.cloud import websocket as connect_module
from interhuman2mqtt.cloud.http import HostPort
from interhuman2mqtt.cloud.session import run_session
from interhuman2mqtt.cloud.session_types import EndCause, SessionEnd, SessionOptions
from interhuman2mqtt.cloud.streams import PIECE, PIECE_MAX, ForgivingStream, UpgradeStream
from interhuman2mqtt.cloud.transport import Dial, Server, dial
from interhuman2mqtt.cloud.websocket import SEND_TIMEOUT
from interhuman2mqtt.errors import Outage, Reason
from support.processes import PATIENCE_S

Hook = Callable[[], Awaitable[None]]
SIOCOUTQNSD = 0x894B
"""Bytes of a socket that the kernel has not sent once (linux/sockios.h)."""
UNSENT_MAX = 128 << 10
"""Much less than a second of media: trio asks the kernel for 16 KiB, which it rounds up to what it sends at a time."""


def waiting(stream: trio.SocketStream, what: int) -> int:
    """Bytes that wait in the kernel."""
    [count] = struct.unpack("i", fcntl.ioctl(stream.socket.fileno(), what, bytes(4)))
    return int(count)


class Weir(trio.abc.Stream):
    """The cloud's end of a connection, which reads only while it is open."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self.opened = trio.Event()
        self.opened.set()

    def shut(self) -> None:
        self.opened = trio.Event()

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self.stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self.stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        await self.opened.wait()
        return await self.stream.receive_some(max_bytes)

    async def aclose(self) -> None:
        await self.stream.aclose()


class Blocked:
    """A session whose cloud stops reading once the session is ready, and both ends of its connection."""

    def __init__(self) -> None:
        self.weir: Weir
        self.ours: trio.SocketStream
        self.held_back = 0
        """Bytes that we gave to our kernel and that it could not send."""

    async def serve(self, stream: trio.SocketStream) -> None:
        self.weir = Weir(stream)
        await play(self.weir, self._act)

    async def _act(self, cloud: Cloud) -> None:
        await cloud.ready()
        self.weir.shut()
        await trio.sleep_forever()

    async def dial(self, address: HostPort) -> trio.abc.Stream:
        stream = await dial(address)
        assert isinstance(stream, trio.SocketStream)
        self.ours = stream
        return stream

    async def run(self, port: int) -> None:
        film = Film([chunk(0, payload=bytes(8 << 20))])
        server = Server(f"ws://127.0.0.1:{port}/v2")
        await run_session(server, KEY, SessionOptions(), film, mapper=interpreter(), observer=Tape(), dial=self.dial)

    async def wait_full(self) -> None:
        """Until nothing moves any more."""
        before = 0
        with trio.fail_after(PATIENCE_S):
            while not self.held_back or self.held_back != before:
                before = self.held_back
                await trio.sleep(0.2)
                self.held_back = waiting(self.ours, termios.TIOCOUTQ) if hasattr(self, "ours") else 0

    async def read_on(self) -> tuple[int, bool]:
        """The cloud reads again: how many bytes it still gets, and whether a reset ends them."""
        size = 0
        with trio.fail_after(PATIENCE_S):
            try:
                while data := await self.weir.stream.receive_some():
                    size += len(data)
            except trio.BrokenResourceError:
                return size, True
        return size, False


async def test_nothing_leaves_after_a_cancellation() -> None:
    """A session that is cancelled, as for a pause, takes back what waits in the kernel: none of it leaves."""
    blocked = Blocked()
    async with trio.open_nursery() as nursery:
        port = await listen(nursery, blocked.serve)
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as inner:
                inner.start_soon(blocked.run, port)
                await blocked.wait_full()
                scope.cancel()
        arrived = waiting(blocked.weir.stream, termios.FIONREAD)
        assert blocked.held_back > 0
        assert arrived > 0
        assert await blocked.read_on() == (arrived, True)
        nursery.cancel_scope.cancel()


async def test_nothing_leaves_after_a_session_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same where it failed: what it could not send is sent by the next session, or by none."""
    monkeypatch.setattr(connect_module, "SEND_TIMEOUT", 1.5)
    blocked = Blocked()
    async with trio.open_nursery() as nursery:
        port = await listen(nursery, blocked.serve)
        nursery.start_soon(blocked.wait_full)
        with pytest.raises(Outage, match=r"did not move for 1\.5 s"):
            await blocked.run(port)
        arrived = waiting(blocked.weir.stream, termios.FIONREAD)
        assert blocked.held_back > 0
        assert await blocked.read_on() == (arrived, True)
        nursery.cancel_scope.cancel()


async def test_an_ordinary_end_is_no_reset(monkeypatch: pytest.MonkeyPatch) -> None:
    """A session that was drained closes its connection as TCP wants it, so that the cloud hears its goodbye."""
    options: list[int] = []
    monkeypatch.setattr(trio.SocketStream, "setsockopt", lambda _stream, _level, option, *_: options.append(option))
    async with trio.open_nursery() as nursery:
        port = await listen(nursery, cloud)
        assert (await attempt(Server(f"ws://127.0.0.1:{port}/v2"))).drained
        nursery.cancel_scope.cancel()
    assert socket.TCP_NODELAY in options  # which trio sets: so it would have been seen
    assert socket.SO_LINGER not in options


async def test_the_kernel_hides_no_backlog() -> None:
    """Of what the network does not take only a fraction of a second of media leaves the ring, where it is counted."""
    blocked = Blocked()
    async with trio.open_nursery() as nursery:
        port = await listen(nursery, blocked.serve)
        nursery.start_soon(blocked.run, port)
        await blocked.wait_full()
        assert 0 < waiting(blocked.ours, SIOCOUTQNSD) <= UNSENT_MAX
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def slow_way(act: Play, piece_s: float) -> AsyncIterator[Dial]:
    """A way to a played cloud on which each piece of what we send takes so many seconds."""

    def slow(hook: Hook | None) -> Hook:
        sends = 0

        async def hold() -> None:
            nonlocal sends
            sends += 1
            await trio.sleep(piece_s if sends > 1 else 0)  # the first is the upgrade
            assert hook is not None
            await hook()

        return hold

    async with trio.open_nursery() as nursery:
        way = memory_dial(nursery, act)

        async def slowly(address: HostPort) -> trio.abc.Stream:
            stream = await way(address)
            assert isinstance(stream, trio.StapledStream)
            stream.send_stream.send_all_hook = slow(stream.send_stream.send_all_hook)
            return stream

        yield slowly
        nursery.cancel_scope.cancel()


async def slow_session(piece_s: float, pieces: int) -> SessionEnd:
    """A session whose only chunk takes so many pieces."""
    film = Film([chunk(0, last=True, payload=bytes(pieces * PIECE - 100))])
    async with slow_way(Cloud.serve, piece_s) as way:
        session = partial(run_session, mapper=interpreter(), observer=Tape())
        result = await outcome.acapture(session, SERVER, KEY, SessionOptions(), film, dial=way)
    return result.unwrap()


async def test_a_slow_uplink_is_not_a_dead_one(autojump_clock: MockClock) -> None:
    """A chunk that needs much longer than the timeout gets through, as long as something moves."""
    began = autojump_clock.current_time()
    assert await slow_session(piece_s=10.0, pieces=9) == SessionEnd(EndCause.FINISHED, drained=True)
    assert autojump_clock.current_time() - began > 2 * SEND_TIMEOUT


@pytest.mark.parametrize(("piece_s", "sizes"), [(0.5, [1, 2, 4, 4, 4, 1]), (10.0, [1] * 16)], ids=["quick", "slow"])
async def test_a_quick_uplink_takes_larger_pieces(autojump_clock: MockClock, piece_s: float, sizes: list[int]) -> None:
    """Each twice the one before, up to a limit; a slow one shows by pieces of 64 KiB that it still moves."""
    sent: list[int] = []

    class Link(trio.abc.Stream):
        async def send_all(self, data: bytes | bytearray | memoryview) -> None:
            await trio.sleep(piece_s)
            sent.append(len(data))

        async def wait_send_all_might_not_block(self) -> None: ...

        async def receive_some(self, max_bytes: int | None = None) -> bytes:
            raise NotImplementedError

        async def aclose(self) -> None: ...

    await ForgivingStream(Link()).send_all(bytes(16 * PIECE))
    assert sent == [size * PIECE for size in sizes]


async def test_tls_gets_a_chunk_in_pieces() -> None:
    """TLS never holds a whole chunk, encrypted: it would keep the room for it, for each camera; nor is a byte lost."""
    got: list[bytes] = []

    class Tls(trio.abc.Stream):
        async def send_all(self, data: bytes | bytearray | memoryview) -> None:
            got.append(bytes(data))

        async def wait_send_all_might_not_block(self) -> None: ...

        async def receive_some(self, max_bytes: int | None = None) -> bytes:
            raise NotImplementedError

        async def aclose(self) -> None: ...

    sent = bytes(range(251)) * 4000
    await UpgradeStream(Tls(), lambda: None).send_all(sent)
    assert b"".join(got) == sent
    assert max(map(len, got)) == PIECE_MAX


async def test_an_uplink_that_is_far_too_slow(autojump_clock: MockClock) -> None:
    """Beyond a stated time for one chunk the session ends, and the sentence says what that means."""
    with pytest.raises(Outage, match="took more than 120 s: the uplink is dead, or too slow for this camera") as caught:
        await slow_session(piece_s=10.0, pieces=13)
    assert caught.value.reason is Reason.CONNECTION_LOST


def mute(ours: Cloud, after: int = 0) -> None:
    """Lets the cloud answer so many pings, and then none."""
    send, left = ours.websocket._send, [after]

    async def picky(event: Event) -> None:
        if isinstance(event, Pong):
            left[0] -= 1
            if left[0] < 0:
                return
        await send(event)

    ours.websocket._send = picky  # type: ignore[method-assign]


@pytest.mark.parametrize("pongs", [0, 2, 5])
async def test_a_drain_proves_all_that_was_sent(autojump_clock: MockClock, pongs: int) -> None:
    """Each chunk is reported once, in order, without its payload, when a pong or session.ended proves it."""

    async def act(cloud: Cloud) -> None:
        mute(cloud, pongs)
        await cloud.ready()
        await cloud.hear_until_close()
        await cloud.end()

    tape = Tape()
    end = await converse(act, Film([chunk(n, last=n == 5) for n in range(6)]), tape)
    assert end == SessionEnd(EndCause.FINISHED, drained=True)
    assert [proven for proven, _ in tape.proven] == [structs.replace(sent, payload=b"") for sent in tape.chunks]
    assert [trip is None for _, trip in tape.proven] == [False] * pongs + [True] * (6 - pongs)


async def test_an_end_that_nobody_asked_for_proves_nothing(autojump_clock: MockClock) -> None:
    """What was on its way when the cloud ended the session by itself may not have been seen: it is sent again."""

    async def act(cloud: Cloud) -> None:
        mute(cloud, 1)
        await cloud.ready()
        for _ in range(3):
            await cloud.receive()
        await cloud.send_message("session.ended")

    tape = Tape()
    assert await converse(act, EndlessFilm(), tape) == SessionEnd(EndCause.SERVER_ENDED, drained=True)
    assert len(tape.chunks) == 3
    assert len(tape.proven) == 1


async def test_what_is_too_short_to_be_taken_waits_for_the_next_session(autojump_clock: MockClock) -> None:
    """A last chunk below the cloud's least is not sent; that it was not is what the next recording begins with."""

    async def act(cloud: Cloud) -> None:
        await cloud.ready(min_segment_size_bytes=5)
        await cloud.hear_until_close()
        await cloud.end()

    tape = Tape()
    film = Film([chunk(0), chunk(1, last=True, payload=b"tiny")])
    assert await converse(act, film, tape) == SessionEnd(EndCause.FINISHED, drained=True)
    assert [sent.payload for sent in tape.chunks] == [b"media 0"]
