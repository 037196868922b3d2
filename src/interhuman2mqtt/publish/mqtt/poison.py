"""Finds the message that ends every connection, so that it does not keep all others from the broker. No I/O."""

from collections.abc import Hashable

# Brokers are known that close the connection on a packet that is too large for them, and MQTT 3.1.1 has no way to say
# so. Such a message would come first on each new connection, for ever: a box that publishes nothing more. Dropping the
# first unanswered message of a lost connection would be simple, and would lose good ones, as a line that carries no
# large packets for a minute looks the same. So a suspect is first sent alone, so that it can be seen which one it is;
# and one that goes on is put into quarantine (`outbox.parked`), where it is tried again rarely, and never dropped.

FAILURES = 4
"""Connections in a row that end with the same message as the first unanswered one, until it goes into quarantine."""

FAILURES_KNOWN = 16
"""The same for one that the broker has taken before: more likely the line breaks at each beginning, and `online` comes
first on each connection. But what a broker takes may change."""


class PoisonDetector:
    """Follows what is on its way, and which of it was the first unanswered one when the last connections were lost."""

    def __init__(self) -> None:
        self.in_flight: dict[Hashable, None] = {}
        """Messages sent and not answered, oldest first; a key is the same each time that its message is sent."""
        self._known: set[Hashable] = set()
        """Those that are sent on each connection and were answered before."""
        self.suspect: Hashable = None
        """The first unanswered one of the last connection that was lost; while there is none all may go together."""
        self._failures = 0
        self._missing = 0
        """Answers until as many have come as were missing when the last connection was lost."""
        self._one_by_one = 0
        """Answers until messages go out together again."""

    @property
    def alone(self) -> bool:
        """True while messages should be sent one at a time, so that it can be seen which one does it."""
        return self._failures > 0 or self._one_by_one > 0

    def is_poison(self, key: Hashable, *, was_quarantined: bool = False) -> bool:
        """Decide whether this message belongs in quarantine; one loss is enough where it was there before.

        A message that does is forgotten here: the next one begins at no failure.
        """
        is_poison = key == self.suspect and self._failures >= (1 if was_quarantined else self.limit(key))
        if is_poison:
            self._failures = self._missing = self._one_by_one = 0
        return is_poison

    def limit(self, key: Hashable) -> int:
        """Return how many losses in a row put this message into quarantine."""
        return FAILURES_KNOWN if key in self._known else FAILURES

    def answered(self, key: Hashable, *, repeats: bool = False) -> None:
        """Handle that the broker answered a message, good or bad; `repeats`: each connection sends it."""
        if repeats:
            self._known.add(key)
        self.in_flight.pop(key, None)
        self._missing, self._one_by_one = max(0, self._missing - 1), max(0, self._one_by_one - 1)
        if key == self.suspect:
            self._failures = 0

    def connection_lost(self) -> None:
        """Handle a lost connection: what is on its way now will be sent again."""
        # A broker that closes on one of many takes the answers to others with it (RFC 9293, 3.10.7.4: what follows is
        # reset), so the first unanswered one need not be it. When that happens again, each of them goes alone.
        self._one_by_one = len(self.in_flight) if self._missing else 0
        self._missing = len(self.in_flight)
        first = next(iter(self.in_flight), None)
        self._failures = 0 if first is None else self._failures + 1 if first == self.suspect else 1
        self.suspect = first
        self.in_flight.clear()
