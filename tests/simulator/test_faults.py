"""Scripted faults: how they are written, when they happen, and what a client sees of each."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from trio_websocket import ConnectionClosed, ConnectionRejected, wrap_client_stream

from interhuman2mqtt.simulator.fault_injection import GARBAGE
from interhuman2mqtt.simulator.faults import (
    KINDS,
    Clock,
    Fault,
    FaultError,
    FaultPlan,
    Stage,
    When,
    help_text,
    parse_fault,
)
from interhuman2mqtt.simulator.settings import Limits, Settings
from simulator.helpers import FAST, Client, clip, fragments, in_memory, kinds, only, recorded, session, simulator

PIECES = 6


def with_faults(*texts: str, save: Path | None = None, drain: int = 30) -> Settings:
    faults = tuple(parse_fault(text) for text in texts)
    return Settings(port=0, pace=FAST, faults=faults, save=save, limits=Limits(max_drain=drain))


async def streamed(client: Client) -> int:
    """Wait for ready, send all media and read to the end; the close code."""
    await client.next()
    with suppress(ConnectionClosed):
        await client.send(*fragments(clip(PIECES)))
    return await client.closed()


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("disconnect", Fault(kind="disconnect")),
        ("disconnect@12s", Fault(kind="disconnect", when=When(Clock.SESSION, 12))),
        ("close=1011@media2.5s", Fault(kind="close", argument="1011", when=When(Clock.MEDIA, 2.5))),
        ("stall=2s@chunk3,every", Fault(kind="stall", argument="2s", when=When(Clock.CHUNKS, 3), times=None)),
        ("error=ih1001,close=1011,session=2", Fault(kind="error", argument="ih1001", session=2, close=1011)),
        ("refuse=503,times=3", Fault(kind="refuse", argument="503", times=3)),
    ],
)
def test_notation(text: str, fault: Fault) -> None:
    """A fault is read as its notation says."""
    assert parse_fault(text) == fault


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("explode", "there are refuse, refuse-error"),
        ("close", "close=CODE"),
        ("close=2000", "close=CODE"),
        ("refuse=200", "refuse=STATUS"),
        ("error=1001", "error=ihNNNN"),
        ("disconnect=1", "it is written disconnect"),
        ("disconnect@soon", "12s, media12s or chunk5"),
        ("disconnect,session=x", "not an option"),
        ("disconnect,session=0", "not an option"),
        ("disconnect,often", "not an option"),
        ("disconnect,close=1000", "only error"),
        ("no-end@3s", "takes no @WHEN"),
        ("malformed=xml", "malformed"),
    ],
)
def test_notation_errors(text: str, said: str) -> None:
    """A fault that is written wrongly says how it is written."""
    with pytest.raises(FaultError, match=said):
        parse_fault(text)


def test_help_lists_every_fault() -> None:
    """The help comes from the table: one line for each kind."""
    lines = help_text().splitlines()
    for name, kind in KINDS.items():
        assert sum(line.startswith(f"  {name}{kind.argument} ") and kind.help in line for line in lines) == 1


def test_plan_counts() -> None:
    """Once is once whatever the session, a session's own fault waits for it, every is every."""
    texts = ("no-end", "slow-drain,session=3,times=2", "close=1011,every")
    plan = FaultPlan([parse_fault(text) for text in texts])
    taken = [plan.take(Stage.DRAIN, number) for number in (1, 2, 3, 3, 3)]
    assert [fault and fault.kind for fault in taken] == ["no-end", None, "slow-drain", "slow-drain", None]
    (always,) = plan.coming(Stage.RUNNING, 7)
    assert [always.claim() for _ in range(5)] == [True] * 5


@pytest.mark.parametrize(
    ("status", "code"), [(401, "ih2001"), (403, "ih2003"), (429, "ih3001"), (500, "ih1001"), (503, "ih1003")]
)
async def test_refuse(status: int, code: str) -> None:
    """The upgrade is answered with the status and its error body, so often; then it works."""
    async with simulator(with_faults(f"refuse={status},times=2")) as address:
        for _ in range(2):
            with pytest.raises(ConnectionRejected) as caught:
                async with session(address):
                    pass
            assert caught.value.status_code == status
            assert json.loads(caught.value.body or b"")["error_id"] == code
        async with session(address) as client:
            assert (await client.next())["type"] == "session.ready"


