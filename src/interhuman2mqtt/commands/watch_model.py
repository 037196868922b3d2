"""The state of all boxes, folded out of their retained topics (`<base>/<box>/<camera or bridge>/<rest>`); no I/O.

Of the payloads no more is read than is shown, and only of the types that it must have to be shown.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

import msgspec
from msgspec import Struct

from interhuman2mqtt.events import Moment

BRIDGE = "bridge"
BELOW = (
    *("+/bridge/state", "+/bridge/info", "+/bridge/health"),
    *("+/+/status", "+/+/state/+", "+/+/event/+", "+/+/late/+"),
)


class Place(NamedTuple):
    """The parts of a topic: box, camera, and the rest."""

    box: str
    camera: str
    """`bridge` where it is about the box itself."""
    about: str
    """`status`, `state/signals`, `event/error`, `late/signal.detected` ..."""


def filters(base: str) -> list[str]:
    """Return the topic filters of all boxes below a base topic, without requests and their answers."""
    return [f"{base}/{below}" for below in BELOW]


def place(base: str, topic: str) -> Place | None:
    """Return the parts of a topic; None where it is none of ours."""
    if not topic.startswith(f"{base}/"):
        return None
    levels = topic[len(base) + 1 :].split("/", 2)
    return Place(*levels) if len(levels) == 3 else None


class BridgeState(Struct, frozen=True):
    """`bridge/state`."""

    state: str
    boot_id: str = ""
    since: Moment | None = None


class Info(Struct, frozen=True):
    """`bridge/info`."""

    version: str
    config_hash: str = "?"
    files_hash: str = "?"
    boot_id: str = ""
    config: dict[str, Any] = {}

    def model_of(self, camera: str) -> str | None:
        """Return the model of a camera, as far as it is told."""
        cameras = self.config.get("cameras")
        keys = cameras.get(camera) if isinstance(cameras, dict) else None
        model = keys.get("model") if isinstance(keys, dict) else None
        return model if isinstance(model, str) else None


class Health(Struct, frozen=True):
    """`bridge/health`."""

    outbox_rows: int = 0
    outbox_age: float = 0.0
    dropped: dict[str, int] = {}
    cameras: dict[str, dict[str, float]] = {}


class Gap(Struct, frozen=True):
    """Since when nothing of a camera was analysed."""

    start_at: Moment


class Status(Struct, frozen=True):
    """`<camera>/status`."""

    state: str
    since: Moment
    reason: str | None = None
    detail: str | None = None
    source: str | None = None
    gap: Gap | None = None
    last_media_at: Moment | None = None


class Engagement(Struct, frozen=True):
    """`<camera>/state/engagement`."""

    state: Any


class Signals(Struct, frozen=True):
    """`<camera>/state/signals`."""

    signals: dict[str, Any]


class Quality(Struct, frozen=True):
    """`<camera>/state/conversation_quality`."""

    overall: Any = None

    @property
    def index(self) -> float | None:
        """The score of all, 0 to 100; None where there is none."""
        index = self.overall.get("quality_index") if isinstance(self.overall, dict) else None
        return index if isinstance(index, int | float) and abs(index) < 1000 else None


class Event(Struct, frozen=True):
    """`<camera>/event/<type>`, or `<camera>/late/<type>`."""

    type: str
    received_at: Moment
    data: dict[str, Any]
    session: str | None = None
    start_at: Moment | None = None
    end_at: Moment | None = None


Payload = TypeVar("Payload", bound=Struct)


def read(payload: bytes, type_: type[Payload]) -> Payload | None:
    """Return a payload; None where it is not what the contract says, or empty."""
    try:
        return msgspec.json.decode(payload, type=type_)
    except (ValueError, RecursionError):  # which msgspec's own errors are, too
        return None


BOXES_MAX = 10_000
CAMERAS_MAX = 1_000
"""Of one box: who may publish must not be able to fill our memory."""


@dataclass
class Camera:
    """One camera, as its topics say."""

    status: Status | None = None
    engagement: Engagement | None = None
    signals: Signals | None = None
    quality: Quality | None = None

    def apply(self, about: str, payload: bytes) -> None:
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
    """One box, as its topics say."""

    state: BridgeState | None = None
    info: Info | None = None
    health: Health | None = None
    cameras: dict[str, Camera] = field(default_factory=dict)
    _boot: str = ""

    @property
    def is_online(self) -> bool:
        """Whether its statuses hold: those of a box that is gone are its last words."""
        return self.state is not None and self.state.state == "online"

    def apply(self, about: str, payload: bytes) -> None:
        """One of its bridge's topics changed."""
        match about:
            case "state":
                self._apply_state(read(payload, BridgeState))
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
        camera.apply(place.about, payload)
        if not camera.is_known:
            del self.cameras[place.camera]
        return place.about != "status" or camera.word != before

    def _apply_state(self, state: BridgeState | None) -> None:
        """Take the box's state, but not the will of an earlier life, which may come late."""
        if state is not None and state.state == "online":
            self._boot = state.boot_id
        elif state is not None and self.is_online and state.boot_id != self._boot:
            return
        self.state = state


class Fleet:
    """All boxes by their ids."""

    def __init__(self) -> None:
        self.boxes: dict[str, Box] = {}

    def apply(self, place: Place, payload: bytes) -> bool:
        """Take a message; return False where it only repeats a camera's status, as each failed attempt does."""
        if place.box not in self.boxes and (not payload or len(self.boxes) >= BOXES_MAX):
            return True
        box = self.boxes.setdefault(place.box, Box())
        if place.camera == BRIDGE:
            box.apply(place.about, payload)
            return True
        return box.take_camera(place, payload)

    @property
    def files_hash(self) -> str | None:
        """The mark of the files that most boxes have; None where no box tells one."""
        marks = Counter(box.info.files_hash for box in self.boxes.values() if box.info is not None)
        return max(marks, key=lambda mark: (marks[mark], mark), default=None)
