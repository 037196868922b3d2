"""A latency histogram and a counter with bounded labels: so cheap that they always count, and are read on request."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)
"""Seconds: from a broker on this machine to an outage of an hour."""
NAMES_MAX = 40
"""Different names that are told apart; more than any honest cloud or camera brings up."""
NAME_MAX = 64
"""Characters of one."""
OTHER = "other"


class Histogram:
    """A histogram of durations, in seconds."""

    def __init__(self) -> None:
        self.total = 0.0
        self._counts = [0] * (len(BOUNDS) + 1)

    def observe(self, seconds: float) -> None:
        """Once more; what seems to have taken less than nothing took nothing."""
        self._counts[bisect_left(BOUNDS, seconds)] += 1
        self.total += max(0.0, seconds)

    def cumulative(self) -> Iterator[tuple[float, int]]:
        """Return how often it took at most so long, from the shortest bound to infinity."""
        count = 0
        for bound, more in zip((*BOUNDS, float("inf")), self._counts, strict=True):
            count += more
            yield bound, count


class BoundedCounter:
    """A counter by names that somebody else chooses: their number and length are bounded."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def add(self, name: str, count: int = 1) -> None:
        """Count a name."""
        short = name[:NAME_MAX]
        known = short in self.counts or len(self.counts) < NAMES_MAX
        self.counts[short if known else OTHER] += count
