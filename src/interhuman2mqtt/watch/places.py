"""Where on the broker something stands: `<base>/<box>/<camera or bridge>/<rest>`."""

from typing import NamedTuple

BRIDGE = "bridge"
BELOW = ("+/bridge/state", "+/bridge/info", "+/bridge/health", "+/+/status", "+/+/state/+", "+/+/event/+")


class Place(NamedTuple):
    """What a topic is about."""

    box: str
    camera: str
    """`bridge` where it is about the box itself."""
    about: str
    """`status`, `state/signals`, `event/error` ..."""


def filters(base: str) -> list[str]:
    """What is subscribed to, to see all boxes below a base topic; neither requests nor their answers."""
    return [f"{base}/{below}" for below in BELOW]


def place(base: str, topic: str) -> Place | None:
    """What a topic is about; None where it is none of ours."""
    if not topic.startswith(f"{base}/"):
        return None
    levels = topic[len(base) + 1 :].split("/", 2)
    return Place(*levels) if len(levels) == 3 else None
