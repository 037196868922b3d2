"""A camera of two tracks under a scripted clock: what it claims, and when it comes; hours in seconds."""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from types import SimpleNamespace
from typing import Any, NamedTuple, cast

from interhuman2mqtt.capture.clock_anchor import ClockAnchor
from interhuman2mqtt.capture.clock_rate import ClockRate
from interhuman2mqtt.capture.preroll import ArrivedPacket, Preroll
from interhuman2mqtt.capture.timestamps import TimestampRepair

VIDEO, SOUND = 0, 1
ZERO = 1000.0
"""CLOCK_MONOTONIC when the camera's first picture was captured."""
Clock = Callable[[float], float]
"""What a clock says after so many true seconds."""


def honest(seconds: float) -> float:
    """The truth."""
    return seconds


def running(rate: float) -> Clock:
    """A clock that runs so fast."""
    return lambda seconds: seconds * rate


class Placed(NamedTuple):
    """Where a packet was put."""

    track: int
    true: float
    """seconds from the first picture to its capture"""
    at: float
    """seconds on the timeline"""
    anchor: float
    is_settled: bool


@dataclass
class Camera:
    """Sends frames and audio, each by a clock of its own, over a network that delays and stalls."""

    video: Clock = honest
    sound: Clock = honest
    fps: float = 15
    sounds: float = 20
    """packets a second"""
    jitter: float = 0.01
    """mean of the network's own delay, which is exponential"""
    burst: float = 1.0
    """what was captured before that comes then, at once"""
    stall: tuple[float, float] = (0.0, 0.0)
    """from and to: nothing comes, and then all of it"""
    pause: tuple[float, float] = (0.0, 0.0)
    """from and to: no sound is captured"""
    silent: int = 0
    """pictures without a stamp, at first"""
    repairs: Counter[str] = field(default_factory=Counter)

    def packets(self, seconds: float) -> Iterator[tuple[int, float, float]]:
        """Track, time of capture and arrival of each packet, in the order of arrival."""
        chance = random.Random(1)
        latest = 0.0
        for track, true in merged(seconds, self.fps, self.sounds):
            if track == SOUND and self.pause[0] <= true < self.pause[1]:
                continue
            sent = max(true, self.burst)
            if self.stall[0] <= sent < self.stall[1]:
                sent = self.stall[1]
            latest = max(latest, ZERO + sent + chance.expovariate(1 / self.jitter))
            yield track, true, latest

    def run(self, seconds: float) -> list[Placed]:
        """Where all packets of so long a time are put."""
        anchor = ClockAnchor()
        timelines = {
            VIDEO: TimestampRepair(Fraction(1, 90_000), anchor, self.repairs, ClockRate()),
            SOUND: TimestampRepair(Fraction(1, 16_000), anchor, self.repairs, ClockRate(), sets_anchor=False),
        }
        opening: Preroll | None = Preroll(timelines, VIDEO, anchor, self.repairs)
        placed: list[Placed] = []
        for track, true, at in self.packets(seconds):
            said = None
            if track == SOUND or true >= (self.silent - 0.5) / self.fps:
                said = round((self.video, self.sound)[track](true) / timelines[track].tick_s)
            packet = SimpleNamespace(stream_index=track, pts=said, dts=said, true=true)
            due = [ArrivedPacket(cast("Any", packet), at)]
            if opening and opening.hold(due[0]):
                continue
            if opening:
                due, opening = list(opening.release(None)), None
            for each, arrival in due:
                timeline = timelines[each.stream_index]
                stamp = timeline.place(each.pts, each.dts, arrival)
                seconds_placed = stamp.dts * timeline.tick_s
                true_at = cast("Any", each).true
                placed.append(Placed(each.stream_index, true_at, seconds_placed, anchor.seconds, anchor.is_settled))
        return placed


def merged(seconds: float, *rates: float) -> Iterator[tuple[int, float]]:
    """Which track captures something, and when."""
    nexts = [0.0 for _ in rates]
    while min(nexts) < seconds:
        track = nexts.index(min(nexts))
        yield track, nexts[track]
        nexts[track] += 1 / rates[track]


class Judged(NamedTuple):
    """What a recording would be that begins as soon as it may."""

    begins: float
    """seconds until the anchor had settled"""
    error: tuple[float, float]
    """least and largest error of the time of a picture in that recording"""
    fresh: tuple[float, float]
    """the same for recordings that begin with that picture"""
    apart: tuple[float, float]
    """least and largest distance of audio and video of the same instant, from the first second of the recording"""


def judged(placed: list[Placed]) -> Judged:
    """Compare with the truth."""
    first = next(each for each in placed if each.is_settled)
    wrong = [(each.track, each.at + first.anchor - ZERO - each.true, each) for each in placed]
    pictures = [error for track, error, _ in wrong if track == VIDEO]
    fresh = [
        each.at + each.anchor - ZERO - each.true
        for track, _, each in wrong
        if track == VIDEO and each.true >= first.true
    ]
    apart, sound = [], 0.0
    for track, error, each in wrong:
        if track == SOUND:
            sound = error
        elif each.true >= first.true:
            apart.append(error - sound)
    return Judged(first.true, (min(pictures), max(pictures)), (min(fresh), max(fresh)), (min(apart), max(apart)))
