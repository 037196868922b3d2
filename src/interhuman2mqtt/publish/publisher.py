"""How often what is true now is told: on each topic at most ten times a second, and then the newest.

The cloud answers a chunk with several events within a few milliseconds, each of which changes the same states. Nobody
needs those in between, which are in the events; and they would be two of three messages.

What cameras say, on its way to their topics.
"""

from collections.abc import Callable, Container
from typing import Protocol

import trio
from msgspec import Struct

from interhuman2mqtt.errors import Reason
from interhuman2mqtt.events import CameraStatus, Event, State
from interhuman2mqtt.publish.message import Message
from interhuman2mqtt.publish.topics import CameraTopics, Topics

REST = 0.1
"""Seconds between two messages on a topic."""


class _Rest(Struct):
    """Of a topic that has just been told."""

    until: float
    held: Message | None = None
    """What comes after it."""


class TopicThrottle:
    """Holds back what comes too soon, and of that only the newest.

    While nobody runs it, it holds on to what it has: whoever begins to listen then has to `release` it.

    Args:
        tell: Told what may go out now.
    """

    def __init__(self, tell: Callable[[Message], None]) -> None:
        self._tell = tell
        self._resting: dict[str, _Rest] = {}  # the one that is over soonest first
        self._news = trio.Event()

    def take(self, message: Message) -> None:
        """Accept a message: at once if it is not one that is told often, or if its topic has rested."""
        rest = self._resting.get(message.topic)
        if rest is None or not message.often:
            if rest is not None:
                rest.held = None
            self._pass(message)
        else:
            rest.held = message

    def release(self, topic: str) -> None:
        """What is held of this topic goes out now."""
        rest = self._resting.get(topic)
        if rest is not None and rest.held is not None:
            held, rest.held = rest.held, None
            self._tell(held)

    def release_all(self) -> None:
        """All that is held goes out now."""
        for topic in self._resting:
            self.release(topic)

    async def run(self) -> None:
        """Let out what has rested, until cancelled."""
        while True:
            while self._resting:
                topic, rest = next(iter(self._resting.items()))
                await trio.sleep_until(rest.until)
                del self._resting[topic]
                if rest.held is not None:
                    self._pass(rest.held)
            self._news = trio.Event()
            await self._news.wait()

    def _pass(self, message: Message) -> None:
        if message.often:
            self._resting.setdefault(message.topic, _Rest(trio.current_time() + REST))
            self._news.set()
        self._tell(message)


NOT_ALLOWED = {Reason.OUT_OF_SCHEDULE, Reason.OVER_BUDGET, Reason.CLOCK_UNSET}
"""For which a camera that waits may not be seen, whatever it could be."""


class MessageSender(Protocol):
    """What messages go to the broker by (`mqtt.sender`)."""

    def publish(self, message: Message) -> None:
        """Accept a message, in order. Never waits."""


class EventPublisher:
    """Publishes for all cameras of a box."""

    def __init__(self, topics: Topics, sender: MessageSender) -> None:
        self._topics = topics
        self._sender = sender
        self._cameras: dict[str, CameraTopics] = {}
        self._shown: set[str] = set()

    def publish_event(self, event: Event) -> None:
        """Publish an event, and the states that it changes."""
        for message in self._of(event.camera).messages(event):
            self._sender.publish(message)

    def publish_status(self, status: CameraStatus) -> None:
        """Publish how a camera is; nothing is known of who is before one that does not look."""
        self._sender.publish(self._topics.status(status))
        if status.state in {State.PAUSED, State.STOPPED} or status.reason in NOT_ALLOWED:
            self.clear(status.camera)

    def clear(self, camera: str) -> None:
        """Nothing is known of a camera any more: its retained states go."""
        for message in self._of(camera).clear():
            self._sender.publish(message)
        if camera in self._shown:
            self._shown.remove(camera)
            self._sender.publish(self._topics.clear_snapshot(camera))

    def shows(self, camera: str) -> None:
        """A picture of a camera is about to be retained, and goes with its states."""
        self._shown.add(camera)

    def remove(self, camera: str) -> None:
        """A camera is gone: everything of it goes."""
        self.clear(camera)
        self._cameras.pop(camera, None)
        for message in self._topics.clear_camera(camera):
            self._sender.publish(message)

    def keep(self, cameras: Container[str]) -> None:
        """Clear everything of all other cameras that anything was published of, as of one that an earlier life knew."""
        for camera in [one for one in self._cameras if one not in cameras]:
            self.remove(camera)

    def _of(self, camera: str) -> CameraTopics:
        return self._cameras.setdefault(camera, CameraTopics(self._topics, camera))
