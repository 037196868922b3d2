"""The media clock of a session in UTC; no I/O."""

from bisect import bisect_left, bisect_right
from datetime import datetime, timedelta


class Timeline:
    """Turns seconds of the session's media, in which the cloud counts, into UTC.

    Each chunk that is sent is a piece: from its `media_start` on, time runs in step with UTC from its `start_at`, until
    the next piece begins. Before the first piece and after the last one the nearest is extended. Pieces come in the
    order of the media.
    """

    def __init__(self) -> None:
        self._starts: list[float] = []
        self._instants: list[datetime] = []

    def append(self, media_start: float, start_at: datetime) -> None:
        """Media from `media_start` (seconds) on was captured from `start_at` (UTC) on."""
        self._starts.append(media_start)
        self._instants.append(start_at)

    def start_at(self, media: float) -> datetime | None:
        """When something that starts at `media` started; None where that cannot be said."""
        return self._on(bisect_right(self._starts, media) - 1, media)

    def end_at(self, media: float) -> datetime | None:
        """When something that ends at `media` ended.

        On the seam of two pieces this belongs to the first. It makes a difference in standalone framing, where the
        cloud's clock leaves out the time between two files.
        """
        return self._on(bisect_left(self._starts, media) - 1, media)

    def _on(self, piece: int, media: float) -> datetime | None:
        if not self._starts:
            return None
        piece = max(piece, 0)
        try:
            return self._instants[piece] + timedelta(seconds=media - self._starts[piece])
        except (OverflowError, ValueError):  # beyond the calendar, or not a number
            return None
