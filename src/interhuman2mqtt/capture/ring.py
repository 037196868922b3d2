"""The packet ring: whole GOPs of the last seconds, bounded in time and in bytes; no I/O.

Invariants:

1. A GOP begins with a key frame, and the ring holds a run of GOPs without a hole in their serial numbers.
2. Sound belongs to the GOP whose time it shares, however late or early it arrives; a GOP is *sealed*, and may be
   read, once the next key frame is there and the sound has come as far (or keeps us waiting for too long).
3. A sealed GOP never changes. A packet that comes too late for its GOP goes to the oldest one still open.
4. Each GOP ends later than it starts, and the next one starts then or later, however little: so a time on a border
   names the GOP that begins there, and no other.
5. The ring never holds more than `limit_s` or `limit_bytes`: the oldest GOP goes first, and where one GOP alone is too
   much, because no second key frame ever comes, that one goes and the ring waits for a key frame.
"""

from collections import deque
from typing import NamedTuple

SOUND_PATIENCE_S = 1.0
"""How far the picture may run ahead before a GOP is sealed without its sound."""
APART_S = 0.001
"""So long a GOP is at least, whatever its pictures say."""
RECENT_GOPS = 8
"""So many show how regular a camera's key frames are."""
JITTER_S = 0.1
"""A replay need not be longer for so little."""
HOLE_S = 2.0
"""Without a picture for so long, and for `HOLE_INTERVALS` times as long as from picture to picture before, a camera
stood still: it is not one that sends few of them."""
HOLE_INTERVALS = 5


class Packet(NamedTuple):
    """An encoded packet; times in ticks of its track's time base, on the source's timeline."""

    pts: int
    dts: int
    duration: int
    key: bool
    """Whether decoding can begin here."""
    size: int
    """Bytes."""
    data: bytes


Span = tuple[float, float]
"""From and to, in seconds on the source's timeline."""


class Gop:
    """A group of pictures, in decoding order, and the sound of the same time."""

    __slots__ = ("end_s", "holes", "size", "sound", "start_s", "take", "video")

    def __init__(self, take: int, start_s: float, key: Packet) -> None:
        self.take = take
        """Counts how often the source's format changed: a recording holds GOPs of one take."""
        self.start_s = start_s
        self.end_s = start_s
        """The next GOP's start once it is sealed; until then the newest picture's time."""
        self.video = [key]
        self.sound: list[tuple[float, Packet]] = []
        """Each packet with its time on the timeline."""
        self.holes: list[Span] = []
        """Where the camera gave no picture, though it was open."""
        self.size = key.size

    def reach(self, seconds: float) -> None:
        """Its pictures come as far as this."""
        self.end_s = max(self.end_s, seconds)


