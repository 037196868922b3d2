"""The rate of a track's clock, judged by arrival, which is the truth in the long run.

A packet's *delay* is its arrival less its time on the timeline. It is never less than the network's own delay, often
more (jitter, a stall and the burst after it), and its least value, its *level*, stays the same as long as the clock is
right. So only the most punctual packet of each half second counts, and

- delays that go up or down in a straight line, by more than jitter could, are a clock of a wrong rate;
- delays that go up at once and come back are a network, and nothing is done about them;
- what is left over of a minute's least delay is a crystal's drift, and is followed slowly (`drift`).
"""

from collections import deque
from collections.abc import Sequence
from itertools import pairwise
from statistics import mean, median
from typing import NamedTuple

BUCKET_S = 0.5
BUCKET_PACKETS = 8
"""Both: the least of fewer delays says little."""
BUCKETS = 128
"""About a minute: what is late for longer than that is not late but a clock that is slow."""
SPANS = (4, 8, 16, 32, 64, BUCKETS - 1)
"""Buckets over which a straight line is looked for: a gross error shows in two seconds, one of half a percent in 40."""
DEVIATION_S = 0.2
LONG_SPAN = 16
"""The least deviation that makes a clock wrong: a third of it may be jitter, and half a second is what we promise. Over
so many buckets half of it is enough, and of a clock that was wrong before a quarter."""
STRAIGHT = 0.3
"""The tolerance of a line's straightness, as a share of its height; a step is off by half."""
FOLLOW_S = 30.0
DRIFT_MAX = 0.01
"""A drift is made good in this time, but never by more than one percent of a second each second: nobody hears that."""
LOSS_S = 0.06
LOSS_BUCKETS = 2
"""Audio that is late by so much, for a second, was not only read late by a busy machine."""
STOOD_S = 0.5
"""A clock that is late at once by so much, and stays so, stood: less the network may explain."""
OPENING_DEVIATION_S = 0.1
OPENING_JITTER = 4
OPENING_SURE = 40
"""While a source opens a clock is wrong from this deviation on, where it is so many times the jitter seen, or more
where fewer than ten packets are seen: 40 divided by their number."""
OPENING_PACKETS = 4
STEADY = 0.4
"""The least share of the whole deviation that each half of an opening has to show, and of a line's rate what is left
without its steepest quarter: a step behind a pause, in which nothing comes, looks like a line otherwise."""
RATE_MIN = 0.005
"""A clock that is slower stands still (milliseconds that are taken for ticks of 90 kHz have 0.011)."""


class Bucket(NamedTuple):
    """The packets of half a second."""

    at: float
    """arrival of the most punctual one"""
    delay: float
    """its delay, as it would be without all shifts since the beginning"""
    spread: float
    """the delay that the least punctual one had on top"""


