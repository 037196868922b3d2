"""How fast a track's clock runs, judged by arrival, which is the truth in the long run.

A packet's *delay* is its arrival less its time on the timeline. It is never less than the network's own delay, often
more (jitter, a stall and the burst after it), and its least value, its *level*, stays the same as long as the clock is
right. So only the most punctual packet of each half second counts, and

- delays that go up or down in a straight line, by more than jitter could, are a clock of a wrong rate;
- delays that go up at once and come back are a network, and nothing is done about them;
- what is left over of a minute's least delay is a crystal's drift, and is followed slowly (`drift`).
"""

from collections import deque
from collections.abc import Sequence
from statistics import mean, median
from typing import NamedTuple

BUCKET_S = 0.5
BUCKET_PACKETS = 8
"""Both: the least of fewer delays says little."""
BUCKETS = 128
"""About a minute: what is late for longer than that is not late but a clock that is slow."""
SPANS = (4, 8, 16, 32, 64, BUCKETS - 1)
"""Buckets over which a straight line is looked for: a gross lie shows in two seconds, one of half a percent in 40."""
LIE_S = 0.2
LONG_SPAN = 16
"""The least deviation that is called a lie: a third of it may be jitter, and half a second is what we promise. Over
so many buckets half of it is enough, and of a clock that was wrong before a quarter."""
STRAIGHT = 0.3
"""How far a line may be from straight, as a share of its height; a step is off by half."""
FOLLOW_S = 30.0
DRIFT_MAX = 0.01
"""A drift is made good in this time, but never by more than one percent of a second each second: nobody hears that."""
LOST_S = 0.06
LOST_BUCKETS = 2
"""What is late by so much, for a second, was not only read late by a busy machine."""
OPENING_LIE_S = 0.1
OPENING_JITTER = 4
OPENING_SURE = 40
"""While a source opens a lie is called one from this deviation on, where it is so many times the jitter seen, or
more where fewer than ten packets are seen: 40 divided by their number."""
OPENING_PACKETS = 4
STEADY = 0.4
"""What each half of an opening says of a lie is so much of the whole at least."""
RATE_MIN = 0.005
"""A clock that is slower stands still (milliseconds that are taken for ticks of 90 kHz have 0.011)."""


class Bucket(NamedTuple):
    """The packets of half a second."""

    at: float
    """arrival of the most punctual one"""
    delay: float
    """its delay, as it would be without all moves since the beginning"""
    spread: float
    """how much more the least punctual one had"""


