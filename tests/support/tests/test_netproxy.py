"""The test network misbehaves as the tests believe."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock

from support.netproxy import Network, network
from support.processes import in_background


@asynccontextmanager
async def echo_through() -> AsyncIterator[Network]:
    """A network in front of a server that says everything back."""
    listener = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]

    async def serve() -> None:
        await trio.serve_listeners(echo, [listener])

    async with in_background(serve), network(to=listener.socket.getsockname()[1]) as net:
        yield net


async def echo(stream: trio.SocketStream) -> None:
    try:
        async for data in stream:
            await stream.send_all(data)
    except trio.BrokenResourceError:
        return


@asynccontextmanager
async def connected(net: Network) -> AsyncIterator[trio.SocketStream]:
    stream = await trio.open_tcp_stream("127.0.0.1", net.port)
    async with stream:
        yield stream


async def ask(stream: trio.SocketStream, data: bytes) -> bytes:
    """Send, and wait until as much has come back."""
    back = bytearray()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stream.send_all, data)
        while len(back) < len(data):
            back += await stream.receive_some()
    return bytes(back)


async def test_a_good_network_changes_nothing() -> None:
    """Bytes go through as they are, both ways, and are counted; an end of stream is passed on."""
    data = bytes(range(256)) * 2000
    async with echo_through() as net, connected(net) as stream:
        assert await ask(stream, data) == data
        await stream.send_eof()
        assert bytes(await stream.receive_some()) == b""
        assert (net.up, net.down, net.connects) == (len(data), len(data), 1)


async def test_delay(autojump_clock: MockClock) -> None:
    """A delay holds each way back for its time, and does not narrow the way."""
    async with echo_through() as net, connected(net) as stream:
        net.delay = 3.0
        started = trio.current_time()
        await ask(stream, b"x" * 50_000)
        assert trio.current_time() - started == pytest.approx(6.0, abs=0.1)


async def test_rate(autojump_clock: MockClock) -> None:
    """A rate lets so many bytes a second through."""
    async with echo_through() as net, connected(net) as stream:
        net.rate = 10_000
        started = trio.current_time()
        await ask(stream, b"x" * 100_000)
        assert trio.current_time() - started == pytest.approx(10, rel=0.1)


async def test_a_slow_network_holds_the_sender_back() -> None:
    """What a slow network cannot take soon blocks the sender: no hidden megabytes."""
    async with echo_through() as net, connected(net) as stream:
        net.rate = 1
        with trio.move_on_after(0.5) as waited:
            await stream.send_all(bytes(8 << 20))
        assert waited.cancelled_caught


async def test_a_cut_is_silent(autojump_clock: MockClock) -> None:
    """While the cable is out nothing comes and nothing fails; afterwards all of it comes."""
    async with echo_through() as net, connected(net) as stream:
        await ask(stream, b"before")
        net.cut()
        await stream.send_all(b"during")
        with trio.move_on_after(60) as waited:
            await stream.receive_some()
        assert waited.cancelled_caught
        net.mend()
        assert bytes(await stream.receive_some()) == b"during"


async def test_reset() -> None:
    """A reset ends the connections that exist, with an error; new ones work."""
    async with echo_through() as net, connected(net) as stream:
        await ask(stream, b"x")
        net.reset()
        with pytest.raises(trio.BrokenResourceError) as broken:
            await stream.receive_some()
        assert isinstance(broken.value.__cause__, ConnectionResetError)
        async with connected(net) as another:
            assert await ask(another, b"y") == b"y"


async def test_refuse_and_accept() -> None:
    """While it refuses nobody gets in; afterwards the port is the same."""
    async with echo_through() as net:
        await net.refuse()
        await net.refuse()
        with pytest.raises(OSError, match="connect"):
            await trio.open_tcp_stream("127.0.0.1", net.port)
        await net.accept()
        await net.accept()
        async with connected(net) as stream:
            assert await ask(stream, b"x") == b"x"


async def test_nobody_behind() -> None:
    """Where nothing listens behind it, a connection ends at once."""
    free = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
    port = free.socket.getsockname()[1]
    await free.aclose()
    async with network(to=port) as net, connected(net) as stream:
        assert bytes(await stream.receive_some()) == b""
