"""What this life of the daemon retains on the broker: the newest message of each topic."""

from collections import ChainMap
from collections.abc import Collection, Mapping

from interhuman2mqtt.publish.message import Message


class RetainedMessages:
    """The retained messages by their topics; one that is empty is on its way to be cleared."""

    def __init__(self) -> None:
        self.states: dict[str, Message] = {}
        """All but `bridge/state`: each connection publishes them before it."""
        self.bridge_state: dict[str, Message] = {}
        """The newest message on `bridge/state`, by its topic."""
        self.kept_by_broker: set[str] = set()
        """Topics whose content only the broker has."""

    @property
    def all(self) -> Mapping[str, Message]:
        """States, and `bridge/state`."""
        return ChainMap(self.states, self.bridge_state)

    @property
    def topics(self) -> frozenset[str]:
        """Topics of all but `bridge/state`."""
        return frozenset({*self.states, *self.kept_by_broker})

    def keep_by_broker(self, topic: str) -> None:
        """Leave a topic to the broker: a later connection does not repeat what is on it."""
        self.states.pop(topic, None)
        self.kept_by_broker.add(topic)

    def filled(self, first: Collection[str]) -> list[Message]:
        """Return the states that are not empty, those on the topics `first` before the rest."""
        held = [message for message in self.states.values() if message.payload]
        return sorted(held, key=lambda message: message.topic not in first)
