"""What the daemon says of itself."""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import trio

from cameras.helpers import RecordingPublisher, a_camera, a_context
from interhuman2mqtt import config
from interhuman2mqtt import health as report
from interhuman2mqtt.cameras.camera import Camera
from interhuman2mqtt.cameras.coverage import Coverage
from interhuman2mqtt.config.loader import cloud_proxy
from interhuman2mqtt.errors import Outage, Reason
from interhuman2mqtt.events import utc_now
from interhuman2mqtt.publish.message import DropLog, DropReason, Message, MessageKind
from interhuman2mqtt.publish.mqtt.types import BrokerPhase, BrokerState
from interhuman2mqtt.publish.outbox.queue import OutboxQueue
from interhuman2mqtt.runtime.clock import BoxClock
from publish.helpers import NO_BUDGETS

ONLINE = BrokerState(phase=BrokerPhase.ONLINE, since=utc_now())


def cameras(*names: str) -> dict[str, Camera]:
    """Cameras that were just started."""
    return {
        name: Camera(a_camera(name), a_context("ws://localhost:1/v2/stream/analyze", RecordingPublisher()))
        for name in names
    }


def reporter(
    cameras: dict[str, Camera],
    broker: BrokerState | None,
    outbox: OutboxQueue | None = None,
    drops: DropLog | None = None,
) -> report.HealthReporter:
    """Reports these cameras, and this broker."""
    drops = drops or DropLog()
    outbox = outbox or OutboxQueue(config.Outbox(), drops)
    service = SimpleNamespace(broker=broker, outbox=outbox, drops=drops, unsubscribed=None)
    parts = {
        "topics": None,
        "running": SimpleNamespace(last_reload=None, needs_restart=()),
        "service": service,
        "fleet": SimpleNamespace(cameras=cameras),
        "coverage": Coverage(Path(os.devnull), RecordingPublisher(), BoxClock()),
        "policy": SimpleNamespace(budgets=SimpleNamespace(as_health=lambda: NO_BUDGETS)),
        "dispatcher": SimpleNamespace(counts={"obeyed": 5}),
    }
    return report.HealthReporter(**cast("Any", parts), began=0.0)


def test_one_line_when_all_is_well() -> None:
    """With a broker and every camera streaming there is nothing else to say."""
    all_well = cameras("a", "b")
    for camera in all_well.values():
        camera.status.set_source("h264")
        camera.status.set_streaming()
    assert reporter(all_well, ONLINE).sentence() == "2 of 2 cameras streaming"


def test_one_line_when_something_is_wrong() -> None:
    """The cameras that do not stream are counted by their states, and the broker comes first."""
    some = cameras("a", "b", "c", "d")
    some["a"].status.set_capture_failed(Outage(Reason.UNREACHABLE, "down"), 1)
    some["b"].status.set_capture_failed(Outage(Reason.STALLED, "down"), 1)
    some["c"].status.set_source("h264")
    some["c"].status.set_streaming()
    assert reporter(some, ONLINE).sentence() == "1 of 4 cameras streaming (1 connecting, 2 offline)"
    away = BrokerState(phase=BrokerPhase.OFFLINE, reason=Reason.BROKER_LOST, detail="it went away", since=utc_now())
    others = "1 of 4 cameras streaming (1 connecting, 2 offline)"
    assert reporter(some, away).sentence() == f"broker offline: it went away; {others}"
    assert reporter(some, None).sentence() == f"broker not tried; {others}"


def test_a_box_without_a_camera_says_what_to_do() -> None:
    """Right after the installation, status says that there is no camera, and how to come by one."""
    assert reporter({}, ONLINE).sentence().startswith("no camera yet: add what `interhuman2mqtt devices --toml` prints")


async def test_health() -> None:
    """It tells how much waits and for how long, what was lost by which rule, and what each camera did."""
    await trio.lowlevel.checkpoint()  # trio's clock runs only in trio
    drops = DropLog()
    outbox = OutboxQueue(config.Outbox(), drops)
    message = Message(topic="t", payload=b"{}", kind=MessageKind.EVENT, retain=False)
    outbox.put(message)
    drops.report(message, DropReason.TOO_LARGE, "too large")
    all_cameras = cameras("front")
    all_cameras["front"].counters.chunks_sent = 7
    health = reporter(all_cameras, ONLINE, outbox, drops).health()
    assert (health.outbox_rows, health.dropped) == (1, {str(DropReason.TOO_LARGE): 1})
    assert health.outbox_bytes > 0
    assert health.cameras["front"]["chunks_sent"] == 7
    assert health.requests == {"obeyed": 5}
    assert health.states == {"connecting": 1}
    assert health.uptime > 0


@pytest.mark.parametrize(
    ("url", "configured", "environment", "taken"),
    [
        ("wss://cloud", None, {}, None),
        ("wss://cloud", None, {"https_proxy": "http://env:1"}, "http://env:1"),
        ("wss://cloud", None, {"HTTPS_PROXY": "http://ENV:1"}, "http://ENV:1"),
        ("wss://cloud", "http://own:1", {"https_proxy": "http://env:1"}, "http://own:1"),
        ("wss://cloud", "", {"https_proxy": "http://env:1"}, None),
        ("ws://localhost", None, {"https_proxy": "http://env:1"}, None),
    ],
    ids=["none", "environment", "in capitals", "configured", "switched off", "this machine"],
)
def test_proxy(
    url: str,
    configured: str | None,
    environment: dict[str, str],
    taken: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The configured proxy comes first, an empty one means none, and without one the environment's serves wss."""
    for name in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert cloud_proxy(config.Interhuman(url=url, proxy=configured)) == taken
