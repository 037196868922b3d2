"""The plan of faults: which fault hits what, when and for how long. Made from the seed alone; no I/O.

Waves of faults, which may overlap, with quiet stretches between them; every third of these is as long as a camera may
take to come back, and so is the one at the end. The kinds are shuffled: each comes once before any comes again.
"""

from collections import Counter
from collections.abc import Iterator
from enum import StrEnum
from random import Random
from typing import NamedTuple

COMEBACK_S = 90.0
"""Within which a camera must stream again after the last fault that concerned it: back-off goes up to 60 s."""
LONG_QUIET_S = COMEBACK_S + 10
CLOUD_FAULTS = (
    "error=ih1001@12s,every,close=1011",
    "error=ih5004@12s,times=2",
    "close=1011@15s,every",
    "close=1001@10s,times=3",
    "disconnect@8s,every",
    "malformed=json@5s,every",
    "malformed=binary@5s,every",
    "huge=1@8s,every",
    "stall=6@5s,every",
    "refuse=500,times=4",
    "silence,times=2",
    "no-end,every",
    "slow-drain=10,every",
)
"""Options of the simulator, after which a session comes again by itself within `COMEBACK_S`."""
GATEWAYS = ("gateway=404/8", "gateway=401/8", "gateway=403/8")
"""Of a cloud whose gateway is deployed: all are refused as if a person had to act, which would be minutes."""
CLOCK_STEPS = ("1728000", "3600", "-3600", "-864000")
"""Seconds by which the wall clock of the box is ahead for a while: more than a run is long, so that each date shows
which clock it is by."""


class Part(StrEnum):
    """What a fault hits. Faults of one part never overlap."""

    CAMERA = "camera"
    CLOUD = "cloud"
    """The cloud or the way to it: all cameras feel it."""
    BROKER = "broker"
    DAEMON = "daemon"
    CONFIG = "config"
    LOG = "log"
    """Who reads what the daemon prints; no camera has to feel it."""
    STATE = "state"
    """The disk on which pauses are written down; no camera has to feel that either."""
    CLOCK = "clock"
    """The wall clock of the box, which nobody has to feel."""


class FaultKind(NamedTuple):
    """A sort of fault."""

    part: Part
    shortest: float
    """seconds, as is `longest`; both 0: it happens, and is over"""
    longest: float
    rtsp: bool = False
    """Only a camera that is reached by RTSP can have it."""
    targets: tuple[str, ...] = ()
    apart: float = 0.0
    """Seconds from the beginning, and from one to the next."""


KINDS = {
    "camera-stop": FaultKind(Part.CAMERA, 2, 30, rtsp=True),
    "camera-freeze": FaultKind(Part.CAMERA, 3, 25, rtsp=True),
    "camera-cable": FaultKind(Part.CAMERA, 3, 25, rtsp=True),
    "camera-mute-video": FaultKind(Part.CAMERA, 4, 20, rtsp=True),
    "camera-mute-audio": FaultKind(Part.CAMERA, 4, 20, rtsp=True),
    "worker-kill": FaultKind(Part.CAMERA, 0, 0),
    "worker-stop": FaultKind(Part.CAMERA, 3, 15),
    "worker-segv": FaultKind(Part.CAMERA, 0, 0),
    "pause": FaultKind(Part.CAMERA, 5, 20),
    "request-restart": FaultKind(Part.CAMERA, 0, 0),
    "uplink-reset": FaultKind(Part.CLOUD, 0, 0),
    "uplink-cut": FaultKind(Part.CLOUD, 3, 40),
    "uplink-refused": FaultKind(Part.CLOUD, 3, 30),
    "uplink-throttled": FaultKind(Part.CLOUD, 10, 40),
    "cloud-restart": FaultKind(Part.CLOUD, 0.5, 15),
    "cloud-faults": FaultKind(Part.CLOUD, 20, 40, targets=CLOUD_FAULTS),
    "cloud-gateway": FaultKind(Part.CLOUD, 9, 12, targets=GATEWAYS),
    "broker-restart": FaultKind(Part.BROKER, 0.5, 30),
    "broker-freeze": FaultKind(Part.BROKER, 3, 40),
    "broker-cable": FaultKind(Part.BROKER, 3, 45),
    "broker-reset": FaultKind(Part.BROKER, 0, 0),
    "broker-quota": FaultKind(Part.BROKER, 3, 30),
    "daemon-kill": FaultKind(Part.DAEMON, 0.5, 6),
    "daemon-term": FaultKind(Part.DAEMON, 0.5, 6),
    "daemon-damage": FaultKind(Part.DAEMON, 0.5, 3, apart=300.0),
    "reload-add": FaultKind(Part.CONFIG, 8, 25, targets=("spare",)),
    "reload-remove": FaultKind(Part.CONFIG, 5, 20),
    "reload-change": FaultKind(Part.CONFIG, 5, 20),
    "reload-broken": FaultKind(Part.CONFIG, 2, 8, targets=("",)),
    "log-unread": FaultKind(Part.LOG, 10, 40),
    "state-read-only": FaultKind(Part.STATE, 5, 30),
    "clock-set": FaultKind(Part.CLOCK, 4, 40, targets=CLOCK_STEPS),
}
GENTLE = ("worker-kill", "uplink-reset", "broker-reset", "broker-cable", "camera-stop", "reload-broken", "clock-set")
"""What a run of less than two minutes has time to recover from."""
LEFT_OVER = 3
"""Kinds for which there is no room any more must not keep others from coming."""
GENTLE_MAX_S = 6.0
"""The longest fault of such a run."""


