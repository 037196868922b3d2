"""What is known of each camera: when it was seen by the cloud, what disturbed it, and how soon it was back."""

from collections import defaultdict
from collections.abc import Iterator

from soak.archive import CloudSession
from soak.coverage import Account
from soak.fault_plan import KINDS, Part
from soak.fault_runner import FaultRecord, FaultRunner
from soak.oracle import Comeback, Disturbance, Piece, comebacks
from soak.published_log import Gap
from soak.spans import Span, common, union, without
from soak.testbed import Paused

SURVIVED = frozenset({"uplink-cut", "uplink-throttled"})
"""Faults of the uplink through which a session may live."""
WAITS_S = 120.0
"""How long an event waits at most for a broker that is out for as long as a plan makes it."""
DARK_S = 3.0
"""How long frames are damaged after some were held back, until the next key frame is through."""
PAUSE_S = 2.0
"""Within which a pause must have taken effect."""
SETTLED_S = 3.0
"""How long a camera takes that is back in the configuration until its time counts again."""


class History:
    """Of the cameras of a testbed; times are time.time()."""

    def __init__(self, cameras: tuple[str, ...], fault_runner: FaultRunner) -> None:
        self._cameras = cameras
        self._fault_runner = fault_runner
        self._seen: dict[str, list[Span]] = defaultdict(list)
        self._proven: dict[str, list[Span]] = defaultdict(list)
        self._pieces: dict[str, list[Piece]] = defaultdict(list)

    def add(self, session: CloudSession, zero_at: float, proven_until: float) -> None:
        """A session that is over, its media read.

        Args:
            session: It.
            zero_at: When its media began.
            proven_until: What arrived before then the daemon can know to have arrived.
        """
        if session.camera not in self._cameras:
            return
        pieces = [
            Piece(chunk.arrived_at, Span(zero_at + chunk.start, zero_at + chunk.end), session.opened_at)
            for chunk in session.chunks.values()
            if chunk.start is not None and chunk.end is not None
        ]
        seen = session.media.seen if session.media else []
        seen = seen or union(piece.span for piece in pieces)  # of audio without video nothing is seen
        proven = (piece.span for piece in pieces if piece.arrived_at < proven_until)
        self._pieces[session.camera] += pieces
        self._proven[session.camera] += common(proven, seen)
        self._seen[session.camera] += seen

    def accounts(self, gaps: list[Gap], kills: list[float]) -> Iterator[Account]:
        """The time of each camera, from its first media to its last, but for when it was not configured.

        Args:
            gaps: Of all cameras.
            kills: When the daemon was killed.
        """
        damages = [Span(done.began - WAITS_S, done.ended) for done in self._fault_runner.faults("daemon-damage")]
        for name in self._cameras:
            if pieces := self._pieces[name]:
                live = Span(min(piece.span.start for piece in pieces), max(piece.span.end for piece in pieces))
                off = [
                    Span(done.began, done.ended + SETTLED_S)
                    for done in self._fault_runner.faults("reload-remove", name)
                ]
                muted = self._fault_runner.faults("camera-mute-video", name)
                dark = [Span(done.ended - 1.0, done.ended + DARK_S) for done in muted]
                degraded = common((piece.span for piece in pieces), dark)  # of which the cloud says that it is degraded
                yield Account(
                    name,
                    without([live], off),
                    union([*self._seen[name], *degraded]),
                    union(self._proven[name]),
                    [gap for gap in gaps if gap.camera == name],
                    damages,
                    kills,
                )

    def comebacks(self, until: float) -> dict[str, list[Comeback]]:
        """How soon each camera was back; the run was over at `until`."""
        return {name: comebacks(self._disturbances(name), sorted(self._pieces[name]), until) for name in self._cameras}

    def media_in_pauses(self, pauses: list[Paused]) -> list[str]:
        """Media that was captured while its camera was paused, in sentences."""
        wrong, zero = [], self._fault_runner.began
        for camera, span in pauses:
            within = [Span(span.start + PAUSE_S, span.end)]
            wrong += [
                f"{camera}: {one.seconds:.1f} s of media from {one.start - zero:.1f} on, when it was paused"
                for one in common(within, self._seen[camera])
            ]
        return wrong

    def lag(self, since: float) -> float:
        """Seconds from the capture of the newest media to its arrival, of the camera that lags most at the end."""
        return max(
            (
                min((p.arrived_at - p.span.end for p in pieces if p.arrived_at >= since), default=0.0)
                for pieces in self._pieces.values()
            ),
            default=0.0,
        )

    def _disturbances(self, camera: str) -> list[Disturbance]:
        return [
            _disturbance(done) for done in self._fault_runner.done if not done.note and done.planned.disturbs(camera)
        ]


def _disturbance(done: FaultRecord) -> Disturbance:
    fault, part = done.planned.kind, KINDS[done.planned.kind].part
    since = done.ended if part is Part.CONFIG else done.began  # a file that is changed back restarts the camera again
    return Disturbance(
        fault, done.began, done.ended, None if fault in SURVIVED else since, at_source=part is Part.CAMERA
    )
