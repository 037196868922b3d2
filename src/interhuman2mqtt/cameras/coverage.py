"""Keep the gaps of all cameras through restarts, in `coverage.json`.

The file says up to when each camera's time is settled, what was wrong since, and when the last byte of media left the
box. It is written every `SAVE_S` seconds, soon after each gap, and at the end. So after a
crash or a power cut a gap may begin so much too early: time that was seen may be published as unseen, never the other
way round.

Within one boot of the machine all of that is exact, whatever was done to the wall clock meanwhile (`coverage_file`).
From one boot to the next only the wall clock leads, and only where it was synchronised on both sides: what the earlier
boot left is *owed* until then. After `PATIENCE_S` it is published without a length, as it is at once where it can never
be known.
"""

from collections.abc import Container, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, Protocol

import structlog
import trio

from interhuman2mqtt.cameras.coverage_file import (
    FORMAT,
    CameraRecord,
    CoverageFile,
    EarlierCoverage,
    KeptCoverage,
    Owed,
)
from interhuman2mqtt.cameras.gaps import AudioGap, Gap, GapTracker
from interhuman2mqtt.errors import Reason
from interhuman2mqtt.events import ActiveSignal, MediaChunk
from interhuman2mqtt.runtime.clock import BoxClock, Instant, is_unset
from interhuman2mqtt.runtime.log import RateLimitedLogger
from interhuman2mqtt.runtime.notifier import Notifier

# Every 10 s, not with each chunk: dozens of cameras would rewrite and synchronise the file dozens of times a second,
# which an SD card does not bear for long. What it costs is bounded and on the safe side: see above.
SAVE_S, SOON_S = 10.0, 1.0
PATIENCE_S = 600.0
"""How long a box that was started anew may take to learn what time it is."""

log = structlog.get_logger(__name__)


class DatedGap(NamedTuple):
    """A gap as it is published, dated by the wall clock as it is set now."""

    start_at: datetime | None
    """None: the clock was not set then."""
    end_at: datetime | None
    """None, as `seconds`: nobody knows."""
    reason: Reason
    seconds: float | None


class GapPublisher(Protocol):
    """Publishes gaps."""

    def publish_gap(self, camera: str, gap: DatedGap | AudioGap) -> None:
        """Publish a range of a camera's time that was not analysed, or not with its audio."""


