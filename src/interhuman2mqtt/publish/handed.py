"""What became of the way to the broker, counted for Prometheus."""

from collections import Counter
from collections.abc import Collection

from interhuman2mqtt.errors import Reason
from interhuman2mqtt.publish.message import Kind, Message
from interhuman2mqtt.runtime.histogram import Delays


class Handed:
    """Connections, and what the broker acknowledged by them."""

    def __init__(self) -> None:
        self.connections = 0
        """That came about."""
        self.failures = Counter[Reason]()
        """Attempts that failed, and connections that were lost."""
        self.acknowledged = Counter[Kind]()
        self.delays: dict[str, Delays] = {}
        """From the acceptance of an event to the broker's PUBACK, by camera; with all outages in between."""

    def acked(self, message: Message, age: float) -> None:
        """The broker has a message that was accepted `age` seconds ago."""
        self.acknowledged[message.kind] += 1
        if message.kind is Kind.EVENT and message.camera is not None:
            if message.camera not in self.delays:
                self.delays[message.camera] = Delays()
            self.delays[message.camera].observe(age)

    def keep(self, cameras: Collection[str]) -> None:
        """Forget all cameras but these."""
        self.delays = {camera: delays for camera, delays in self.delays.items() if camera in cameras}
