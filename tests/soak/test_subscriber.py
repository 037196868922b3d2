"""The subscriber misses what should have come, and nothing else."""

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from soak.subscriber import EDGE_S, SOON_S, Subscriber


class Clock:
    """Stands for time.time()."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr("time.time", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_before_or_after_its_acknowledgement(clock: Clock) -> None:
    """An event counts once it both was acknowledged and came, in either order."""
    subscriber = Subscriber(paho.Client(CallbackAPIVersion.VERSION2))
    subscriber.connected()
    subscriber.on_ack("a")
    subscriber.on_event("a")
    subscriber.on_event("b")
    subscriber.on_ack("b")
    subscriber.check(clock.now + SOON_S + 1)
    assert (subscriber.events, subscriber.missed) == (2, [])


def test_what_is_missed(clock: Clock) -> None:
    """An event that was acknowledged while the subscriber was there, and never came, is missed."""
    subscriber = Subscriber(paho.Client(CallbackAPIVersion.VERSION2))
    subscriber.connected()
    clock.now += EDGE_S + 1
    subscriber.on_ack("a")
    clock.now += SOON_S + 1
    subscriber.check(clock.now)
    assert subscriber.missed == ["a"]


def test_who_was_not_there_misses_nothing(clock: Clock) -> None:
    """What was acknowledged about when the broker went, or while it was away, need not come."""
    subscriber = Subscriber(paho.Client(CallbackAPIVersion.VERSION2))
    subscriber.connected()
    clock.now += 10
    subscriber.on_ack("a")
    clock.now += 1
    subscriber.disconnected()
    clock.now += 5
    subscriber.on_ack("b")
    clock.now += 5
    subscriber.connected()
    clock.now += SOON_S + 1
    subscriber.check(clock.now)
    assert subscriber.missed == []
