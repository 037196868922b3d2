"""From the events and statuses of cameras to messages; states that change often are throttled."""

from collections.abc import Container
from typing import Protocol

import trio
from msgspec import Struct, structs

from interhuman2mqtt.errors import Reason
from interhuman2mqtt.events import ActiveSignal, CameraStatus, Event, Origin, State
from interhuman2mqtt.publish import payloads
from interhuman2mqtt.publish.message import Message
from interhuman2mqtt.publish.topics import Topics
from interhuman2mqtt.runtime.notifier import Notifier

INTERVAL_S = 0.1
"""Seconds between two messages on a topic that is throttled."""


class MessageQueue(Protocol):
    """Accepts messages (`outbox.queue`)."""

    def put(self, message: Message, /) -> None:
        """Accept a message, in order. Never waits."""


class _Interval(Struct):
    """Of a topic on which something has just been published."""

    until: float
    held: Message | None = None
    """The newest message that came since."""


class TopicThrottle:
    """Holds back what comes too soon on a topic, and of that only the newest.

    While nobody runs it, it keeps what it has: whoever begins to publish then has to `release` it.

    Args:
        queue: Gets what may go out now.
    """

    # The cloud answers a chunk with several events within a few milliseconds, each of which changes the same states.
    # Nobody needs the states in between, which are in the events, and they were two of three messages. A fixed delay
    # for all states would be simpler, and would make each of them late; here the first one goes out at once.

    def __init__(self, queue: MessageQueue) -> None:
        self._queue = queue
        self._intervals: dict[str, _Interval] = {}  # the one that is over soonest first
        self._started = Notifier()

    def put(self, message: Message) -> None:
        """Accept a message; pass it on at once unless it is throttled and its topic's interval is not over."""
        interval = self._intervals.get(message.topic)
        if interval is None or not message.throttled:
            if interval is not None:
                interval.held = None
            self._pass(message)
        else:
            interval.held = message

    def release(self, topic: str) -> None:
        """Pass on what is held of a topic."""
        interval = self._intervals.get(topic)
        if interval is not None and interval.held is not None:
            held, interval.held = interval.held, None
            self._queue.put(held)

    def release_all(self) -> None:
        """Pass on all that is held."""
        for topic in self._intervals:
            self.release(topic)

    async def run(self) -> None:
        """Pass on what is held at the end of each interval, until cancelled."""
        while True:
            while self._intervals:
                topic, interval = next(iter(self._intervals.items()))
                await trio.sleep_until(interval.until)
                del self._intervals[topic]
                if interval.held is not None:
                    self._pass(interval.held)
            await self._started.wait()

    def _pass(self, message: Message) -> None:
        if message.throttled:
            self._intervals.setdefault(message.topic, _Interval(trio.current_time() + INTERVAL_S))
            self._started.set()
        self._queue.put(message)


NOT_ALLOWED = {Reason.OUT_OF_SCHEDULE, Reason.OVER_BUDGET, Reason.CLOCK_UNSET}
"""For these a camera may not look, so nothing may be known of who is before it."""


class CameraTopics:
    """Turns one camera's events into messages, and follows which signals are active."""

    def __init__(self, topics: Topics, camera: str) -> None:
        self._topics = topics
        self._camera = camera
        self._active: payloads.Active = {}

    def messages(self, event: Event) -> tuple[Message, ...]:
        """Return the event itself, then what it changes, in the order in which they are to be published.

        What comes of a recording changes nothing: it may be hours old, and nobody is to act on it.
        """
        if event.origin is not Origin.STREAM:
            return (self._topics.event(event),)
        self._active = payloads.fold_signals(self._active, event)
        changed = payloads.derive(self._active, event)
        states = (self._topics.state(self._camera, name, value, event.id) for name, value in changed.items())
        message = self._topics.event(event)
        if event.type.startswith("signal."):
            signals = tuple(ActiveSignal(kind, signal.session) for kind, signal in self._active.items())
            message = structs.replace(message, active=signals)
        return (message, *states)

    def clear(self) -> tuple[Message, ...]:
        """Return what clears the retained states: nothing is known of the camera any more."""
        cleared = self._topics.clear_state(self._camera)
        if self._active:
            self._active = {}
            cleared = (structs.replace(cleared[0], active=()), *cleared[1:])
        return cleared


class MessageSender(Protocol):
    """Sends messages to the broker (`mqtt.sender`)."""

    def publish(self, message: Message) -> None:
        """Accept a message, in order. Never waits."""

    async def wait_safe(self) -> None:
        """Wait until no event that was accepted before would be lost in a crash."""


class EventPublisher:
    """Publishes for all cameras of a box."""

    def __init__(self, topics: Topics, sender: MessageSender) -> None:
        self._topics = topics
        self._sender = sender
        self._cameras: dict[str, CameraTopics] = {}
        self._with_snapshot: set[str] = set()

    def publish_event(self, event: Event) -> None:
        """Publish an event, and the states that it changes."""
        for message in self._of(event.camera).messages(event):
            self._sender.publish(message)

    def publish_status(self, status: CameraStatus) -> None:
        """Publish the status of a camera; one that does not look knows nothing of who is before it."""
        self._sender.publish(self._topics.status(status))
        if status.state in {State.PAUSED, State.STOPPED} or status.reason in NOT_ALLOWED:
            self.clear(status.camera)

    async def wait_safe(self) -> None:
        """Wait until all events that were published are with the broker, or on the disk."""
        await self._sender.wait_safe()

    def clear(self, camera: str) -> None:
        """Clear the retained states of a camera, and its retained snapshot: nothing is known of it any more."""
        for message in self._of(camera).clear():
            self._sender.publish(message)
        if camera in self._with_snapshot:
            self._with_snapshot.remove(camera)
            self._sender.publish(self._topics.clear_snapshot(camera))

    def forget(self, camera: str) -> tuple[str, ...]:
        """Clear the retained states of a camera, and a snapshot that any life of ours retained; return the topics."""
        self._with_snapshot.discard(camera)
        messages = (*self._of(camera).clear(), self._topics.clear_snapshot(camera))
        for message in messages:
            self._sender.publish(message)
        return tuple(message.topic for message in messages)

    def snapshot_retained(self, camera: str) -> None:
        """Note that a snapshot of a camera is about to be retained: it is cleared with its states."""
        self._with_snapshot.add(camera)

    def remove(self, camera: str) -> None:
        """Clear everything of a camera that is gone."""
        self.clear(camera)
        self._cameras.pop(camera, None)
        for message in self._topics.clear_camera(camera):
            self._sender.publish(message)

    def remove_others(self, cameras: Container[str]) -> None:
        """Clear everything of all other cameras that anything was published of, as of one that an earlier life knew."""
        for camera in [one for one in self._cameras if one not in cameras]:
            self.remove(camera)

    def _of(self, camera: str) -> CameraTopics:
        return self._cameras.setdefault(camera, CameraTopics(self._topics, camera))
