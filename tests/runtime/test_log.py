"""The log is one line per change, in order, and without secrets."""

import io
import json
import logging
import os
import string
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from interhuman2mqtt.runtime.log import RateLimitedLogger, print_error, redact, register_secret, setup


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    """Logging is one thing per process: put it back."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


class Terminal(io.StringIO):
    """A stream that says that it is one."""

    def isatty(self) -> bool:
        return True


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_json_lines() -> None:
    """Away from a terminal a line is JSON, its time in UTC, beginning with what people look for first."""
    stream = io.StringIO()
    setup(stream=stream)
    with structlog.contextvars.bound_contextvars(camera="front"):
        structlog.get_logger().warning("camera offline", reason="unreachable", attempts=3)
    (line,) = lines(stream)
    assert list(line) == ["timestamp", "level", "event", "camera", "reason", "attempts"]
    assert line["timestamp"].endswith("Z")
    assert [line["level"], line["event"], line["camera"]] == ["warning", "camera offline", "front"]


def test_console_on_a_terminal() -> None:
    """On a terminal a line is for people, and `json` and `console` overrule what the terminal says."""
    for stream, format_, is_json in [
        (Terminal(), "auto", False),
        (Terminal(), "json", True),
        (io.StringIO(), "console", False),
    ]:
        setup(format=format_, stream=stream)
        structlog.get_logger().info("camera streaming", camera="front")
        assert is_json is stream.getvalue().startswith("{")
        assert "camera streaming" in stream.getvalue()


def test_level() -> None:
    """What is below the level is not written, and the level can be changed while loggers exist."""
    stream = io.StringIO()
    log = structlog.get_logger()
    setup("warning", stream=stream)
    log.info("too quiet")
    setup("debug", stream=stream)
    log.debug("loud enough")
    assert [line["event"] for line in lines(stream)] == ["loud enough"]


def test_journal_priorities(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where stderr is the journal each line begins with its syslog priority."""
    with (tmp_path / "journal").open("w+") as journal:
        status = os.fstat(journal.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
        setup("debug", stream=journal)
        register_secret("info")  # a password that is a level, too
        log = structlog.get_logger()
        for level in ("debug", "info", "warning", "error", "critical"):
            getattr(log, level)("x")
        journal.seek(0)
        assert [line[:4] for line in journal] == ["<7>{", "<6>{", "<4>{", "<3>{", "<2>{"]


def test_why_a_command_ends(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What is wrong with the configuration reaches the journal as errors, each of its lines; others read it plain."""
    with (tmp_path / "journal").open("w+") as journal:
        status = os.fstat(journal.fileno())
        monkeypatch.setattr(sys, "stderr", journal)
        print_error("one\ntwo")
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
        print_error("one\ntwo")
        journal.seek(0)
        assert journal.read() == "one\ntwo\n<3>one\n<3>two\n"


def test_another_stream_than_the_journal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A stderr that was redirected elsewhere gets no priorities, though the unit has a journal."""
    monkeypatch.setenv("JOURNAL_STREAM", "1:1")
    with (tmp_path / "file").open("w+") as file:
        setup(stream=file)
        structlog.get_logger().info("x")
        file.seek(0)
        assert file.read().startswith("{")


def test_secrets_in_every_place() -> None:
    """A secret shows in no event, value, list, context, exception text or library's message."""
    stream = io.StringIO()
    setup("debug", stream=stream)
    register_secret("log-secret-1")
    log = structlog.get_logger()
    with structlog.contextvars.bound_contextvars(camera="log-secret-1"):
        log.info("key log-secret-1", url=["rtsp://u:log-secret-1@h"], header={"Authorization": b"Bearer log-secret-1"})
    try:
        raise ValueError("refused log-secret-1")  # noqa: TRY301 - the text of a traceback is what this is about
    except ValueError:
        log.exception("failed")
    logging.getLogger("paho").warning("sending %s", "log-secret-1")
    assert "log-secret-1" not in stream.getvalue()
    assert len(lines(stream)) == 3
    assert "ValueError: refused ***" in lines(stream)[1]["exception"]
    assert redact("log-secret-1") == "***"


def test_secrets_on_the_console() -> None:
    """The console's lines and tracebacks are free of secrets, too."""
    stream = Terminal()
    setup(format="console", stream=stream)
    register_secret("log-secret-2")
    try:
        raise ValueError("refused log-secret-2")  # noqa: TRY301 - the text of a traceback is what this is about
    except ValueError:
        structlog.get_logger().exception("failed")
    assert "log-secret-2" not in stream.getvalue()
    assert "refused ***" in stream.getvalue()


def test_libraries() -> None:
    """What libraries log goes the same way, with the logger's name, its traceback, and at a level that we know."""
    stream = io.StringIO()
    setup("debug", stream=stream)
    logging.getLogger("trio-websocket").info("connection %d", 7)
    logging.getLogger("paho").log(25, "between")
    logging.getLogger("paho").log(5, "trace")
    logging.getLogger("paho").error("lost", exc_info=OSError("reset"))
    got = [(line["level"], line["event"], line["library"]) for line in lines(stream)]
    assert got == [("info", "connection 7", "trio-websocket"), ("info", "between", "paho"), ("error", "lost", "paho")]
    assert "OSError: reset" in lines(stream)[2]["exception"]


def test_stderr_by_default(capsys: pytest.CaptureFixture[str]) -> None:
    """The log goes to stderr: stdout belongs to what a command prints."""
    setup(stream=None)
    structlog.get_logger().info("here")
    out, err = capsys.readouterr()
    assert (out, json.loads(err)["event"]) == ("", "here")
    assert sys.stderr.isatty() is False


class Clock:
    """A clock that stands still until it is set."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def logged() -> io.StringIO:
    stream = io.StringIO()
    setup("debug", stream=stream)
    return stream


def events(stream: io.StringIO) -> list[str]:
    return [line["event"] for line in lines(stream)]


def test_a_state_is_logged_once(logged: io.StringIO) -> None:
    """A thousand failures of one kind are one line, and their number is reported when the state changes."""
    limited = RateLimitedLogger()
    for attempt in range(1000):
        limited.emit("front", "unreachable", "camera offline", level="warning", attempt=attempt)
    assert events(logged) == ["camera offline"]
    limited.emit("front", "streaming", "camera streaming")
    assert events(logged) == ["camera offline", "camera offline (repeated 999 times)", "camera streaming"]
    assert [line["level"] for line in lines(logged)] == ["warning", "warning", "info"]
    assert lines(logged)[1]["attempt"] == 999


def test_a_state_that_lasts_is_recalled(logged: io.StringIO) -> None:
    """A state that goes on failing is recalled now and then, with how often."""
    clock = Clock()
    limited = RateLimitedLogger(every=3600, clock=clock)
    for minute in range(150):
        clock.now = minute * 60.0
        limited.emit("front", "unreachable", "camera offline", level="warning")
    assert events(logged) == [
        "camera offline",
        "camera offline (repeated 60 times)",
        "camera offline (repeated 60 times)",
    ]


def test_things_do_not_mix(logged: io.StringIO) -> None:
    """Each thing has a state of its own, and a change without repeats is reported plainly."""
    limited = RateLimitedLogger()
    limited.emit("front", "a", "front a")
    limited.emit("back", "b", "back b")
    limited.emit("front", "b", "front b")
    assert events(logged) == ["front a", "back b", "front b"]


OBEYED = "\x1b]0;title\x07\x1b[2J\x9b31m\r\u202e\u2028"
"""What changes a terminal's title, clears it, colours it, goes back, turns the text around."""


@pytest.mark.parametrize("format_", ["console", "json"])
def test_a_terminal_obeys_nothing(format_: str) -> None:
    """What cameras, the cloud or libraries say moves no cursor, whichever place of a line it comes to."""
    stream = io.StringIO()
    setup(format=format_, stream=stream)
    log = structlog.get_logger()
    event = f"event {OBEYED}"
    log.info(event, detail=OBEYED, deep=[{"x": OBEYED}], name=OBEYED.encode())
    logging.getLogger("paho").warning("said %s", OBEYED)
    try:
        raise ValueError(OBEYED)  # noqa: TRY301 - the text of a traceback is what this is about
    except ValueError:
        log.exception("failed")
    text = stream.getvalue()
    assert "event " in text
    assert "Traceback" in text
    assert not set(OBEYED) - set(string.printable) & set(text)
    assert "\r" not in text
    if format_ == "json":
        assert lines(stream)[0]["detail"] == OBEYED
