"""Sessions over a real connection, and their time limits over memory streams and a mock clock."""

import json
from pathlib import Path
from typing import Any

import av
import pytest
import trio
import trio.testing
from trio_websocket import ConnectionClosed

from interhuman2mqtt.simulator.settings import Decode, Limits, RequireAudio, Settings
from simulator.helpers import (
    BOTH_FLAGS,
    FAST,
    as_a_browser_cuts,
    clip,
    fragments,
    in_memory,
    kinds,
    only,
    plain,
    recorded,
    session,
    simulator,
)
from support.processes import PATIENCE_S

QUICK = Settings(port=0, pace=FAST)
DAY = 86_400.0


def lines(directory: Path, what: str | None = None) -> list[dict[str, Any]]:
    """The record of a run, or the part of it that says `what`."""
    read = [json.loads(line) for line in (directory / "sessions.jsonl").read_text().splitlines()]
    return [line for line in read if what in {None, line["what"]}]


def saved(directory: Path) -> list[bytes]:
    """The media of a run, smallest first."""
    return sorted(path.read_bytes() for path in directory.glob("*.mp4"))


async def whole(settings: Settings, chunks: list[bytes], path: str = "/v2/stream/analyze") -> list[dict[str, Any]]:
    """All events of a session that sends so much and closes gracefully."""
    async with simulator(settings) as address, session(address, path) as client:
        await client.next()
        await client.send_message(include=BOTH_FLAGS)
        await client.send(*chunks)
        return await client.drain()


async def test_graceful_end() -> None:
    """session.closing comes first, then what is left, the ends of active signals, session.ended, and close 1000."""
    async with simulator(QUICK) as address, session(address) as client:
        await client.next()
        await client.send(*fragments(clip(6)))
        await client.send_message(type="session.close")
        code = await client.closed()
    told = kinds(client.events)
    assert code == 1000
    assert told[-1] == "session.ended"
    assert only(client.events, "session.ended") == [{"reason": "client_shutdown"}]
    assert only(client.events, "session.closing") == [{"max_drain_seconds": 30}]
    assert told.count("signal.ended") == told.count("signal.detected") > 0


async def test_events_come_while_media_is_sent() -> None:
    """An event is sent as soon as the media up to its window's end has come, not at the end of the session."""
    pieces = fragments(clip(6))
    async with simulator(QUICK) as address, session(address) as client:
        await client.next()
        await client.send(*pieces[:3])
        assert (await client.until("signal.detected"))["data"]["start"] == 0.0


@pytest.mark.parametrize("settings", [QUICK, Settings(port=0, pace=FAST, decode=Decode.ALL)])
async def test_repeatable(settings: Settings) -> None:
    """The same seed and media give the same events, in the same order, however much is decoded."""
    first = await whole(settings, fragments(clip(6)))
    again = await whole(QUICK, fragments(clip(6)))
    without_closing = [event for event in plain(first) if event[0] != "session.closing"]
    assert without_closing == [event for event in plain(again) if event[0] != "session.closing"]


async def test_configuration_counts_from_its_place_in_the_stream() -> None:
    """A configuration sent between two chunks is in force for what follows from the second."""
    pieces = fragments(clip(9))
    async with simulator(QUICK) as address, session(address) as client:
        await client.next()
        await client.send(*pieces[:4])
        await client.send_message(include=BOTH_FLAGS)
        await client.send(*pieces[4:7])
        await client.send_message(include=[])
        await client.send(*pieces[7:])
        events = await client.drain()
    entries = [data["timeline"][0]["end"] for data in only(events, "conversation_quality.updated")]
    assert entries == [6.0]


async def test_wrong_configuration_changes_nothing() -> None:
    """A configuration that is refused is answered with ih6001; the session goes on with the one before."""
    async with simulator(QUICK) as address, session(address) as client:
        await client.next()
        await client.send_message(include=["conversation_quality_overall"])
        await client.send_message(include=["everything"])
        await client.socket.send_message("not JSON")
        await client.send(*fragments(clip(6)))
        events = await client.drain()
    assert [data["code"] for data in only(events, "error")] == ["ih6001", "ih6001"]
    assert all(list(data) == ["overall"] for data in only(events, "conversation_quality.updated"))


async def test_missing_sound() -> None:
    """v2 wants audio and says ih5008 with the segment; v1 does not; both can be reported otherwise."""
    silent = fragments(clip(3, audio=None))
    assert only(await whole(QUICK, silent), "error")[0] | {"link": "", "message": ""} == {
        "code": "ih5008",
        "segment": 1,
        "link": "",
        "message": "",
    }
    assert not only(await whole(QUICK, silent, "/v1/stream/analyze"), "error")
    strict, loose = (Settings(port=0, require_audio=wish) for wish in (RequireAudio.ALWAYS, RequireAudio.NEVER))
    assert only(await whole(strict, silent, "/v1/stream/analyze"), "error")
    assert not only(await whole(loose, silent), "error")


