"""Metric families of the cameras, the outbox and the broker."""

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from interhuman2mqtt.cameras.camera import Camera
from interhuman2mqtt.cameras.counters import Counters
from interhuman2mqtt.cameras.coverage import Coverage
from interhuman2mqtt.events import State
from interhuman2mqtt.publish.message import DropReason, MessageKind
from interhuman2mqtt.publish.service import PublishService
from interhuman2mqtt.runtime.histogram import Histogram

PREFIX = "interhuman2mqtt"

Rows = Iterable[tuple[Sequence[str], float]]
"""Values of the labels, in their order, and the value."""


def counter(name: str, help_text: str, rows: Rows, labels: Sequence[str] = ()) -> Metric:
    """Return what only grows, until the daemon or the camera is started anew; `_total` is added to its name."""
    return _filled(CounterMetricFamily(f"{PREFIX}_{name}", help_text, labels=labels), rows)


def gauge(name: str, help_text: str, rows: Rows, labels: Sequence[str] = ()) -> Metric:
    """Return what goes up and down."""
    return _filled(GaugeMetricFamily(f"{PREFIX}_{name}", help_text, labels=labels), rows)


def histogram(name: str, help_text: str, delays: Mapping[str, Histogram]) -> Metric:
    """Return how long something took, by camera."""
    family = HistogramMetricFamily(f"{PREFIX}_{name}", help_text, labels=["camera"])
    for camera, measured in delays.items():
        buckets = [(_bound(bound), float(count)) for bound, count in measured.cumulative()]
        family.add_metric([camera], buckets, measured.total)
    return family


def _bound(bound: float) -> str:
    return "+Inf" if bound == math.inf else f"{bound:g}"


def _filled(family: CounterMetricFamily | GaugeMetricFamily, rows: Rows) -> Metric:
    for labels, value in rows:
        family.add_metric(labels, value)
    return family


def collect_publishing(service: PublishService, cameras: Collection[str]) -> Iterator[Metric]:
    """Yield all families of the way to the broker; of the cameras only these."""
    yield from _outbox(service)
    yield from _broker(service)
    yield histogram(
        "event_to_puback_seconds",
        "From when an event was received until the broker had it, outages included.",
        {camera: delays for camera, delays in service.stats.delays.items() if camera in cameras},
    )


def _outbox(service: PublishService) -> Iterator[Metric]:
    depth = service.outbox.depth
    yield gauge("outbox_messages", "Messages that wait for the broker.", [((), depth.rows)])
    yield gauge(
        "outbox_parked_messages",
        "Those whose topic the broker refuses, or that seem to break connections.",
        [((), depth.parked)],
    )
    yield gauge("outbox_bytes", "Bytes that they take.", [((), depth.bytes)])
    yield gauge("outbox_max_bytes", "outbox.max_size.", [((), service.max_size)])
    yield gauge("outbox_oldest_seconds", "For how long the oldest waits.", [((), depth.age)])
    durable = float(service.outbox.trouble is None)
    yield gauge("outbox_durable", "1 while what waits would survive a restart.", [((), durable)])
    dropped: Rows = (((reason.value,), service.drops.counts.get(reason.value, 0)) for reason in DropReason)
    yield counter("outbox_dropped_messages", "Messages that were lost, by the rule.", dropped, ["rule"])


def _broker(service: PublishService) -> Iterator[Metric]:
    stats, broker = service.stats, service.broker
    yield gauge("broker_connected", "1 while there is a connection.", [((), float(service.is_online))])
    why: Rows = [((broker.reason.value,), 1.0)] if broker is not None and broker.reason is not None else []
    yield gauge("broker_reason", "Why there is none: 1 for the reason.", why, ["reason"])
    yield counter("broker_connections", "Connections that came about.", [((), stats.connections)])
    failures: Rows = (((reason.value,), count) for reason, count in stats.failures.items())
    yield counter("broker_failures", "Connections that were lost, or did not come about.", failures, ["reason"])
    acknowledged: Rows = (((kind.value,), stats.acknowledged[kind]) for kind in MessageKind)
    yield counter("broker_acknowledged_messages", "Messages that the broker acknowledged.", acknowledged, ["kind"])


RunningCameras = Mapping[str, Camera]

