"""The box's clocks: BOOTTIME, on which time is reckoned, and REALTIME, which only dates what happened.

========= =========================================================================================================
BOOTTIME  seconds since the machine was started, suspended ones included. Nothing sets it: all that has to outlive a
          process is reckoned on it, together with the id of the boot.
MONOTONIC the same without the time in which the machine was suspended. Captures and time-outs run on it.
REALTIME  the wall clock. NTP, a hand, or the network after a boot without a battery may set it at any time.
========= =========================================================================================================

So REALTIME minus BOOTTIME changes when the clock is set, and BOOTTIME minus MONOTONIC when the machine was suspended.
NTP slews by the rate of the kernel's time, which all three have in common (clock_gettime(2), adjtimex(2)): that moves
neither difference, and what is more than the noise of reading them is a step.

The age of a stored event, where the clock may have jumped and the machine may have been restarted meanwhile, is known
by no clock in every case, so each row carries two. Within one boot of the machine the time since the boot is
right, whatever happens to the wall clock. Across boots there is only the wall clock, and it is believed only where it
was synchronised both times: a box without a battery starts in the past, and an event must not be dropped as too old
because the clock was set. What cannot be told counts from the reopening of the store, plus what a restart takes.
"""

import ctypes
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import Annotated, NamedTuple

from msgspec import Meta, Struct

from interhuman2mqtt.events import Clock
from interhuman2mqtt.runtime.state_dir import boot_id

# MONOTONIC would be the usual choice and stands still while a laptop lid is closed or a virtual machine is frozen: the
# hours in between would be no gap, and everything after them be dated too early. REALTIME alone was what 0.1 had: a
# clock that was set by 20 days dated everything by 20 days.
TIME_ERROR = 5
"""What adjtimex(2) returns while nothing disciplines the clock."""
_TIMEX = ctypes.create_string_buffer(256)
"""More than the size of struct timex on any architecture; its first word, zero, asks and changes nothing."""

BUILD_DATE = datetime(2026, 11, 1, tzinfo=UTC)
"""When this version was made, or shortly before: a clock that shows an earlier time was never set."""

NOISE_S = 0.001
"""Less than this between two differences comes from reading one clock after the other."""
NARROW_S, ATTEMPTS = 0.0002, 5
"""Readings that took longer are repeated so often: a process that was preempted between two clocks would see a step."""
ASLEEP_S = 0.05
"""Nothing suspends a machine for less."""
SLEEPS = 64
"""So many are remembered; what was captured before them has long left every ring."""
LOST_S = 0.5
"""A clock that is set by less is not worth a line in the log."""


Seconds = Annotated[float, Meta(ge=-1e10, le=1e10)]
"""A time out of a file: three centuries, so that no sum of some of them overflows the calendar."""


class Reading(NamedTuple):
    """The three clocks at one time, in seconds."""

    monotonic: float
    boottime: float
    realtime: float
    width: float = 0.0
    """How long the reading took: so wrong a difference may be."""


class Sleep(NamedTuple):
    """A time in which the machine was suspended."""

    monotonic: float
    """Where MONOTONIC stood."""
    start: float
    """On BOOTTIME, as its `end`."""
    end: float

    @property
    def seconds(self) -> float:
        """How long it was."""
        return self.end - self.start


class Instant(Struct, frozen=True):
    """A moment on clocks that outlive a process."""

    wall: Seconds
    """Unix time."""
    synced: bool
    """Whether the wall clock was kept by NTP or the like."""
    boot: str
    """The kernel's id of the boot; empty where it gives none."""
    uptime: Seconds
    """Seconds since that boot, suspended ones included."""

    def is_of_boot(self, now: "Instant") -> bool:
        """Return whether it was since the machine was started last, so that both can be compared without any date."""
        return self.boot == now.boot != "" and self.uptime <= now.uptime


