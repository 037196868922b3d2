"""The media clock of a session on the clock of the captures; no I/O."""

from bisect import bisect_left, bisect_right


class Timeline:
    """Turns seconds of the session's media, in which the cloud counts, into MONOTONIC of this machine.

    Each chunk that is sent is a piece: from its `media_start` on, media runs in step with the clock from
    `captured_from` on, until the next piece begins. Before the first piece and after the last one the nearest is
    extended. Pieces come in the order of the media.

    Dates are none of its business: the wall clock may be set while the session runs, and what is dated after that is
    dated by the new one.
    """

    def __init__(self) -> None:
        self._starts: list[float] = []
        self._instants: list[float] = []

    def append(self, media_start: float, captured_from: float) -> None:
        """Media from `media_start` (seconds) on was captured from `captured_from` (MONOTONIC) on."""
        self._starts.append(media_start)
        self._instants.append(captured_from)

    def start(self, media: float) -> float | None:
        """Return when something that starts at `media` started; None where that cannot be said."""
        return self._on(bisect_right(self._starts, media) - 1, media)

    def end(self, media: float) -> float | None:
        """Return when something that ends at `media` ended.

        On the seam of two pieces this belongs to the first. It makes a difference in standalone framing, where the
        cloud's clock leaves out the time between two files.
        """
        return self._on(bisect_left(self._starts, media) - 1, media)

    def _on(self, piece: int, media: float) -> float | None:
        if not self._starts:
            return None
        piece = max(piece, 0)
        return self._instants[piece] + media - self._starts[piece]