async def test_refuse_error() -> None:
    """101, then the error instead of session.ready, then its close code."""
    async with simulator(with_faults("refuse-error=ih3003")) as address, session(address) as client:
        assert await client.closed() == 1008
    assert [data["code"] for data in only(client.events, "error")] == ["ih3003"]
    assert kinds(client.events) == ["error"]


async def test_silence() -> None:
    """101, and then nothing, until the client gives up."""
    async with simulator(with_faults("silence")) as address:
        async with session(address) as client:
            await client.send_message(include=[])
            with trio.move_on_after(0.2) as patience:
                await client.next()
            assert patience.cancelled_caught
        async with session(address) as client:
            assert (await client.next())["type"] == "session.ready"


async def test_disconnect(tmp_path: Path) -> None:
    """A TCP reset without a close frame; what had come before is still on record as decoded."""
    async with simulator(with_faults("disconnect@chunk3", save=tmp_path)) as address, session(address) as client:
        assert await streamed(client) == 1006
        await recorded(tmp_path, "closed")
    record = [json.loads(line) for line in (tmp_path / "sessions.jsonl").read_text().splitlines()]
    whats = [line["what"] for line in record]
    assert whats.count("decoded") == whats.count("chunk") >= 3
    assert whats.index("fault") < whats.index("closed")
    assert (record[-1]["code"], record[-1]["by"]) == (1006, "server")


async def test_close_at_a_media_time() -> None:
    """The session is closed once so much media was decoded."""
    async with simulator(with_faults("close=1013@media2.5s")) as address, session(address) as client:
        await client.next()
        await client.send(*fragments(clip(PIECES))[:3])
        assert await client.closed() == 1013
    assert "signal.detected" in kinds(client.events)


async def test_close_at_a_chunk() -> None:
    """The session is closed with the code when so many chunks have come, nothing said before."""
    async with simulator(with_faults("close=1011@chunk2")) as address, session(address) as client:
        assert await streamed(client) == 1011
    assert "error" not in kinds(client.events)


async def test_error_alone() -> None:
    """An error envelope out of nothing; the session goes on to its graceful end."""
    async with simulator(with_faults("error=ih1001")) as address, session(address) as client:
        await client.next()
        await client.until("error")
        await client.send(*fragments(clip(PIECES)))
        events = await client.drain()
    assert "signal.detected" in kinds(events)
    assert kinds(events)[-1] == "session.ended"


async def test_error_and_close() -> None:
    """An error the catalogue does not know, then the close that was asked for."""
    async with simulator(with_faults("error=ih7777@0s,close=1011")) as address, session(address) as client:
        assert await client.closed() == 1011
    assert [data["code"] for data in only(client.events, "error")] == ["ih7777"]


async def test_stall_for_a_while() -> None:
    """For a while nothing is read; then all of it is, and nothing was lost."""
    async with simulator(with_faults("stall=0.3s@chunk1")) as address, session(address) as client:
        await client.next()
        began = trio.current_time()
        await client.send(*fragments(clip(PIECES)))
        await client.until("signal.detected")
        assert trio.current_time() - began >= 0.3
        assert kinds(await client.drain())[-1] == "session.ended"


async def test_stall_for_ever() -> None:
    """A server that never reads again makes the client's sending stop; its idle limit ends the session."""
    settings = Settings(port=0, faults=(parse_fault("stall"),), limits=Limits(idle_timeout=1))
    async with simulator(settings) as address, session(address) as client:
        await client.next()
        with trio.move_on_after(0.3) as patience:
            await client.send(*[b"\0" * (1 << 20)] * 64)
        assert patience.cancelled_caught
        while client.socket.closed is None:
            try:
                await client.next()
            except ConnectionClosed:
                break
    assert [data["code"] for data in only(client.events, "error")] == ["ih6003"]


