"""End the pause of a camera of this machine as soon as it is plugged in again."""

import structlog
import trio

from interhuman2mqtt.cameras.capturing import Capturing
from interhuman2mqtt.capture import v4l2
from interhuman2mqtt.supervise import Hurry

log = structlog.get_logger(__name__)

LOOK_S = 1.0
"""A look is a few reads of sysfs, and only while the camera is down. Inotify on /dev lost: udev gives a new node to the
group `video` some time after it is there, so that looks would have to follow all the same."""


async def watch_plug(source: str, capturing: Capturing, hurry: Hurry) -> None:
    """Watch for ever; back-off alone would find a camera up to a minute after it has come."""
    scheme, _, name = source.partition(":")
    if scheme != "v4l2":
        return
    was_there = v4l2.is_there(name)
    while True:
        await trio.sleep(LOOK_S)
        if capturing.worker is not None:
            continue
        is_there = v4l2.is_there(name)
        if is_there and not was_there:
            log.info("plugged in", source=source)
            hurry.now()
        was_there = is_there
