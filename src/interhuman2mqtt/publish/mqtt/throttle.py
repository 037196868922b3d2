"""Backoff while the broker says that it is too much for the moment (a quota, a rate). No I/O.

Such a code is about us and not about the message, so nothing overtakes it: all wait, and then one goes at a time.
"""

import math

import trio

FIRST_S = 1.0
LONGEST_S = 60.0
"""Seconds from a refusal to the next message: doubled from the first to the longest, until one is taken."""
ONE_AT_A_TIME_S = 60.0
"""Seconds without a refusal until messages go out together again."""


class Throttle:
    """Counts the refusals that pass by themselves, and the messages that are taken."""

    def __init__(self) -> None:
        self.delay = 0.0
        """Seconds that the last refusal made us wait; 0 once a message was taken."""
        self._until = -math.inf
        self.active_until = -math.inf
        """Until then messages go one at a time."""

    def refused(self) -> None:
        """Handle a refusal; of several messages that were on their way only the first one counts."""
        now = trio.current_time()
        self.active_until = now + ONE_AT_A_TIME_S
        if now >= self._until:
            self.delay = min(2 * self.delay or FIRST_S, LONGEST_S)
            self._until = now + self.delay

    def accepted(self) -> None:
        """Handle that the broker has a message."""
        self.delay = 0.0

    async def wait(self) -> None:
        """Wait until the next message may be sent."""
        await trio.sleep_until(max(self._until, trio.current_time()))
