"""Events of our own about a camera: time that was not analysed, and ends that nobody else publishes."""

from collections import Counter
from typing import Any

from msgspec import UNSET, structs

from interhuman2mqtt.backfill.spools import Spools
from interhuman2mqtt.cameras.context import CameraPublisher
from interhuman2mqtt.cameras.coverage import DatedGap
from interhuman2mqtt.cameras.gaps import AudioGap
from interhuman2mqtt.events import ActiveSignal, AudioGapData, Clock, Event, GapData, Range
from interhuman2mqtt.runtime.clock import BoxClock

GAP = "coverage.gap"
DEGRADED = "coverage.degraded"


class CameraEvents:
    """Makes and publishes the events of one life of the daemon.

    Args:
        boot_id: The scope of their ids, which belong to no session.
        spools: Remember gaps, which may be filled later.
    """

    def __init__(self, box: str, boot_id: str, clock: BoxClock, publisher: CameraPublisher, spools: Spools) -> None:
        self._publisher = publisher
        self._spools = spools
        self._box = box
        self._boot_id = boot_id
        self._clock = clock
        # Of each camera its own: who subscribes finds out by a number left out that an event of a camera was lost.
        self._numbers = Counter[str]()

    def publish_gap(self, camera: str, gap: DatedGap | AudioGap) -> None:
        """Publish a range of a camera's time that was not analysed, or not with its audio."""
        event = self.audio(camera, gap) if isinstance(gap, AudioGap) else self.gap(camera, gap)
        self._publisher.publish_event(event)
        if isinstance(gap, DatedGap):
            self._spools.add_gap(camera, event.id, gap.start_at, gap.seconds, gap.reason)

    def publish_signal_end(self, camera: str, signal: ActiveSignal) -> None:
        """Publish the end of a signal that an earlier life of this daemon left active."""
        self._publisher.publish_event(self.signal_end(camera, signal.type, signal.session))

    def gap(self, camera: str, gap: DatedGap) -> Event:
        """Return `coverage.gap`: media that never reached the analysis, or never existed."""
        seconds = None if gap.seconds is None else round(gap.seconds, 3)
        return structs.replace(
            self._event(camera, GAP, dict(GapData(reason=gap.reason, seconds=seconds))),
            start_at=gap.start_at,
            end_at=gap.end_at,
            ranges_at=(Range(gap.start_at, gap.end_at),) if gap.start_at and gap.end_at else UNSET,
            clock=Clock.UNKNOWN if seconds is None else self._clock.state,
        )

    def audio(self, camera: str, gap: AudioGap) -> Event:
        """Return `coverage.degraded`: the video was analysed with silence in place of its audio, or is from now on."""
        seconds = None if gap.end is None else round(gap.end - gap.start, 3)
        start_at, end_at = self._clock.utc(gap.start), None if gap.end is None else self._clock.utc(gap.end)
        return structs.replace(
            self._event(camera, DEGRADED, dict(AudioGapData(reason=gap.reason, track="audio", seconds=seconds))),
            start_at=start_at,
            end_at=end_at,
            ranges_at=(Range(start_at, end_at),),
            synthetic=True,
        )

    def signal_end(self, camera: str, kind: str, session: str | None) -> Event:
        """Return `signal.ended` for a signal that an earlier life of this daemon left active."""
        event = self._event(camera, "signal.ended", {"signal_type": kind})
        return structs.replace(event, session=session, synthetic=True)

    def _event(self, camera: str, type_: str, data: dict[str, Any]) -> Event:
        """Return an event that belongs to no session, dated now."""
        self._numbers[camera] += 1
        return Event(
            id=f"{self._box}/{camera}/{self._boot_id}/{self._numbers[camera]}",
            box=self._box,
            camera=camera,
            type=type_,
            session=None,
            correlation_id=None,
            timestamp=None,
            received_at=self._clock.utc_now(),
            clock=self._clock.state,
            data=data,
        )
