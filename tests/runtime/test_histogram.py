"""What is counted where it happens."""

from datetime import UTC, datetime

import pytest

from interhuman2mqtt.publish.message import Message, MessageKind
from interhuman2mqtt.publish.service import BrokerStats
from interhuman2mqtt.runtime.histogram import BOUNDS, NAMES_MAX, OTHER, BoundedCounter, Histogram

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def test_delays_are_cumulative() -> None:
    """Each bucket counts what took at most so long; less than nothing counts as nothing."""
    delays = Histogram()
    for seconds in (-1.0, 0.005, 0.3, 99_999.0):
        delays.observe(seconds)
    counts = dict(delays.cumulative())
    assert (counts[0.005], counts[0.25], counts[0.5], counts[BOUNDS[-1]], counts[float("inf")]) == (2, 2, 3, 3, 4)
    assert delays.total == pytest.approx(99_999.305)


def test_names_are_bounded() -> None:
    """Whoever makes up names gets no more than so many labels, of so many characters."""
    names = BoundedCounter()
    for number in range(1000):
        names.add(f"{number:03}" + "x" * 1000)
    names.add("000" + "x" * 1000)
    assert len(names.counts) == NAMES_MAX + 1
    assert names.counts[OTHER] == 1000 - NAMES_MAX
    assert max(map(len, names.counts)) == 64
    assert sum(names.counts.values()) == 1001


def test_delays_of_cameras_that_are_gone_go_too() -> None:
    """What is kept by camera is kept for those that there are; a state has no delay."""
    stats = BrokerStats()
    for camera in ("front", "gone"):
        for kind in (MessageKind.EVENT, MessageKind.STATE):
            stats.count(Message(topic="t", payload=b"", kind=kind, retain=False, camera=camera), 0.5)
    assert stats.acknowledged == {MessageKind.EVENT: 2, MessageKind.STATE: 2}
    stats.remove_others({"front"})
    assert list(stats.delays) == ["front"]
    assert stats.delays["front"].total == 0.5