async def test_stall_ends_with_its_connection(tmp_path: Path) -> None:
    """A session that stalled for ever is over when its connection is cut, and its media is on record."""
    settings = with_faults("stall@chunk1", "disconnect@0.2s", save=tmp_path)
    async with simulator(settings) as address, session(address) as client:
        assert await streamed(client) == 1006
        await recorded(tmp_path, "closed")


@pytest.mark.parametrize("sort", ["", *GARBAGE])
async def test_malformed(sort: str) -> None:
    """Garbage arrives frame by frame as it is in the table, and the session goes on."""
    expected = [frame for name in ([sort] if sort else GARBAGE) for frame in GARBAGE[name]]
    async with simulator(with_faults("malformed" + (f"={sort}" if sort else ""))) as address:
        stream = await trio.open_tcp_stream(address.host, address.port)
        got = await raw_frames(stream, len(expected) + 1)
    assert got[1:] == expected


async def raw_frames(stream: Any, count: int) -> list[str | bytes]:
    """The first frames of a session, whatever they are, the largest too."""
    async with stream, trio.open_nursery() as nursery:
        socket = await wrap_client_stream(
            nursery,
            stream,
            "simulator",
            "/v1/stream/analyze",
            extra_headers=[(b"Authorization", b"Bearer k")],
            max_message_size=8 << 20,
        )
        frames = [await socket.get_message() for _ in range(count)]
        await socket.aclose()
        nursery.cancel_scope.cancel()
    return frames


async def test_slow_drain() -> None:
    """session.ended comes so much later than it could."""
    async with simulator(with_faults("slow-drain=0.3s")) as address, session(address) as client:
        await client.next()
        began = trio.current_time()
        assert kinds(await client.drain())[-1] == "session.ended"
        assert trio.current_time() - began >= 0.3


async def test_slow_drain_beyond_the_promise() -> None:
    """Without a duration the drain takes longer than max_drain_seconds."""
    async with simulator(with_faults("slow-drain", drain=0)) as address, session(address) as client:
        await client.next()
        await client.send_message(type="session.close")
        await client.until("session.closing")
        with trio.move_on_after(0.3) as patience:
            await client.next()
        assert patience.cancelled_caught


async def test_no_end() -> None:
    """The connection is closed properly after session.closing, but session.ended never comes."""
    async with simulator(with_faults("no-end")) as address, session(address) as client:
        await client.next()
        await client.send_message(type="session.close")
        assert await client.closed() == 1000
    assert kinds(client.events)[-1] == "session.closing"


async def test_once_among_sessions_at_once() -> None:
    """Of two sessions that wait for the same fault the first one gets it, the other none."""
    settings = with_faults("close=1011@chunk1")
    async with simulator(settings) as address, session(address) as first, session(address) as second:
        await first.next()
        await second.next()
        await first.send(b"anything")
        assert await first.closed() == 1011
        await second.send(b"anything")
        assert kinds(await second.drain())[-1] == "session.ended"


async def test_drain_is_not_idle(autojump_clock: trio.testing.MockClock) -> None:
    """A slow drain is not cut short by the idle limit."""
    settings = Settings(faults=(parse_fault("slow-drain=500s"),), limits=Limits(idle_timeout=300))
    async with in_memory(settings) as client:
        await client.next()
        await client.send_message(type="session.close")
        await client.closed(within=1000)
        assert trio.current_time() == pytest.approx(500)
    assert kinds(client.events) == ["session.ready", "session.closing", "session.ended"]


async def test_disconnect_in_memory() -> None:
    """Where there is no TCP a disconnect is just the end of the bytes."""
    async with in_memory(Settings(faults=(parse_fault("disconnect"),))) as client:
        assert await client.closed() == 1006


async def test_fault_of_another_session() -> None:
    """A fault of session 2 leaves session 1 alone and happens to session 2 once."""
    codes = []
    async with simulator(with_faults("close=1011,session=2")) as address:
        for _ in range(2):
            async with session(address) as client:
                await client.next()
                await client.send_message(type="session.close")
                codes.append(await client.closed())
    assert codes == [1000, 1011]
