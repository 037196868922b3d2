"""Whether all messages of a stretch of time were received: what was missed is shown as not known, never as calm.

A stretch counts as received while the subscription stands. A broker that kept our session sends what it queued
meanwhile, but it drops from a full queue without a word. The events of a camera are numbered within a scope (their id
is box/camera/scope/n), so an event whose number follows on the last one's shows that nothing is missing in between, and
one that does not shows a hole. No I/O.
"""

from collections.abc import Iterator

from interhuman2mqtt.web.rows import CameraKey, HoleRow, ReceivedRow

SCOPES_MAX = 16
"""Scopes of a camera that are remembered: sessions rotate, and their last events may come late."""


class Continuity:
    """Follows the numbers of the events of all cameras, and the connection.

    All times are seconds of UTC by this machine's clock, in the order in which they happen.
    """

    def __init__(self) -> None:
        self._since: float | None = None
        self._lost_at: float | None = None
        self._numbers: dict[CameraKey, dict[str, int]] = {}
        self._seen_at: dict[CameraKey, float] = {}
        self._unproven: dict[CameraKey, HoleRow] = {}

    def connected(self, at: float, *, resumed: bool) -> Iterator[ReceivedRow | HoleRow]:
        """Note that the subscription stands.

        Args:
            at: When.
            resumed: The broker kept our session, and sends what it has queued.
        """
        if resumed and self._lost_at is not None:
            self._since = self._since if self._since is not None else self._lost_at
            yield ReceivedRow(self._since, at)
            for camera in self._seen_at:
                hole = self._unproven.get(camera, HoleRow(camera, self._lost_at, at))._replace(end=at)
                self._unproven[camera] = hole
                yield hole
        else:
            self._since = at
            self._numbers.clear()
            self._unproven.clear()
        self._lost_at = None

    def disconnected(self, at: float) -> Iterator[ReceivedRow]:
        """Note that the connection was lost."""
        yield from self.tick(at)
        if self._lost_at is None:
            self._lost_at = at

    def tick(self, at: float) -> Iterator[ReceivedRow]:
        """Return how far the stretch reaches by now."""
        if self._since is not None and self._lost_at is None:
            yield ReceivedRow(self._since, at)

    def live(self, at: float) -> list[tuple[float, float]]:
        """Return the stretch that lasts until now; none where there is no connection."""
        return [(row.start, row.end) for row in self.tick(at)]

    def event(self, camera: CameraKey, scope: str, number: int, at: float) -> Iterator[HoleRow]:
        """Note an event; return what its number shows.

        Returns:
            A hole, or one that is none any more (of no length).
        """
        numbers = self._numbers.setdefault(camera, {})
        last = numbers.pop(scope, None)
        numbers[scope] = max(number, last or 0)
        while len(numbers) > SCOPES_MAX:
            del numbers[next(iter(numbers))]
        if last is not None and number > last + 1:
            self._unproven.pop(camera, None)
            yield HoleRow(camera, self._seen_at.get(camera, at), at)
        elif last is not None and number == last + 1 and (hole := self._unproven.pop(camera, None)):
            yield hole._replace(end=hole.start)
        self._seen_at[camera] = at
