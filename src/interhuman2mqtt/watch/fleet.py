"""What is known of all boxes: folded out of their retained topics, one message after another; no I/O."""

from collections import Counter
from dataclasses import dataclass, field

from interhuman2mqtt.watch.payloads import (
    BridgeState,
    Engagement,
    Health,
    Info,
    Quality,
    Signals,
    Status,
    read,
)
from interhuman2mqtt.watch.places import BRIDGE, Place

BOXES_MAX = 10_000
CAMERAS_MAX = 1_000
"""Of one box: who may publish must not be able to fill our memory."""


@dataclass
class Camera:
    """What one camera's topics say now."""

    status: Status | None = None
    engagement: Engagement | None = None
    signals: Signals | None = None
    quality: Quality | None = None

    def take(self, about: str, payload: bytes) -> None:
        """One of its topics changed; an empty one is forgotten."""
        match about:
            case "status":
                self.status = read(payload, Status)
            case "state/engagement":
                self.engagement = read(payload, Engagement)
            case "state/signals":
                self.signals = read(payload, Signals)
            case "state/conversation_quality":
                self.quality = read(payload, Quality)

    @property
    def word(self) -> tuple[str, str | None, str | None] | None:
        """How it stands."""
        status = self.status
        return None if status is None else (status.state, status.reason, status.detail)

    @property
    def is_known(self) -> bool:
        """Whether anything is left of it."""
        return any((self.status, self.engagement, self.signals, self.quality))


@dataclass
class Box:
    """What one box's topics say now."""

    state: BridgeState | None = None
    info: Info | None = None
    health: Health | None = None
    cameras: dict[str, Camera] = field(default_factory=dict)
    _boot: str = ""

    @property
    def is_online(self) -> bool:
        """Whether its statuses hold: those of a box that is gone are its last words."""
        return self.state is not None and self.state.state == "online"

    def take(self, about: str, payload: bytes) -> None:
        """One of its bridge's topics changed."""
        match about:
            case "state":
                self._take_state(read(payload, BridgeState))
            case "info":
                self.info = read(payload, Info)
            case "health":
                self.health = read(payload, Health)

    def take_camera(self, place: Place, payload: bytes) -> bool:
        """One of a camera's topics changed; False where it stands as it did."""
        if place.camera not in self.cameras and len(self.cameras) >= CAMERAS_MAX:
            return True
        camera = self.cameras.setdefault(place.camera, Camera())
        before = camera.word
        camera.take(place.about, payload)
        if not camera.is_known:
            del self.cameras[place.camera]
        return place.about != "status" or camera.word != before

    def _take_state(self, state: BridgeState | None) -> None:
        """The will of an earlier life may come late, and says nothing of this one."""
        if state is not None and state.state == "online":
            self._boot = state.boot_id
        elif state is not None and self.is_online and state.boot_id != self._boot:
            return
        self.state = state


class Fleet:
    """All boxes by their ids."""

    def __init__(self) -> None:
        self.boxes: dict[str, Box] = {}

    def take(self, place: Place, payload: bytes) -> bool:
        """A message came; False where it only says again how a camera stands, as each failed attempt does."""
        if place.box not in self.boxes and (not payload or len(self.boxes) >= BOXES_MAX):
            return True
        box = self.boxes.setdefault(place.box, Box())
        if place.camera == BRIDGE:
            box.take(place.about, payload)
            return True
        return box.take_camera(place, payload)

    @property
    def files_hash(self) -> str | None:
        """The mark of the files that most boxes have; None where no box tells one."""
        marks = Counter(box.info.files_hash for box in self.boxes.values() if box.info is not None)
        return max(marks, key=lambda mark: (marks[mark], mark), default=None)
