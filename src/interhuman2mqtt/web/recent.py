"""The last hour and a little of each camera, in memory: the page draws it for a whole fleet again and again. No I/O."""

from collections.abc import Iterable
from typing import NamedTuple, TypeVar

from interhuman2mqtt.web.history import History
from interhuman2mqtt.web.rows import CameraKey, EngagementRow, FilledRow, GapRow, HoleRow, ReceivedRow, Row
from interhuman2mqtt.web.timeline import Stretch, analysed, clip, engagement

Value = TypeVar("Value")
KEPT_S = 2 * 3600.0
CHANGES_MAX = 2000
"""Changes, gaps or holes of one camera: who may publish does not fill our memory."""


class _Camera(NamedTuple):
    changes: dict[float, str]
    gaps: dict[float, GapRow]
    holes: dict[float, float]
    filled: dict[float, float]


class RecentHours:
    """Takes the rows that go to the history, and answers with ribbons."""

    def __init__(self) -> None:
        self._cameras: dict[CameraKey, _Camera] = {}
        self._received: dict[float, float] = {}

    def add(self, rows: Iterable[Row]) -> None:
        """Take rows in; those that say nothing of a ribbon are left out."""
        for row in rows:
            match row:
                case ReceivedRow(start, end):
                    self._received[start] = end
                case EngagementRow(camera, start, state):
                    _bounded(self._of(camera).changes)[start] = state
                case GapRow(camera, start):
                    _bounded(self._of(camera).gaps)[start] = row
                case FilledRow(camera, start, end):
                    _bounded(self._of(camera).filled)[start] = end
                case HoleRow(camera, start, end):
                    _bounded(self._of(camera).holes)[start] = end

    def load(self, history: History, now: float) -> None:
        """Take what a history has of the last hours. Blocks."""
        start = now - KEPT_S
        self.add(ReceivedRow(*span) for span in history.received(start, now))
        for camera in history.cameras():
            self.add(EngagementRow(camera, *row) for row in history.points("engagement", camera, start, now))
            self.add(GapRow(camera, *row) for row in history.spans("gap", camera, start, now))
            self.add(HoleRow(camera, *row) for row in history.spans("hole", camera, start, now))
            self.add(FilledRow(camera, *row) for row in history.spans("filled", camera, start, now))

    def trim(self, now: float) -> None:
        """Let go of what is older than any ribbon, but for the level that still holds."""
        before = now - KEPT_S
        self._received = {start: end for start, end in self._received.items() if end >= before}
        for camera in self._cameras.values():
            old = sorted(at for at in camera.changes if at < before)
            for at in old[:-1]:
                del camera.changes[at]
            for start in [start for start, gap in camera.gaps.items() if gap.end is not None and gap.end < before]:
                over = camera.gaps.pop(start).end or before
                for at in [at for at in camera.changes if at < over]:  # a level does not outlive a gap
                    del camera.changes[at]
            for spans in (camera.holes, camera.filled):
                for start in [start for start, end in spans.items() if end < before]:
                    del spans[start]

    def forget(self, camera: CameraKey) -> None:
        """Let go of a camera."""
        self._cameras.pop(camera, None)

    def ribbon(self, camera: CameraKey, span: tuple[float, float]) -> list[Stretch]:
        """Return how engaged people were in a range that is not older than `KEPT_S`, and where that is not known."""
        known = self._of(camera)
        changes = sorted(known.changes.items())
        begun = [at for at, _ in changes if at <= span[0]]
        whole = (min([span[0], *begun[-1:]]), span[1])  # a level of before holds only where nothing has come between
        gaps = [(gap.start, gap.end, gap.reason) for gap in known.gaps.values()]
        lane = analysed(whole, self._received.items(), known.holes.items(), gaps, known.filled.items())
        return clip(engagement(lane, changes), span)

    def _of(self, camera: CameraKey) -> _Camera:
        if camera not in self._cameras:
            self._cameras[camera] = _Camera({}, {}, {}, {})
        return self._cameras[camera]


def _bounded(entries: dict[float, Value]) -> dict[float, Value]:
    if len(entries) >= CHANGES_MAX:
        del entries[min(entries)]
    return entries
