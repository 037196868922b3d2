"""Whether all messages of a stretch of time were received: what was missed is shown as not known, never as calm.

A stretch counts as received while the subscription stands. A broker that kept our session sends what it queued
meanwhile, but it drops from a full queue without a word. The events of a camera are numbered within a scope (their id
is box/camera/scope/n), so an event whose number follows on the last one's shows that nothing is missing in between, and
one that does not shows a hole. While a box is away, or has a camera no more, nothing comes of it: that is a hole too,
until its events show otherwise. No I/O.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping

from interhuman2mqtt.web.rows import CameraKey, ContinuityRow, HoleRow, LastEvent, ReceivedRow

SCOPES_MAX = 16
"""Scopes of a camera that are remembered: sessions rotate, and their last events may come late."""
STEP_S = 60.0
"""Longer than between any two looks at the clock: it was set, or this machine slept."""
STEP_BACK_S = 2.0
RETAINED_S = 5.0
"""After a subscription what is retained has come, and says which cameras there are."""
AHEAD_S = 10.0
"""So far the hole of a camera that is away reaches before the next look: it is not to end in what looks calm."""


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
        self._away: tuple[float, float] | None = None
        """The last time in which the broker kept our session while nobody was connected."""
        self._changed: set[CameraKey] = set()
        self._subscribed_at = self._looked_at = 0.0
        self._absent: dict[CameraKey, float] = {}
        """Cameras of which nothing comes, and when that was seen last."""

    def restore(self, last: ReceivedRow | None, cameras: Iterable[ContinuityRow]) -> None:
        """Go on where another process ended, in order or not, should the broker have kept our session.

        Args:
            last: The last stretch that it wrote; None where there is none.
            cameras: What it wrote of cameras.
        """
        self._lost_at = None if last is None else last.end
        self._since = None if last is None else last.start
        for one in cameras:
            self._last[one.camera] = dict(one.last)
            if one.unproven is not None:
                self._unproven[one.camera] = one.unproven

    def changes(self) -> list[ContinuityRow]:
        """Return what the next process has to know of the cameras that changed since this was asked for."""
        changed, self._changed = self._changed, set()
        return [ContinuityRow(one, dict(self._last.get(one, {})), self._unproven.get(one)) for one in sorted(changed)]

    def connected(self, at: float, *, resumed: bool) -> Iterator[ReceivedRow | HoleRow]:
        """Note that the subscription stands.

        Args:
            at: When.
            resumed: The broker kept our session, and sends what it has queued.
        """
        self._changed |= set(self._last)
        self._subscribed_at = self._looked_at = at
        self._absent.clear()
        if resumed and self._since is not None and self._lost_at is not None:
            self._away = (self._lost_at, at)
            yield ReceivedRow(self._since, at)
            for camera, last in self._last.items():
                self._proving[camera] = frozenset(last)
                hole = self._unproven.get(camera, HoleRow(camera, self._lost_at, at))._replace(end=at)
                self._unproven[camera] = hole
                yield hole
        else:
            self._begin(at)
        self._lost_at = None

    def dropped(self, at: float) -> None:
        """Begin a new stretch: something of what was received is lost, or cannot be dated.

        Nothing proves the one before.
        """
        self._changed |= set(self._last)
        self._begin(at)

    def _begin(self, at: float) -> None:
        self._since, self._away = at, None
        self._last = {camera: {} for camera in self._last}
        self._unproven.clear()
        self._proving.clear()
        self._absent.clear()

    def disconnected(self, at: float) -> Iterator[ReceivedRow]:
        """Note that the connection was lost."""
        yield from self.tick(at)
        if self._lost_at is None and self._since is not None:
            self._lost_at = at

    def tick(self, at: float) -> Iterator[ReceivedRow]:
        """Return how far the stretch reaches by now."""
        if self._since is not None and self._lost_at is None:
            if not -STEP_BACK_S <= at - self._looked_at <= STEP_S:
                self.dropped(at)
            self._looked_at = at
            yield ReceivedRow(self._since, at)

    def live(self, at: float) -> list[tuple[float, float]]:
        """Return the stretch that lasts until now; none where there is no connection."""
        return [(row.start, row.end) for row in self.tick(at)]

    def camera(self, camera: CameraKey) -> Iterator[HoleRow]:
        """Note that there is a camera: of one that was not known before a time away, nothing proves that time."""
        if camera not in self._last:
            self._last[camera] = {}
            self._changed.add(camera)
            if self._away is not None:
                yield HoleRow(camera, *self._away)

    def look(self, at: float, there: Collection[CameraKey], last_message: Mapping[str, float]) -> Iterator[HoleRow]:
        """Note which cameras there are; of the others nothing is known.

        Args:
            at: When.
            there: Those that are retained at the broker, of boxes that are online.
            last_message: When each box published something the last time: its will comes much later than its end.
        """
        if self._since is None or self._lost_at is not None or at < self._subscribed_at + RETAINED_S:
            return
        for camera in self._last:
            if camera in there:
                yield from self._back(camera, at)
            else:
                yield self._away_until(camera, at, max(self._since, last_message.get(camera.box, self._subscribed_at)))

    def _away_until(self, camera: CameraKey, at: float, last_at: float) -> HoleRow:
        if camera not in self._absent:
            self._changed.add(camera)
            self._proving[camera] = frozenset(self._last[camera])
        start = self._absent.get(camera, last_at)
        self._absent[camera] = at
        hole = self._unproven.get(camera, HoleRow(camera, start, at))._replace(end=at + AHEAD_S)
        self._unproven[camera] = hole
        return hole

    def _back(self, camera: CameraKey, at: float) -> Iterator[HoleRow]:
        if self._absent.pop(camera, None) is not None and (hole := self._unproven.get(camera)):
            self._changed.add(camera)
            self._unproven[camera] = hole = hole._replace(end=max(hole.start, at))
            yield hole

    def event(self, camera: CameraKey, scope: str, number: int, at: float, *, is_session: bool) -> Iterator[HoleRow]:
        """Note an event; return what its number shows.

        Args:
            camera: Of which camera.
            scope: Within which it is numbered.
            number: Its number, the first is 1.
            at: When its box had it: it may have waited at the broker, and shows nothing of the time after it.
            is_session: The scope is a session of the cloud, and not the life of a box, which outlasts what we remember.

        Yields:
            A hole, or one that is none any more (of no length).
        """
        yield from self.camera(camera)
        self._changed.add(camera)
        scopes = self._last[camera]
        last = scopes.pop(scope, None)
        scopes[scope] = LastEvent(number, at) if last is None else max(last, LastEvent(number, at))
        while len(scopes) > SCOPES_MAX:
            del scopes[next(iter(scopes))]
        if last is None:
            if is_session and number > 1 and camera in self._proving:
                yield from self._missed_beginning(camera, at)
        elif number > last.number + 1:
            yield HoleRow(camera, last.at, at)
        elif number == last.number + 1 and scope in self._proving.get(camera, ()):
            yield from self._prove(camera, at)

    def _missed_beginning(self, camera: CameraKey, until: float) -> Iterator[HoleRow]:
        """Note that the first events of a session, which began while we were away, did not come."""
        if hole := self._unproven.pop(camera, None):
            yield hole._replace(end=until)
            yield from self._leave_unproven(hole, until)
        elif self._away is not None:
            yield HoleRow(camera, self._away[0], until)

    def _prove(self, camera: CameraKey, until: float) -> Iterator[HoleRow]:
        """Take back what is not known of a camera, as far as an event shows that nothing was missed."""
        if hole := self._unproven.pop(camera, None):
            yield hole._replace(end=hole.start)
            yield from self._leave_unproven(hole, until)

    def _leave_unproven(self, hole: HoleRow, start: float) -> Iterator[HoleRow]:
        if start < hole.end:
            self._unproven[hole.camera] = hole._replace(start=max(hole.start, start))
            yield self._unproven[hole.camera]
