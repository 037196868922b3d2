"""The daemon's log: one line per change, JSON for machines or coloured for a terminal, on stderr, free of secrets.

What the libraries say through the standard library's `logging` goes the same way. Where stderr is the journal, each
line begins with its priority as `<N>` (sd-daemon(3)), so that `journalctl -p warning` works.

Logging never blocks and never raises: a full disk, a reader that stands still or is gone cost lines, which are counted.
"""

import atexit
import logging
import math
import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TextIO

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

from interhuman2mqtt.runtime.log_writer import LogWriter
from interhuman2mqtt.runtime.redaction import redact, redact_deep, register_secret
from interhuman2mqtt.runtime.sanitize import clean_lines, escape_json

__all__ = ["RateLimitedLogger", "drain", "guard_streams", "print_error", "redact", "register_secret", "setup"]

PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
"""syslog(3), which the journal speaks"""
FIRST = ("timestamp", "level", "event", "camera")
"""What a line begins with."""
DRAIN_S = 1.0
"""How long the end of a process waits for who reads its log."""
LEVELS = (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL)

render_json = structlog.processors.JSONRenderer(ensure_ascii=False)


def setup(level: str = "info", format: str = "auto", stream: TextIO | None = None) -> None:  # noqa: A002 - the key of the TOML file
    """Log from `level` on, as `json` or `console` (`auto`: console on a terminal); may be called again."""
    to = stream or sys.stderr
    number = logging.getLevelNamesMapping()[level.upper()]
    console = to.isatty() if format == "auto" else format == "console"
    structlog.configure(
        processors=[
            *PROCESSORS,
            *(for_people(colors=to.isatty()) if console else for_machines(journal=is_journal(to))),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(to),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(level=number, handlers=[StdlibHandler()], force=True)


def guard_streams() -> None:
    """Let nothing that this process prints on stderr block it, or fail; called once, as early as there is an argv.

    A standard descriptor that is closed becomes /dev/null: else the next file that is opened, such as the outbox, would
    get its number, and the log would be written into it.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # which takes the lowest free number: this one
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115 - Python leaves None where it was closed
    if sys.stderr is sys.__stderr__:  # and not somebody's who captures it
        writer = LogWriter(2, _report_lost)
        sys.stderr = writer
        atexit.register(writer.drain, DRAIN_S)


def print_error(text: str) -> None:
    """Print on stderr why a command cannot go on; for the journal each line with the priority of an error."""
    lines = text.splitlines() if is_journal(sys.stderr) else []
    sys.stderr.write("".join(f"<{PRIORITIES['error']}>{line}\n" for line in lines) or f"{text}\n")


def drain(within: float = DRAIN_S) -> bool:
    """Wait until all that was logged is written; False where that takes longer than so many seconds."""
    return sys.stderr.drain(within) if isinstance(sys.stderr, LogWriter) else True


def _report_lost(lines: int) -> None:
    structlog.get_logger(__name__).warning("log lines were lost: nobody read them, or the disk was full", lines=lines)


def for_people(*, colors: bool) -> list[Processor]:
    """Lines for a terminal, in local time."""
    return [
        escape_controls,
        structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
        structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=structlog.dev.plain_traceback),
    ]


def for_machines(*, journal: bool) -> list[Processor]:
    """Lines of JSON, in UTC."""
    return [structlog.processors.TimeStamper(fmt="iso", utc=True), journal_line if journal else json_line]


def json_line(logger: WrappedLogger, method: str, event: EventDict) -> str:
    """One line of JSON, beginning with what people look for first."""
    ordered = {key: event[key] for key in FIRST if key in event} | dict(event)
    return escape_json(str(render_json(logger, method, ordered)))


def escape_controls(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Strip every text of the line of what a terminal obeys; the console shows all else as Python writes it."""
    return {key: clean_lines(value) if isinstance(value, str) else value for key, value in event.items()}


def journal_line(logger: WrappedLogger, method: str, event: EventDict) -> str:
    """Return the line as JSON, with the priority that the journal takes off again."""
    return f"<{PRIORITIES[event['level']]}>{json_line(logger, method, event)}"


def is_journal(stream: TextIO) -> bool:
    """Return whether a stream leads to the journal, by the device and inode of $JOURNAL_STREAM (systemd.exec(5))."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):  # a stream in memory has no descriptor
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def without_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Redact every string of the line, however deep, after exceptions have become text. Its level is our own."""
    return {key: value if key == "level" else redact_deep(value) for key, value in event.items()}


class StdlibHandler(logging.Handler):
    """Hands what libraries log through `logging` to structlog, with the name of the library's logger."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log one record, a level of the library's own as the next lower one of ours."""
        level = max((known for known in LEVELS if known <= record.levelno), default=logging.DEBUG)
        log: FilteringBoundLogger = structlog.get_logger()
        log.log(level, record.getMessage(), library=record.name, exc_info=record.exc_info)


PROCESSORS: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.processors.add_log_level,
    structlog.processors.StackInfoRenderer(),
    structlog.processors.format_exc_info,
    without_secrets,
]


@dataclass
class _Entry:
    """The last line of a key, and how often it came again since."""

    state: object
    level: str
    event: str
    values: dict[str, object]
    at: float
    repeated: int = 0


class RateLimitedLogger:
    """Keeps what happens again and again from filling the log, and loses no count of it.

    What is in a state is logged by `emit` when the state changes. What only happens is asked of `count`: the first time
    is worth a line at once, the others one line together.

    Args:
        log: The logger of who logs.
        every: Seconds after which a line may come again though nothing changed.
        clock: Seconds, of a clock that nobody sets.
    """

    def __init__(
        self,
        log: FilteringBoundLogger | None = None,
        every: float = 3600.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.counts: Counter[str] = Counter()
        """How often each key was counted."""
        self._log = log if log is not None else structlog.get_logger()
        self._every = every
        self._clock = clock
        self._entries: dict[str, _Entry] = {}
        self._counted: dict[str, tuple[float, int]] = {}

    def emit(self, key: str, state: object, event: str, *, level: str = "info", **values: object) -> None:
        """Log that `key` is in a state; while that stays the same only count, and log the count now and then.

        Args:
            key: What is in the state.
            state: Compared with the one before.
            event: The line, with `values`.
            level: Of the line.
            values: Its fields.
        """
        last = self._entries.get(key)
        if last and last.state == state:
            last.event, last.values = event, values
            last.repeated += 1
            if self._clock() - last.at >= self._every:
                self._emit_repeats(last)
            return
        if last:
            self._emit_repeats(last)
        self._entries[key] = _Entry(state, level, event, values, self._clock())
        self._write(level, event, values)

    def count(self, key: str) -> int:
        """Count one more; return how many a line stands for that is to be logged now, and 0 where none is."""
        self.counts[key] += 1
        now, total = self._clock(), self.counts[key]
        last, logged = self._counted.get(key, (-math.inf, 0))
        if now - last < self._every:
            return 0
        self._counted[key] = (now, total)
        return total - logged

    def _emit_repeats(self, entry: _Entry) -> None:
        if entry.repeated:
            self._write(entry.level, f"{entry.event} (repeated {entry.repeated} times)", entry.values)
        entry.repeated, entry.at = 0, self._clock()

    def _write(self, level: str, event: str, values: dict[str, object]) -> None:
        self._log.log(logging.getLevelNamesMapping()[level.upper()], event, **values)
