"""The listener misses what should have come, and nothing else."""

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from soak.listener import EDGE_S, SOON_S, Listener


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
    listener = Listener(paho.Client(CallbackAPIVersion.VERSION2))
    listener.connected()
    listener.acked("a")
    listener.came("a")
    listener.came("b")
    listener.acked("b")
    listener.judge(clock.now + SOON_S + 1)
    assert (listener.events, listener.missed) == (2, [])


def test_what_is_missed(clock: Clock) -> None:
    """An event that was acknowledged while the subscriber was there, and never came, is missed."""
    listener = Listener(paho.Client(CallbackAPIVersion.VERSION2))
    listener.connected()
    clock.now += EDGE_S + 1
    listener.acked("a")
    clock.now += SOON_S + 1
    listener.judge(clock.now)
    assert listener.missed == ["a"]


def test_who_was_not_there_misses_nothing(clock: Clock) -> None:
    """What was acknowledged about when the broker went, or while it was away, need not come."""
    listener = Listener(paho.Client(CallbackAPIVersion.VERSION2))
    listener.connected()
    clock.now += 10
    listener.acked("a")
    clock.now += 1
    listener.disconnected()
    clock.now += 5
    listener.acked("b")
    clock.now += 5
    listener.connected()
    clock.now += SOON_S + 1
    listener.judge(clock.now)
    assert listener.missed == []
