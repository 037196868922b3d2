"""The surroundings that the cameras of a box have in common."""

from pathlib import Path
from typing import NamedTuple, Protocol

from interhuman2mqtt.backfill.spools import Spools
from interhuman2mqtt.cameras.coverage import Coverage
from interhuman2mqtt.cameras.fork_server import ForkServer
from interhuman2mqtt.cameras.session_failures import AcceptedKeys
from interhuman2mqtt.cameras.session_slots import SessionSlots
from interhuman2mqtt.cameras.stall_detector import Timeouts
from interhuman2mqtt.cameras.start_limiter import StartLimiter
from interhuman2mqtt.cloud.transport import Server
from interhuman2mqtt.events import CameraStatus, Event
from interhuman2mqtt.policy.policy import Policy
from interhuman2mqtt.runtime.clock import BoxClock
from interhuman2mqtt.runtime.dns import Resolver
from interhuman2mqtt.runtime.watchdog import Heartbeats
from interhuman2mqtt.supervisor import BackoffPolicy


class CameraPublisher(Protocol):
    """Publishes for cameras; `publish.publisher` does, and cameras know no more of that stage."""

    def publish_event(self, event: Event) -> None:
        """Publish an event of a camera. Never waits."""

    def publish_status(self, status: CameraStatus) -> None:
        """Publish how a camera is now. Never waits."""


class Program(Protocol):
    """The daemon as a program; `runtime.lifeline` is that."""

    def replaced(self, version: str) -> None:
        """Note that its files are of another version by now; it ends in order, to be started anew."""


class DurablePublisher(CameraPublisher, Protocol):
    """Knows what would survive a crash, too."""

    async def wait_safe(self) -> None:
        """Wait until all events that were published are with the broker, or on the disk."""


class CameraContext(NamedTuple):
    """The surroundings of a camera: the same for all cameras of a configuration."""

    box: str
    server: Server
    chunk_s: float
    redact: frozenset[str]
    slots: SessionSlots
    accepted: AcceptedKeys
    coverage: Coverage
    policy: Policy
    clock: BoxClock
    spools: Spools
    publisher: DurablePublisher
    heartbeats: Heartbeats
    program: Program
    bugs: int
    """How many bugs of one camera are survived in an hour."""
    backoff: BackoffPolicy = BackoffPolicy()
    timeouts: Timeouts = Timeouts()
    starts: StartLimiter = StartLimiter()
    """Of the process: the cameras of all configurations begin one after another."""
    fork_server: ForkServer | None = None
    """Starts the capture processes; None: each is started by itself."""
    resolver: Resolver = Resolver()
    """Finds the hosts of cameras."""
    browsers: Path | None = None
    """The folder for the sockets of cameras that are browsers."""


def capture_of(camera: str) -> str:
    """Return the name of a camera's first half among the heartbeats."""
    return f"capture of {camera}"


def session_of(camera: str) -> str:
    """Return the name of its second half."""
    return f"session of {camera}"
