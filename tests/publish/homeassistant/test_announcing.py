"""When discovery is published."""

from collections.abc import Collection

import trio
from trio.testing import MockClock

from interhuman2mqtt.publish.homeassistant.discovery import DELAY_S, INTERVAL_S, HomeAssistant
from interhuman2mqtt.publish.message import Message
from publish.homeassistant.helpers import TOPICS, a_camera, a_config

PREFIX = "homeassistant/device/interhuman_lobby-1"


class RecordingHomeAssistant:
    """A HomeAssistant, and what it published."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.repeats: list[float] = []
        self.first: Collection[str] = ()
        self.home = HomeAssistant(TOPICS, self)

    def publish(self, message: Message) -> None:
        """Note a message."""
        self.messages.append(message)

    def repeat(self, first: Collection[str]) -> None:
        """Note when all was to be repeated."""
        self.first = sorted(first)
        self.repeats.append(trio.current_time())

    def new_topics(self) -> dict[str, bool]:
        """Return what was published since the last time, by topic: whether it has a payload."""
        new, self.messages[:] = {message.topic: bool(message.payload) for message in self.messages}, []
        return new


def test_a_reload() -> None:
    """A reload publishes only what changed: a camera that came, one that is called otherwise, and one that went."""
    recorded = RecordingHomeAssistant()
    recorded.home.announce(a_config(a_camera("front"), a_camera("desk"), a_camera("gone")))
    assert list(recorded.new_topics()) == [f"{PREFIX}_{name}/config" for name in ("bridge", "front", "desk", "gone")]
    recorded.home.announce(a_config(a_camera("front", name="Front desk"), a_camera("desk", fps=5.0), a_camera("new")))
    assert recorded.new_topics() == {
        f"{PREFIX}_gone/config": False,
        f"{PREFIX}_front/config": True,
        f"{PREFIX}_new/config": True,
    }


async def test_births_are_answered_after_a_while(autojump_clock: MockClock) -> None:
    """Each birth is answered within `DELAY_S`, not at once by all boxes, and several at a time by one answer."""
    delays = []
    for _ in range(20):
        recorded = RecordingHomeAssistant()
        recorded.home.announce(a_config(a_camera("front")))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(recorded.home.run)
            await trio.sleep(100)
            began = trio.current_time()
            for _ in range(3):
                recorded.home.handle_birth()
            await trio.sleep(DELAY_S + 100)
            nursery.cancel_scope.cancel()
        [answered] = recorded.repeats
        assert recorded.first == [f"{PREFIX}_bridge/config", f"{PREFIX}_front/config"]
        delays.append(answered - began)
    assert all(0 <= delay <= DELAY_S for delay in delays)
    assert max(delays) - min(delays) > DELAY_S / 4


async def test_a_home_assistant_that_restarts_all_the_time(autojump_clock: MockClock) -> None:
    """However often births come, answers are `INTERVAL_S` apart, and the last birth is answered too."""
    recorded = RecordingHomeAssistant()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(recorded.home.run)
        for _ in range(1000):
            recorded.home.handle_birth()
            await trio.sleep(0.1)
        last = trio.current_time()
        await trio.sleep(200)
        nursery.cancel_scope.cancel()
    gaps = [after - before for before, after in zip(recorded.repeats, recorded.repeats[1:], strict=False)]
    assert min(gaps) >= INTERVAL_S
    assert recorded.repeats[-1] >= last - 0.1
