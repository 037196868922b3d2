"""What the cameras of a box have in common, and what each of them counts."""

from collections.abc import Callable
from typing import NamedTuple

from interhuman2mqtt.alive import Alive
from interhuman2mqtt.cameras.coverage import Coverage
from interhuman2mqtt.cameras.places import Places
from interhuman2mqtt.cameras.stalls import Timeouts
from interhuman2mqtt.cloud.connect import Server
from interhuman2mqtt.events import CameraStatus, Clock, Event
from interhuman2mqtt.policy.policy import Policy
from interhuman2mqtt.supervise import Pauses


class Shared(NamedTuple):
    """The surroundings of a camera."""

    box: str
    server: Server
    chunk_s: float
    redact: frozenset[str]
    places: Places
    coverage: Coverage
    policy: Policy
    clock: Callable[[], Clock]
    publish_event: Callable[[Event], None]
    publish_status: Callable[[CameraStatus], None]
    alive: Alive
    bugs: int
    """How many bugs of one camera are survived in an hour."""
    pauses: Pauses = Pauses()
    timeouts: Timeouts = Timeouts()


def capture_of(camera: str) -> str:
    """The name of a camera's first half, where it promises to move."""
    return f"capture of {camera}"


def session_of(camera: str) -> str:
    """The name of its second half."""
    return f"session of {camera}"


class Counters:
    """What one camera did since the daemon started, as `bridge/health` tells it."""

    def __init__(self) -> None:
        self.captures = 0
        self.children = 0
        """Capture processes that there are: one at most."""
        self.repairs = 0
        """How often a rule about what the source sends wrongly was applied."""
        self.sessions = 0
        self.reconnects = 0
        """Sessions that broke after they had been open, so that another had to follow."""
        self.chunks_sent = 0
        self.bytes_sent = 0
        self.seconds_sent = 0.0
        self.chunks_delivered = 0
        self.events = 0
        self.oddities = 0
        self.round_trip = 0.0
        """Seconds, of the newest ping."""

    def count_repairs(self, count: int) -> None:
        """So many more."""
        self.repairs += count

    def as_dict(self) -> dict[str, float]:
        """By name."""
        return {name: float(value) for name, value in vars(self).items()}
