"""Pauses in reading a feed whose packets are kept by the kernel meanwhile, so that they are read in bursts."""

# Why it reads in bursts: woken for each of 73 packets a second, Python and FFmpeg find their caches cold every time.
# TCP's buffer keeps packets as well as we do. Pauses of up to 0.1 s took the wakes from 77 to 11 a second and the
# process from 2.25 to 1.3 % of a core (a camera of 1080p30 at 3 Mbit/s, read over TCP; `ffmpeg -c copy` had the same 77
# wakes); pauses of up to 0.35 s took it to 0.7 of what it was then, and 0.5 s gains nothing more. Collecting packets
# of our own and putting them into the ring in batches did half of that, and went. Nobody waits longer for it: it pauses
# while a GOP grows, but not once that is as long as the shortest of the GOPs before it, nor while it waits for its
# audio. So chunks are sent as early as without, and `PAUSE_S` later at most where a GOP is shorter than each of the
# eight before it. Over UDP what is not read is lost, and what is encoded costs more than pauses spare.

from interhuman2mqtt.capture.clock_anchor import ClockAnchor
from interhuman2mqtt.capture.device import Feed
from interhuman2mqtt.capture.ring import Ring
from interhuman2mqtt.capture.tcp_connection import unread_bytes

PAUSE_S = 0.35
PAUSE_MIN_S = 0.02
"""A shorter pause spares nothing."""
PUNCTUAL_S = 0.05
"""A packet that comes no later than this is the newest that there is..."""
UNREAD_MAX = 4 << 10
"""...and so is one behind which no more bytes than this wait: over a network that wavers, and on a machine that is too
busy, packets are hardly ever punctual. After any other it is read on, and nothing ever piles up."""


class ReadPauses:
    """Decides after each packet of one feed for how long nobody reads."""

    def __init__(self, feed: Feed, ring: Ring, anchor: ClockAnchor) -> None:
        self._connection, self._backlog_max = feed.connection, feed.backlog_max
        self._ring, self._anchor = ring, anchor

    def after(self, packet_end_s: float, now: float) -> float:
        """Return the seconds to pause after a packet that ends at `packet_end_s` and was returned `now`; 0: none."""
        # By the clock, and not by the packet's arrival: the first frame after a pause is dated before it, since it had
        # begun by then (`demuxer`). Taken for the newest, it was followed by a second pause, across the GOP's end.
        # Without a margin before that end: nothing is earlier than the anchor says, and FFmpeg returns a key frame by
        # RTSP only when the next frame begins. A tenth of a second took 15 wakes a second instead of 8, and no chunk
        # left earlier.
        ring, anchor = self._ring, self._anchor
        if not (anchor.is_settled and ring.shortest_gop_s) or ring.waits_for_audio:
            return 0.0
        if now - anchor.seconds - packet_end_s > PUNCTUAL_S and not self._is_all_read:
            return 0.0
        end_s = ring.end_s - ring.growing_gop_s + ring.shortest_gop_s
        pause = min(PAUSE_S, anchor.seconds + end_s - now, self._backlog_max * ring.seconds / ring.size)
        return pause if pause >= PAUSE_MIN_S else 0.0

    @property
    def _is_all_read(self) -> bool:
        return self._connection is not None and unread_bytes(self._connection) <= UNREAD_MAX