async def test_errors_name_their_segment() -> None:
    """An error in media carries the number of the frame, counted from 1, malformed ones included."""
    pieces = fragments(clip(6))
    events = await whole(QUICK, [pieces[0], b"junk", pieces[1], pieces[0][:-5], pieces[2]])
    assert [(data["code"], data["segment"]) for data in only(events, "error")] == [("ih5004", 2), ("ih5004", 4)]


async def test_frame_sizes_are_limited() -> None:
    """A frame beyond the limit is ih6002 and left out, so its media is dropped; one too small is ih5004."""
    pieces = fragments(clip(6))
    settings = Settings(port=0, pace=FAST, limits=Limits(max_segment_size=100_000, min_segment_size=10))
    huge = pieces[2] + b"\x00\x00\xea\x60free" + b"\0" * 59_992
    events = await whole(settings, [*pieces[:2], huge, b"tiny", *pieces[3:]])
    assert [(data["code"], data["segment"]) for data in only(events, "error")] == [("ih6002", 3), ("ih5004", 4)]
    ((span,),) = (data["ranges"] for data in only(events, "coverage.dropped"))
    assert (span["start"], span["end"]) == pytest.approx((2, 3), abs=0.06)


async def test_giant_frames_break_the_connection() -> None:
    """Far beyond the limit the WebSocket itself is closed with 1009, and nothing is buffered."""
    settings = Settings(port=0, limits=Limits(max_segment_size=1000))
    async with simulator(settings) as address, session(address) as client:
        await client.next()
        with pytest.raises(ConnectionClosed) as closed:
            await client.send(b"\0" * (16 << 20))
    assert closed.value.reason is not None
    assert closed.value.reason.code == 1009


async def test_media_while_draining_is_refused() -> None:
    """After session.close media is answered with an error, as is a second session.close; the drain goes on."""
    pieces = fragments(clip(26))
    async with simulator(QUICK) as address, session(address) as client:
        await client.next()
        await client.send(*pieces)
        await client.send_message(type="session.close")
        await client.send(pieces[0])
        await client.send_message(type="session.close")
        assert await client.closed() == 1000
    assert kinds(client.events)[-1] == "session.ended"
    assert [data["code"] for data in only(client.events, "error")] == ["ih6001", "ih6001"]


async def test_drain_is_bounded() -> None:
    """What the analysis has not said within max_drain_seconds is left out; session.ended comes all the same."""
    settings = Settings(port=0, limits=Limits(max_drain=0), decode=Decode.ALL)
    events = await whole(settings, [clip(26)])
    assert kinds(events) == ["session.ready", "session.updated", "session.closing", "session.ended"]


async def test_init_segment_and_nothing_else() -> None:
    """A stream may end before its first fragment; one that ends inside its header is ih5002, said by the drain."""
    first = fragments(clip(3))[0]
    assert not only(await whole(QUICK, [first[: first.index(b"moof") - 4]]), "error")
    events = await whole(QUICK, [b"\x1a\x45\xdf\xa3"])
    assert [(data["code"], data["segment"]) for data in only(events, "error")] == [("ih5002", 1)]
    assert kinds(events)[-1] == "session.ended"


async def test_client_that_leaves() -> None:
    """A client that just leaves ends its session; the place it held is free for the next."""
    async with simulator(Settings(port=0, concurrency=1)) as address:
        for _ in range(3):
            async with session(address) as client:
                assert (await client.next())["type"] == "session.ready"
                await client.send(fragments(clip(6))[0])


async def test_stopping_while_media_is_read(tmp_path: Path) -> None:
    """The simulator stops at once, also while a reader waits for the next frame, and puts it on record."""
    settings = Settings(port=0, pace=FAST, save=tmp_path)
    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery, simulator(settings) as address, session(address) as client:
            await client.next()
            await client.send(*fragments(clip(6))[:3])
            await client.until("engagement.updated")
            nursery.cancel_scope.cancel()
    assert [(line["code"], line["by"]) for line in lines(tmp_path, "closed")] == [(1006, "server")]


async def test_many_sessions_at_once() -> None:
    """Sessions do not wait for each other, and each has people of its own."""
    told: dict[int, list[tuple[str, Any]]] = {}

    async def one(number: int) -> None:
        async with session(address) as client:
            await client.next()
            for piece in fragments(clip(26)):
                await client.send(piece)
                await trio.lowlevel.checkpoint()
            told[number] = [event for event in plain(await client.drain()) if event[0].startswith("signal")]

    async with simulator(Settings(port=0)) as address, trio.open_nursery() as nursery:
        for number in range(6):
            nursery.start_soon(one, number)
    assert len({json.dumps(events) for events in told.values()}) == 6


