"""Which signals are active, as far as the store has to know it: a life that is killed leaves their ends to the next."""

from collections.abc import Mapping

from interhuman2mqtt.events import ActiveSignal
from interhuman2mqtt.publish.message import Message

Signals = tuple[ActiveSignal, ...]


class ActiveSignals:
    """The active signals of each camera, and what of that the store does not know yet."""

    def __init__(self) -> None:
        self.active: dict[str, Signals] = {}
        """By camera; none without any."""
        self.changes: dict[str, Signals] = {}
        """What the store is still to be told."""

    def publishes(self, message: Message) -> bool:
        """Take over what a message says of its camera; return whether that is news for the store."""
        camera, signals = message.camera, message.active
        if camera is None or signals is None or signals == self.active.get(camera, ()):
            return False
        self._set(camera, signals)
        self.changes[camera] = signals
        return True

    def restore(self, found: Mapping[str, Signals]) -> None:
        """An earlier life left these active."""
        for camera, signals in found.items():
            if camera not in self.changes:
                self._set(camera, signals)

    def take(self) -> dict[str, Signals]:
        """Return the changes, which the store is told now."""
        changes, self.changes = self.changes, {}
        return changes

    def give_back(self, changes: Mapping[str, Signals]) -> None:
        """The store was not told after all."""
        self.changes = {**changes, **self.changes}

    def tell_all(self) -> None:
        """The store knows nothing any more."""
        self.changes = {**self.active, **self.changes}

    def _set(self, camera: str, signals: Signals) -> None:
        self.active.pop(camera, None)
        if signals:
            self.active[camera] = signals
