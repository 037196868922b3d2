"""Finds the message that ends every connection, so that it does not keep all others from the broker. No I/O.

Brokers are known that close the connection on a packet that is too large for them, and MQTT 3.1.1 has no way to say
so. Such a message would come first on each new connection, for ever. But a line that carries no large packets for a
minute looks the same: a suspect is only put into quarantine (`parking`), never dropped.
"""

from collections.abc import Hashable

STRIKES = 4
"""Connections in a row that end with the same message as the first unanswered one, until it goes into quarantine."""

STRIKES_KNOWN = 16
"""The same for one that the broker has taken before: more likely the line breaks at each beginning, and `online` comes
first on each connection. But what a broker takes may change."""


class PoisonDetector:
    """What is on its way, and which of it was the first unanswered one when the last connections were lost."""

    def __init__(self) -> None:
        self.in_flight: dict[Hashable, None] = {}
        """What was sent and not answered, oldest first; a key is the same each time that its message is sent."""
        self._known: set[Hashable] = set()
        """Which of those that are sent on each connection were answered before."""
        self.suspect: Hashable = None
        """The first unanswered one of the last connection that was lost; while there is none all may go together."""
        self._strikes = 0
        self._owed = 0
        """Answers until as many have come as were missing when the last connection was lost."""
        self._careful = 0
        """Answers until messages go out together again."""

    @property
    def alone(self) -> bool:
        """Whether messages should be sent one at a time, so that it can be seen which one does it."""
        return self._strikes > 0 or self._careful > 0

    def convicts(self, key: Hashable, *, relapse: bool = False) -> bool:
        """Whether this message belongs in quarantine; says so once. One loss is enough where it was there before."""
        guilty = key == self.suspect and self._strikes >= (1 if relapse else self.limit(key))
        if guilty:
            self._strikes = self._owed = self._careful = 0
        return guilty

    def limit(self, key: Hashable) -> int:
        """How many losses in a row it takes to convict this message."""
        return STRIKES_KNOWN if key in self._known else STRIKES

    def answered(self, key: Hashable, *, comes_again: bool = False) -> None:
        """The broker has said something to it, good or bad; `comes_again`: it is sent on the next connection too."""
        if comes_again:
            self._known.add(key)
        self.in_flight.pop(key, None)
        self._owed, self._careful = max(0, self._owed - 1), max(0, self._careful - 1)
        if key == self.suspect:
            self._strikes = 0

    def connection_lost(self) -> None:
        """What is on its way now will be sent again.

        A broker that closes on one of many takes the answers to others with it (RFC 9293, 3.10.7.4: what follows is
        reset), so the first unanswered one need not be it. When that happens again, each of them goes alone.
        """
        self._careful = len(self.in_flight) if self._owed else 0
        self._owed = len(self.in_flight)
        first = next(iter(self.in_flight), None)
        self._strikes = 0 if first is None else self._strikes + 1 if first == self.suspect else 1
        self.suspect = first
        self.in_flight.clear()
