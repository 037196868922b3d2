"""A browser's stream of changes loses nothing and sends nothing twice, or says that it has to load everything."""

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


async def test_a_reset_lets_go_of_what_was(autojump_clock: Any) -> None:
    """What is forgotten is not sent to a browser that comes back."""
    stream = Stream()
    stream.publish("camera", "secret")
    stream.reset()
    assert await sent(stream, 0, autojump_clock) == ["id: 2", "event: reset"]
    assert await sent(stream, 1, autojump_clock) == ["id: 2", "event: reset"]
