"""When the capture lets packets wait in the buffer of TCP: to be woken for each of them costs twice as much.

It rests only where nobody waits: while a GOP grows, but not once it is as long as the shortest of the GOPs before it,
nor while it waits for its sound. So chunks leave as early as without, and `REST_S` later at most where a GOP is shorter
than each of the eight before it.
"""

from interhuman2mqtt.capture.ring import Ring
from interhuman2mqtt.capture.timeline import Anchor

REST_S = 0.1
LEAST_S = 0.02
"""A shorter rest spares nothing."""
PUNCTUAL_S = 0.05
"""What comes later than this is no longer the newest that there is: it is read on, and nothing ever piles up."""
END_S = 0.05
"""So long before the end of a GOP is due, its packets are read as they come."""
WAITING_MAX = 64 << 10
"""Bytes: what the kernel's buffer holds from the first day on; a camera may drop pictures that it cannot send."""


def rest_s(ring: Ring, anchor: Anchor, seconds: float, arrival: float) -> float:
    """How long to rest after a packet that is shown at `seconds` and came at `arrival`; 0 for not at all."""
    is_newest = anchor.settled and arrival - anchor.seconds - seconds < PUNCTUAL_S
    if not is_newest or not ring.shortest_gop_s or ring.is_waiting:
        return 0.0
    due_s = ring.shortest_gop_s - ring.open_gop_s - END_S
    rest = min(REST_S, due_s, WAITING_MAX * ring.seconds / ring.size)
    return rest if rest >= LEAST_S else 0.0