async def test_idle_limit(autojump_clock: trio.testing.MockClock) -> None:
    """So long without media, configuration not counted, and the session ends: ih6003, then the close."""
    async with in_memory(Settings(limits=Limits(idle_timeout=300))) as client:
        await client.next()
        await trio.sleep(200)
        await client.send_message(include=[])
        await client.closed(within=DAY)
        assert trio.current_time() == pytest.approx(300)
    assert only(client.events, "error")[0]["code"] == "ih6003"


async def test_media_keeps_a_session(autojump_clock: trio.testing.MockClock) -> None:
    """Each frame of media, good or bad, begins the idle time anew."""
    async with in_memory(Settings(limits=Limits(idle_timeout=300))) as client:
        await client.next()
        await trio.sleep(200)
        await client.send(b"anything")
        await client.closed(within=DAY)
        assert trio.current_time() == pytest.approx(500)


async def test_maximum_duration(autojump_clock: trio.testing.MockClock) -> None:
    """So long after session.ready the session ends, whatever is sent: ih6004, then the close."""
    async with in_memory(Settings(limits=Limits(idle_timeout=300, max_duration=1000))) as client:
        await client.next()
        for _ in range(5):
            await trio.sleep(190)
            await client.send(b"anything")
        assert await client.closed(within=DAY) == 1000
        assert trio.current_time() == pytest.approx(1000)
    assert "ih6004" in [data["code"] for data in only(client.events, "error")]


async def test_raw_audio() -> None:
    """inter-2-audio takes PCM once its format is declared, and hears what can be heard."""
    pcm = {"encoding": "pcm_s16le", "sample_rate": 16000, "channels": 1}
    async with simulator(QUICK) as address, session(address) as client:
        await client.next()
        await client.send_message(model="inter-2-audio", audio_format=pcm)
        assert (await client.next())["data"]["model"] == "inter-2-audio"
        await client.send(*[b"\0" * 32_000] * 5)
        events = await client.drain()
    assert "signal.detected" in kinds(events)
    assert not {"error", "coverage.degraded"} & set(kinds(events))


async def test_record(tmp_path: Path) -> None:
    """The record holds each happening in order, and the media can be played."""
    pieces = fragments(clip(6))
    settings = Settings(port=0, pace=FAST, save=tmp_path)
    async with simulator(settings) as address, session(address, X_Client_Request_Id="front/7") as client:
        await client.next()
        await client.send_message(include=[])
        await client.send(*pieces[:2], b"junk", *pieces[2:])
        events = await client.drain()
    await recorded(tmp_path, "closed")
    told = lines(tmp_path)
    assert {line["session"] for line in told} == {1}
    assert {line["request_id"] for line in told} == {"front/7"}
    assert [line["monotonic"] for line in told] == sorted(line["monotonic"] for line in told)
    assert [line["size"] for line in lines(tmp_path, "chunk")] == [len(x) for x in [*pieces[:2], b"junk", *pieces[2:]]]
    starts = [line["start"] for line in lines(tmp_path, "decoded")]
    assert starts[2] is None
    assert [start for start in starts if start is not None] == pytest.approx(range(6), abs=0.06)
    assert [(line["type"], line["data"]) for line in lines(tmp_path, "event")] == plain(events)
    assert (told[0]["what"], told[-1]["what"]) == ("opened", "closed")
    assert (told[-1]["code"], told[-1]["by"]) == (1000, "server")
    assert (tmp_path / "1-front_7.bin").read_bytes() == b"junk"
    with av.open(tmp_path / "1-front_7.mp4") as played:
        assert sum(1 for _ in played.decode(video=0)) == 6 * 15


async def test_record_of_standalone_files_and_refusals(tmp_path: Path) -> None:
    """Each standalone file is kept by itself; who was refused is on record too; a restart adds to the record."""
    for _ in range(2):
        settings = Settings(port=0, save=tmp_path, concurrency=1)
        async with simulator(settings) as address, session(address) as client:
            await client.next()
            async with session(address) as second:
                assert await second.closed() == 1001
            await client.send(clip(2), clip(3))
            await client.drain()
    assert [line["code"] for line in lines(tmp_path, "refused")] == ["ih3002", "ih3002"]
    assert saved(tmp_path) == sorted([clip(2), clip(3)] * 2)


async def test_a_browsers_recording(tmp_path: Path) -> None:
    """WebM as a browser cuts it is analysed without an error, and kept as the one file that it is."""
    webm = clip(6, video="libvpx", audio="libopus", kind="webm")
    settings = Settings(port=0, pace=FAST, save=tmp_path)
    async with simulator(settings) as address, session(address, X_Client_Request_Id="tab") as client:
        await client.next()
        await client.send(*as_a_browser_cuts(webm, 5000))
        events = await client.drain()
    assert "signal.detected" in kinds(events)
    assert "error" not in kinds(events)
    assert {line["file"] for line in lines(tmp_path, "chunk")} == {"1-tab.webm"}
    assert (tmp_path / "1-tab.webm").read_bytes() == webm