COUNTERS = {
    "capture_starts": ("Capture processes that were started.", "captures"),
    "uplink_sessions": ("Sessions that were opened, or tried to.", "sessions"),
    "uplink_chunks_sent": ("Pieces of media that were sent.", "chunks_sent"),
    "uplink_chunks_delivered": ("Pieces of media of which a pong showed that they arrived.", "chunks_delivered"),
    "uplink_bytes_sent": ("Bytes of media that were sent.", "bytes_sent"),
    "uplink_media_seconds_sent": ("Seconds of media that were sent, what was sent again included.", "seconds_sent"),
    "spool_seconds_written": ("Seconds of media that were spooled while the cloud was away.", "spooled_seconds"),
    "spool_seconds_lost": ("Seconds that the disk did not take, or too short for an upload.", "spool_lost_seconds"),
    "spool_seconds_dropped": ("Seconds that were spooled, and became too old or too much.", "spool_dropped_seconds"),
    "backfill_seconds": ("Seconds of spooled media that were analysed after all.", "backfilled_seconds"),
    "backfill_seconds_lost": ("Seconds that may have been analysed, the answer lost.", "backfill_lost_seconds"),
    "backfill_seconds_rejected": ("Seconds that the cloud would not take.", "backfill_rejected_seconds"),
}
GAUGES = {
    "capture_processes": ("Capture processes that there are: one at most.", "children"),
    "ring_seconds": ("Seconds of media that the ring holds.", "ring_seconds"),
    "ring_bytes": ("Bytes of media that the ring holds.", "ring_bytes"),
    "spool_files": ("Files of media that wait to be uploaded.", "spool_segments"),
    "spool_bytes": ("Bytes that they take on the disk.", "spool_bytes"),
    "spool_seconds": ("Seconds of media that they hold.", "spool_seconds"),
    "uplink_round_trip_seconds": ("Of the newest ping of a session.", "round_trip"),
}
LABELLED: dict[str, tuple[str, str, Callable[[Counters], Mapping[Any, int]]]] = {
    "capture_failures": ("Captures that failed.", "reason", lambda counters: counters.capture_failures),
    "capture_repairs": ("What the source sent wrongly and was mended.", "rule", lambda c: c.repaired.counts),
    "uplink_failures": ("Sessions that did not come about, or broke.", "reason", lambda c: c.session_failures),
    "uplink_session_ends": ("Sessions that ended in good order.", "cause", lambda c: c.session_ends),
    "server_events": ("Events of the cloud.", "type", lambda c: c.event_types.counts),
    "server_oddities": (
        "What the cloud did against its protocol, and cost no session.",
        "oddity",
        lambda c: c.anomalies,
    ),
}


def collect_cameras(cameras: RunningCameras, coverage: Coverage) -> Iterator[Metric]:
    """Yield all families of the cameras."""
    counted = {name: camera.counters for name, camera in cameras.items()}
    yield from _states(cameras)
    yield from _counters(counted)
    yield from _labelled(counted)
    yield from _coverage(cameras, coverage)
    yield histogram(
        "capture_to_sent_seconds",
        "From the end of a chunk, as it was captured, until all of it was sent.",
        {name: counters.capture_to_sent for name, counters in counted.items()},
    )
    yield histogram(
        "sent_to_event_seconds",
        "From when the newest media that an event names was sent, until the event was received.",
        {name: counters.sent_to_event for name, counters in counted.items()},
    )


def _states(cameras: RunningCameras) -> Iterator[Metric]:
    statuses = {name: camera.status.current for name, camera in cameras.items()}
    states: Rows = (
        ((name, state.value), float(status.state is state)) for name, status in statuses.items() for state in State
    )
    yield gauge("camera_state", "1 for the state that a camera is in.", states, ["camera", "state"])
    reasons: Rows = (
        ((name, status.reason.value), 1.0) for name, status in statuses.items() if status.reason is not None
    )
    yield gauge("camera_reason", "Why a camera does not stream: 1 for the reason.", reasons, ["camera", "reason"])


def _counters(counted: Mapping[str, Counters]) -> Iterator[Metric]:
    for make, families in ((counter, COUNTERS), (gauge, GAUGES)):
        for name, (help_text, attribute) in families.items():
            rows: Rows = (((camera,), getattr(counters, attribute)) for camera, counters in counted.items())
            yield make(name, help_text, rows, ["camera"])
    packets: Rows = (
        ((camera, track), getattr(counters, f"{track}_packets"))
        for camera, counters in counted.items()
        for track in ("video", "audio")
    )
    yield counter("capture_packets", "Packets that came from the source.", packets, ["camera", "track"])


def _labelled(counted: Mapping[str, Counters]) -> Iterator[Metric]:
    for name, (help_text, label, counts_of) in LABELLED.items():
        rows: Rows = (
            ((camera, part), float(count))
            for camera, counters in counted.items()
            for part, count in counts_of(counters).items()
        )
        yield counter(name, help_text, rows, ["camera", label])


def _coverage(cameras: RunningCameras, coverage: Coverage) -> Iterator[Metric]:
    trackers = {name: coverage.tracker(name) for name in cameras}
    delivered: Rows = (((name,), tracker.delivered_s) for name, tracker in trackers.items())
    yield counter("coverage_delivered_seconds", "Of a camera's time, what the cloud got.", delivered, ["camera"])
    gaps: Rows = (
        ((name, reason.value), seconds)
        for name, tracker in trackers.items()
        for reason, seconds in tracker.gap_s.items()
    )
    yield counter("coverage_gap_seconds", "Of a camera's time, what it never got.", gaps, ["camera", "reason"])
    lags: Rows = (((name,), coverage.lag(name)) for name in trackers)
    yield gauge("coverage_lag_seconds", "Since when it is not known what became of its media.", lags, ["camera"])
