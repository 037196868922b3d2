"""When time zero of a source was, by the packets that came on time."""

# Why the anchor is a minimum: a packet may be late for a hundred reasons, and early for none. The first packet alone is
# up to two seconds wrong, because opening a stream takes time and begins with a burst of what the camera had kept; the
# mean of arrivals follows each stall of the network. The least of (arrival - PTS) is the most punctual packet seen, it
# only improves, and two minutes of it are forgotten in steps, so that it follows a clock that drifts. A recording keeps
# the value of its first chunk: events of one session never jump against each other. The camera's own wall clock (RTCP
# sender reports) was refused: cameras are hours and years wrong, and nothing shows which.

from collections import deque

ANCHOR_BUCKET_S = 10.0
ANCHOR_BUCKETS = 12
"""The anchor looks back two minutes: long enough for a punctual packet, short enough to follow a drifting clock."""
SETTLED_S = 0.25
"""The anchor is good once it has not become better for so long..."""
BETTER_S = 0.02
"""...by more than this."""


class ClockAnchor:
    """The least delay seen lately between a packet's time and its arrival: the best guess of when time zero was."""

    def __init__(self) -> None:
        self._buckets: deque[tuple[float, float]] = deque(maxlen=ANCHOR_BUCKETS)
        self._better_at = float("inf")
        self._seen_at = 0.0
        self._newest = 0.0
        self.seconds = 0.0
        """Added to a time on the timeline it gives CLOCK_MONOTONIC; 0 before the first packet. It is kept, and not
        computed, since it is read three times for each packet."""

    @property
    def is_settled(self) -> bool:
        """Whether the burst is over with which a stream opens: its packets are late, each less than the one before."""
        return self._seen_at - self._better_at >= SETTLED_S

    @property
    def is_set(self) -> bool:
        """Whether there was a packet to judge by."""
        return bool(self._buckets)

    def observe(self, seconds: float, arrival: float) -> None:
        """Take note of a packet that claims `seconds` on the timeline and came at `arrival` (CLOCK_MONOTONIC)."""
        offset = self._newest = arrival - seconds
        if not self._buckets or offset < self.seconds - BETTER_S:
            self._better_at = arrival
        self._seen_at = arrival
        if not self._buckets or arrival - self._buckets[-1][0] > ANCHOR_BUCKET_S:
            self._buckets.append((arrival, offset))
            self.seconds = min(offset for _, offset in self._buckets)
        elif offset < self._buckets[-1][1]:
            self._buckets[-1] = (self._buckets[-1][0], offset)
            self.seconds = min(self.seconds, offset)

    @property
    def late_s(self) -> float:
        """How late the newest packet was."""
        return self._newest - self.seconds
