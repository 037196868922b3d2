"""The counters of one camera, each counted where it happens."""

from collections import Counter

from interhuman2mqtt.capture import ipc
from interhuman2mqtt.cloud.session_types import Anomaly, EndCause
from interhuman2mqtt.errors import Reason
from interhuman2mqtt.runtime.histogram import BoundedCounter, Histogram


class Counters:
    """The counters of one camera since the daemon started: the numbers of `bridge/health`, and their parts."""

    def __init__(self) -> None:
        self.captures = 0
        self.children = 0
        """Capture processes that there are: one at most."""
        self.video_packets = 0
        self.audio_packets = 0
        self.ring_seconds = 0.0
        """Of media that the capture process holds now."""
        self.ring_bytes = 0
        self.repairs = 0
        """How often a rule about what the source sends wrongly was applied."""
        self.sessions = 0
        self.reconnects = 0
        """Sessions that broke after they had been open, so that another had to follow."""
        self.chunks_sent = 0
        self.bytes_sent = 0
        self.seconds_sent = 0.0
        self.chunks_delivered = 0
        self.events = 0
        self.oddities = 0
        self.spool_segments = 0
        """Of what waits to be uploaded, as the next two."""
        self.spool_bytes = 0
        self.spool_seconds = 0.0
        self.spooled_seconds = 0.0
        self.spool_lost_seconds = 0.0
        """Of media that the disk did not take, or that is too short for an upload."""
        self.spool_dropped_seconds = 0.0
        """Of media that was spooled, and became too old or too much."""
        self.backfilled_seconds = 0.0
        self.backfill_lost_seconds = 0.0
        """Of media that may have been analysed, and the answer was lost."""
        self.backfill_rejected_seconds = 0.0
        self.round_trip = 0.0
        """Seconds, of the newest ping."""
        self.repaired = BoundedCounter()
        self.capture_failures = Counter[Reason]()
        self.session_failures = Counter[Reason]()
        self.session_ends = Counter[EndCause]()
        self.event_types = BoundedCounter()
        self.anomalies = Counter[Anomaly]()
        self.capture_to_sent = Histogram()
        """From the end of a chunk, as it was captured, until the chunk was out."""
        self.sent_to_event = Histogram()
        """From when the newest media that an event names was out, until the event came."""

    def add_heartbeat(self, before: ipc.WorkerHeartbeat | None, now: ipc.WorkerHeartbeat) -> None:
        """Add what a heartbeat of the capture process says that the one before it did not."""
        self.ring_seconds, self.ring_bytes = now.ring_s, now.ring_bytes
        self.video_packets += max(0, now.video_packets - (before.video_packets if before else 0))
        self.audio_packets += max(0, now.audio_packets - (before.audio_packets if before else 0))
        known = before.repairs if before else {}
        for rule, count in now.repairs.items():
            if more := max(0, count - known.get(rule, 0)):
                self.repairs += more
                self.repaired.add(rule, more)

    def end_capture(self) -> None:
        """Note that there is no capture process any more, or none that answers."""
        self.ring_seconds, self.ring_bytes = 0.0, 0

    def as_dict(self) -> dict[str, float]:
        """Return the numbers by name."""
        return {name: float(value) for name, value in vars(self).items() if isinstance(value, int | float)}
