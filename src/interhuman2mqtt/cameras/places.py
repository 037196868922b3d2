"""Who may hold one of the account's concurrent sessions: a camera keeps its place through rotation and reconnect.

The limit is `max_sessions`, or what the cloud taught us: when it refuses a session because too many are open
(ih3002), those that are open are all there are to have, until `LEARNED_S` later we try one more.
"""

from typing import NamedTuple

import trio

LEARNED_S = 300.0


class _Waiting(NamedTuple):
    """A camera without a place; dicts keep the order in which they came."""

    priority: int
    granted: trio.Event


class Places:
    """The places of one box; cameras of higher priority come first, and among equals who waited longer."""

    def __init__(self, limit: int) -> None:
        self._limit = limit or None
        self._learned: int | None = None
        self._learned_at = 0.0
        self._held: dict[str, int] = {}
        self._waiting: dict[str, _Waiting] = {}

    @property
    def limit(self) -> int | None:
        """How many sessions there may be now; None: no limit is known."""
        return min((limit for limit in (self._limit, self._taught) if limit is not None), default=None)

    @property
    def is_taught(self) -> bool:
        """Whether it is the cloud's limit that counts now, and not ours."""
        return self._taught is not None and self._taught == self.limit

    @property
    def _taught(self) -> int | None:
        if self._learned is None:
            return None
        return self._learned + int((trio.current_time() - self._learned_at) // LEARNED_S)

    def is_free(self) -> bool:
        """Whether somebody could have a place now."""
        return self.limit is None or len(self._held) < self.limit

    def holds(self, camera: str) -> bool:
        """Whether it has a place."""
        return camera in self._held

    def outranked(self, camera: str) -> bool:
        """Whether it should leave its place: one of higher priority waits for it, or there are too few by now."""
        mine = self._held.get(camera, 0)
        too_many = self.limit is not None and len(self._held) > self.limit
        return too_many or any(waiting.priority > mine for waiting in self._waiting.values())

    def resize(self, limit: int) -> None:
        """Another `max_sessions`, 0 for none; who holds a place keeps it until the end of the session."""
        self._limit = limit or None
        self._grant()

    async def acquire(self, camera: str, priority: int) -> None:
        """Wait for a place; at once for a camera that holds one."""
        if camera in self._held:
            return
        granted = trio.Event()
        self._waiting[camera] = _Waiting(priority, granted)
        try:
            self._grant()
            while not granted.is_set():
                with trio.move_on_after(LEARNED_S):
                    await granted.wait()
                self._grant()
        except BaseException:
            self.release(camera)
            raise

    def release(self, camera: str) -> None:
        """Give up a place, held or waited for; nothing happens to a camera without one."""
        self._waiting.pop(camera, None)
        self._held.pop(camera, None)
        self._grant()

    def refused(self) -> None:
        """The cloud refused the session of somebody who holds a place: the others' are all there are."""
        self._learned = max(len(self._held) - 1, 0)
        self._learned_at = trio.current_time()

    def _grant(self) -> None:
        while self._waiting and self.is_free():
            camera = max(self._waiting, key=lambda name: self._waiting[name].priority)
            priority, granted = self._waiting.pop(camera)
            self._held[camera] = priority
            granted.set()
