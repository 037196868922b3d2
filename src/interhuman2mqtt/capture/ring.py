"""The packet ring: whole GOPs of the last seconds, bounded in time and in bytes; no I/O.

Of a source that is used for its audio alone a GOP is a second of it: any packet of audio is one to begin with.

Invariants:

1. A GOP begins with a key frame, and the serial numbers of the GOPs in the ring have no gap.
2. Audio belongs to the GOP whose time it shares, however late or early it arrives; a GOP is *complete*, and may be
   read, once the next key frame is there and the audio has come as far (or is waited for too long).
3. A complete GOP never changes. A packet that comes too late for its GOP goes to the oldest one still growing.
4. Each GOP ends later than it starts, and the next one starts then or later, however little: so a time on a border
   names the GOP that begins there, and no other.
5. The ring never holds more than `limit_s` or `limit_bytes`: the oldest GOP goes first, and where one GOP alone is too
   much, because no second key frame ever comes, that one goes and the ring waits for a key frame.
"""

# Why GOPs and cursors, and no queue for each recording: whoever reads a queue slowly either blocks the capture or loses
# single packets, after which nothing can be decoded until the next key frame. Here the capture appends and never waits;
# a recording is the serial number of a GOP. So a slow uplink (the cursor lags), a very slow one (it falls off the tail
# and knows exactly which range was lost), a rotation and a replay after a reconnect are one mechanism.

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

AUDIO_WAIT_S = 1.0
"""How far the video may run ahead before a GOP is completed without its audio."""
GOP_MIN_S = 0.001
"""The least length of a GOP, whatever its frames claim."""
RECENT_GOPS = 8
"""How many GOPs show how regular a camera's key frames are."""
REPLAY_TOLERANCE_S = 0.1
"""By how much a replay may be too short, before one more GOP is added."""
GAP_S = 2.0
"""Without a frame for so long, and for `GAP_INTERVALS` times as long as from frame to frame before, a camera stood
still: it is not one that sends few of them."""
GAP_INTERVALS = 5
AUDIO_GAP_S = 0.5
"""The same without video: audio comes all the time, and this is more than a network's jitter."""
AUDIO_GOP_S = 1.0
"""The length of a GOP without video."""


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
    """A group of pictures, in decoding order, and the audio of the same time."""

    __slots__ = ("audio", "end_s", "epoch", "gaps", "size", "start_s", "video")

    def __init__(self, epoch: int, start_s: float, key: Packet | None) -> None:
        self.epoch = epoch
        """Counts the openings of the source, and with them its formats: a recording holds GOPs of one epoch."""
        self.start_s = start_s
        self.end_s = start_s
        """The next GOP's start once it is complete; until then the newest frame's time."""
        self.video = [key] if key else []
        self.audio: list[tuple[float, Packet]] = []
        """Each packet with its time on the timeline."""
        self.gaps: list[Span] = []
        """Where the source sent nothing, though it was open."""
        self.size = key.size if key else 0

    def extend_to(self, seconds: float) -> None:
        """Let it last at least until this time."""
        self.end_s = max(self.end_s, seconds)


