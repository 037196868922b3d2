"""Reads and decodes what one session sends. Runs in a thread of its own; knows no trio.

Binary frames in, reports out, in lock step: before it takes the next frame the reader reports what it found up to the
end of the one before. So what follows from a frame never depends on timing.
"""

import io
from collections.abc import Callable

from msgspec import Struct

from interhuman2mqtt.simulator.demuxer import Readable, Rules, Shape, Tally, inspect, read_file
from interhuman2mqtt.simulator.errors import Answer

BARREN_MAX = {"mp4": 0, "matroska": 3}
"""Frames in a row that may hold no whole packet: a short piece of a WebM may lie within a picture."""
_PCM_SAMPLE = 2
"""bytes"""


class Chunk(Struct, frozen=True):
    """One binary frame of the client's."""

    payload: bytes
    pcm_rate: int | None = None
    """It holds PCM samples at this rate; None: a piece of a container."""


class Report(Struct, frozen=True):
    """The findings since the report before; times are seconds on the session's media clock."""

    clock: float
    """The end of the media received so far."""
    span: tuple[float, float] | None = None
    """Begin and end of the packets of this frame; None: it held none."""
    keyframes: tuple[float, ...] = ()
    skipped: tuple[tuple[float, float], ...] = ()
    """Ranges that the clock jumped over."""
    answers: tuple[Answer, ...] = ()
    """What is wrong with the frame."""


Fetch = Callable[[Report], Chunk | None]
"""Takes the report on the frame before and gives the next frame; None: there are no more. May block."""


class _Pipe:
    """The bytes of one file as a demuxer reads them: a read may wait for the client's next frame."""

    def __init__(self, first: bytes, more: Callable[[], bytes | None]) -> None:
        self._rest = memoryview(first)
        self._more = more
        self._ended = False
        self.failure: BaseException | None = None
        """What came instead of a frame, a cancellation above all: no exception may pass through libav."""

    def read(self, size: int) -> bytes:
        if not self._rest and not self._ended:
            payload = self._ask()
            self._ended = payload is None
            self._rest = memoryview(payload or b"")
        piece, self._rest = self._rest[:size], self._rest[size:]
        return bytes(piece)

    def _ask(self) -> bytes | None:
        try:
            return self._more()
        except BaseException as failure:  # noqa: BLE001, ASYNC103 - the reader raises it again
            self.failure = failure
            return None  # noqa: ASYNC104


class Reader:
    """All media of one session.

    A frame that opens a file (an init segment) begins a new demuxer, whose times follow those of the file before; a
    frame that continues one goes to the open demuxer. A malformed frame is left out and answered. Where the demuxer
    or a decoder failed, nothing can be continued until a frame opens a file again.
    """

    def __init__(self, fetch: Fetch, rules: Rules) -> None:
        self._fetch = fetch
        self._rules = rules
        self._tally = Tally()
        self._answers: list[Answer] = []
        self._next: Chunk | None = None
        """Taken already: it ended the file before it."""
        self._over = False
        self._silent = False
        """The open file lacks a track: that was said once, and its continuations are ignored."""
        self._yielding = False
        self._barren = 0

    def run(self, first: Chunk) -> Report:
        """Read until there are no more frames; returns the last report."""
        chunk: Chunk | None = first
        while chunk is not None:
            self._read(chunk)
            chunk, self._next = self._next or self._take(), None
        return self._report()

    def _take(self) -> Chunk | None:
        """Return the next frame."""
        if not self._over:
            chunk = self._fetch(self._report())
            self._over = chunk is None
            return chunk
        return None

    def _report(self) -> Report:
        clock, span, keyframes, skipped = self._tally.take()
        report = Report(clock, span, keyframes, skipped, tuple(self._answers))
        self._answers.clear()
        return report

    def _read(self, chunk: Chunk) -> None:
        """Read what begins with this frame, to its end or to what is wrong with it."""
        try:
            if chunk.pcm_rate is not None:
                self._tally.advance(len(chunk.payload) / _PCM_SAMPLE / chunk.pcm_rate)
            else:
                self._read_container(chunk.payload)
        except Answer as answer:
            self._silent = answer.error.code in {"ih5001", "ih5008"}
            self._answers.append(answer)

    def _read_container(self, payload: bytes) -> None:
        shape = inspect(payload)
        if shape.opens:
            self._silent = self._yielding = False
            pipe = _Pipe(payload, lambda: self._continue(shape))
            source: Readable = io.BytesIO(payload) if shape.complete else pipe
            try:
                read_file(source, shape.format, self._rules, self._tally)
            finally:
                if pipe.failure is not None:
                    raise pipe.failure
        elif not self._silent:
            raise Answer("ih5004", "The segment continues a stream whose beginning was not received or was unusable.")

    def _continue(self, shape: Shape) -> bytes | None:
        """Return the next frame that continues the open file, once the one before is used up; None where it ends."""
        self._check_yield(BARREN_MAX[shape.format])
        while (chunk := self._take()) is not None:
            try:
                following = inspect(chunk.payload, shape.format)
            except Answer as malformed:
                self._answers.append(malformed)
                continue
            if following.opens:
                self._next = chunk
                return None
            if following.format == shape.format:
                return chunk.payload
            self._answers.append(Answer("ih5004", "The segment's container is another than the stream's."))
        return None

    def _check_yield(self, most: int) -> None:
        """Once a file has begun to give media its frames must give some, but for so many in a row."""
        if self._tally.span is not None:
            self._yielding, self._barren = True, 0
        elif self._yielding:
            self._barren += 1
            if self._barren > most:
                self._answers.append(Answer("ih5004", "No media could be read from the segment."))