class BoxClock:
    """Turns MONOTONIC into BOOTTIME, and that into UTC, by what the clocks say now; sees when one of them steps.

    What is dated is dated by the wall clock as it is set at that moment, whenever it happened: a time must not be kept
    as UTC where it may still be dated.

    Args:
        read: The three clocks.
        synced: Whether the kernel takes the wall clock for good.
        boot: The id of this boot of the machine.
    """

    def __init__(
        self,
        read: Callable[[], Reading] | None = None,
        synced: Callable[[], Clock] | None = None,
        boot: str | None = None,
    ) -> None:
        self._read = read or read_clocks
        self._synced = synced or clock_state
        self._boot = boot_id() if boot is None else boot
        self._last = self._read()
        self._utc_offset_s = self._last.realtime - self._last.boottime
        self._asleep_s = self._last.boottime - self._last.monotonic
        self._sleeps = deque[Sleep](maxlen=SLEEPS)
        self._set_by_s = 0.0

    @property
    def sleeps(self) -> tuple[Sleep, ...]:
        """When the machine was suspended, oldest first."""
        return tuple(self._sleeps)

    @property
    def state(self) -> Clock:
        """Whether the wall clock may be trusted now."""
        return Clock.UNKNOWN if self.look().realtime < BUILD_DATE.timestamp() else self._synced()

    def boottime(self) -> float:
        """Return the seconds since the boot, suspended ones included."""
        return self.look().boottime

    def since_boot(self, monotonic: float) -> float:
        """Return the BOOTTIME of something that happened at this time of MONOTONIC."""
        self.look()
        later = sum(sleep.seconds for sleep in self._sleeps if monotonic < sleep.monotonic)
        return monotonic + self._asleep_s - later

    def date(self, monotonic: float) -> datetime:
        """Return the date of something that happened at this time of MONOTONIC; raises as `utc` does."""
        return datetime.fromtimestamp(self.since_boot(monotonic) + self._utc_offset_s, UTC)

    def utc(self, boottime: float) -> datetime:
        """Return the date of an instant, by the clock as it is set now.

        Raises:
            ValueError, OverflowError: No calendar holds it.
        """
        self.look()
        return datetime.fromtimestamp(boottime + self._utc_offset_s, UTC)

    def utc_now(self) -> datetime:
        """Return the present, in UTC."""
        return datetime.fromtimestamp(self.look().realtime, UTC)

    def instant(self) -> Instant:
        """Return the present on all clocks."""
        now = self.look()
        return Instant(now.realtime, self.state is Clock.SYNCED, self._boot, now.boottime)

    def look(self) -> Reading:
        """Read the clocks, and see whether one of them was set or stood still since the last time.

        A reading that took too long to be true says nothing about that: the next one will.
        """
        now = self._read()
        noise = max(NOISE_S, 2 * now.width)
        slept_s = now.boottime - now.monotonic - self._asleep_s
        if slept_s > max(ASLEEP_S, noise):
            self._sleeps.append(Sleep(self._last.monotonic, self._last.boottime, self._last.boottime + slept_s))
            self._asleep_s += slept_s
        elif abs(slept_s) > noise:
            self._asleep_s += slept_s  # the reading before was the one that was wrong
        step_s = now.realtime - now.boottime - self._utc_offset_s
        if abs(step_s) > noise:
            self._utc_offset_s += step_s
            self._set_by_s += step_s
        self._last = now
        return now

    def pop_step(self) -> float:
        """Return by how many seconds the clock was set since this was asked last; 0 where that is not worth a word."""
        self.look()
        step_s = self._set_by_s if abs(self._set_by_s) >= LOST_S else 0.0
        self._set_by_s -= step_s
        return step_s


def read_clocks() -> Reading:
    """Read the three clocks as nearly at once as they can be."""
    reading = _read_once()
    if reading.width < NARROW_S:
        return reading
    return min([reading, *(_read_once() for _ in range(ATTEMPTS - 1))], key=lambda reading: reading.width)


def _read_once() -> Reading:
    before = time.monotonic()
    boottime, realtime = time.clock_gettime(time.CLOCK_BOOTTIME), time.time()
    after = time.monotonic()
    return Reading((before + after) / 2, boottime, realtime, after - before)


def is_unset(at: datetime) -> bool:
    """Return whether a clock that shows this is plainly wrong, as after a power cut where nothing keeps the time."""
    return at < BUILD_DATE


def clock_state() -> Clock:
    """Return `synced` where NTP or the like keeps the clock; `unknown` where nothing does, or it is not known."""
    try:
        state = _libc().adjtimex(_TIMEX)
    except (OSError, AttributeError):
        return Clock.UNKNOWN
    return Clock.UNKNOWN if state in {-1, TIME_ERROR} else Clock.SYNCED


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None)


RESTART = 31.0
"""Seconds that a machine is down at least when it restarts, so that what waited through it counts as late."""


def now() -> Instant:
    """Return the present on all clocks."""
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
        """Return the moment `age` seconds before the present."""
        present = self._now
        return Instant(present.wall - age, present.synced, present.boot, present.uptime - age)

    def age(self, then: Instant) -> float:
        """Seconds from `then` to the present, as far as that is known."""
        present = self._now
        if then.boot == present.boot != "":
            return max(0.0, present.uptime - then.uptime)
        if then.synced and present.synced and BUILD_DATE.timestamp() <= then.wall <= present.wall:
            return max(RESTART, present.wall - then.wall)
        return RESTART
