"""Repairing the timestamps of a source to a timeline that only runs on, by a rule for each way of being wrong.

A packet's *arrival* is CLOCK_MONOTONIC when it reached us. Its PTS and DTS are the camera's claim. `TimestampRepair`
keeps the claim wherever it can be true, because the camera's clock is steadier than a network's, and repairs it where
it cannot:

==================  ====================================================================================
no_dts              the packet follows the one before it, where its PTS says that it is not far away (B-frames, whose
                    first DTS no RTSP server sends), else the DTS is the PTS
no_stamps           neither PTS nor DTS: it follows the one before it; the first one (FFmpeg's RTSP) precedes the second
no_pts              the PTS is the DTS (true for every stream without B-frames)
far_pts             a PTS more than `REORDER_MAX_S` after its DTS is the DTS: no frame waits for so long to be shown
repeated            a DTS that does not rise by itself is one tick after the one before it
frozen              where DTS repeat for more than `JUMP_S`, their clock stands: a new claim begins at the arrival; so
                    it does for audio that is late for good after a pause, while the video is not, and for audio
                    alone that is so by more than `JUMP_S`
jump_back           a DTS more than `JUMP_S` in the past begins a new claim: time goes on from the last packet
jump_ahead          a packet from more than `JUMP_S` in the future begins a new claim at its arrival
behind              DTS that stay more than `BEHIND_S` behind what has been, for `BEHIND_PACKETS`, begin a new claim
apart               a track that begins too far away from the one that began before it begins at its arrival
samples_lost        samples of a sound card that are late for good: those before them were lost
rate                a clock that counts too many or too few seconds (`clock_rate`) is read at the rate that it has
==================  ====================================================================================

A burst after a network stall is not a jump: its packets are late, never early, and DTS order holds. The last rule is
for the clocks of cameras only, whose packets come as they are captured, and for these nothing more than `AHEAD_S`
comes from the future. The drift of a crystal is no fault, and made good by a few ticks now and then.
"""

from collections import Counter
from fractions import Fraction
from typing import NamedTuple

from interhuman2mqtt.capture.clock_anchor import ClockAnchor
from interhuman2mqtt.capture.clock_rate import ClockRate

JUMP_S = 2.5
"""More than the buffering when a stream opens, which makes the first packets look late by up to two seconds."""
AHEAD_S = 0.5
"""Half a second is promised; a sender report that sets a track right moves it by less."""
BEHIND_S = 0.1
BEHIND_PACKETS = 3
"""One or two packets that are out of order shift nothing."""
REORDER_S = 1.0
"""More than a frame is ever decoded before it is shown, in a stream with B-frames."""
REORDER_MAX_S = 10.0
"""More than any frame waits for being shown, also at one a second with B-frames."""


class Stamp(NamedTuple):
    """A packet's place on the timeline, in ticks of its track's time base."""

    pts: int
    dts: int


