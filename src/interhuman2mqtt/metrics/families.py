"""Metric families of prometheus_client, with our prefix and in one call each."""

import math
from collections.abc import Iterable, Mapping, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from interhuman2mqtt.runtime.histogram import Delays

PREFIX = "interhuman2mqtt"

Rows = Iterable[tuple[Sequence[str], float]]
"""Values of the labels, in their order, and the value."""


def counter(name: str, says: str, rows: Rows, labels: Sequence[str] = ()) -> Metric:
    """What only grows, until the daemon or the camera is started anew; `_total` is added to its name."""
    return _filled(CounterMetricFamily(f"{PREFIX}_{name}", says, labels=labels), rows)


def gauge(name: str, says: str, rows: Rows, labels: Sequence[str] = ()) -> Metric:
    """What is so now."""
    return _filled(GaugeMetricFamily(f"{PREFIX}_{name}", says, labels=labels), rows)


def histogram(name: str, says: str, delays: Mapping[str, Delays]) -> Metric:
    """How long something took, by camera."""
    family = HistogramMetricFamily(f"{PREFIX}_{name}", says, labels=["camera"])
    for camera, measured in delays.items():
        buckets = [(_shown(bound), float(count)) for bound, count in measured.cumulative()]
        family.add_metric([camera], buckets, measured.total)
    return family


def _shown(bound: float) -> str:
    return "+Inf" if bound == math.inf else f"{bound:g}"


def _filled(family: CounterMetricFamily | GaugeMetricFamily, rows: Rows) -> Metric:
    for labels, value in rows:
        family.add_metric(labels, value)
    return family
