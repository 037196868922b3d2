"""Whether the wall clock is right: as the kernel knows it, and as anybody can see."""

import ctypes
from datetime import UTC, datetime
from functools import cache

from interhuman2mqtt.events import Clock

TIME_ERROR = 5
"""What adjtimex(2) returns while nothing disciplines the clock."""
_TIMEX = ctypes.create_string_buffer(256)
"""More than the size of struct timex on any architecture; its first word, zero, asks and changes nothing."""

MADE_AT = datetime(2026, 11, 1, tzinfo=UTC)
"""When this version was made, or shortly before: a clock that shows an earlier time was never set."""


def is_unset(at: datetime) -> bool:
    """Whether a clock that shows this is plainly wrong, as after a power cut where nothing keeps the time."""
    return at < MADE_AT


def clock_state() -> Clock:
    """`synced` where NTP or the like keeps the clock; `unknown` where nothing does, or it cannot be told."""
    try:
        state = _libc().adjtimex(_TIMEX)
    except (OSError, AttributeError):
        return Clock.UNKNOWN
    return Clock.UNKNOWN if state in {-1, TIME_ERROR} else Clock.SYNCED


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None)
