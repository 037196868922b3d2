"""What is counted where it happens."""

from datetime import UTC, datetime, timedelta

import pytest
from msgspec import UNSET

from interhuman2mqtt.cameras.counters import Counters
from interhuman2mqtt.cameras.session_listener import SENT_MAX, SendLog
from interhuman2mqtt.capture import ipc
from interhuman2mqtt.events import Clock, Event, MediaChunk
from interhuman2mqtt.publish.message import Message, MessageKind
from interhuman2mqtt.publish.service import BrokerStats
from interhuman2mqtt.runtime.histogram import BOUNDS, NAMES_MAX, OTHER, BoundedCounter, Histogram
from support.clocks import Clocks

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


def pulse(video: int, repairs: dict[str, int]) -> ipc.WorkerHeartbeat:
    return ipc.WorkerHeartbeat(
        video_packets=video, audio_packets=2 * video, audio_expected=True, ring_s=1.5, ring_bytes=9, repairs=repairs
    )


def test_pulses_add_up_over_processes() -> None:
    """Packets and repairs go on growing when another capture process begins at nought."""
    counters = Counters()
    counters.add_heartbeat(None, pulse(10, {"no_dts": 2}))
    counters.add_heartbeat(pulse(10, {"no_dts": 2}), pulse(15, {"no_dts": 2, "frozen": 1}))
    counters.add_heartbeat(None, pulse(3, {"frozen": 1}))
    assert (counters.video_packets, counters.audio_packets, counters.repairs) == (18, 36, 4)
    assert counters.repaired.counts == {"no_dts": 2, "frozen": 2}
    assert counters.as_dict()["ring_seconds"] == 1.5
    counters.end_capture()
    assert (counters.ring_seconds, counters.ring_bytes) == (0.0, 0)


def chunk(number: int) -> MediaChunk:
    """The chunk of one second that is so many-th."""
    return MediaChunk(payload=b"", media_start=number, media_end=number + 1, captured_from=number, last=False)


def event(start: float | None, end: float | None, *, synthetic: bool = False) -> Event:
    at = [None if seconds is None else NOON + timedelta(seconds=seconds) for seconds in (start, end)]
    return Event(
        id="1",
        box="b",
        camera="c",
        type="signal.ended",
        session="s",
        correlation_id=None,
        timestamp=None,
        received_at=NOON,
        start_at=at[0],
        end_at=at[1],
        clock=Clock.SYNCED,
        synthetic=True if synthetic else UNSET,
        data={},
    )


def test_an_event_is_dated_from_the_sending_of_its_media() -> None:
    """The delay of an event counts from when the chunk with the newest media that it names was out."""
    times = iter([10.0, 11.0, 12.0, *[20.0] * 9])
    sent = SendLog(Clocks(NOON).box_clock(), lambda: next(times))
    for number in range(3):
        sent.add(chunk(number))
    assert sent.delay(event(0.5, 1.5)) == 9.0
    assert sent.delay(event(0.5, None)) == 10.0
    assert sent.delay(event(0.0, 1.0)) == 10.0
    assert sent.delay(event(0.0, 3.0)) == 8.0
    assert sent.delay(event(0.0, 3.5)) is None
    assert sent.delay(event(None, None)) is None
    assert sent.delay(event(0.0, 1.0, synthetic=True)) is None


def test_old_sendings_are_forgotten() -> None:
    """Of media that was sent long ago nothing is known, and nothing is guessed."""
    sent = SendLog(Clocks(NOON).box_clock(), lambda: 0.0)
    for number in range(SENT_MAX + 5):
        sent.add(chunk(number))
    assert sent.delay(event(0.0, 1.0)) is None
    assert sent.delay(event(0.0, 20.0)) == 0.0


def test_delays_of_cameras_that_are_gone_go_too() -> None:
    """What is kept by camera is kept for those that there are; a state has no delay."""
    handed = BrokerStats()
    for camera in ("front", "gone"):
        for kind in (MessageKind.EVENT, MessageKind.STATE):
            handed.acked(Message(topic="t", payload=b"", kind=kind, retain=False, camera=camera), 0.5)
    assert handed.acknowledged == {MessageKind.EVENT: 2, MessageKind.STATE: 2}
    handed.keep({"front"})
    assert list(handed.delays) == ["front"]
    assert handed.delays["front"].total == 0.5
