"""The queue between the broker and who obeys: bounded, and the last word of a level is never lost."""

from typing import Any

import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from interhuman2mqtt.control.inbox import REQUESTS_MAX, Inbox
from interhuman2mqtt.publish.mqtt.types import IncomingMessage


def a_request(n: int) -> IncomingMessage:
    """The n-th request."""
    return IncomingMessage("i/b/bridge/request/reload", str(n).encode())


def a_level(camera: str, word: str, *, retained: bool = False) -> IncomingMessage:
    """A level of a camera."""
    return IncomingMessage(f"i/b/{camera}/pause/set", word.encode(), retained)


def taken(inbox: Inbox) -> list[IncomingMessage]:
    """Everything that waits, in the order in which it is handed out."""

    async def take_all() -> None:
        with trio.move_on_after(1):
            while True:
                found.append(await inbox.wait_next())

    found: list[IncomingMessage] = []
    trio.run(take_all, clock=trio.testing.MockClock(autojump_threshold=0))
    return found


def test_requests_keep_their_order() -> None:
    """What came first is handed out first."""
    inbox = Inbox()
    for n in range(5):
        inbox.put(a_request(n))
    assert taken(inbox) == [a_request(n) for n in range(5)]


def test_a_flood_costs_the_newest() -> None:
    """Of too many requests the first ones wait, the others are dropped and counted, and this is logged twice in all."""
    inbox = Inbox()
    with capture_logs() as logs:
        for n in range(10_000):
            inbox.put(a_request(n))
        assert taken(inbox) == [a_request(n) for n in range(REQUESTS_MAX)]
    assert inbox.dropped == 10_000 - REQUESTS_MAX
    assert [(line["event"], line["log_level"]) for line in logs] == [
        ("requests come faster than they are handled: the newest are dropped, without an answer", "warning"),
        ("requests are received again", "warning"),
    ]
    assert logs[1]["dropped"] == inbox.dropped


def test_a_flood_of_requests_costs_no_level() -> None:
    """Levels are taken while requests are dropped, and handed out in turn with those that wait."""
    inbox = Inbox()
    for n in range(2 * REQUESTS_MAX):
        inbox.put(a_request(n))
    inbox.put(a_level("front", "ON"))
    inbox.put(a_level("back", "ON"))
    first = [a_level("front", "ON"), a_request(0), a_level("back", "ON"), a_request(1), a_request(2)]
    assert taken(inbox)[:5] == first


@given(st.lists(st.tuples(st.sampled_from(["front", "back"]), st.sampled_from(["ON", "OFF", "x" * 70])), min_size=1))
def test_the_last_word_of_a_level_counts(said: list[tuple[str, str]]) -> None:
    """However many levels come, the newest of each camera waits, and only that."""
    inbox = Inbox()
    for camera, word in said:
        inbox.put(a_level(camera, word))
    wanted = {camera: None if len(word) > 64 else word.encode() for camera, word in said}
    assert {level.topic.split("/")[2]: level.payload for level in taken(inbox)} == wanted
    assert inbox.dropped == 0


def test_what_was_said_live_stays_so() -> None:
    """A live OFF that the broker repeats as retained before it is handled is still the live one; another is not."""
    inbox = Inbox()
    inbox.put(a_level("front", "OFF"))
    inbox.put(a_level("front", "OFF", retained=True))
    inbox.put(a_level("back", "OFF"))
    inbox.put(a_level("back", "ON", retained=True))
    assert taken(inbox) == [a_level("front", "OFF"), a_level("back", "ON", retained=True)]


def test_cameras_that_nobody_has_cost_no_level() -> None:
    """Whatever comes for ever new cameras takes one place in all, and none of those of cameras that exist."""
    inbox = Inbox({"i/b/front/pause/set"})
    for n in range(6000):
        inbox.put(a_level(f"cam{n}", "ON"))
    inbox.put(a_level("front", "ON"))
    for n in range(6000):
        inbox.put(a_level(f"cam{n}", "ON"))
    assert taken(inbox) == [a_level("cam5999", "ON"), a_level("front", "ON")]
    assert inbox.dropped == 0


async def test_who_waits_until_it_is_handled(autojump_clock: Any) -> None:
    """A level counts as handled when who took it comes back for the next message, and not before."""
    inbox, topic = Inbox(), "i/b/front/pause/set"
    await inbox.wait_handled([topic])
    inbox.put(a_level("front", "ON"))
    inbox.put(a_request(1))
    handled = trio.Event()
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def wait() -> None:
            await inbox.wait_handled([topic])
            handled.set()

        assert await inbox.wait_next() == a_level("front", "ON")
        await trio.sleep(10)
        assert not handled.is_set()
        assert await inbox.wait_next() == a_request(1)
        await trio.testing.wait_all_tasks_blocked()
        assert handled.is_set()


async def test_who_waits_is_woken(autojump_clock: Any) -> None:
    """A message that comes while somebody waits is handed out at once, and a cancelled wait loses none."""
    inbox = Inbox()
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def put() -> None:
            await trio.sleep(5)
            inbox.put(a_request(1))

        with trio.move_on_after(1):
            await inbox.wait_next()
        assert await inbox.wait_next() == a_request(1)
