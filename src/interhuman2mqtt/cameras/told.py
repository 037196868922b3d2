"""What this program itself tells as events of a camera: time that was not analysed, and ends that nobody else tells."""

from collections.abc import Callable
from itertools import count

from interhuman2mqtt.cameras.ledger import AudioGap, Gap
from interhuman2mqtt.events import AudioGapData, Clock, Event, GapData, Range, utc_now

GAP = "coverage.gap"
DEGRADED = "coverage.degraded"


class Teller:
    """Makes the events of one life of the daemon.

    Args:
        boot_id: The scope of their ids, which belong to no session.
    """

    def __init__(self, box: str, boot_id: str, clock: Callable[[], Clock]) -> None:
        self._box = box
        self._boot_id = boot_id
        self._clock = clock
        self._numbers = count(1)

    def gap(self, camera: str, gap: Gap) -> Event:
        """`coverage.gap`: media that never reached the analysis, or never existed."""
        return Event(
            id=self._id(camera),
            box=self._box,
            camera=camera,
            type=GAP,
            session=None,
            correlation_id=None,
            timestamp=None,
            received_at=utc_now(),
            start_at=gap.start_at,
            end_at=gap.end_at,
            ranges_at=(Range(gap.start_at, gap.end_at),),
            clock=self._clock(),
            data=dict(GapData(reason=gap.reason, seconds=round(gap.seconds, 3))),
        )

    def audio(self, camera: str, gap: AudioGap) -> Event:
        """`coverage.degraded`: the video was analysed with silence in place of its sound, or is from now on."""
        seconds = round((gap.end_at - gap.start_at).total_seconds(), 3) if gap.end_at else None
        return Event(
            id=self._id(camera),
            box=self._box,
            camera=camera,
            type=DEGRADED,
            session=None,
            correlation_id=None,
            timestamp=None,
            received_at=utc_now(),
            start_at=gap.start_at,
            end_at=gap.end_at,
            ranges_at=(Range(gap.start_at, gap.end_at),),
            clock=self._clock(),
            synthetic=True,
            data=dict(AudioGapData(reason=gap.reason, track="audio", seconds=seconds)),
        )

    def signal_end(self, camera: str, kind: str, session: str | None) -> Event:
        """`signal.ended` for a signal that an earlier life of this daemon left active."""
        return Event(
            id=self._id(camera),
            box=self._box,
            camera=camera,
            type="signal.ended",
            session=session,
            correlation_id=None,
            timestamp=None,
            received_at=utc_now(),
            clock=self._clock(),
            synthetic=True,
            data={"signal_type": kind},
        )

    def _id(self, camera: str) -> str:
        return f"{self._box}/{camera}/{self._boot_id}/{next(self._numbers)}"
