"""Slots among the account's concurrent sessions: a camera keeps its slot through rotation and reconnect.

The limit is `max_sessions`, or what is learned from the cloud, which says none and refuses a session where too many are
open (ih3002).

- A refusal is doubted at first: the cloud may still count a session of ours that has just ended, or one of the life
  before this one. For `DOUBT_S` after the last such end a refused camera keeps its slot and tries again in seconds.
- Believed, it means that the sessions which are open are all there are. One camera tries for one more after
  `PROBE_S`, and later and later up to `PROBE_MAX_S` while that is refused.
- What was learned is forgotten as soon as one more session is open than it allows.
"""

from typing import NamedTuple

import trio

# A learned limit that rose by one in 300 s was tried first: one lingering session cost its camera 312 s, and six
# cameras after a power cut up to 960 s. So it is learned late, probed within seconds, and forgotten as a whole.
DOUBT_S = 90.0
"""Longer than a gateway keeps a dead connection, as a rule, and than our buffer holds media."""
PROBE_S = 5.0
PROBE_MAX_S = 60.0


class _Waiting(NamedTuple):
    """A camera without a slot; dicts keep the order in which they came."""

    priority: int
    granted: trio.Event


class SessionSlots:
    """The slots of one box; cameras of higher priority come first, and among equals who waited longer."""

    def __init__(self, limit: int) -> None:
        self._limit = limit or None
        self._learned: int | None = None
        self._probe_at = 0.0
        self._probe_s = PROBE_S
        self._probing: str | None = None
        self._doubt_until: float | None = None
        self._held: dict[str, int] = {}
        self._waiting: dict[str, _Waiting] = {}

    @property
    def limit(self) -> int | None:
        """How many sessions there may be now; None: no limit is known."""
        return min((limit for limit in (self._limit, self._learned_limit) if limit is not None), default=None)

    @property
    def is_learned(self) -> bool:
        """Whether it is the cloud's limit that counts now, and not ours."""
        return self._learned_limit is not None and self._learned_limit == self.limit

    @property
    def _learned_limit(self) -> int | None:
        if self._learned is None:
            return None
        return self._learned + (self._probing is not None or trio.current_time() >= self._probe_at)

    def is_free(self) -> bool:
        """Decide whether somebody could have a slot now."""
        return self.limit is None or len(self._held) < self.limit

    def holds(self, camera: str) -> bool:
        """Decide whether a camera has a slot."""
        return camera in self._held

    def preempted(self, camera: str) -> bool:
        """Decide whether a camera should leave its slot: one of higher priority waits, or there are too few by now."""
        mine = self._held.get(camera, 0)
        too_many = self.limit is not None and len(self._held) > self.limit
        return too_many or any(waiting.priority > mine for waiting in self._waiting.values())

    def resize(self, limit: int) -> None:
        """Another `max_sessions`, 0 for none; who holds a slot keeps it until the end of the session."""
        self._limit = limit or None
        self._grant()

    async def acquire(self, camera: str, priority: int) -> None:
        """Wait for a slot; at once for a camera that holds one."""
        if self._doubt_until is None:  # the life before this one may have been cut off
            self._doubt_until = trio.current_time() + DOUBT_S
        if camera in self._held:
            return
        granted = trio.Event()
        self._waiting[camera] = _Waiting(priority, granted)
        try:
            self._grant()
            while not granted.is_set():
                with trio.move_on_after(PROBE_S):
                    await granted.wait()
                self._grant()
        except BaseException:
            self.release(camera)
            raise

    def release(self, camera: str) -> None:
        """Give up a slot, held or waited for; nothing happens to a camera without one."""
        self._waiting.pop(camera, None)
        self._held.pop(camera, None)
        if camera == self._probing:
            self._probing = None
        self._grant()

    def opened(self, camera: str) -> None:
        """Note that the cloud has opened a session for this camera: one more than was learned disproves that."""
        if self._learned is not None and (camera == self._probing or len(self._held) > self._learned):
            self._learned, self._probe_s, self._probing = None, PROBE_S, None
            self._grant()

    def ended(self) -> None:
        """Note that an open session has ended, which the cloud may not know yet."""
        self._doubt_until = trio.current_time() + DOUBT_S

    def refused(self, camera: str) -> bool:
        """Note that the cloud refused a session to a camera that holds a slot; return whether that is believed.

        If so the sessions of the others are all there are, and the camera should release its slot.
        """
        now = trio.current_time()
        if camera != self._probing and self._doubt_until is not None and now < self._doubt_until:
            return False
        self._learned = max(len(self._held) - 1, 0)
        self._probe_at, self._probe_s = now + self._probe_s, min(self._probe_s * 2, PROBE_MAX_S)
        if camera == self._probing:
            self._probing = None
        return True

    def _grant(self) -> None:
        while self._waiting and self.is_free():
            camera = max(self._waiting, key=lambda name: self._waiting[name].priority)
            priority, granted = self._waiting.pop(camera)
            if self._learned is not None and len(self._held) >= self._learned:
                self._probing = camera
            self._held[camera] = priority
            granted.set()
