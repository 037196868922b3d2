"""The boxes of a fleet by one file: which box runs which camera, and what two cameras of a box cannot share."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

from interhuman2mqtt.config import urls
from interhuman2mqtt.config.merge import Layers
from interhuman2mqtt.config.parser import Entries
from interhuman2mqtt.config.problems import KeyPath, Location, ProblemReport

EXCLUSIVE = ("v4l2:", "alsa:hw:", "alsa:plughw:")
"""What only one process can open; other names of ALSA may stand for a device that mixes (dsnoop)."""


def check_shared(box: str, cameras: Mapping[str, Layers], entries: Entries, report: ProblemReport) -> None:
    """Report what two cameras of one box open both: a device is an error, a network camera a warning.

    Two that are open at different hours may well share a device.
    """
    for (name, camera), (other_name, other) in combinations(cameras.items(), 2):
        for address, path in _sources(camera):
            if address not in dict(_sources(other)):
                continue
            place, both = entries[path].place, f"for {name} and {other_name}"
            if not address.startswith(EXCLUSIVE):
                message = f"box {box} opens the same address {both}: each costs a connection of its own"
                report.warning(place, path, message)
            elif camera.value("schedule") and camera.value("schedule") != other.value("schedule"):
                message = f"box {box} opens the same device {both}: their schedules must not overlap"
                report.warning(place, path, message)
            else:
                report.error(place, path, f"box {box} opens the same device {both}: only one of them can have it")


def check_unused(cameras: Mapping[str, Layers], used: set[str], entries: Entries, report: ProblemReport) -> None:
    """Report cameras that no box runs, though they are enabled."""
    for name, camera in cameras.items():
        if name not in used and camera.value("enabled") is True:
            path: KeyPath = ("cameras", name)
            place = entries[path].place if path in entries else Location(None, None)
            report.warning(place, path, "no box of these runs it: look at its `boxes`")


def matrix(boxes: Mapping[str, Sequence[str]], cameras: Sequence[str]) -> Iterator[str]:
    """Yield a line for each camera, with a mark below each box that runs it."""
    width = max([len("camera"), *map(len, cameras)])
    yield "  ".join(["camera".ljust(width), *boxes])
    for camera in cameras:
        marks = [("x" if camera in runs else ".").center(len(box)) for box, runs in boxes.items()]
        yield "  ".join([camera.ljust(width), *marks]).rstrip()


def _sources(camera: Layers) -> Iterator[tuple[str, KeyPath]]:
    """Yield what a camera opens that another may want too, and where that stands."""
    for key in ("source", "microphone"):
        value, path = camera.value(key), camera.path(key)
        if isinstance(value, str) and path is not None and (value.startswith(EXCLUSIVE) or urls.is_network(value)):
            yield value, path
