"""A text stream on a descriptor that never blocks and never raises: who logs must not hang with who reads the log.

A thread writes. O_NONBLOCK on the descriptor itself lost: it belongs to the open file, so that it would change the
terminal, or the pipe, of every process that shares it.
"""

import io
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable

WAITING_MAX = 1 << 20
"""Bytes that may wait for the reader."""
REPORT_S = 10.0
"""Between two reports of losses, while they last."""


class LogWriter(io.TextIOBase):
    """Writes whole texts to a descriptor, in order; drops and counts those that find no room, or cannot be written.

    The newest is dropped rather than the oldest: how trouble began says more than how it goes on, and the report of
    the losses then stands where they are.

    Args:
        descriptor: Where to; it is never closed.
        report: Called in the writing thread once it can write again, with how many texts were lost; what this writes
            always finds room.
    """

    def __init__(self, descriptor: int, report: Callable[[int], None] = lambda _lost: None) -> None:
        self.lost = 0
        """Texts since the start."""
        self._descriptor = descriptor
        self._report = report
        self._texts: deque[bytes] = deque()
        self._bytes = 0
        self._unreported = 0
        self._reported_at = -REPORT_S
        self._is_torn = False
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def write(self, text: str, /) -> int:
        """Accept a text; returns its length, as streams do."""
        data = text.encode(errors="backslashreplace")
        with self._changed:
            if self._bytes + len(data) > WAITING_MAX and threading.current_thread() is not self._thread:
                self._lose()
            elif data:
                self._texts.append(data)
                self._bytes += len(data)
                self._start()
                self._changed.notify_all()
        return len(text)

    def flush(self) -> None:
        """Do nothing: whoever flushes a log must not wait for its reader either. See `drain`."""

    def drain(self, within: float) -> bool:
        """Wait until everything is written; returns False where that takes longer than `within` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._bytes, within)

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._descriptor

    def isatty(self) -> bool:
        """Return whether it leads to a terminal."""
        return os.isatty(self._descriptor)

    def writable(self) -> bool:
        """Return True."""
        return True

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="log", daemon=True)  # ends with the process
            self._thread.start()

    def _lose(self) -> None:
        self.lost += 1
        self._unreported += 1

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._texts)
                data = self._texts.popleft()
            if self._write_whole(data):
                self._report_losses()
            else:
                with self._changed:
                    self._lose()
            with self._changed:  # only now: who drains waits for the report too
                self._bytes -= len(data)
                self._changed.notify_all()

    def _report_losses(self) -> None:
        """Report at once where nothing waits, else every `REPORT_S`: reports must not fill the room of the texts."""
        with self._changed:
            is_due = not self._texts or time.monotonic() - self._reported_at >= REPORT_S
            lost, self._unreported = (self._unreported, 0) if is_due else (0, self._unreported)
        if lost:
            self._reported_at = time.monotonic()
            self._report(lost)

    def _write_whole(self, data: bytes) -> bool:
        """Write it all, however long that takes; returns False where the descriptor refuses (ENOSPC, EPIPE, EBADF)."""
        whole = rest = memoryview(b"\n" + data if self._is_torn else data)
        try:
            while rest:
                rest = rest[self._write_some(rest) :]
        except OSError:
            self._is_torn |= len(rest) < len(whole)  # the next one then begins on a line of its own
            return False
        self._is_torn = False
        return True

    def _write_some(self, data: memoryview) -> int:
        try:
            return os.write(self._descriptor, data)
        except BlockingIOError:  # somebody else who shares it has set O_NONBLOCK
            select.select((), (self._descriptor,), ())
            return 0
