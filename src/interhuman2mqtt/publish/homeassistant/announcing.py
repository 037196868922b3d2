"""When Home Assistant is told: at the start, when something changed, and when it has itself just started."""

import random
from collections.abc import Callable, Collection

import trio

from interhuman2mqtt.config import Config
from interhuman2mqtt.publish.homeassistant import discovery
from interhuman2mqtt.publish.message import Message
from interhuman2mqtt.publish.topics import Topics

DELAY_S = 10.0
"""At most so long after its birth Home Assistant is told all again. Each box of a fleet takes a moment of its own, so
that neither it nor the broker is flooded."""
QUIET_S = 30.0
"""Between two such answers, whoever says however often that it has started."""


class HomeAssistant:
    """Keeps Home Assistant told.

    Args:
        publish: Accepts each message, in order.
        repeat: Publishes all that is retained once more, what is on these topics first.
    """

    def __init__(
        self, topics: Topics, publish: Callable[[Message], None], repeat: Callable[[Collection[str]], None]
    ) -> None:
        self._topics = topics
        self._publish = publish
        self._repeat = repeat
        self._told: dict[str, Message] = {}
        self._birth = trio.Event()

    def announce(self, config: Config) -> None:
        """Publish what differs from what was told before; who is gone, goes there too."""
        wanted = {message.topic: message for message in discovery.messages(config, self._topics)}
        for topic in self._told.keys() - wanted.keys():
            self._publish(self._topics.clear(topic))
        for topic, message in wanted.items():
            if self._told.get(topic) != message:
                self._publish(message)
        self._told = wanted

    def born(self) -> None:
        """Home Assistant has just started. Never waits."""
        self._birth.set()

    async def run(self) -> None:
        """Answer its births, for ever; those that come before the answer are answered by the same one."""
        while True:
            await self._birth.wait()
            await trio.sleep(random.uniform(0.0, DELAY_S))  # noqa: S311 - to spread a load, not to keep a secret
            self._birth = trio.Event()
            self._repeat(self._told.keys())
            await trio.sleep(QUIET_S)
