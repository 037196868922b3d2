"""Log what the capture processes of a camera print, without secrets, and without floods.

FFmpeg prints a line for each packet of a broken stream, and a camera that never comes starts process after process,
each with the same complaint. So a line is logged once; the same with other numbers is only counted, and the count
logged once an hour. What is new is logged too, but no more than `LINES` times a minute.
"""

import re
import time
from collections.abc import Callable

import structlog
import trio

from interhuman2mqtt.runtime.log import RateLimitedLogger
from interhuman2mqtt.runtime.redaction import redact

LINES = 30
"""New lines that are passed on in a minute."""
MINUTE_S = 60.0
REMIND_S = 3600.0
KNOWN_MAX = 200
"""Different lines that are remembered; when there are more, all are forgotten, and may be logged again."""
LINE_MAX = 1000
"""Characters of a line that are passed on."""
UNFINISHED_MAX = 16 << 10
"""Bytes of a line that are read: more than `LINE_MAX`, so that no secret is cut in two before it was found."""

_numbers = re.compile(r"(0x)?[0-9a-f]*\d[0-9a-f]*", re.IGNORECASE)
_of_ffmpeg = re.compile(r"\[[^\]]* @ 0x[0-9a-f]+\]")


class WorkerLog:
    """The log of one camera, through all of its capture processes."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._minute_at = clock()
        self._budget = LINES
        self._left_out = 0
        self._log = structlog.get_logger(__name__)
        self._forget()

    async def read(self, stream: trio.abc.ReceiveStream) -> None:
        """Log what comes from a process, line by line, until it ends."""
        rest = b""
        async for data in stream:
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                self.log(line)
            rest = rest[:UNFINISHED_MAX]
        self.log(rest)

    def log(self, line: bytes) -> None:
        """Log a line that a process printed."""
        if self._clock() - self._minute_at >= MINUTE_S:
            self._next_minute()
        text = redact(line.decode(errors="replace").rstrip())[:LINE_MAX]
        shape = _numbers.sub("#", text)
        if text and self._may_log(shape):
            level = "debug" if _of_ffmpeg.match(text) else "warning"
            self._changes.emit(shape, None, "capture process says", level=level, line=text)

    def _may_log(self, shape: str) -> bool:
        """Decide whether a line of this shape may still be logged, or was already and will only be counted."""
        if shape in self._known:
            return True
        if not self._budget:
            self._left_out += 1
            return False
        if len(self._known) >= KNOWN_MAX:
            self._forget()
        self._budget -= 1
        self._known.add(shape)
        return True

    def _next_minute(self) -> None:
        if self._left_out:
            self._log.warning("capture process says more than is passed on", lines=self._left_out)
        self._minute_at, self._budget, self._left_out = self._clock(), LINES, 0

    def _forget(self) -> None:
        self._known: set[str] = set()
        self._changes = RateLimitedLogger(self._log, REMIND_S, self._clock)