class Cameras(NamedTuple):
    """The cameras of a testbed, by the way in which they are reached."""

    rtsp: tuple[str, ...]
    file: tuple[str, ...]

    @property
    def all(self) -> tuple[str, ...]:
        """All of them."""
        return self.rtsp + self.file


class PlannedFault(NamedTuple):
    """One fault of the plan."""

    second: float
    """Since the beginning of the run."""
    kind: str
    """A key of `KINDS`."""
    target: str
    """A camera, an option of the simulator, or seconds; empty: there is only one."""
    duration: float

    @property
    def end(self) -> float:
        """The second at which it is over."""
        return self.second + self.duration

    @property
    def locks(self) -> frozenset[str]:
        """What no other fault may hit meanwhile."""
        part = KINDS[self.kind].part
        if part is Part.CAMERA:
            return frozenset({self.target})
        if self.kind == "cloud-gateway":
            return frozenset({Part.CLOUD, Part.DAEMON})  # only what was accepted since its start is doubted
        if part is Part.DAEMON:
            return frozenset({Part.DAEMON, Part.CONFIG})  # with a broken file it would not start again
        if part is Part.CONFIG:
            return frozenset({Part.CONFIG, self.target})
        return frozenset({part})

    def disturbs(self, camera: str) -> bool:
        """Whether this camera cannot be expected to stream through it."""
        part = KINDS[self.kind].part
        return part in {Part.CLOUD, Part.DAEMON} or self.target == camera

    def __str__(self) -> str:
        return f"{self.second:7.1f}  {self.kind:<18} {self.target:<36} {self.duration:5.1f}"


def plan(seed: int, seconds: float, cameras: Cameras) -> tuple[PlannedFault, ...]:
    """All faults of a run of so many seconds, in the order of their beginning."""
    random = Random(f"{seed}/{seconds:g}")
    deck: list[str] = []
    placed: list[PlannedFault] = []
    for begin, end in _waves(random, seconds):
        at = begin
        while at < end:
            found = _next_fault(random, deck, placed, _Slot(at, end, seconds), cameras)
            if found is not None:
                placed.append(found)
            at += random.uniform(1.0, 9.0)
    return tuple(placed)


def quiet_at_end(seconds: float) -> float:
    """Return the seconds without faults at the end of a run."""
    return min(LONG_QUIET_S, 0.4 * seconds)


class _Slot(NamedTuple):
    """Where a fault has to fit in."""

    at: float
    end: float
    seconds: float
    """Of the whole run."""


def _waves(random: Random, seconds: float) -> Iterator[tuple[float, float]]:
    last = seconds - quiet_at_end(seconds)
    at = min(25.0, 0.25 * seconds)
    number = 0
    while at + 5.0 <= last:
        number += 1
        end = min(last, at + random.uniform(40.0, 75.0))
        yield at, end
        at = end + (LONG_QUIET_S if number % 3 == 0 else random.uniform(15.0, 30.0))


def _next_fault(
    random: Random, deck: list[str], placed: list[PlannedFault], slot: _Slot, cameras: Cameras
) -> PlannedFault | None:
    """Take the next kind that fits into this slot out of the deck; None where none does."""
    short = slot.seconds < 120
    if len(deck) <= LEFT_OVER:
        fresh = [name for name in (GENTLE if short else KINDS) if name not in deck]
        random.shuffle(fresh)
        deck += fresh
    for name in deck:
        kind = KINDS[name]
        planned = PlannedFault(
            round(slot.at, 1),
            name,
            _target(random, kind, placed, cameras),
            _duration(random, kind, min(slot.end - slot.at, GENTLE_MAX_S if short else slot.seconds)),
        )
        if _fits(planned, placed, slot):
            deck.remove(name)
            return planned
    return None


def _target(random: Random, kind: FaultKind, placed: list[PlannedFault], cameras: Cameras) -> str:
    """Of several options one that came least often so far."""
    if kind.targets:
        used = Counter(planned.target for planned in placed)
        fewest = min(used[target] for target in kind.targets)
        return random.choice([target for target in kind.targets if used[target] == fewest])
    if kind.part in {Part.CAMERA, Part.CONFIG}:
        return random.choice(cameras.rtsp if kind.rtsp else cameras.all)
    return ""


def _duration(random: Random, kind: FaultKind, room: float) -> float:
    """Short faults are more frequent than long ones."""
    length = kind.shortest + (kind.longest - kind.shortest) * random.random() ** 2
    return round(min(length, max(room, kind.shortest)), 1)


def _times(fault: str, placed: list[PlannedFault]) -> list[float]:
    """The beginning of the run, and when a fault of this kind was before."""
    return [0.0, *(other.second for other in placed if other.kind == fault)]


def _fits(planned: PlannedFault, placed: list[PlannedFault], slot: _Slot) -> bool:
    """Whether it ends with its wave, and nothing holds what it hits; a moment must lie between two such faults."""
    if planned.end > slot.end:
        return False
    if KINDS[planned.kind].part is Part.DAEMON and planned.second > 0.55 * slot.seconds:
        return False  # only a long life shows whether anything grows
    if any(planned.second - at < KINDS[planned.kind].apart for at in _times(planned.kind, placed)):
        return False
    return not any(
        other.locks & planned.locks and planned.second < other.end + 2.0 and other.second < planned.end + 2.0
        for other in placed
    )
