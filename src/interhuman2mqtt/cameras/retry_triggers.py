"""What ends a pause between two attempts early: a secret's file that changed, a device that was plugged in."""

from collections.abc import Callable
from pathlib import Path

import structlog
import trio

from interhuman2mqtt.cameras.capture_task import CaptureTask
from interhuman2mqtt.capture import alsa, v4l2
from interhuman2mqtt.config import SecretRef, secrets
from interhuman2mqtt.supervisor import RetryNow

log = structlog.get_logger(__name__)

PLUG_LOOK_S = 1.0
"""A look is a few reads of sysfs, and only while the camera is down. Inotify on /dev lost: udev gives a new node to the
group `video` some time after it is there, so that looks would have to follow all the same."""
SECRET_LOOK_S = 0.5
_THREADS = trio.CapacityLimiter(4)
"""A file may be on a network that hangs; that must take no thread from anything else."""


DEVICES: dict[str, Callable[[str], bool]] = {"v4l2": v4l2.is_available, "alsa": alsa.is_available}
"""How to tell whether a device of this machine is there, by the scheme of its source."""


async def watch_plug(source: str, capture: CaptureTask, retry_now: RetryNow) -> None:
    """Watch for ever whether the device was plugged in; backoff alone would find it up to a minute later."""
    scheme, _, name = source.partition(":")
    is_available = DEVICES.get(scheme)
    if is_available is None:
        return
    was_there = is_available(name)
    while True:
        await trio.sleep(PLUG_LOOK_S)
        if capture.worker is not None:
            continue
        is_there = is_available(name)
        if is_there and not was_there:
            log.info("plugged in", source=source)
            retry_now.trigger()
        was_there = is_there


class SecretWatch(RetryNow):
    """Sleeps between two attempts that read the same secret; who puts a new key there need not wait for minutes.

    One that stands in no file changes only by a restart.
    """

    def __init__(self, ref: SecretRef | None) -> None:
        super().__init__()
        self._path = None if ref is None else secrets.path_of(ref)
        self._seen = None if self._path is None else secrets.stamp(self._path)

    async def sleep(self, seconds: float) -> None:
        """Sleep for so long, until `trigger`, or until the file is another than the last attempt can have read."""
        async with trio.open_nursery() as nursery:
            if self._path is not None:
                nursery.start_soon(self._trigger_on_change, self._path)
            await super().sleep(seconds)
            nursery.cancel_scope.cancel()

    async def _trigger_on_change(self, path: Path) -> None:
        while (now := await _stamp(path)) == self._seen:  # noqa: ASYNC110 - a file wakes nobody
            await trio.sleep(SECRET_LOOK_S)
        self._seen = now
        self.trigger()


async def _stamp(path: Path) -> tuple[int, ...]:
    return await trio.to_thread.run_sync(secrets.stamp, path, abandon_on_cancel=True, limiter=_THREADS)
