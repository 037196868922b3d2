"""Outbox and broker."""

from collections.abc import Collection, Iterator

from prometheus_client.core import Metric

from interhuman2mqtt.metrics.families import Rows, counter, gauge, histogram
from interhuman2mqtt.publish.message import Kind, Loss
from interhuman2mqtt.publish.service import Delivery


def collect(delivery: Delivery, cameras: Collection[str]) -> Iterator[Metric]:
    """All families of the way to the broker; of the cameras only these are told."""
    yield from _outbox(delivery)
    yield from _broker(delivery)
    yield histogram(
        "event_to_puback_seconds",
        "From when an event was received until the broker had it, outages included.",
        {camera: delays for camera, delays in delivery.handed.delays.items() if camera in cameras},
    )


def _outbox(delivery: Delivery) -> Iterator[Metric]:
    depth = delivery.outbox.depth
    yield gauge("outbox_messages", "Messages that wait for the broker.", [((), depth.rows)])
    yield gauge(
        "outbox_parked_messages",
        "Those whose topic the broker refuses, or that seem to break connections.",
        [((), depth.parked)],
    )
    yield gauge("outbox_bytes", "Bytes that they take.", [((), depth.bytes)])
    yield gauge("outbox_max_bytes", "outbox.max_size.", [((), delivery.max_size)])
    yield gauge("outbox_oldest_seconds", "For how long the oldest waits.", [((), depth.age)])
    durable = float(delivery.outbox.trouble is None)
    yield gauge("outbox_durable", "1 while what waits would survive a restart.", [((), durable)])
    lost: Rows = (((loss.value,), delivery.losses.counts.get(loss.value, 0)) for loss in Loss)
    yield counter("outbox_dropped_messages", "Messages that were lost, by the rule.", lost, ["rule"])


def _broker(delivery: Delivery) -> Iterator[Metric]:
    handed, broker = delivery.handed, delivery.broker
    yield gauge("broker_connected", "1 while there is a connection.", [((), float(delivery.is_online))])
    why: Rows = [((broker.reason.value,), 1.0)] if broker is not None and broker.reason is not None else []
    yield gauge("broker_reason", "Why there is none: 1 for the reason.", why, ["reason"])
    yield counter("broker_connections", "Connections that came about.", [((), handed.connections)])
    failures: Rows = (((reason.value,), count) for reason, count in handed.failures.items())
    yield counter("broker_failures", "Connections that were lost, or did not come about.", failures, ["reason"])
    acknowledged: Rows = (((kind.value,), handed.acknowledged[kind]) for kind in Kind)
    yield counter("broker_acknowledged_messages", "Messages that the broker acknowledged.", acknowledged, ["kind"])