class ClockRate:
    """The watch on the clock of one track.

    Args:
        counted: Whether its times are a count of samples, so that what is late for good was lost.
    """

    def __init__(self, *, counted: bool = False) -> None:
        self._counted = counted
        self.level: float | None = None
        """The delay that the track should have; None until it is known."""
        self.was_wrong = False
        """Whether the clock was found to be wrong: by how much is known the better the longer it is seen."""
        self._shifted_s = 0.0
        self._buckets: deque[Bucket] = deque(maxlen=BUCKETS)
        self._least_delay = 0.0
        """of all buckets: it is asked for with each packet"""
        self._open: list[tuple[float, float]] = []
        """arrival and delay of the packets of the newest bucket"""

    def observe(self, seconds: float, arrival: float) -> bool:
        """Note that a packet of `seconds` on the timeline came at `arrival`; return whether a bucket is full."""
        self._open.append((arrival, arrival - seconds + self._shifted_s))
        if len(self._open) < BUCKET_PACKETS or arrival - self._open[0][0] < BUCKET_S:
            return False
        at, delay = min(self._open, key=lambda packet: packet[1])
        self._buckets.append(Bucket(at, delay, max(packet[1] for packet in self._open) - delay))
        self._open = []
        self._least_delay = min(bucket.delay for bucket in self._buckets)
        if self.level is None or self._is_better(self.level):
            self.level = delay - self._shifted_s
        return True

    def _is_better(self, level: float) -> bool:
        """Decide whether packets became more punctual at once, and stay so: the network was slow, not the clock.

        A clock that was found to be wrong is early by itself now and then. Believed, each time would move the level a
        little further: by 4 s in three hours, where a sender report sets the clock right every 5 s. So it has to be
        early by more than such a report moves it.
        """
        margin = DEVIATION_S if self.was_wrong else DEVIATION_S / 2
        newest = [bucket.delay for bucket in list(self._buckets)[-SPANS[0] :]]
        is_flat = len(newest) == SPANS[0] and max(newest) - min(newest) < DEVIATION_S / 4
        return is_flat and max(newest) - self._shifted_s < level - margin

    def shifted(self, seconds: float) -> None:
        """Note that the track's times are so much later from here on than they would have been."""
        self._shifted_s += seconds

    def restart(self) -> None:
        """Forget what was seen, since it says nothing about what follows; the level stays."""
        self._buckets.clear()
        self._open = []
        self._shifted_s = 0.0

    def wrong_rate(self) -> float | None:
        """Return the seconds that the timeline counts in a true one, where they differ by more than jitter explains."""
        for span in SPANS:
            if len(self._buckets) <= span:
                return None
            points = [self._buckets[-1 - span * quarter // 4] for quarter in (4, 3, 2, 1, 0)]
            least = DEVIATION_S / 4 if self.was_wrong else DEVIATION_S / 2 if span >= LONG_SPAN else DEVIATION_S
            rate = self._slope(points, least)
            if rate is not None:
                return rate
        return None

    def _slope(self, points: list[Bucket], least: float) -> float | None:
        first, last = points[0], points[-1]
        rise, run = last.delay - first.delay, last.at - first.at
        noise = median(point.spread for point in points)
        off = max(abs(point.delay - first.delay - rise * (point.at - first.at) / run) for point in points)
        late = last.delay - self._shifted_s - (self.level or 0.0)
        is_wrong = abs(rise) >= max(least, 2 * noise) and off <= STRAIGHT * abs(rise) and _is_steady(points)
        # what is late and gets less so comes back from a stall
        rate = 1 - rise / run
        return rate if is_wrong and rate > RATE_MIN and late * rise > 0 and abs(late) >= least / 2 else None

    @property
    def lost_s(self) -> float:
        """The seconds of samples that a sound card has lost: those after them are all late, and stay so."""
        newest = [bucket.delay for bucket in list(self._buckets)[-LOSS_BUCKETS:]]
        if not self._counted or self.level is None or len(newest) < LOSS_BUCKETS:
            return 0.0
        late = min(newest) - self._shifted_s - self.level
        return late if late > LOSS_S else 0.0

    @property
    def stood_s(self) -> float:
        """The seconds for which the clock stood: what comes after them is late by as much, and no more and no less."""
        newest = [bucket.delay for bucket in list(self._buckets)[-LOSS_BUCKETS:]]
        if self.level is None or len(newest) < LOSS_BUCKETS or max(newest) - min(newest) > DEVIATION_S / 2:
            return 0.0
        late = min(newest) - self._shifted_s - self.level
        return late if late > STOOD_S else 0.0

    @property
    def drift(self) -> float:
        """The excess rate at which the timeline should run, to come back to its level."""
        if self.level is None or len(self._buckets) < BUCKETS:
            return 0.0
        late = self._least_delay - self._shifted_s - self.level
        return min(max(late / FOLLOW_S, -DRIFT_MAX), DRIFT_MAX)


def _is_steady(points: Sequence[Bucket]) -> bool:
    """Decide whether a line is one without its steepest part, too."""
    first, last = points[0], points[-1]
    before, after = max(pairwise(points), key=lambda pair: abs(pair[1].delay - pair[0].delay))
    rise, run = last.delay - first.delay, last.at - first.at
    rest_rise, rest_run = rise - (after.delay - before.delay), run - (after.at - before.at)
    return rest_rise / rise >= STEADY * rest_run / run


def opening_rate(claims: Sequence[tuple[float, float]]) -> float:
    """Return the rate of a clock by (claim, arrival) in seconds, seen while a source opens, after its first burst.

    It is 1 unless the least squares say otherwise by much more than their own residue, and in each half of the time: a
    sender report that sets a track right is a step, which is in one of them at most.
    """
    if len(claims) < OPENING_PACKETS:
        return 1.0
    line = _fit_line(claims)
    halves = _fit_line(claims[: len(claims) // 2 + 1]), _fit_line(claims[len(claims) // 2 :])
    deviation = abs(line.rate - 1) * (claims[-1][1] - claims[0][1])
    # in seconds of arrival: a clock that is fast by ten scatters by ten times as much
    sure = max(OPENING_JITTER, OPENING_SURE / len(claims))
    is_wrong = deviation >= max(OPENING_DEVIATION_S, sure * line.residue / max(line.rate, 1.0))
    is_steady = all((half.rate - 1) / (line.rate - 1) >= STEADY for half in halves) if is_wrong else False
    return line.rate if is_steady and line.rate > RATE_MIN else 1.0


class _Line(NamedTuple):
    """A straight line through claims by their arrival."""

    rate: float
    residue: float
    """The distance of the claims from it, in seconds (root of the mean square)."""


def _fit_line(claims: Sequence[tuple[float, float]]) -> _Line:
    """Return the line of least squares; of rate 1 where all came at once."""
    mean_at = mean(at for _, at in claims)
    mean_claim = mean(claim for claim, _ in claims)
    square = sum((at - mean_at) ** 2 for _, at in claims)
    if not square:
        return _Line(1.0, 0.0)
    rate = sum((at - mean_at) * (claim - mean_claim) for claim, at in claims) / square
    squares = sum((claim - mean_claim - rate * (at - mean_at)) ** 2 for claim, at in claims)
    return _Line(rate, (squares / max(len(claims) - 2, 1)) ** 0.5)
