"""Cameras lie about time; here each lie has a rule, and what comes out is a timeline that only runs on.

A packet's *arrival* is CLOCK_MONOTONIC when it reached us. Its PTS and DTS are the camera's claim. `Timeline` keeps
the claim wherever it can be true, because the camera's clock is steadier than a network's, and mends it where it
cannot:

==================  ====================================================================================
no_dts              the packet follows the one before it, where its PTS says that it is not far away (B-frames, whose
                    first DTS no RTSP server tells), else the DTS is the PTS
no_stamps           neither PTS nor DTS (the first packet of FFmpeg's RTSP): it follows the one before it, or is at zero
no_pts              the PTS is the DTS (true for every stream without B-frames)
far_pts             a PTS more than `REORDER_MAX_S` after its DTS is the DTS: no picture waits for so long to be shown
repeated            a DTS that does not rise by itself is one tick after the one before it
frozen              where DTS repeat for more than `JUMP_S`, their clock stands: a new claim begins at the arrival
jump_back           a DTS more than `JUMP_S` in the past begins a new claim: time goes on from the last packet
jump_ahead          a packet from more than `JUMP_S` in the future begins a new claim at its arrival
apart               a track that begins more than `JUMP_S` away from the one that began before it begins at its arrival
==================  ====================================================================================

A burst after a network stall is not a jump: its packets are late, never early, and DTS order holds.
"""

from collections import Counter, deque
from fractions import Fraction
from typing import NamedTuple

JUMP_S = 2.5
"""More than the buffering when a stream opens, which makes the first packets look late by up to two seconds."""
REORDER_S = 1.0
"""More than a picture with B-frames is ever decoded before it is shown."""
REORDER_MAX_S = 10.0
"""More than any picture with B-frames waits, also at one a second."""
ANCHOR_BUCKET_S = 10.0
ANCHOR_BUCKETS = 12
"""The anchor looks back two minutes: long enough for a punctual packet, short enough to follow a drifting clock."""
SETTLED_S = 0.25
"""The anchor is good once it has not become better for so long..."""
BETTER_S = 0.02
"""...by more than this."""


class Anchor:
    """The least delay seen lately between a packet's time and its arrival: the best guess of when time zero was."""

    def __init__(self) -> None:
        self._buckets: deque[tuple[float, float]] = deque(maxlen=ANCHOR_BUCKETS)
        self._better_at = float("inf")
        self._seen_at = 0.0

    @property
    def settled(self) -> bool:
        """Whether the burst is over with which a stream opens: its packets are late, each less than the one before."""
        return self._seen_at - self._better_at >= SETTLED_S

    @property
    def is_set(self) -> bool:
        """Whether there was a packet to judge by."""
        return bool(self._buckets)

    def observe(self, seconds: float, arrival: float) -> None:
        """A packet that claims `seconds` on the timeline came at `arrival` (CLOCK_MONOTONIC)."""
        offset = arrival - seconds
        if not self._buckets or offset < self.seconds - BETTER_S:
            self._better_at = arrival
        self._seen_at = arrival
        if not self._buckets or arrival - self._buckets[-1][0] > ANCHOR_BUCKET_S:
            self._buckets.append((arrival, offset))
        elif offset < self._buckets[-1][1]:
            self._buckets[-1] = (self._buckets[-1][0], offset)

    @property
    def seconds(self) -> float:
        """Added to a time on the timeline it gives CLOCK_MONOTONIC; 0 before the first packet."""
        return min((offset for _, offset in self._buckets), default=0.0)


class Stamp(NamedTuple):
    """A packet's place on the timeline, in ticks of its track's time base."""

    pts: int
    dts: int


class Timeline:
    """One track's time base and what has been mended; tracks of one source share `anchor` and their zero."""

    def __init__(self, time_base: Fraction, anchor: Anchor, repairs: Counter[str]) -> None:
        self.time_base = time_base
        self.tick_s = float(time_base)
        self._anchor = anchor
        self._repairs = repairs
        self._offset = 0
        self._last: int | None = None
        self.step = 1
        """Ticks between the last two packets: the duration of one that does not say it."""

    def begin(self, claimed_s: float, at_s: float) -> None:
        """Put what the source calls `claimed_s` at `at_s`; called once, alike for every track of the source."""
        self._offset = round((at_s - claimed_s) / self.tick_s)

    def place(self, pts: int | None, dts: int | None, arrival: float) -> Stamp:
        """Where a packet belongs; DTS always rise, and PTS are never before their DTS."""
        claim = self._claim(pts, dts)
        placed = self._mended(claim.dts + self._offset, arrival)
        if self._last is not None:
            self.step = placed - self._last
        self._last = placed
        shown = max(claim.pts + self._offset, placed)
        # by its PTS: what is sent ahead of its turn is sent as soon as it is captured, what it overtook is late
        self._anchor.observe(shown * self.tick_s, arrival)
        return Stamp(shown, placed)

    def _claim(self, pts: int | None, dts: int | None) -> Stamp:
        """What the source says, completed; the PTS is not before the DTS."""
        follows = 0 if self._last is None else self._last + self.step - self._offset
        if dts is not None:
            return Stamp(self._shown(pts, dts), dts)
        if pts is None:
            self._repairs["no_stamps"] += 1
            return Stamp(follows, follows)
        self._repairs["no_dts"] += 1
        near = self._last is not None and 0 <= (pts - follows) * self.tick_s <= REORDER_S
        return Stamp(pts, follows if near else pts)

    def _shown(self, pts: int | None, dts: int) -> int:
        """The PTS beside a DTS."""
        if pts is None:
            self._repairs["no_pts"] += 1
            return dts
        if (pts - dts) * self.tick_s > REORDER_MAX_S:
            self._repairs["far_pts"] += 1
            return dts
        return max(pts, dts)

    def _mended(self, wanted: int, arrival: float) -> int:
        expected = round((arrival - self._anchor.seconds) / self.tick_s)
        jump = round(JUMP_S / self.tick_s)
        if self._last is None:
            return self._begun(wanted, expected, jump)
        follows = self._last + 1
        if wanted < follows - jump:
            self._repairs["jump_back"] += 1
        elif wanted > max(expected, follows) + jump:
            self._repairs["jump_ahead"] += 1
        elif wanted < follows <= expected - jump:
            self._repairs["frozen"] += 1
        elif wanted < follows:
            self._repairs["repeated"] += 1
            return follows
        else:
            return wanted
        mended = max(follows, expected)
        self._offset += mended - wanted
        return mended

    def _begun(self, wanted: int, expected: int, jump: int) -> int:
        """Where the first packet of the track belongs."""
        if not self._anchor.is_set or abs(wanted - expected) <= jump:
            return wanted
        self._repairs["apart"] += 1
        begun = max(expected, 0)
        self._offset += begun - wanted
        return begun
