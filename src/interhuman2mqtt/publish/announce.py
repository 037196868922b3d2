"""What cameras say, on its way to their topics."""

from collections.abc import Callable, Container

from interhuman2mqtt.errors import Reason
from interhuman2mqtt.events import CameraStatus, Event, State
from interhuman2mqtt.publish.message import Message
from interhuman2mqtt.publish.topics import CameraTopics, Topics

NOT_ALLOWED = {Reason.OUT_OF_SCHEDULE, Reason.OVER_BUDGET, Reason.CLOCK_UNSET}
"""For which a camera that waits may not be seen, whatever it could be."""


class Announcer:
    """Publishes for all cameras of a box.

    Args:
        publish: Accepts each message, in order.
    """

    def __init__(self, topics: Topics, publish: Callable[[Message], None]) -> None:
        self._topics = topics
        self._publish = publish
        self._cameras: dict[str, CameraTopics] = {}
        self._shown: set[str] = set()

    def event(self, event: Event) -> None:
        """An event, and the states that it changes."""
        for message in self._of(event.camera).messages(event):
            self._publish(message)

    def status(self, status: CameraStatus) -> None:
        """How a camera stands; nothing is known of who is before one that does not look."""
        self._publish(self._topics.status(status))
        if status.state in {State.PAUSED, State.STOPPED} or status.reason in NOT_ALLOWED:
            self.clear(status.camera)

    def clear(self, camera: str) -> None:
        """Nothing is known of a camera any more: its retained states go."""
        for message in self._of(camera).clear():
            self._publish(message)
        if camera in self._shown:
            self._shown.remove(camera)
            self._publish(self._topics.clear_snapshot(camera))

    def shows(self, camera: str) -> None:
        """A picture of a camera is about to be retained, and goes with its states."""
        self._shown.add(camera)

    def remove(self, camera: str) -> None:
        """A camera is gone: everything of it goes."""
        self.clear(camera)
        self._cameras.pop(camera, None)
        for message in self._topics.clear_camera(camera):
            self._publish(message)

    def keep(self, cameras: Container[str]) -> None:
        """Everything goes of the others that anything was said of, as of a camera that an earlier life knew."""
        for camera in [one for one in self._cameras if one not in cameras]:
            self.remove(camera)

    def _of(self, camera: str) -> CameraTopics:
        return self._cameras.setdefault(camera, CameraTopics(self._topics, camera))