class TimestampRepair:
    """The timeline of one track; tracks of one source share `anchor` and their zero.

    Args:
        rate: Watches the clock of a camera; None for one that is taken at its word.
        sets_anchor: Whether the anchor is of this track; the others are only placed beside it.
        is_alone: Whether it is audio without video, which a camera mutes, and whose clock may stand meanwhile.
    """

    def __init__(  # noqa: PLR0913 - all that is known of a track
        self,
        time_base: Fraction,
        anchor: ClockAnchor,
        repairs: Counter[str],
        rate: ClockRate | None = None,
        *,
        sets_anchor: bool = True,
        is_alone: bool = False,
    ) -> None:
        self.time_base = time_base
        self.tick_s = float(time_base)
        self._jump, self._early = round(JUMP_S / self.tick_s), round(AHEAD_S / self.tick_s)
        self.rate = rate
        self._anchor = anchor
        self._repairs = repairs
        self._sets_anchor = sets_anchor
        self._is_alone = is_alone
        # a claim of `_claimed` is placed at `_placed`, and what follows `gain` times as far away as it claims
        self._claimed = self._placed = 0
        self.gain = 1.0
        """The true length of a second of the track's clock."""
        self._drifted = 0.0
        self._last: int | None = None
        self._behind = 0
        self.step = 1
        """Ticks between the last two packets: the duration of one that claims none."""

    def begin(self, claimed_s: float, at_s: float, gain: float = 1.0) -> None:
        """Put what the source calls `claimed_s` at `at_s`; called once, alike for every track of the source.

        `gain` is the true length of a second of the track's clock.
        """
        self._claimed, self._placed = round(claimed_s / self.tick_s), round(at_s / self.tick_s)
        if gain != 1.0:
            self._correct_rate(gain)

    def _correct_rate(self, gain: float) -> None:
        """Read the clock, which is wrong, with this gain from here on."""
        self._repairs["rate"] += 1
        self.gain = gain
        if self.rate:
            self.rate.was_wrong = True
            self.rate.restart()

    def position(self, claim: int) -> int:
        """Return the place of a claim, in ticks, if nothing has to be repaired."""
        ahead = claim - self._claimed
        return self._placed + (ahead if self.gain == 1.0 else round(ahead * self.gain))

    def shift(self, seconds: float) -> None:
        """Put all that follows so much later."""
        self._placed += round(seconds / self.tick_s)

    def place(self, pts: int | None, dts: int | None, arrival: float) -> Stamp:
        """Return a packet's place; DTS always rise, and PTS are never before their DTS."""
        claim = self._claim(pts, dts)
        placed = self._repaired(self.position(claim.dts), arrival)
        if self._last is not None:
            self.step = placed - self._last
        self._last = placed
        shown = placed + max(self.position(claim.pts) - placed, 0)
        early_s = self._check_rate(claim, placed, arrival) if self.rate else 0.0
        if self._sets_anchor:
            # by its PTS: what is sent ahead of its turn is sent as soon as it is captured, what it overtook is late
            self._anchor.observe(shown * self.tick_s - early_s, arrival)
        return Stamp(shown, placed)

    def _check_rate(self, claim: Stamp, placed: int, arrival: float) -> float:
        """Check the clock, and read it otherwise from here on where it is wrong; return how early the packet is."""
        assert self.rate  # noqa: S101 - the caller has looked
        self._follow()
        is_new = self.rate.observe(placed * self.tick_s, arrival)
        early_s = max(placed * self.tick_s - arrival + self.rate.level, 0.0) if self.rate.level is not None else 0.0
        if is_new and (lost_s := self.rate.lost_s):
            self._repairs["samples_lost"] += 1
            self.shift(lost_s)
            self.rate.restart()
        elif is_new and (stood_s := self._stood_s()):
            self._repairs["frozen"] += 1
            self.shift(stood_s)
            self.rate.restart()
        elif is_new and (rate := self.rate.wrong_rate()) is not None:
            self._correct_rate(self.gain / rate)
            self._claimed = claim.dts
            # what was late is put right at once, what was early little by little: time never runs backwards
            self._placed = max(placed, self._expected(arrival)) if rate < 1 else placed
        return early_s

    def _stood_s(self) -> float:
        """Return for how long the clock stood; 0 where the network may be late.

        It is where the video's packets are late as well. Audio alone has nothing to be compared with, but no network
        makes all packets late at once by more than `JUMP_S`, and each by as much as the next.
        """
        assert self.rate  # noqa: S101 - the caller has looked
        stood_s = self.rate.stood_s
        if self._sets_anchor:
            return stood_s if self._is_alone and stood_s > JUMP_S else 0.0
        return stood_s if self._anchor.late_s < stood_s / 2 else 0.0

    def _follow(self) -> None:
        """Make good a little of the drift, in whole ticks."""
        assert self.rate  # noqa: S101 - the caller has looked
        self._drifted += self.rate.drift * self.step
        if ticks := int(self._drifted):
            self._drifted -= ticks
            self._placed += ticks
            self.rate.shifted(ticks * self.tick_s)

    def _expected(self, arrival: float) -> int:
        """Return the place of a packet that is as punctual as the most punctual ones."""
        level = self.rate.level if self.rate else None
        return round((arrival - (self._anchor.seconds if level is None else level)) / self.tick_s)

    def _claim(self, pts: int | None, dts: int | None) -> Stamp:
        """Return what the source claims, completed; the PTS is not before the DTS."""
        if dts is not None:
            return Stamp(self._pts_beside(pts, dts), dts)
        follows = self._claimed
        if self._last is not None:
            follows += round((self._last + self.step - self._placed) / self.gain)
        if pts is None:
            self._repairs["no_stamps"] += 1
            return Stamp(follows, follows)
        self._repairs["no_dts"] += 1
        near = self._last is not None and 0 <= (pts - follows) * self.tick_s <= REORDER_S
        return Stamp(pts, follows if near else pts)

    def _pts_beside(self, pts: int | None, dts: int) -> int:
        """Return the PTS to go with a DTS."""
        if pts is None:
            self._repairs["no_pts"] += 1
            return dts
        if (pts - dts) * self.tick_s > REORDER_MAX_S:
            self._repairs["far_pts"] += 1
            return dts
        return max(pts, dts)

    def _repaired(self, wanted: int, arrival: float) -> int:
        expected = self._expected(arrival)
        jump, early = self._jump, self._early
        if self._last is None:
            return self._first_position(wanted, expected, jump if self.rate is None else early)
        is_known = self.rate is not None and self.rate.level is not None
        follows = self._last + 1
        ahead = max(expected + early, follows) if is_known else max(expected, follows) + jump
        self._behind = self._behind + 1 if wanted < follows else 0
        if wanted < follows - jump:
            self._repairs["jump_back"] += 1
        elif wanted > ahead:
            self._repairs["jump_ahead"] += 1
        elif wanted < follows <= expected - jump:
            self._repairs["frozen"] += 1
        elif self._behind >= BEHIND_PACKETS and (follows - wanted) * self.tick_s > BEHIND_S:
            self._repairs["behind"] += 1
        elif wanted < follows:
            self._repairs["repeated"] += 1
            return follows
        else:
            return wanted
        repaired = max(follows, expected)
        self._placed += repaired - wanted
        self._behind = 0
        if self.rate and wanted > repaired:
            self._pull_back(wanted - repaired)
        return repaired

    def _pull_back(self, ahead: int) -> None:
        """Let the watch on the clock know that a packet from the future was put where it arrived."""
        assert self.rate  # noqa: S101 - the caller has looked
        if ahead * self.tick_s > JUMP_S:
            self.rate.restart()
        else:  # by a clock that is too fast, maybe, which is to be seen
            self.rate.shifted(-ahead * self.tick_s)

    def _first_position(self, wanted: int, expected: int, jump: int) -> int:
        """Return the place of the first packet of the track."""
        is_known = self.rate is not None and self.rate.level is not None
        # what the network holds up now, and the video with it, says nothing about where the track begins
        held_up = round(max(self._anchor.late_s, 0.0) / self.tick_s)
        if is_known or not self._anchor.is_set or -jump <= expected - wanted <= jump + held_up:
            return wanted
        self._repairs["apart"] += 1
        begun = max(expected, 0)
        self._placed += begun - wanted
        return begun
