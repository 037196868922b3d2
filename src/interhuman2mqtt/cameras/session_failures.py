"""What to make of a session's failure, by those before it: refusals that may pass, rejections that repeat."""

from collections import deque
from collections.abc import Awaitable, Callable

import trio

from interhuman2mqtt.errors import Fruitless, Outage, Reason, Refused
from interhuman2mqtt.supervisor import Health

DOUBT_S = 60.0
"""As long as the buffer holds what is captured meanwhile."""
PASSING = frozenset({Reason.UNAUTHORIZED, Reason.SCOPE_MISSING, Reason.BAD_REQUEST, Reason.PROXY_REFUSED})
"""What a gateway in between may answer in the cloud's place; a spent quota is none of its business."""
REJECTIONS = 3
WINDOW_S = 300.0


class AcceptedKeys:
    """Endpoints and keys that the cloud has accepted since the start, as hashes; shared by all cameras."""

    def __init__(self) -> None:
        self._known: set[int] = set()

    def add(self, endpoint_and_key: int) -> None:
        """Note that a session was opened."""
        self._known.add(endpoint_and_key)

    def __contains__(self, endpoint_and_key: int) -> bool:
        return endpoint_and_key in self._known


class RefusalDoubt:
    """Doubts a refusal of what was accepted before, for `DOUBT_S`."""

    # A gateway answers 404 or 401 for some seconds while it is deployed. A refusal needs a person, as a rule, so it
    # waits for minutes: taken at its word each deployment of the vendor's would cost every camera five minutes, far
    # more than its buffer holds. So at first a refusal of what has worked since the start is an outage like any other.
    # What never worked is believed at once: a wrong key must not knock at the door every second.

    def __init__(self) -> None:
        self._since: float | None = None

    def clear(self) -> None:
        """Begin anew: the cloud accepted the camera."""
        self._since = None

    def weigh(self, outage: Outage) -> Outage:
        """Return what to make of an outage where the same was accepted before."""
        if not isinstance(outage, Refused) or outage.reason not in PASSING:
            return outage
        now = trio.current_time()
        self._since = now if self._since is None else self._since
        if now - self._since >= DOUBT_S:
            return outage
        return Outage(outage.reason, f"{outage.detail}; it was accepted before, so this may pass", outage.retry_after)


class CircuitBreaker:
    """Turns the last of `REJECTIONS` rejections within `WINDOW_S` into a refusal: a person has to look."""

    # Media that the cloud rejects, or fails on, again and again does not get better by being sent again, and each
    # attempt may be billed.

    def __init__(self) -> None:
        self._at: deque[float] = deque(maxlen=REJECTIONS)

    def guard(self, run: Callable[[Health], Awaitable[bool]]) -> Callable[[Health], Awaitable[bool]]:
        """Return the same function, watched."""

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
