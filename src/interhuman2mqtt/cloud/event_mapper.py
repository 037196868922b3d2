"""Map one session's messages to events: absolute times, ids, what is active, what must not leave the box; no I/O."""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

from msgspec import UNSET, UnsetType

from interhuman2mqtt.cloud.protocol import ServerMessage
from interhuman2mqtt.events import ACTIVE_MAX, Event, MediaChunk, Range
from interhuman2mqtt.runtime.clock import BoxClock
from interhuman2mqtt.runtime.redaction import redact


class MediaClock:
    """Turns seconds of the session's media, in which the cloud counts, into MONOTONIC of this machine.

    Each chunk that is sent is a piece: from its `media_start` on, media runs in step with the clock from
    `captured_from` on, until the next piece begins. Before the first piece and after the last one the nearest is
    extended. Pieces come in the order of the media.

    Dates are none of its business: the wall clock may be set while the session runs, and what is dated after that is
    dated by the new one.
    """

    # An anchor for each chunk, and not one for the session: what maps the source to our clock improves while a capture
    # runs, and a camera's clock has a rate of its own. At 100 parts in a million one anchor would date the last event
    # of an hour's session 0.36 s wrong. In standalone framing the cloud's clock leaves out the time between two files
    # besides.

    def __init__(self) -> None:
        self._starts: list[float] = []
        self._instants: list[float] = []

    def append(self, media_start: float, captured_from: float) -> None:
        """Note that media from `media_start` (seconds) on was captured from `captured_from` (MONOTONIC) on."""
        self._starts.append(media_start)
        self._instants.append(captured_from)

    def start(self, media: float) -> float | None:
        """Return when something that starts at `media` started; None where that cannot be said."""
        return self._on(bisect_right(self._starts, media) - 1, media)

    def end(self, media: float) -> float | None:
        """Return when something that ends at `media` ended.

        On the seam of two pieces this belongs to the first. It makes a difference in standalone framing, where the
        cloud's clock leaves out the time between two files.
        """
        return self._on(bisect_left(self._starts, media) - 1, media)

    def _on(self, piece: int, media: float) -> float | None:
        if not self._starts:
            return None
        piece = max(piece, 0)
        return self._instants[piece] + media - self._starts[piece]


SECONDS_MAX = 1e12
"""Beyond every calendar; JSON has whole numbers that no float holds."""
ROUNDED_S = 0.001
"""The cloud rounds its times: what begins where the replay ends must not seem to begin before."""

Span = tuple[float, float]
"""Start and end on the media clock."""


class MediaOrigin(NamedTuple):
    """Whose events they are."""

    box: str
    camera: str
    session: str
    """Our own UUID of the session."""


