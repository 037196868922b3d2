"""Brings what was observed before the oracle: session by session while the run goes on, the rest at its end."""

import math
from collections import Counter
from collections.abc import Sequence

from soak.archive import CloudSession
from soak.fault_runner import FaultRunner
from soak.history import WAITS_S, History
from soak.oracle import Accidents, Ending, Session, conservation, order, safe_until, unended
from soak.published_log import EVIDENCE
from soak.spans import Span
from soak.testbed import CAMERAS, SCENES, Testbed

DATING_S = 0.3
AFFECTED_S = 20.0
"""For so long before a session its capture may have been opened, and opened anew..."""
LOOKS_BACK_S = 130.0
"""... and so long it remembers its promptest packet, by which all others are dated, and a little more."""
SETTLE_S = 300.0
"""After which nothing more is expected of a session that is over."""


class Judge:
    """Judges events as soon as their session is long over, and keeps of each camera when it was seen."""

    def __init__(self, testbed: Testbed, fault_runner: FaultRunner) -> None:
        self.history = History(CAMERAS.all, fault_runner)
        self.lost: list[str] = []
        self.disordered: list[str] = []
        self.troubles: list[str] = []
        self.counts: Counter[str] = Counter()
        self.max_date_error_s = 0.0
        """The greatest difference, in seconds, between the daemon's date of a session and the frames' own."""
        self._testbed = testbed
        self._fault_runner = fault_runner
        self._last_rank: Counter[str] = Counter()

    def settle(self, now: float, *, last: bool = False) -> None:
        """Judge and forget what is long over; `last`: everything."""
        blocked: set[str | None] = set()
        for session in list(self._testbed.archive.sessions.values()):
            is_old = last or (session.closed_at is not None and now - session.closed_at > SETTLE_S)
            if is_old and session.media is not None and session.camera not in blocked:
                self._settle(session)
            else:
                blocked.add(session.camera)  # the order of a camera's sessions is judged too
        if last:
            self._settle_own_events()

    def _settle(self, session: CloudSession) -> None:
        log = self._testbed.published_log
        scope = log.scopes.get(session.name)
        rows = {} if scope is None else scope.rows
        until = self._safe_until(session)
        camera = session.camera or "nobody"
        lost = conservation(Session(session.name, session.sent, rows, until), self._accidents(session.closed_at or 0.0))
        self._note(self.lost, lost, session)
        self._note(self.disordered, order(session.name, rows, self._last_rank[camera]), session)
        self._last_rank[camera] = max((row.rank for row in rows.values()), default=self._last_rank[camera])
        self._count(session, sum(not row.ours for row in rows.values()))
        self._keep_media(session, until, None if scope is None else scope.zero_at)
        del self._testbed.archive.sessions[session.name]
        if log.scopes.pop(session.name, None):
            log.settled.add(session.name)

    def _settle_own_events(self) -> None:
        """Judge what the daemon published beside its sessions."""
        for name, scope in self._testbed.published_log.scopes.items():
            rows = {n: row for n, row in scope.rows.items() if row.ours}
            self.lost += conservation(Session(name, (), rows, 0.0), self._accidents(0.0))

    def unended(self) -> list[str]:
        """Signals that never ended; to be asked once all is over."""
        return unended(self._testbed.published_log.signals, self._accidents(math.inf))

    def _count(self, session: CloudSession, published: int) -> None:
        self.counts["sessions"] += bool(session.chunks)
        self.counts["ended well"] += session.how == "1000 by the server"
        self.counts["sent"] += len(session.sent)
        self.counts["tails"] += len(session.sent) - published
        self.counts["chunks"] += len(session.chunks)

    def _keep_media(self, session: CloudSession, until: float, dated: float | None) -> None:
        """`dated`: when its media began, by the daemon's own dates."""
        assert session.media is not None
        seen = session.media.zero_at
        self.counts["frames"] += session.media.frames
        self._note(self.troubles, session.media.troubles, session)
        if not self.is_affected(session):
            self._note(self.troubles, session.media.doubtful, session)
        if seen is not None and dated is not None:
            self._check_date(session, dated - seen)
        zero_at = next((at for at in (seen, dated, self._start_by_log(session)) if at is not None), None)
        if zero_at is not None:
            self.history.add(session, zero_at, until)

    def _start_by_log(self, session: CloudSession) -> float | None:
        """When the media of a film began, if it plays from its beginning as soon as the log says that it is open."""
        opened = self._opened(session)
        if not opened or session.media is None or session.media.film_s is None:
            return None
        length = SCENES[session.camera or ""].length
        began = opened[-1] + session.media.film_s
        return began + max(0.0, (_arrived(session) - began) // length) * length

    def is_affected(self, session: CloudSession) -> bool:
        """Whether a fault of the camera can be felt in the session: one since its capture was opened, or lately."""
        opened = self._opened(session)
        since = min(opened[-1] if opened else 0.0, session.opened_at - AFFECTED_S)
        since = max(since, session.opened_at - LOOKS_BACK_S)
        return self._fault_runner.affects(session.camera or "", since, session.closed_at or session.opened_at)

    def _opened(self, session: CloudSession) -> list[float]:
        """When, by the daemon's log, the captures were opened that may have given the session's media."""
        return [at for at in self._testbed.daemon.opened.get(session.camera or "", ()) if at < _arrived(session)]

    def _check_date(self, session: CloudSession, off: float) -> None:
        """The dates of a source are only as good as its promptest packet, so what hampers the camera excuses them."""
        if self.is_affected(session):
            return
        self.counts["dated"] += 1
        self.max_date_error_s = max(self.max_date_error_s, abs(off))
        if abs(off) > DATING_S:
            self._note(self.troubles, [f"{session.name}: dated {off:+.2f} s beside its frames"], session)

    def _note(self, where: list[str], sentences: Sequence[str], session: CloudSession) -> None:
        zero = self._fault_runner.began
        opened, closed = session.opened_at - zero, (session.closed_at or zero) - zero
        where_from = f" ({session.camera}, from {opened:.1f} to {closed:.1f}: {session.how})"
        where += [sentence + where_from for sentence in sentences[: max(0, EVIDENCE - len(where))]]

    def _safe_until(self, session: CloudSession) -> float:
        ending = Ending(session.opened_at, session.closed_at or 0.0, self._testbed.cloud_tap.left.get(session.name))
        cuts = [Span(done.began, done.ended) for done in self._fault_runner.faults("uplink-cut")]
        resets = [done.began for kind in ("uplink-reset", "uplink-refused") for done in self._fault_runner.faults(kind)]
        return safe_until(ending, cuts, resets)

    def _accidents(self, closed_at: float) -> Accidents:
        """What may have cost events of a session that was closed then."""
        damages = [done.began for done in self._fault_runner.faults("daemon-damage")]
        return Accidents(self._testbed.daemon.kills, [at for at in damages if closed_at > at - WAITS_S])


def _arrived(session: CloudSession) -> float:
    """When the cloud got the first chunk of a session."""
    return min((chunk.arrived_at for chunk in session.chunks.values()), default=0.0)
