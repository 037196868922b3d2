"""What FFmpeg prints while something is opened: it says there what its error numbers do not.

PyAV can pass that on only for the whole process, and its way has FFmpeg's threads wait for Python's lock. So it is on
while anything is being opened, and off while media flows.
"""

import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

import av

from interhuman2mqtt.runtime.redaction import redact


class LogLine(NamedTuple):
    """One message."""

    level: int
    """The lower the worse (`av.logging`)."""
    part: str
    """Of FFmpeg: rtsp, alsa, h264 ..."""
    text: str


_lock: Final = threading.Lock()
_listening: Final[set[int]] = set()


@contextmanager
def listening(*, prints: bool) -> Iterator[list[LogLine]]:
    """Collect what FFmpeg prints in this thread.

    Args:
        prints: Whether that is printed as well, once it is over; FFmpeg goes on printing by itself afterwards.
    """
    me = threading.get_ident()
    with _lock:
        _listening.add(me)
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
            _listening.discard(me)
            if not _listening:
                av.logging.set_level(None)
                if prints:
                    av.logging.restore_default_callback()


def _print(lines: Iterable[LogLine]) -> None:
    """Print what FFmpeg would have printed by itself, without the secrets that it was given."""
    said = (line for line in lines if line.level <= av.logging.INFO)
    sys.stderr.write("".join(redact(f"[{line.part}] {line.text.rstrip()}\n") for line in said))
    sys.stderr.flush()