class Ring:
    """Appended to by the capture, read by cursors: a cursor is a GOP's serial number. Not locked: the caller does."""

    def __init__(self, limit_s: float, limit_bytes: int) -> None:
        self.limit_s = limit_s
        self.limit_bytes = limit_bytes
        self.first = 0
        """The oldest GOP's serial number."""
        self.sealed = 0
        """The serial number after the newest sealed GOP."""
        self.evicted_s = 0.0
        """Where the newest GOP that was let go ended."""
        self.size = 0
        self.take = 0
        self.has_sound = True
        self._gops: deque[Gop] = deque()
        self._sound_head_s = float("-inf")
        self._interval_s = float("inf")
        self._broken = True

    def __len__(self) -> int:
        return len(self._gops)

    @property
    def seconds(self) -> float:
        """From the oldest GOP's start to the newest picture."""
        return self._gops[-1].end_s - self._gops[0].start_s if self._gops else 0.0

    @property
    def end_s(self) -> float:
        """The newest picture's time; 0 before the first."""
        return self._gops[-1].end_s if self._gops else 0.0

    @property
    def open_gop_s(self) -> float:
        """How long the newest GOP is by now, without the time in which the camera stood still."""
        if self._broken:
            return 0.0
        newest = self._gops[-1]
        return newest.end_s - newest.start_s - sum(end - start for start, end in newest.holes)

    @property
    def shortest_gop_s(self) -> float:
        """How long the shortest of the newest sealed GOPs of this take is; 0 where there is none."""
        newest = range(max(self.first, self.sealed - RECENT_GOPS), self.sealed)
        gops = (gop for gop in map(self.gop, newest) if gop.take == self.take)
        return min((gop.end_s - gop.start_s for gop in gops), default=0.0)

    @property
    def is_waiting(self) -> bool:
        """Whether a GOP is whole but for its sound."""
        return self.sealed < self.first + len(self._gops) - 1

    @property
    def oldest_take(self) -> int:
        """The take that the oldest GOP is of."""
        return self._gops[0].take if self._gops else self.take

    def gop(self, serial: int) -> Gop:
        """The GOP of that number, which must be one from `first` to before `sealed`."""
        return self._gops[serial - self.first]

    def newest(self) -> int:
        """Where a recording of the present begins: at the newest GOP of this take, which may still grow."""
        return self.first + len(self._gops) - (self.newest_gop() is not None)

    def newest_gop(self) -> Gop | None:
        """The newest GOP of this take, which may still grow; None where none has begun."""
        return self._gops[-1] if self._gops and self._gops[-1].take == self.take else None

    def find(self, start_s: float) -> int:
        """The first GOP that starts at `start_s` or later; one past the newest where there is none yet."""
        for index, gop in enumerate(self._gops):
            if gop.start_s >= start_s:
                return self.first + index
        return self.first + len(self._gops)

    def rewind(self, serial: int, seconds: float, floor_s: float) -> int:
        """Back from a GOP by so many seconds, in whole GOPs of the same take, but none that starts before `floor_s`.

        A ring that has begun to drop GOPs is not gone through beyond its middle: what is sent again from there would
        soon cost what was never sent.
        """
        is_there = serial < self.first + len(self._gops)
        take, start_s = self.gop(serial).take if is_there else self.take, self._start_of(serial)
        if self.first and self._gops:
            floor_s = max(floor_s, self._gops[0].start_s + self.seconds / 2)
        while serial > self.first and start_s - self._start_of(serial) < seconds - JITTER_S:
            before = self.gop(serial - 1)
            if before.take != take or before.start_s < floor_s:
                break
            serial -= 1
        return serial

    def _start_of(self, serial: int) -> float:
        return self.gop(serial).start_s if serial < self.first + len(self._gops) else self.end_s

    def add_video(self, packet: Packet, seconds: float) -> None:
        """The next picture in decoding order, shown at `seconds`."""
        if packet.key:
            self._begin_gop(packet, seconds)
        elif self._broken:
            return  # nothing can be decoded before a key frame
        else:
            gop = self._gops[-1]
            gop.video.append(packet)
            gop.size += packet.size
            self._look_for_hole(gop, seconds)
            gop.reach(seconds)
        self.size += packet.size
        self._seal()
        self._evict()

    def add_sound(self, packet: Packet, seconds: float) -> None:
        """The next packet of sound, heard from `seconds` on."""
        self._sound_head_s = max(self._sound_head_s, seconds)
        gop = self._home(seconds)
        if gop is not None:
            gop.sound.append((seconds, packet))
            gop.size += packet.size
            self.size += packet.size
        self._seal()
        self._evict()

    def close(self) -> None:
        """The source ended: seal what is there. Of a single picture nobody knows the length, and it needs one."""
        if self._gops and not self._broken:
            last = self._gops[-1]
            last.end_s = max(last.end_s, last.start_s + APART_S)
        self.sealed = self.first + len(self._gops)
        self._broken = True

    def cut(self, *, has_sound: bool) -> None:
        """The source begins, or begins anew in another format: seal what is there, and wait for a key frame."""
        self.close()
        self.take += 1
        self.has_sound = has_sound
        self._sound_head_s = float("-inf")

    def _begin_gop(self, packet: Packet, seconds: float) -> None:
        if self._gops:
            before = self._gops[-1]
            seconds = max(seconds, (before.end_s if self._broken else before.start_s) + APART_S)
        gop = Gop(self.take, seconds, packet)
        if self._gops and not self._broken:
            before = self._gops[-1]
            self._look_for_hole(before, seconds)
            before.end_s = seconds
            gop.sound = [item for item in before.sound if item[0] >= seconds]
            before.sound = [item for item in before.sound if item[0] < seconds]
            moved = sum(item[1].size for item in gop.sound)
            before.size -= moved
            gop.size += moved
        self._gops.append(gop)
        self._broken = False

    def _look_for_hole(self, gop: Gop, seconds: float) -> None:
        """Whether nothing was seen between the newest picture of a GOP and the next, which is shown at `seconds`."""
        waited = seconds - gop.end_s
        if waited <= 0:
            return  # shown before it: B-frames
        if waited > max(HOLE_S, HOLE_INTERVALS * self._interval_s):
            gop.holes.append((gop.end_s, seconds))
        # slowly upwards: one hole must not make the next one look usual
        self._interval_s = min(waited, 2 * self._interval_s + HOLE_S)

    def _home(self, seconds: float) -> Gop | None:
        """The open GOP whose time it is, or the oldest open one for a packet that comes too late."""
        if self._broken:
            return None
        open_gops = len(self._gops) - (self.sealed - self.first)
        for back in range(1, open_gops + 1):
            gop = self._gops[-back]
            if seconds >= gop.start_s:
                return gop
        return self._gops[-open_gops]

    def _seal(self) -> None:
        if self._broken:
            return
        newest = self._gops[-1]
        while self.sealed < self.first + len(self._gops) - 1:
            end_s = self._gops[self.sealed - self.first].end_s
            waited = newest.end_s - end_s >= SOUND_PATIENCE_S
            if self.has_sound and self._sound_head_s < end_s and not waited:
                return
            self.sealed += 1

    def _evict(self) -> None:
        while self._gops and (self.size > self.limit_bytes or self.seconds > self.limit_s):
            gop = self._gops.popleft()
            self.evicted_s = gop.end_s
            self.size -= gop.size
            self.first += 1
            self.sealed = max(self.sealed, self.first)
        if not self._gops:
            self._broken = True
