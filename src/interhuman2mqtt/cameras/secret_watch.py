"""A pause that ends as soon as the file of a secret changes: who puts a new key there need not wait for minutes."""

from pathlib import Path

import trio

from interhuman2mqtt.config import SecretRef, secrets
from interhuman2mqtt.supervise import Hurry

LOOK_S = 0.5
_THREADS = trio.CapacityLimiter(4)
"""A file may be on a network that hangs; that must take no thread from anything else."""


class SecretWatch(Hurry):
    """Sleeps between two attempts that read the same secret; one that stands in no file changes only by a restart."""

    def __init__(self, ref: SecretRef | None) -> None:
        super().__init__()
        self._path = None if ref is None else secrets.path_of(ref)
        self._seen = None if self._path is None else secrets.stamp(self._path)

    async def sleep(self, seconds: float) -> None:
        """Sleep for so long, until `now`, or until the file is another than the last attempt can have read."""
        async with trio.open_nursery() as nursery:
            if self._path is not None:
                nursery.start_soon(self._hurry_on_change, self._path)
            await super().sleep(seconds)
            nursery.cancel_scope.cancel()

    async def _hurry_on_change(self, path: Path) -> None:
        while (now := await _stamp(path)) == self._seen:  # noqa: ASYNC110 - a file wakes nobody
            await trio.sleep(LOOK_S)
        self._seen = now
        self.now()


async def _stamp(path: Path) -> tuple[int, ...]:
    return await trio.to_thread.run_sync(secrets.stamp, path, abandon_on_cancel=True, limiter=_THREADS)
