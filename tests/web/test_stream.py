"""A browser's stream of changes loses nothing and sends nothing twice, or says that it has to load everything."""

from contextlib import aclosing
from typing import Any

import trio

from interhuman2mqtt.web.stream import KEPT, Stream


async def sent(stream: Stream, after: int | None, autojump_clock: Any) -> list[str]:
    """What a browser gets until there is nothing more to send."""
    lines: list[str] = []
    with trio.move_on_after(1):
        async for chunk in stream.read(after):
            lines += [line for line in chunk.decode().split("\n") if line.startswith(("id:", "event:"))]
    return lines


async def test_what_comes_between_loading_and_following(autojump_clock: Any) -> None:
    """A change that was published after the fleet was loaded, and before the browser follows, comes to it."""
    stream = Stream()
    stream.publish("camera", 1)
    loaded = stream.number
    stream.publish("camera", 2)
    assert await sent(stream, loaded, autojump_clock) == ["id: 2", "event: camera"]


async def test_a_browser_comes_back(autojump_clock: Any) -> None:
    """It gets what it missed and nothing twice; where that is too long ago, or of another life, it is reset."""
    stream = Stream()
    for number in range(KEPT + 5):
        stream.publish("camera", number)
    assert await sent(stream, KEPT + 4, autojump_clock) == [f"id: {KEPT + 5}", "event: camera"]
    assert await sent(stream, KEPT + 5, autojump_clock) == []
    assert await sent(stream, 3, autojump_clock) == [f"id: {KEPT + 5}", "event: reset"]
    assert await sent(stream, 10**9, autojump_clock) == [f"id: {KEPT + 5}", "event: reset"]


async def test_who_does_not_read_on_holds_nothing(autojump_clock: Any) -> None:
    """A browser that stops reading keeps no old changes in our memory: it is reset when it goes on."""
    stream = Stream()
    for number in range(3):
        stream.publish("camera", number)
    async with aclosing(stream.read(0)) as slow:
        assert [await anext(slow) for _ in range(2)][-1].startswith(b"id: 1")
        for number in range(KEPT + 5):
            stream.publish("camera", number)
        assert (await anext(slow)).startswith(f"id: {stream.number}\nevent: reset".encode())


async def test_a_reset_lets_go_of_what_was(autojump_clock: Any) -> None:
    """What is forgotten is not sent to a browser that comes back."""
    stream = Stream()
    stream.publish("camera", "secret")
    stream.reset()
    assert await sent(stream, 0, autojump_clock) == ["id: 2", "event: reset"]
    assert await sent(stream, 1, autojump_clock) == ["id: 2", "event: reset"]
