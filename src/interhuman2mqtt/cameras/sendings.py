"""When the media of a session was sent, to tell how long the cloud took to say something about it."""

import time
from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NamedTuple

from interhuman2mqtt.clock import BoxClock
from interhuman2mqtt.events import Event, MediaChunk

KEPT = 64
"""Chunks, the newest: of the shortest they are half a minute, and the cloud looks at windows of 8 s."""
ROUNDED = timedelta(milliseconds=1)
"""The cloud rounds its times, and what ends with a chunk must not seem to end in the next."""


class _Sending(NamedTuple):
    captured_from: float
    captured_to: float
    sent_at: float


class Sendings:
    """The newest chunks of one session, each with when it was out.

    Args:
        clock: What the events are dated by.
        now: Seconds, monotonic.
    """

    def __init__(self, clock: BoxClock, now: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._now = now
        self._chunks: deque[_Sending] = deque(maxlen=KEPT)

    def sent(self, chunk: MediaChunk) -> None:
        """A chunk is out."""
        captured_to = chunk.captured_from + chunk.media_end - chunk.media_start
        self._chunks.append(_Sending(chunk.captured_from, captured_to, self._now()))

    def until(self, event: Event) -> float | None:
        """Seconds from when the newest media that an event names was out; None where it names none that we know."""
        newest = event.end_at or event.start_at
        if newest is None or event.synthetic is True:
            return None
        for sending in self._chunks:
            if self._at(sending.captured_from) - ROUNDED <= newest <= self._at(sending.captured_to) + ROUNDED:
                return self._now() - sending.sent_at
        return None

    def _at(self, monotonic: float) -> datetime:
        return self._clock.utc(self._clock.since_boot(monotonic))