class Coverage:
    """The gap trackers of all cameras of a box.

    Args:
        file: Where they are kept.
        events: Publishes each gap of a camera, once it is closed; one of its audio alone when it begins, too.
        clock: Gives the time, and dates it.
    """

    def __init__(
        self,
        file: Path,
        events: GapPublisher,
        clock: BoxClock,
    ) -> None:
        self._file = CoverageFile(file)
        self._events = events
        self._clock = clock
        self._trackers: dict[str, GapTracker] = {}
        self._owed: Owed | None = None
        self._written: object = None
        self._trouble = RateLimitedLogger(log)
        self._news = Notifier()

    def resume(self, cameras: Container[str]) -> Mapping[str, tuple[ActiveSignal, ...]]:
        """Read what an earlier life left, and publish the time since as gaps. Blocks.

        A camera that was removed meanwhile has its last gap up to now: nobody knows when it was.

        Args:
            cameras: The ids of those that are configured.

        Returns:
            The signals that a life of version 0.1 left active, which wrote them here.
        """
        now = self._clock.instant()
        kept = self._file.load(now)
        for name, record in kept.cameras.items():
            self._trackers[name] = self._new_tracker(record, kept.saved, now)
        if kept.saved.is_of_boot(now):
            self._owed = kept.owed
            for name, record in kept.cameras.items():
                self._settle(name, record.crashed(Reason.CRASHED, kept.saved.uptime), now.uptime)
        else:
            if kept.owed:
                self._give_up(kept.owed)  # twice started without a clock: nobody will ever know
            self._owed = Owed(kept.saved, now.uptime, kept.cameras)
        self.settle_owed()
        for earlier in self._file.take_in(now):
            self._take_in(earlier, now)
        for name in [one for one in self._trackers if one not in cameras]:
            self._give_up_one(name)
            del self._trackers[name]
        return kept.active

    def settle_owed(self) -> None:
        """Publish what an earlier boot left, if the wall clock says by now how long that was, or never will."""
        owed, now = self._owed, self._clock.instant()
        if owed is None:
            return
        if (shift := _shift(owed.saved, now)) is not None:
            for name, record in owed.cameras.items():
                shifted = record.crashed(Reason.POWER_CUT, owed.saved.uptime).shifted(shift)
                self._settle(name, shifted, owed.until)
        elif not owed.saved.synced or now.uptime - owed.until >= PATIENCE_S:
            self._give_up(owed)
        else:
            return
        self._owed = None
        self._news.set()

    def tracker(self, camera: str) -> GapTracker:
        """Return the tracker of a camera, which begins now where there is none."""
        if camera not in self._trackers:
            self._trackers[camera] = GapTracker(self._clock, self._clock.boottime())
            self._news.set()  # a crash must not forget that its time has begun
        return self._trackers[camera]

    def set_reason(self, camera: str, reason: Reason | None) -> None:
        """Set the reason for which a camera does not stream; None: it does."""
        self.tracker(camera).set_reason(reason, self._clock.boottime())

    def delivered(self, camera: str, capture: object, chunk: MediaChunk) -> None:
        """Note that a chunk of a camera reached the cloud."""
        self._publish(camera, self.tracker(camera).delivered(capture, chunk))

    def audio(self, camera: str, gap: AudioGap) -> None:
        """Publish that silence is sent in place of a camera's audio, or was until now."""
        log.info("audio", camera=camera, missing=gap.end is None, reason=gap.reason)
        self._events.publish_gap(camera, gap)

    def rejected(self, camera: str, chunk: MediaChunk) -> None:
        """Note that the cloud could not use a chunk that was delivered."""
        self._publish(camera, self.tracker(camera).rejected(chunk))

    def forget(self, camera: str) -> None:
        """Forget a camera that was removed: what it still owes is published as gaps, and nothing more is waited for."""
        self._give_up_one(camera)
        if tracker := self._trackers.pop(camera, None):
            self._publish(camera, tracker.close_until(self._clock.boottime()))

    async def keep(self) -> None:
        """Write what changed, at once and every `SAVE_S` seconds; a new gap soon, lest it is published twice."""
        while True:
            self.settle_owed()
            await self.save()
            await trio.sleep(SOON_S)
            with trio.move_on_after(SAVE_S - SOON_S):
                await self._news.wait()

    async def save(self) -> None:
        """Write what changed, if anything; what cannot be written is logged, and tried again the next time."""
        records = {name: CameraRecord.of(tracker) for name, tracker in self._trackers.items()}
        state = (records, self._owed)
        if state == self._written:
            return
        kept = KeptCoverage(FORMAT, self._clock.instant(), records, self._owed)
        try:
            await trio.to_thread.run_sync(self._file.save, kept)
        except OSError as error:
            detail = f"{self._file.path}: {error.strerror}: after a restart the gap before it will begin too early"
            self._trouble.emit("file", "unwritable", "coverage cannot be written", level="error", detail=detail)
        else:
            self._written = state
            self._trouble.emit("file", "written", "coverage is written", level="debug")

    def seconds(self, camera: str) -> dict[str, float]:
        """Return the seconds of a camera since the start: settled, delivered, missing; and since the last of that."""
        tracker = self.tracker(camera)
        return {
            "live_seconds": tracker.until - tracker.began,
            "delivered_seconds": tracker.delivered_s,
            "gap_seconds": float(sum(tracker.gap_s.values())),
            "lag_seconds": self.lag(camera),
        }

    def lag(self, camera: str) -> float:
        """Return for how many seconds it is not known what became of a camera's media."""
        return self._clock.boottime() - self.tracker(camera).until

    def _take_in(self, earlier: EarlierCoverage, now: Instant) -> None:
        """Publish the time between a newer version and the older one that could not read what it had written."""
        saved, cameras = earlier.kept.saved, earlier.kept.cameras
        if earlier.kept.owed:
            self._give_up(earlier.kept.owed)
        is_of_boot = saved.is_of_boot(now)
        shift = 0.0 if is_of_boot else _shift(saved, now)
        if shift is None:
            self._give_up(Owed(saved, now.uptime, cameras))
            return
        reason = Reason.CRASHED if is_of_boot else Reason.POWER_CUT
        until = now.uptime - max(0.0, now.wall - earlier.until)
        for name, record in cameras.items():
            settled = record.crashed(reason, saved.uptime).shifted(shift)
            self._publish(name, GapTracker(self._clock, settled.until, settled.causes).close_until(until))

    def _new_tracker(self, record: CameraRecord, saved: Instant, now: Instant) -> GapTracker:
        """Return the tracker of a camera that an earlier life knew; its time begins now."""
        tracker = GapTracker(self._clock, max(now.uptime, record.until) if saved.is_of_boot(now) else now.uptime)
        tracker.sent_before = record.sent_before
        if saved.is_of_boot(now):
            tracker.sent = record.sent
        elif record.sent is not None:
            tracker.sent_before = _dated(record.sent, saved)
        return tracker

    def _settle(self, camera: str, record: CameraRecord, until: float) -> None:
        """Publish what passed between a record and the life that came next, which takes over its figures."""
        earlier = GapTracker(self._clock, record.until, record.causes)
        gaps = earlier.close_until(until)
        self.tracker(camera).follow(earlier)
        self._publish(camera, gaps)

    def _give_up_one(self, camera: str) -> None:
        """Publish what is owed of one camera, which is no longer there when it could be dated."""
        if self._owed and camera in self._owed.cameras:
            self._give_up(self._owed.only(camera))
            self._owed = self._owed.without(camera)

    def _give_up(self, owed: Owed) -> None:
        """Publish what an earlier boot left, without a length."""
        for camera, record in owed.cameras.items():
            reason = record.crashed(Reason.POWER_CUT, owed.saved.uptime).causes[-1].reason or Reason.POWER_CUT
            log.info("gap", camera=camera, reason=reason, seconds=None)
            self._events.publish_gap(camera, DatedGap(_dated(record.until, owed.saved), None, reason, None))

    def _publish(self, camera: str, gaps: tuple[Gap, ...]) -> None:
        for gap in gaps:
            log.info("gap", camera=camera, reason=gap.reason, seconds=round(gap.seconds, 1))
            start_at, end_at = self._clock.utc(gap.start), self._clock.utc(gap.end)
            self._events.publish_gap(camera, DatedGap(start_at, end_at, gap.reason, gap.seconds))
            self._news.set()


def _shift(saved: Instant, now: Instant) -> float | None:
    """Return what puts a time of the earlier boot on the BOOTTIME of this one; None where no clock leads there."""
    if not (saved.synced and now.synced and saved.wall <= now.wall):
        return None
    return (saved.wall - saved.uptime) - (now.wall - now.uptime)


def _dated(uptime: float, saved: Instant) -> datetime | None:
    """Return a time of the earlier boot, as that dated it; None where its clock was not set."""
    at = datetime.fromtimestamp(uptime - saved.uptime + saved.wall, UTC)
    return None if is_unset(at) else at
