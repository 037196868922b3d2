"""The preroll: the first second of a live source, held back until it is known how its clocks run, and when it was.

A source opens with a burst: what FFmpeg looked at, and what the camera had kept since its last key frame. When its
packets arrive says nothing. When those after it do shows how fast each track's clock runs, how late the most punctual
packet is (which becomes the anchor), and how far the tracks are apart.
"""

# Why a second is spent on it: sent at once, and set right when more is known, what was sent would have been dated
# wrongly for good, by up to two seconds, and by any amount where a clock runs at a wrong rate (one at 1.19 was 15 s in
# the future after 100 s; one at 2 never streamed). A recording's times may not jump, so they have to be right from the
# start.

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import pairwise
from statistics import median
from typing import NamedTuple

from interhuman2mqtt.capture.clock_anchor import ClockAnchor
from interhuman2mqtt.capture.clock_rate import opening_rate
from interhuman2mqtt.capture.timestamps import TimestampRepair
from interhuman2mqtt.capture.tracks import AvPacket, claimed_dts

PREROLL_S = 1.2
BURST_S = 0.3
"""The burst is over by then."""
STEP_PACKETS = 8
"""So many packets after the first show how far they are apart, in whatever order they are shown."""
OFFSET_MIN_S = 0.3
"""By so much more than the network and an encoder explain, tracks are put side by side by their arrival."""


class ArrivedPacket(NamedTuple):
    """A packet and when it came, on CLOCK_MONOTONIC."""

    packet: AvPacket
    at: float


class Preroll:
    """The packets of one feed that are held back, and the beginning of its timelines.

    Args:
        timelines: By the index of their streams.
        leader: The stream whose times the anchor is of; None for a microphone, which is put beside it.
    """

    def __init__(
        self, timelines: Mapping[int, TimestampRepair], leader: int | None, anchor: ClockAnchor, repairs: Counter[str]
    ) -> None:
        self._timelines = timelines
        self._leader = leader
        self._anchor = anchor
        self._repairs = repairs
        self._held: list[ArrivedPacket] = []

    def hold(self, arrived: ArrivedPacket) -> bool:
        """Keep a packet; return whether the next one is to be kept as well."""
        self._held.append(arrived)
        waits = self._leader is None and not self._anchor.is_set
        if waits:  # for its camera, and nobody will ask for audio from before that
            self._held = [held for held in self._held if arrived.at - held.at < PREROLL_S]
        return waits or arrived.at - self._held[0].at < PREROLL_S

    def release(self, begin_s: float | None) -> Iterator[ArrivedPacket]:
        """Begin the timelines and return what was held; `begin_s`: where the epoch before ended, if there was one."""
        held, self._held = self._held, []
        if not held:
            return
        came = {index: [each for each in held if each.packet.stream_index == index] for index in self._timelines}
        for mine in came.values():
            self._stamp_first(mine)
        zero_s = _claimed_s(held[0].packet, self._timelines[held[0].packet.stream_index])
        levels = {index: self._begin(self._timelines[index], mine, zero_s, held[0].at) for index, mine in came.items()}
        self._align(levels, begin_s, min(self._placed_s(each) for each in held))
        yield from held

    def _stamp_first(self, mine: list[ArrivedPacket]) -> None:
        """Stamp what came before the first packet of a track that has a stamp, each a step before the next.

        FFmpeg's RTSP stamps no first packet, and from a sender report on it counts from that: where one comes between
        the first packet and the second, as after a stall while the source opens, the first is anywhere but at zero.
        """
        first = next((place for place, each in enumerate(mine) if _is_stamped(each.packet)), 0)
        if not first:
            return
        claims = sorted(claimed_dts(each.packet) for each in mine[first : first + STEP_PACKETS])
        steps = [later - earlier for earlier, later in pairwise(claims) if later > earlier]
        apart_s = mine[first].at - mine[first - 1].at  # all there is of a camera that sends a frame a second
        step = round(median(steps)) if steps else round(apart_s / float(mine[first].packet.time_base))
        for back, each in enumerate(reversed(mine[:first]), 1):
            each.packet.pts = each.packet.dts = claims[0] - back * step
            self._repairs["no_stamps"] += 1

    def _begin(
        self, timeline: TimestampRepair, mine: list[ArrivedPacket], zero_s: float, opened: float
    ) -> float | None:
        """Begin one timeline; return its level: the least delay of a packet that came after the burst."""
        after = [each for each in mine if each.at - opened >= BURST_S] or mine
        claims = [(_claimed_s(each.packet, timeline), each.at) for each in mine if each.at - opened >= BURST_S]
        first_s = _claimed_s(mine[0].packet, timeline) if mine else zero_s
        timeline.begin(first_s, first_s - zero_s, 1 / opening_rate(claims))
        return min((each.at - self._placed_s(each) for each in after), default=None)

    def _placed_s(self, arrived: ArrivedPacket) -> float:
        timeline = self._timelines[arrived.packet.stream_index]
        return timeline.position(claimed_dts(arrived.packet)) * timeline.tick_s

    def _align(self, levels: dict[int, float | None], begin_s: float | None, first_s: float) -> None:
        """Move each timeline beside the leader's, and all of them behind the epoch before this one."""
        leading = levels.get(self._leader) if self._leader is not None else self._anchor.seconds
        if leading is None:
            return
        later_s = 0.0
        if begin_s is not None and self._leader is not None:
            later_s = max(leading - self._anchor.seconds, begin_s - first_s)
        for index, timeline in self._timelines.items():
            level = levels[index]
            moved_s = later_s + (0.0 if level is None else self._offset_s(timeline, level - leading))
            timeline.shift(moved_s)
            if timeline.rate and level is not None:
                timeline.rate.level = level - moved_s

    def _offset_s(self, timeline: TimestampRepair, apart_s: float) -> float:
        """Return how far to move a track that arrives so much later than the leader by what it claims."""
        if self._leader is None or timeline.gain != 1.0:
            return apart_s  # its own times say nothing about where it begins
        if abs(apart_s) <= OFFSET_MIN_S:
            return 0.0  # the camera knows better than a network
        self._repairs["apart"] += 1
        return apart_s


def _is_stamped(packet: AvPacket) -> bool:
    return packet.pts is not None or packet.dts is not None


def _claimed_s(packet: AvPacket, timeline: TimestampRepair) -> float:
    return claimed_dts(packet) * timeline.tick_s
