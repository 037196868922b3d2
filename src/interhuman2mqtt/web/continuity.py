"""Whether all messages of a stretch of time were received: what was missed is shown as not known, never as calm.

A stretch counts as received while the subscription stands. A broker that kept our session sends what it queued
meanwhile, but it drops from a full queue without a word. The events of a camera are numbered within a scope (their id
is box/camera/scope/n), so an event whose number follows on the last one's shows that nothing is missing in between, and
one that does not shows a hole. No I/O.
"""

from collections.abc import Iterator
from typing import NamedTuple

from msgspec import Struct

from interhuman2mqtt.web.rows import CameraKey, HoleRow, ReceivedRow

SCOPES_MAX = 16
"""Scopes of a camera that are remembered: sessions rotate, and their last events may come late."""


class LastEvent(NamedTuple):
    """The last event of a scope: its number, and when its box had it."""

    number: int
    at: float


class SavedCamera(Struct, frozen=True):
    """Up to where the events of a camera were received."""

    camera: CameraKey
    last: dict[str, LastEvent]
    unproven: HoleRow | None


class SavedContinuity(Struct, frozen=True):
    """State that the next process needs in order to go on where this one ended."""

    since: float
    lost_at: float
    cameras: list[SavedCamera]


class Continuity:
    """Follows the numbers of the events of all cameras, and the connection.

    All times are seconds of UTC by this machine's clock, in the order in which they happen.
    """

    def __init__(self) -> None:
        self._since: float | None = None
        self._lost_at: float | None = None
        self._last: dict[CameraKey, dict[str, LastEvent]] = {}
        self._unproven: dict[CameraKey, HoleRow] = {}
        self._proving: dict[CameraKey, frozenset[str]] = {}
        """The scopes that were known before the time away: one that began in it shows nothing of what was before it."""

    def save(self) -> SavedContinuity | None:
        """Return what is known once the connection is lost; None where nothing is."""
        if self._since is None or self._lost_at is None:
            return None
        cameras = [SavedCamera(camera, last, self._unproven.get(camera)) for camera, last in self._last.items()]
        return SavedContinuity(self._since, self._lost_at, cameras)

    def restore(self, saved: SavedContinuity) -> None:
        """Go on where another process ended."""
        self._since, self._lost_at = saved.since, saved.lost_at
        for one in saved.cameras:
            self._last[one.camera] = dict(one.last)
            if one.unproven is not None:
                self._unproven[one.camera] = one.unproven

    def connected(self, at: float, *, resumed: bool) -> Iterator[ReceivedRow | HoleRow]:
        """Note that the subscription stands.

        Args:
            at: When.
            resumed: The broker kept our session, and sends what it has queued.
        """
        if resumed and self._lost_at is not None:
            self._since = self._since if self._since is not None else self._lost_at
            yield ReceivedRow(self._since, at)
            for camera, last in self._last.items():
                self._proving[camera] = frozenset(last)
                hole = self._unproven.get(camera, HoleRow(camera, self._lost_at, at))._replace(end=at)
                self._unproven[camera] = hole
                yield hole
        else:
            self._since = at
            self._last.clear()
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

        Args:
            camera: Of which camera.
            scope: Within which it is numbered.
            number: Its number.
            at: When its box had it: it may have waited at the broker, and shows nothing of the time after it.

        Yields:
            A hole, or one that is none any more (of no length).
        """
        scopes = self._last.setdefault(camera, {})
        last = scopes.pop(scope, None)
        scopes[scope] = LastEvent(number, at) if last is None else max(last, LastEvent(number, at))
        while len(scopes) > SCOPES_MAX:
            del scopes[next(iter(scopes))]
        if last is not None and number > last.number + 1:
            yield HoleRow(camera, last.at, at)
        elif last is not None and number == last.number + 1 and scope in self._proving.get(camera, ()):
            yield from self._prove(camera, at)

    def _prove(self, camera: CameraKey, until: float) -> Iterator[HoleRow]:
        """Take back what is not known of a camera, as far as an event shows that nothing was missed."""
        if hole := self._unproven.pop(camera, None):
            yield hole._replace(end=hole.start)
            if until < hole.end:
                self._unproven[camera] = hole._replace(start=max(hole.start, until))
                yield self._unproven[camera]