class Ring:
    """Appended to by the capture, read by cursors: a cursor is a GOP's serial number. Not locked: the caller does."""

    def __init__(self, limit_s: float, limit_bytes: int) -> None:
        self.limit_s = limit_s
        self.limit_bytes = limit_bytes
        self.first = 0
        """The oldest GOP's serial number."""
        self.complete_end = 0
        """The serial number after the newest complete GOP."""
        self.evicted_s = 0.0
        """Where the newest evicted GOP ended."""
        self.size = 0
        self.epoch = 0
        self.has_audio = self.has_video = True
        self.on_evict: Callable[[Gop, float], None] | None = None
        """Gets each GOP that leaves, and the time of the newest frame."""
        self._gops: deque[Gop] = deque()
        self._audio_end_s = float("-inf")
        self._interval_s = float("inf")
        self._needs_key_frame = True
        self._shortest = (0, 0, 0), 0.0
        """The shortest of the GOPs of an epoch, from one to before another."""

    def __len__(self) -> int:
        return len(self._gops)

    @property
    def seconds(self) -> float:
        """From the oldest GOP's start to the newest frame."""
        return self._gops[-1].end_s - self._gops[0].start_s if self._gops else 0.0

    @property
    def end_s(self) -> float:
        """The newest frame's time; 0 before the first."""
        return self._gops[-1].end_s if self._gops else 0.0

    @property
    def growing_gop_s(self) -> float:
        """The length of the newest GOP so far, without the time in which the camera stood still."""
        if self._needs_key_frame:
            return 0.0
        newest = self._gops[-1]
        return newest.end_s - newest.start_s - sum(end - start for start, end in newest.gaps)

    @property
    def shortest_gop_s(self) -> float:
        """The length of the shortest of the newest complete GOPs of this epoch; 0 where there is none."""
        complete = (self.epoch, self.first, self.complete_end)
        if self._shortest[0] != complete:  # it is asked for with each packet
            newest = range(max(self.first, self.complete_end - RECENT_GOPS), self.complete_end)
            gops = (gop for gop in map(self.gop, newest) if gop.epoch == self.epoch)
            self._shortest = complete, min((gop.end_s - gop.start_s for gop in gops), default=0.0)
        return self._shortest[1]

    @property
    def waits_for_audio(self) -> bool:
        """Whether a GOP is complete but for its audio."""
        return self.complete_end < self.first + len(self._gops) - 1

    @property
    def oldest_epoch(self) -> int:
        """The epoch of the oldest GOP."""
        return self._gops[0].epoch if self._gops else self.epoch

    def gop(self, serial: int) -> Gop:
        """Return the GOP of that number, which must be one from `first` to before `complete_end`."""
        return self._gops[serial - self.first]

    def newest(self) -> int:
        """Return where a recording of the present begins: at the newest GOP of this epoch, which may still grow."""
        return self.first + len(self._gops) - (self.newest_gop() is not None)

    def newest_gop(self) -> Gop | None:
        """Return the newest GOP of this epoch, which may still grow; None where none has begun."""
        return self._gops[-1] if self._gops and self._gops[-1].epoch == self.epoch else None

    def find(self, start_s: float) -> int:
        """Return the first GOP that starts at `start_s` or later; one past the newest where there is none yet."""
        for index, gop in enumerate(self._gops):
            if gop.start_s >= start_s:
                return self.first + index
        return self.first + len(self._gops)

    def rewind(self, serial: int, seconds: float, floor_s: float) -> int:
        """Return the GOP so many seconds before another, of the same epoch, but none that starts before `floor_s`.

        A ring that has begun to evict GOPs is not gone through beyond its middle: what is sent again from there would
        soon cost what was never sent.
        """
        is_there = serial < self.first + len(self._gops)
        epoch, start_s = self.gop(serial).epoch if is_there else self.epoch, self._start_of(serial)
        if self.first and self._gops:
            floor_s = max(floor_s, self._gops[0].start_s + self.seconds / 2)
        while serial > self.first and start_s - self._start_of(serial) < seconds - REPLAY_TOLERANCE_S:
            before = self.gop(serial - 1)
            if before.epoch != epoch or before.start_s < floor_s:
                break
            serial -= 1
        return serial

    def _start_of(self, serial: int) -> float:
        return self.gop(serial).start_s if serial < self.first + len(self._gops) else self.end_s

    def add_video(self, packet: Packet, seconds: float) -> None:
        """Append the next frame in decoding order, shown at `seconds`."""
        if packet.key:
            self._begin_gop(packet, seconds)
        elif self._needs_key_frame:
            return  # nothing can be decoded before a key frame
        else:
            gop = self._gops[-1]
            gop.video.append(packet)
            gop.size += packet.size
            self._detect_gap(gop, seconds)
            gop.extend_to(seconds)
        self.size += packet.size
        self._complete()
        self._evict()

    def add_audio(self, packet: Packet, seconds: float) -> None:
        """Append the next packet of audio, which begins at `seconds`."""
        self._audio_end_s = max(self._audio_end_s, seconds)
        if not self.has_video and (self._needs_key_frame or seconds >= self._gops[-1].start_s + AUDIO_GOP_S):
            self._begin_gop(None, seconds)
        gop = self._growing_gop_at(seconds)
        if gop is not None:
            if not self.has_video:
                self._detect_gap(gop, seconds)
                gop.extend_to(seconds)
            gop.audio.append((seconds, packet))
            gop.size += packet.size
            self.size += packet.size
        self._complete()
        self._evict()

    def close(self) -> None:
        """Complete what is there: the source ended. The length of a single frame is not known, and it needs one."""
        if self._gops and not self._needs_key_frame:
            last = self._gops[-1]
            last.end_s = max(last.end_s, last.start_s + GOP_MIN_S)
        self.complete_end = self.first + len(self._gops)
        self._needs_key_frame = True
        self._evict()

    def begin_epoch(self, *, has_audio: bool, has_video: bool = True) -> None:
        """Complete what is there and wait for a key frame: the source begins, or begins anew in another format."""
        self.close()
        self.epoch += 1
        self.has_audio, self.has_video = has_audio, has_video
        self._audio_end_s = float("-inf")

    def _begin_gop(self, packet: Packet | None, seconds: float) -> None:
        if self._gops:
            before = self._gops[-1]
            seconds = max(seconds, (before.end_s if self._needs_key_frame else before.start_s) + GOP_MIN_S)
        gop = Gop(self.epoch, seconds, packet)
        if self._gops and not self._needs_key_frame:
            before = self._gops[-1]
            self._detect_gap(before, seconds)
            before.end_s = seconds
            gop.audio = [item for item in before.audio if item[0] >= seconds]
            before.audio = [item for item in before.audio if item[0] < seconds]
            moved = sum(item[1].size for item in gop.audio)
            before.size -= moved
            gop.size += moved
        self._gops.append(gop)
        self._needs_key_frame = False

    def _detect_gap(self, gop: Gop, seconds: float) -> None:
        """Note a gap where the next frame after those of a GOP is shown too late, at `seconds`."""
        waited = seconds - gop.end_s
        if waited <= 0:
            return  # shown before it: B-frames
        gap_s = max(GAP_S, GAP_INTERVALS * self._interval_s) if self.has_video else AUDIO_GAP_S
        if waited > gap_s:
            gop.gaps.append((gop.end_s, seconds))
        # slowly upwards: one gap must not make the next one look usual
        self._interval_s = min(waited, 2 * self._interval_s + GAP_S)

    def _growing_gop_at(self, seconds: float) -> Gop | None:
        """Return the growing GOP of that time, or the oldest growing one for a packet that comes too late."""
        if self._needs_key_frame:
            return None
        growing = len(self._gops) - (self.complete_end - self.first)
        for back in range(1, growing + 1):
            gop = self._gops[-back]
            if seconds >= gop.start_s:
                return gop
        return self._gops[-growing]

    def _complete(self) -> None:
        if self._needs_key_frame:
            return
        newest = self._gops[-1]
        while self.complete_end < self.first + len(self._gops) - 1:
            end_s = self._gops[self.complete_end - self.first].end_s
            waited = newest.end_s - end_s >= AUDIO_WAIT_S
            if self.has_audio and self._audio_end_s < end_s and not waited:
                return
            self.complete_end += 1

    def _evict(self) -> None:
        while self._gops and (self.size > self.limit_bytes or self.seconds > self.limit_s):
            gop = self._gops.popleft()
            self.evicted_s = gop.end_s
            self.size -= gop.size
            self.first += 1
            self.complete_end = max(self.complete_end, self.first)
            if self.on_evict is not None:
                self.on_evict(gop, self.end_s)
        if not self._gops:
            self._needs_key_frame = True
