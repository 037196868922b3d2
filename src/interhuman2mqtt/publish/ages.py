"""How old a stored event is, when the clock may have jumped and the machine may have been restarted meanwhile.

No clock tells that in every case, so each row carries two. Within one boot of the machine the time since the boot is
right, whatever happens to the wall clock. Across boots there is only the wall clock, and it is believed only where it
was synchronised both times: a box without a battery starts in the past, and an event must not be dropped as too old
because the clock was set. What cannot be told counts from the reopening of the store, plus what a restart takes.
"""

import time
from collections.abc import Callable

from interhuman2mqtt.clock import MADE_AT, Instant, clock_state
from interhuman2mqtt.events import Clock
from interhuman2mqtt.statefolder import boot_id

PROGRAM_EXISTS = MADE_AT.timestamp()
"""No event was accepted before this: a clock that says so is not set."""

RESTART = 31.0
"""Seconds that a machine is down at least when it restarts, so that what waited through it counts as late."""


def now() -> Instant:
    """The present on all clocks."""
    return Instant(
        wall=time.time(),
        synced=clock_state() is Clock.SYNCED,
        boot=boot_id(),
        uptime=time.clock_gettime(time.CLOCK_BOOTTIME),
    )


class Ages:
    """From ages to instants and back.

    Args:
        read: The present.
    """

    def __init__(self, read: Callable[[], Instant] = now) -> None:
        self._now = read()

    def instant(self, age: float) -> Instant:
        """What was `age` seconds before the present."""
        present = self._now
        return Instant(present.wall - age, present.synced, present.boot, present.uptime - age)

    def age(self, then: Instant) -> float:
        """Seconds from `then` to the present, as far as that is known."""
        present = self._now
        if then.boot == present.boot != "":
            return max(0.0, present.uptime - then.uptime)
        if then.synced and present.synced and PROGRAM_EXISTS <= then.wall <= present.wall:
            return max(RESTART, present.wall - then.wall)
        return RESTART
