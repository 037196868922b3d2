"""Media that the cloud rejects, or fails on, again and again: each attempt may be billed, and a person has to look."""

from collections import deque
from collections.abc import Awaitable, Callable

import trio

from interhuman2mqtt.errors import Fruitless, Outage, Reason, Refused
from interhuman2mqtt.supervisor import Health

REJECTIONS = 3
WINDOW_S = 300.0


class CircuitBreaker:
    """Turns the last of `REJECTIONS` rejections within `WINDOW_S` into a refusal: a person has to look."""

    def __init__(self) -> None:
        self._at: deque[float] = deque(maxlen=REJECTIONS)

    def guard(self, run: Callable[[Health], Awaitable[bool]]) -> Callable[[Health], Awaitable[bool]]:
        """The same function, watched."""

        async def guarded(health: Health) -> bool:
            try:
                return await run(health)
            except Outage as outage:
                if not self._is_too_often(outage):
                    raise
                raise Refused(outage.reason, f"{outage.detail}; this is the third time in 5 minutes") from outage

        return guarded

    def _is_too_often(self, outage: Outage) -> bool:
        if outage.reason is not Reason.MEDIA_REJECTED and not isinstance(outage, Fruitless):
            return False
        now = trio.current_time()
        self._at.append(now)
        return len(self._at) == REJECTIONS and now - self._at[0] <= WINDOW_S