class ClockRate:
    """Watches one track.

    Args:
        counted: Whether its times are a count of samples, so that what is late for good was lost.
    """

    def __init__(self, *, counted: bool = False) -> None:
        self._counted = counted
        self.level: float | None = None
        """The delay that the track should have; None until it is known."""
        self.lied = False
        """Whether the clock was found to be wrong: how much is known the better the longer it is seen."""
        self._moved = 0.0
        self._buckets: deque[Bucket] = deque(maxlen=BUCKETS)
        self._open: list[tuple[float, float]] = []
        """arrival and delay of the packets of the newest bucket"""

    def observe(self, seconds: float, arrival: float) -> bool:
        """A packet of `seconds` on the timeline came at `arrival`; returns whether there is something new to judge."""
        self._open.append((arrival, arrival - seconds + self._moved))
        if len(self._open) < BUCKET_PACKETS or arrival - self._open[0][0] < BUCKET_S:
            return False
        at, delay = min(self._open, key=lambda packet: packet[1])
        self._buckets.append(Bucket(at, delay, max(packet[1] for packet in self._open) - delay))
        self._open = []
        if self.level is None or self._is_better(self.level):
            self.level = delay - self._moved
        return True

    def _is_better(self, level: float) -> bool:
        """Whether packets have become more punctual at once, and stay so: the network was slow, not the clock."""
        newest = [bucket.delay for bucket in list(self._buckets)[-SPANS[0] :]]
        is_flat = len(newest) == SPANS[0] and max(newest) - min(newest) < LIE_S / 4
        return is_flat and max(newest) - self._moved < level - LIE_S / 2

    def moved(self, seconds: float) -> None:
        """From here on the track's times are so much later than they would have been."""
        self._moved += seconds

    def restart(self) -> None:
        """What was seen says nothing about what comes; the level stays."""
        self._buckets.clear()
        self._open = []
        self._moved = 0.0

    def lie(self) -> float | None:
        """Seconds that the timeline counts in a true second, where they are not one by more than jitter explains."""
        for span in SPANS:
            if len(self._buckets) <= span:
                return None
            points = [self._buckets[-1 - span * quarter // 4] for quarter in (4, 3, 2, 1, 0)]
            least = LIE_S / 4 if self.lied else LIE_S / 2 if span >= LONG_SPAN else LIE_S
            rate = self._slope(points, least)
            if rate is not None:
                return rate
        return None

    def _slope(self, points: list[Bucket], least: float) -> float | None:
        first, last = points[0], points[-1]
        rise, run = last.delay - first.delay, last.at - first.at
        noise = median(point.spread for point in points)
        off = max(abs(point.delay - first.delay - rise * (point.at - first.at) / run) for point in points)
        late = last.delay - self._moved - (self.level or 0.0)
        is_lie = abs(rise) >= max(least, 2 * noise) and off <= STRAIGHT * abs(rise)
        # what is late and gets less so comes back from a stall
        rate = 1 - rise / run
        return rate if is_lie and rate > RATE_MIN and late * rise > 0 and abs(late) >= least / 2 else None

    @property
    def lost(self) -> float:
        """How many seconds of samples a sound card has lost: those after them are all late, and stay so."""
        newest = [bucket.delay for bucket in list(self._buckets)[-LOST_BUCKETS:]]
        if not self._counted or self.level is None or len(newest) < LOST_BUCKETS:
            return 0.0
        late = min(newest) - self._moved - self.level
        return late if late > LOST_S else 0.0

    @property
    def drift(self) -> float:
        """By how much faster the timeline should run, to come back to its level."""
        if self.level is None or len(self._buckets) < BUCKETS:
            return 0.0
        late = min(bucket.delay for bucket in self._buckets) - self._moved - self.level
        return min(max(late / FOLLOW_S, -DRIFT_MAX), DRIFT_MAX)


def opening_rate(claims: Sequence[tuple[float, float]]) -> float:
    """The rate of a clock out of (claim, arrival) in seconds, seen while a source opens and its first burst is over.

    It is 1 unless the least squares say otherwise by much more than their own residue, and in each half of the time: a
    sender report that sets a track right is a step, which is in one of them at most.
    """
    if len(claims) < OPENING_PACKETS:
        return 1.0
    line = _fitted(claims)
    halves = _fitted(claims[: len(claims) // 2 + 1]), _fitted(claims[len(claims) // 2 :])
    deviation = abs(line.rate - 1) * (claims[-1][1] - claims[0][1])
    # in seconds of arrival: a clock that is fast by ten scatters by ten times as much
    sure = max(OPENING_JITTER, OPENING_SURE / len(claims))
    is_lie = deviation >= max(OPENING_LIE_S, sure * line.residue / max(line.rate, 1.0))
    is_steady = all((half.rate - 1) / (line.rate - 1) >= STEADY for half in halves) if is_lie else False
    return line.rate if is_steady and line.rate > RATE_MIN else 1.0


class _Line(NamedTuple):
    """A straight line through claims by their arrival."""

    rate: float
    residue: float
    """in seconds, what the claims are off it (root of the mean square)"""


def _fitted(claims: Sequence[tuple[float, float]]) -> _Line:
    """The line of least squares; of rate 1 where all came at once."""
    mean_at = mean(at for _, at in claims)
    mean_claim = mean(claim for claim, _ in claims)
    square = sum((at - mean_at) ** 2 for _, at in claims)
    if not square:
        return _Line(1.0, 0.0)
    rate = sum((at - mean_at) * (claim - mean_claim) for claim, at in claims) / square
    squares = sum((claim - mean_claim - rate * (at - mean_at)) ** 2 for claim, at in claims)
    return _Line(rate, (squares / max(len(claims) - 2, 1)) ** 0.5)