class EventMapper:
    """Turns the messages of one session into events, and closes what the session leaves open.

    The cloud gives its signals no id: at most one of each type is active, and `signal.ended` is for that one. Only the
    first `start` of a signal is its onset; whether the one in `signal.updated` repeats it or says when it changed is
    not documented, so it stays in `data` alone.

    Args:
        origin: Whose events they are.
        clock: Dates what happened, by the wall clock as it is set when an event comes.
        redact: Fields that must not leave the box.
        sent_before: Up to where on the source's timeline an earlier session was sent this media too.
    """

    def __init__(
        self,
        origin: MediaOrigin,
        *,
        clock: BoxClock,
        redact: frozenset[str] = frozenset(),
        sent_before: float = 0.0,
    ) -> None:
        self.overlaps = 0
        """How often a signal was detected while one of its type was active, which the cloud should not do."""
        self.correlation_id: str | None = None
        self.origin = origin
        self._clock = clock
        self._redact = redact
        self._sent_before = sent_before
        self._replayed_until = -math.inf  # on the media clock
        self._timeline = MediaClock()
        self._sent_until = 0.0
        self._active: dict[str, float] = {}  # signal type -> onset, in seconds of the media
        self._count = 0

    def sending(self, chunk: MediaChunk) -> None:
        """Note that a chunk is about to be sent: its events may come before it is out as a whole."""
        self._timeline.append(chunk.media_start, chunk.captured_from)
        if chunk.source_start < self._sent_before:
            again = min(chunk.source_end, self._sent_before) - chunk.source_start
            self._replayed_until = chunk.media_start + again

    def sent(self, chunk: MediaChunk) -> None:
        """Note that a chunk is out."""
        self._sent_until = chunk.media_end

    def interpret(self, message: ServerMessage) -> tuple[Event, ...]:
        """Return the events of one message: its own, after the end of a signal that it makes known."""
        self.correlation_id = message.correlation_id or self.correlation_id
        return tuple(self._events(message))

    def end(self) -> tuple[Event, ...]:
        """Return ends for the signals that are still active, at the end of the media that was sent."""
        return tuple(self._synthetic_end(kind, self._sent_until) for kind in tuple(self._active))

    def _events(self, message: ServerMessage) -> Iterator[Event]:
        start, kind = seconds_of(message.data, "start"), word_of(message.data, "signal_type")
        match message.type:
            case "signal.detected" if kind is not None:
                onset = self._sent_until if start is None else start
                if kind in self._active:
                    self.overlaps += 1
                    yield self._synthetic_end(kind, onset)
                yield from self._begin(kind, onset)
            case "signal.updated" if kind is not None:
                yield from self._begin(kind, self._sent_until if start is None else start)
                start = self._active[kind]
            case "signal.ended" if kind is not None:
                start = self._active.pop(kind, start)
        yield self._event(message, start, seconds_of(message.data, "end"))

    def _begin(self, kind: str, start: float) -> Iterator[Event]:
        """Note that a signal is active; where that makes too many, yield an end for the oldest."""
        if kind not in self._active and len(self._active) >= ACTIVE_MAX:
            yield self._synthetic_end(next(iter(self._active)), start)
        self._active.setdefault(kind, start)

    def _synthetic_end(self, kind: str, end: float) -> Event:
        onset = self._active.pop(kind)
        end = max(onset, end)
        data = {"signal_type": kind, "end": end}
        message = ServerMessage("signal.ended", None, self.correlation_id, data)
        return self._event(message, onset, end, synthetic=True)

    def _event(
        self, message: ServerMessage, start: float | None, end: float | None, *, synthetic: bool | UnsetType = UNSET
    ) -> Event:
        self._count += 1
        ranges, timeline = _spans(message.data.get("ranges")), _spans(message.data.get("timeline"))
        if start is None:
            start = min((span[0] for span in (*ranges, *timeline)), default=None)
        if end is None:
            end = max((span[1] for span in (*ranges, *timeline)), default=None)
        return Event(
            id=f"{self.origin.box}/{self.origin.camera}/{self.origin.session}/{self._count}",
            box=self.origin.box,
            camera=self.origin.camera,
            type=redact(message.type),
            session=self.origin.session,
            correlation_id=_hidden(message.correlation_id or self.correlation_id),
            timestamp=_hidden(message.timestamp),
            received_at=self._clock.utc_now(),
            start_at=self._start_at(start),
            end_at=self._end_at(end),
            ranges_at=tuple(self._dated(ranges)) or UNSET,
            clock=self._clock.state,
            replayed=start is not None and start < self._replayed_until - ROUNDED_S,
            synthetic=synthetic,
            data=redacted(message.data, self._redact),
            raw=UNSET if message.raw is None else redacted(message.raw, self._redact),
        )

    def _start_at(self, media: float | None) -> datetime | None:
        return None if media is None else self._date(self._timeline.start(media))

    def _end_at(self, media: float | None) -> datetime | None:
        return None if media is None else self._date(self._timeline.end(media))

    def _date(self, captured: float | None) -> datetime | None:
        if captured is None:
            return None
        try:
            return self._clock.date(captured)
        except (OverflowError, ValueError):  # beyond the calendar, or not a number
            return None

    def _dated(self, spans: tuple[Span, ...]) -> Iterator[Range]:
        for start, end in spans:
            start_at, end_at = self._start_at(start), self._end_at(end)
            if start_at is not None and end_at is not None:
                yield Range(start_at, end_at)


def _spans(listed: object) -> tuple[Span, ...]:
    """Return the spans of `coverage.*`, or of the entries of a quality timeline, as far as they are spans."""
    found = (
        (seconds_of(item, "start"), seconds_of(item, "end")) for item in (listed if isinstance(listed, list) else ())
    )
    return tuple((start, end) for start, end in found if start is not None and end is not None)


def seconds_of(fields: object, name: str) -> float | None:
    """Return a time on the media clock, where it is one; messages of unknown types may hold anything there."""
    value = fields.get(name) if isinstance(fields, dict) else None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and abs(value) < SECONDS_MAX else None  # type: ignore[arg-type]


def redacted(value: Any, fields: frozenset[str]) -> Any:
    """Return JSON without the named fields, and without any secret of ours, at any depth.

    After decoding, because JSON can write a secret with escapes that no search of the text finds.
    """
    if isinstance(value, dict):
        return {redact(name): redacted(inner, fields) for name, inner in value.items() if name not in fields}
    if isinstance(value, list):
        return [redacted(inner, fields) for inner in value]
    return redact(value) if isinstance(value, str) else value


def _hidden(text: str | None) -> str | None:
    return None if text is None else redact(text)


def word_of(fields: dict[str, Any], name: str) -> str | None:
    """Return a text, where it is one."""
    value = fields.get(name)
    return value if isinstance(value, str) else None
