"""FFmpeg's log while something is opened: it has what its error numbers do not (an SDP, ALSA's own errors)."""

# PyAV can collect it only for the whole process, and each line then has a thread of FFmpeg wait for Python's lock,
# those of decoders among them. So it is on while anything is being opened, and off while media flows.

import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

import av

from interhuman2mqtt.runtime.redaction import redact


class LogLine(NamedTuple):
    """One line of it."""

    level: int
    """The lower the worse (`av.logging`)."""
    part: str
    """The part of FFmpeg: rtsp, alsa, h264 ..."""
    text: str


_lock: Final = threading.Lock()
_collecting: Final[set[int]] = set()


@contextmanager
def collected_log(*, prints: bool) -> Iterator[list[LogLine]]:
    """Collect the log of FFmpeg in this thread.

    Args:
        prints: Whether it is printed as well, once this is over; FFmpeg goes on printing by itself afterwards.
    """
    me = threading.get_ident()
    with _lock:
        _collecting.add(me)
        av.logging.set_level(av.logging.VERBOSE)
    lines: list[LogLine] = []
    try:
        with av.logging.Capture(local=True) as captured:
            try:
                yield lines
            finally:
                lines += [LogLine(*line) for line in captured]
    finally:
        if prints:
            _print(lines)
        with _lock:
            _collecting.discard(me)
            if not _collecting:
                av.logging.set_level(None)
                if prints:
                    av.logging.restore_default_callback()


def _print(lines: Iterable[LogLine]) -> None:
    """Print the lines that FFmpeg would have printed by itself, without the secrets that it was given."""
    printed = (line for line in lines if line.level <= av.logging.INFO)
    sys.stderr.write("".join(redact(f"[{line.part}] {line.text.rstrip()}\n") for line in printed))
    sys.stderr.flush()
