"""What a capture process prints reaches the log: once, without secrets, and never in floods."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import structlog
import trio
from hypothesis import given
from hypothesis import strategies as st

from capture.material import Failing, a_command
from capture.workers import ENOUGH_S, MOUNT, PATIENT, stand_in, working
from interhuman2mqtt.cameras.worker import start_worker
from interhuman2mqtt.cameras.worker_log import KNOWN_MAX, LINE_MAX, LINES, WorkerLog
from interhuman2mqtt.runtime.redaction import register_secret
from support.rtsp import Login, rtsp_server

PASSWORD = "p@ss:w0rd/%?"


@pytest.fixture
def logged() -> Iterator[Sequence[Mapping[str, Any]]]:
    with structlog.testing.capture_logs() as lines:
        yield lines


def clocked() -> tuple[WorkerLog, list[float]]:
    """A log and the time that it goes by."""
    now = [0.0]
    return WorkerLog(lambda: now[0]), now


def test_a_line_is_said_once(logged: Sequence[Mapping[str, Any]]) -> None:
    """The same with other numbers is counted, and the count is reported after an hour."""
    worker_log, now = clocked()
    for packet in range(1000):
        worker_log.log(b"[h264 @ 0x55d0%04x] error while decoding MB %d 7, bytestream -%d" % (packet, packet, packet))
    now[0] = 3601.0
    worker_log.log(b"[h264 @ 0x55d0abcd] error while decoding MB 1 7, bytestream -1")
    assert [(line["event"], line["log_level"]) for line in logged] == [
        ("capture process says", "debug"),
        ("capture process says (repeated 1000 times)", "debug"),
    ]


def test_what_is_not_ffmpegs_is_a_warning(logged: Sequence[Mapping[str, Any]]) -> None:
    """A traceback, or what a driver prints, is seen at every level of the log."""
    worker_log, _ = clocked()
    worker_log.log(b"Traceback (most recent call last):\r")
    worker_log.log(b"")
    assert [(line["log_level"], line["line"]) for line in logged] == [("warning", "Traceback (most recent call last):")]


def test_a_flood_of_new_lines_is_bounded(logged: Sequence[Mapping[str, Any]]) -> None:
    """So many a minute; how many more there were is reported when the minute is over."""
    worker_log, now = clocked()
    for minute in range(20):
        now[0] = minute * 60.0
        for number in range(500):
            worker_log.log(
                b"line %s" % "".join(chr(ord("g") + int(digit)) for digit in f"{minute}{number:03}").encode()
            )
    minutes = 20
    assert len(logged) == minutes * LINES + minutes - 1
    assert logged[LINES] == {
        "event": "capture process says more than is passed on",
        "lines": 500 - LINES,
        "log_level": "warning",
    }
    assert len(worker_log._known) <= KNOWN_MAX


@given(st.lists(st.binary(max_size=200), max_size=60))
def test_whatever_is_printed(lines: list[bytes]) -> None:
    """Rubbish becomes lines of text, of bounded length."""
    worker_log, _ = clocked()
    with structlog.testing.capture_logs() as logged:
        for line in lines:
            worker_log.log(line * 50)
    assert len(logged) <= LINES
    assert all(len(line["line"]) <= LINE_MAX for line in logged)
    json.dumps(list(logged))


def test_no_secret_is_cut_in_two(logged: Sequence[Mapping[str, Any]]) -> None:
    """A line is redacted as a whole, before it is shortened: half a password would not be known for one."""
    register_secret(PASSWORD)
    worker_log, _ = clocked()
    worker_log.log(b"x" * (LINE_MAX - 5) + PASSWORD.encode())
    [line] = logged
    assert PASSWORD[:4] not in line["line"]
    assert line["line"].endswith("***")


@pytest.mark.parametrize("verbose", [True, False])
async def test_ffmpegs_own_lines(logged: Sequence[Mapping[str, Any]], *, verbose: bool) -> None:
    """At the level `debug` FFmpeg tells what it does, without the password; else it is silent."""
    register_secret(PASSWORD)
    async with rtsp_server(MOUNT, login=Login("viewer", PASSWORD)) as server:
        keys = {"username": "viewer", "password": PASSWORD, "verbose": verbose}
        async with working(a_command(server.url("/cam"), **keys)) as worker:
            await worker.record("continuous", 1.0, 0.0).next_chunk()
        async with Failing(), working(a_command(server.url("/nowhere"), **keys)):
            pass
    lines = [line["line"] for line in logged if line["event"] == "capture process says"]
    assert any(line.startswith("[rtsp") for line in lines) is verbose
    assert PASSWORD not in json.dumps(list(logged))


async def test_the_last_words_of_a_process(
    logged: Sequence[Mapping[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it printed just before its end, without an end of line, is heard."""
    monkeypatch.setattr(sys, "executable", str(stand_in(tmp_path, b"", then="sh -c 'printf \"out of words\" >&2'")))
    with trio.fail_after(ENOUGH_S):
        async with Failing(), start_worker(a_command(), PATIENT) as worker:
            await worker.wait_open()
    assert "out of words" in [line.get("line") for line in logged]
