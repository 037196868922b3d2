"""The clocks of a box, as a test moves them.

::

    clocks = Clocks(datetime(2026, 11, 22, 10, 0, tzinfo=UTC))
    clock = clocks.box_clock()
    clocks.run(60)          # a minute passes
    clocks.step(-3600)      # somebody sets the wall clock back by an hour
    clocks.suspend(600)     # the machine sleeps for ten minutes
"""

from datetime import UTC, datetime

from interhuman2mqtt.events import Clock
from interhuman2mqtt.runtime.clock import BoxClock, Reading

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


class Clocks:
    """BOOTTIME, MONOTONIC and REALTIME; they stand still unless they are moved.

    Args:
        at: What the wall clock shows when the machine is started: BOOTTIME and MONOTONIC are at zero then.
        synced: Whether NTP keeps the wall clock.
    """

    def __init__(self, at: datetime = NOON, *, synced: bool = True) -> None:
        self.realtime = at.timestamp()
        self.boottime = self.monotonic = 0.0
        self.synced = synced
        self.width = 0.0
        self.boot = 1

    def read(self) -> Reading:
        """What all three say."""
        return Reading(self.monotonic, self.boottime, self.realtime, self.width)

    def run(self, seconds: float) -> None:
        """Time passes."""
        self.monotonic += seconds
        self.boottime += seconds
        self.realtime += seconds

    def suspend(self, seconds: float) -> None:
        """The machine sleeps."""
        self.boottime += seconds
        self.realtime += seconds

    def step(self, seconds: float) -> None:
        """The wall clock is set."""
        self.realtime += seconds

    def reboot(self, seconds: float, at: datetime | None = None, *, synced: bool = True) -> None:
        """The machine is down for so long; then its wall clock goes on, or shows another time."""
        self.realtime = self.realtime + seconds if at is None else at.timestamp()
        self.boottime = self.monotonic = 0.0
        self.synced = synced
        self.boot += 1

    def box_clock(self) -> BoxClock:
        """What a daemon that starts now has."""
        return BoxClock(self.read, lambda: Clock.SYNCED if self.synced else Clock.UNKNOWN, f"boot-{self.boot}")
