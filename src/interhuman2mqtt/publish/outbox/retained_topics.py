"""Which retained topics are ours: whoever made a topic clears it, also in a later life under another configuration."""

from collections.abc import Iterable, Mapping

from interhuman2mqtt.publish.message import Message


class RetainedTopics:
    """Every topic on which something of ours may be retained, and what of that the store does not know yet."""

    def __init__(self) -> None:
        self.topics: set[str] = set()
        self.changes: dict[str, bool] = {}
        """What the store is still to be told: topics that are ours (True), and that are no longer."""
        self._newest: dict[str, Message] = {}

    def publishes(self, message: Message) -> bool:
        """It is about to be published; whether that is news for the store."""
        if not message.retain:
            return False
        self._newest[message.topic] = message
        if not message.payload or message.topic in self.topics:
            return False
        self.topics.add(message.topic)
        self.changes[message.topic] = True
        return True

    def acknowledged(self, message: Message) -> bool:
        """The broker has it; whether that is news for the store: it is when nothing is retained any more."""
        empties = message.retain and not message.payload and self._newest.get(message.topic) == message
        if not empties or message.topic not in self.topics:
            return False
        self.topics.remove(message.topic)
        self.changes[message.topic] = False
        return True

    def restore(self, topics: Iterable[str]) -> None:
        """An earlier life left these."""
        self.topics |= {topic for topic in topics if self.changes.get(topic, True)}

    def take(self) -> dict[str, bool]:
        """The changes, which the store is told now."""
        changes, self.changes = self.changes, {}
        return changes

    def give_back(self, changes: Mapping[str, bool]) -> None:
        """The store was not told after all."""
        self.changes = {**changes, **self.changes}

    def tell_all(self) -> None:
        """The store knows nothing any more."""
        self.changes = {**self.changes, **dict.fromkeys(self.topics, True)}
