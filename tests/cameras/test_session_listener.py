"""The delay of an event is counted from when the media that it names was out."""

from datetime import UTC, datetime, timedelta

from msgspec import UNSET

from interhuman2mqtt.cameras.session_listener import SENT_MAX, SendLog
from interhuman2mqtt.events import Clock, Event, MediaChunk
from interhuman2mqtt.runtime.clock import BoxClock, Reading
from support.clocks import Clocks

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


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


def test_an_event_of_the_newest_media_is_dated_by_two_chunks() -> None:
    """However many were sent: in a long session this was most of what an event cost."""
    clocks, reads = Clocks(NOON), list[int]()

    def read() -> Reading:
        reads.append(1)
        return clocks.read()

    sent = SendLog(BoxClock(read, lambda: Clock.SYNCED, "boot"), lambda: 0.0)
    for number in range(SENT_MAX):
        sent.add(chunk(number))
    reads.clear()
    assert sent.delay(event(0.0, SENT_MAX - 0.5)) == 0.0
    assert len(reads) <= 4


def test_old_sendings_are_forgotten() -> None:
    """Of media that was sent long ago nothing is known, and nothing is guessed."""
    sent = SendLog(Clocks(NOON).box_clock(), lambda: 0.0)
    for number in range(SENT_MAX + 5):
        sent.add(chunk(number))
    assert sent.delay(event(0.0, 1.0)) is None
    assert sent.delay(event(0.0, 20.0)) == 0.0
