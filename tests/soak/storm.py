"""The storm: which fault hits what, when and for how long. Made from the seed alone; no I/O.

Waves of faults, which may overlap, with calm stretches between them; every third calm is as long as a camera may take
to come back, and so is the one at the end. The kinds are dealt like cards: each comes once before any comes again.
"""

from collections import Counter
from collections.abc import Iterator
from enum import StrEnum
from random import Random
from typing import NamedTuple

COMEBACK_S = 90.0
"""Within which a camera must stream again after the last fault that concerned it: back-off goes up to 60 s."""
LONG_CALM_S = COMEBACK_S + 10
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
"""Seconds by which the wall clock of the box is ahead for a while: more than a run is long, so that each date tells
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


class Kind(NamedTuple):
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
    "camera-stop": Kind(Part.CAMERA, 2, 30, rtsp=True),
    "camera-freeze": Kind(Part.CAMERA, 3, 25, rtsp=True),
    "camera-cable": Kind(Part.CAMERA, 3, 25, rtsp=True),
    "camera-mute-video": Kind(Part.CAMERA, 4, 20, rtsp=True),
    "camera-mute-audio": Kind(Part.CAMERA, 4, 20, rtsp=True),
    "worker-kill": Kind(Part.CAMERA, 0, 0),
    "worker-stop": Kind(Part.CAMERA, 3, 15),
    "worker-segv": Kind(Part.CAMERA, 0, 0),
    "pause": Kind(Part.CAMERA, 5, 20),
    "request-restart": Kind(Part.CAMERA, 0, 0),
    "uplink-reset": Kind(Part.CLOUD, 0, 0),
    "uplink-cut": Kind(Part.CLOUD, 3, 40),
    "uplink-refused": Kind(Part.CLOUD, 3, 30),
    "uplink-throttled": Kind(Part.CLOUD, 10, 40),
    "cloud-restart": Kind(Part.CLOUD, 0.5, 15),
    "cloud-faults": Kind(Part.CLOUD, 20, 40, targets=CLOUD_FAULTS),
    "cloud-gateway": Kind(Part.CLOUD, 9, 12, targets=GATEWAYS),
    "broker-restart": Kind(Part.BROKER, 0.5, 30),
    "broker-freeze": Kind(Part.BROKER, 3, 40),
    "broker-cable": Kind(Part.BROKER, 3, 45),
    "broker-reset": Kind(Part.BROKER, 0, 0),
    "broker-quota": Kind(Part.BROKER, 3, 30),
    "daemon-kill": Kind(Part.DAEMON, 0.5, 6),
    "daemon-term": Kind(Part.DAEMON, 0.5, 6),
    "daemon-damage": Kind(Part.DAEMON, 0.5, 3, apart=300.0),
    "reload-add": Kind(Part.CONFIG, 8, 25, targets=("spare",)),
    "reload-remove": Kind(Part.CONFIG, 5, 20),
    "reload-change": Kind(Part.CONFIG, 5, 20),
    "reload-broken": Kind(Part.CONFIG, 2, 8, targets=("",)),
    "log-unread": Kind(Part.LOG, 10, 40),
    "state-read-only": Kind(Part.STATE, 5, 30),
    "clock-set": Kind(Part.CLOCK, 4, 40, targets=CLOCK_STEPS),
}
GENTLE = ("worker-kill", "uplink-reset", "broker-reset", "broker-cable", "camera-stop", "reload-broken", "clock-set")
"""What a run of less than two minutes has time to recover from."""
LEFT_OVER = 3
"""Cards for which there is no place any more must not keep others from coming."""
EASY_S = 6.0
"""The longest fault of such a run."""


class Cameras(NamedTuple):
    """The cameras of a site, by the way in which they are reached."""

    rtsp: tuple[str, ...]
    file: tuple[str, ...]

    @property
    def all(self) -> tuple[str, ...]:
        """All of them."""
        return self.rtsp + self.file


class Happening(NamedTuple):
    """One fault of the plan."""

    second: float
    """Since the beginning of the run."""
    fault: str
    """A key of `KINDS`."""
    target: str
    """A camera, an option of the simulator, or seconds; empty: there is only one."""
    duration: float

    @property
    def end(self) -> float:
        """The second at which it is over."""
        return self.second + self.duration

    @property
    def holds(self) -> frozenset[str]:
        """What no other fault may hit meanwhile."""
        part = KINDS[self.fault].part
        if part is Part.CAMERA:
            return frozenset({self.target})
        if self.fault == "cloud-gateway":
            return frozenset({Part.CLOUD, Part.DAEMON})  # only what was accepted since its start is doubted
        if part is Part.DAEMON:
            return frozenset({Part.DAEMON, Part.CONFIG})  # with a broken file it would not start again
        if part is Part.CONFIG:
            return frozenset({Part.CONFIG, self.target})
        return frozenset({part})

    def disturbs(self, camera: str) -> bool:
        """Whether this camera cannot be expected to stream through it."""
        part = KINDS[self.fault].part
        return part in {Part.CLOUD, Part.DAEMON} or self.target == camera

    def __str__(self) -> str:
        return f"{self.second:7.1f}  {self.fault:<18} {self.target:<36} {self.duration:5.1f}"


def plan(seed: int, seconds: float, cameras: Cameras) -> tuple[Happening, ...]:
    """All faults of a run of so many seconds, in the order of their beginning."""
    random = Random(f"{seed}/{seconds:g}")
    deck: list[str] = []
    placed: list[Happening] = []
    for begin, end in _waves(random, seconds):
        at = begin
        while at < end:
            found = _deal(random, deck, placed, _Place(at, end, seconds), cameras)
            if found is not None:
                placed.append(found)
            at += random.uniform(1.0, 9.0)
    return tuple(placed)


def closing(seconds: float) -> float:
    """Seconds of calm at the end of a run."""
    return min(LONG_CALM_S, 0.4 * seconds)


class _Place(NamedTuple):
    """Where a fault has to fit in."""

    at: float
    end: float
    seconds: float
    """Of the whole run."""


def _waves(random: Random, seconds: float) -> Iterator[tuple[float, float]]:
    last = seconds - closing(seconds)
    at = min(25.0, 0.25 * seconds)
    number = 0
    while at + 5.0 <= last:
        number += 1
        end = min(last, at + random.uniform(40.0, 75.0))
        yield at, end
        at = end + (LONG_CALM_S if number % 3 == 0 else random.uniform(15.0, 30.0))


def _deal(
    random: Random, deck: list[str], placed: list[Happening], place: _Place, cameras: Cameras
) -> Happening | None:
    """The next card that can be played at this place, taken out of the deck; None where none can."""
    short = place.seconds < 120
    if len(deck) <= LEFT_OVER:
        fresh = [card for card in (GENTLE if short else KINDS) if card not in deck]
        random.shuffle(fresh)
        deck += fresh
    for card in deck:
        kind = KINDS[card]
        happening = Happening(
            round(place.at, 1),
            card,
            _target(random, kind, placed, cameras),
            _duration(random, kind, min(place.end - place.at, EASY_S if short else place.seconds)),
        )
        if _fits(happening, placed, place):
            deck.remove(card)
            return happening
    return None


def _target(random: Random, kind: Kind, placed: list[Happening], cameras: Cameras) -> str:
    """Of several options one that came least often so far."""
    if kind.targets:
        used = Counter(happening.target for happening in placed)
        fewest = min(used[target] for target in kind.targets)
        return random.choice([target for target in kind.targets if used[target] == fewest])
    if kind.part in {Part.CAMERA, Part.CONFIG}:
        return random.choice(cameras.rtsp if kind.rtsp else cameras.all)
    return ""


def _duration(random: Random, kind: Kind, room: float) -> float:
    """Short faults are more frequent than long ones."""
    length = kind.shortest + (kind.longest - kind.shortest) * random.random() ** 2
    return round(min(length, max(room, kind.shortest)), 1)


def _times(fault: str, placed: list[Happening]) -> list[float]:
    """The beginning of the run, and when a fault of this kind was before."""
    return [0.0, *(other.second for other in placed if other.fault == fault)]


def _fits(happening: Happening, placed: list[Happening], place: _Place) -> bool:
    """Whether it ends with its wave, and nothing holds what it hits; a moment must lie between two such faults."""
    if happening.end > place.end:
        return False
    if KINDS[happening.fault].part is Part.DAEMON and happening.second > 0.55 * place.seconds:
        return False  # only a long life shows whether anything grows
    if any(happening.second - at < KINDS[happening.fault].apart for at in _times(happening.fault, placed)):
        return False
    return not any(
        other.holds & happening.holds and happening.second < other.end + 2.0 and other.second < happening.end + 2.0
        for other in placed
    )
