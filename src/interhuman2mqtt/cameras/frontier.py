"""How far a source's media came, over all of the sessions that it was sent to; no I/O.

All times are seconds on the source's own timeline, and all of them are borders between GOPs.

Invariants:

1. No range is sent more than twice. What was sent twice and never proven delivered is given up.
2. A recording begins with the first media that is not known to be delivered, or before it (a replay); beyond it only
   where the first invariant asks for it.
3. A session that sends anything moves a frontier: so the same sessions never come again and again.
4. What is before `undelivered_s` was delivered or given up, and it never goes back.
"""

from typing import NamedTuple


class Begin(NamedTuple):
    """Where a recording begins."""

    from_s: float = 0.0
    """What is missing from here on is lost."""
    replay_s: float = 0.0
    """How much of what is before it is to be sent again ..."""
    floor_s: float = 0.0
    """... and what is before this is not."""


class Frontier:
    """Follows one source; a source that was opened anew has another timeline, and so another frontier.

    Args:
        replay_s: How much is sent again after a session that broke: what the cloud had received, and perhaps not seen.
    """

    def __init__(self, replay_s: float) -> None:
        self.undelivered_s = 0.0
        self.sent_s = 0.0
        """What is before this was sent at least once, or will never be."""
        self._twice_s = 0.0
        self._replay_s = replay_s
        self._replays = False
        self._has_sent = self._has_news = False  # of the session under way

    def begin(self) -> Begin:
        """Where the next recording begins."""
        from_s = max(self.undelivered_s, self._twice_s)
        return Begin(from_s, self._replay_s if self._replays else 0.0, self._twice_s)

    def sent(self, start_s: float, end_s: float) -> None:
        """A session was sent this range; those of a session come in order."""
        if start_s < self.sent_s:
            self._twice_s = max(self._twice_s, min(end_s, self.sent_s))
        self.sent_s = max(self.sent_s, end_s)
        self._has_sent = True

    def delivered(self, end_s: float) -> bool:
        """All that the session was sent up to here arrived; whether that is news."""
        is_news = end_s > self.undelivered_s
        if is_news:
            self.undelivered_s = end_s
            self._has_news = True
        return is_news

    def over(self, *, in_order: bool) -> None:
        """The session ended: in order where the cloud said that it has sent all that it had to say.

        Else it broke, and is replayed if it delivered anything new. An attempt that never sent anything changes
        nothing: the session before it is still to be replayed.
        """
        if in_order:
            self._replays = False
        elif self._has_sent:
            self._replays = self._has_news
        self._has_sent = self._has_news = False
