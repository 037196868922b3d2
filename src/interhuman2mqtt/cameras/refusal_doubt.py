"""Refusals that are not believed at once: what the cloud accepted before may be refused in passing.

A gateway answers 404 or 401 for some seconds while it is deployed; a refusal is said to need a person, and waits for
minutes. So a refusal of what has worked since the start is an outage like any other for `DOUBT_S`, and a refusal then.
"""

import trio

from interhuman2mqtt.errors import Outage, Reason, Refused

DOUBT_S = 60.0
"""As long as the buffer holds what is captured meanwhile."""
PASSING = frozenset({Reason.UNAUTHORIZED, Reason.SCOPE_MISSING, Reason.BAD_REQUEST, Reason.PROXY_REFUSED})
"""What a gateway in between may say in the cloud's place; a spent quota is none of its business."""


class Accepted:
    """What the cloud has accepted since the start, by hashes of endpoint and key; shared by all cameras of a box."""

    def __init__(self) -> None:
        self._known: set[int] = set()

    def add(self, endpoint_and_key: int) -> None:
        """Note that a session was opened."""
        self._known.add(endpoint_and_key)

    def __contains__(self, endpoint_and_key: int) -> bool:
        return endpoint_and_key in self._known


class RefusalDoubt:
    """How long one camera has been refused what was accepted before."""

    def __init__(self) -> None:
        self._since: float | None = None

    def clear(self) -> None:
        """Begin anew: the cloud accepted the camera."""
        self._since = None

    def of(self, outage: Outage) -> Outage:
        """Return what to make of an outage after which it is known that the same was accepted before."""
        if not isinstance(outage, Refused) or outage.reason not in PASSING:
            return outage
        now = trio.current_time()
        self._since = now if self._since is None else self._since
        if now - self._since >= DOUBT_S:
            return outage
        return Outage(outage.reason, f"{outage.detail}; it was accepted before, so this may pass", outage.retry_after)
