"""Who reads the log decides when, and whether: who writes it never waits and never fails for that."""

import fcntl
import os
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from interhuman2mqtt.runtime.log_writer import WAITING_MAX, LogWriter

PIPE = 4096
"""Bytes that the smallest pipe holds."""
LINE = "x" * 99 + "\n"


class Pipe(NamedTuple):
    """Both ends."""

    reader: int
    writer: int


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    """A pipe that is soon full."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, PIPE)
    yield Pipe(reader, writer)
    os.close(reader)


def read_all(pipe: Pipe, log: LogWriter) -> bytes:
    """All that was written and is still to be written."""
    os.set_blocking(pipe.reader, False)
    data = b""
    while not log.drain(0.01):
        try:
            data += os.read(pipe.reader, 1 << 20)
        except BlockingIOError:
            continue
    try:
        return data + os.read(pipe.reader, 1 << 20)
    except BlockingIOError:
        return data


def test_a_reader_that_stands_still(pipe: Pipe) -> None:
    """It costs no time but the lines that find no room, which are counted and reported once it reads again."""
    log = LogWriter(pipe.writer, lambda lost: print(end=f"lost {lost:6}".ljust(99) + "\n", file=log))
    lines = 2 * WAITING_MAX // len(LINE)
    for number in range(lines):
        log.write(f"{number}".ljust(99) + "\n")
    assert not log.drain(0.01)
    read = read_all(pipe, log).splitlines()
    *kept, told = read
    assert [int(line) for line in kept] == list(range(len(kept)))
    assert told.split() == [b"lost", str(lines - len(kept)).encode()]
    assert WAITING_MAX <= len(kept) * len(LINE) <= WAITING_MAX + PIPE + len(LINE)
    assert log.lost == lines - len(kept)


def test_reports_do_not_fill_the_room(pipe: Pipe) -> None:
    """Of a reader that is always too slow a report is written now and then, not one for each line that it reads."""
    reports: list[int] = []
    log = LogWriter(pipe.writer, reports.append)
    for _ in range(50):
        for _ in range(WAITING_MAX // len(LINE) + PIPE):
            log.write(LINE)
        os.read(pipe.reader, PIPE)
    assert len(reports) <= 2
    assert log.lost > 50 * PIPE // 2
    read_all(pipe, log)
    assert sum(reports) == log.lost


def test_a_disk_that_is_full() -> None:
    """What cannot be written is counted, and who logs hears nothing of it."""
    descriptor = os.open("/dev/full", os.O_WRONLY)
    log = LogWriter(descriptor)
    for _ in range(100):
        log.write(LINE)
    assert log.drain(5)
    os.close(descriptor)
    log.write(LINE)
    assert log.drain(5)
    assert log.lost == 101


def test_a_reader_that_is_gone(pipe: Pipe) -> None:
    """A broken pipe costs what is written to it, and nothing else."""
    log = LogWriter(pipe.writer)
    os.dup2(os.open(os.devnull, os.O_RDONLY), pipe.reader)
    log.write(LINE)
    assert log.drain(5)
    assert log.lost == 1


def test_a_descriptor_that_does_not_block(pipe: Pipe) -> None:
    """O_NONBLOCK, which another process may have set on the same terminal, loses nothing."""
    os.set_blocking(pipe.writer, False)
    log = LogWriter(pipe.writer)
    for _ in range(200):
        log.write(LINE)
    assert read_all(pipe, log) == LINE.encode() * 200
    assert log.lost == 0


def test_a_line_that_was_torn(monkeypatch: pytest.MonkeyPatch, pipe: Pipe) -> None:
    """After half a line, which is all that found room on a disk, the next one begins on a line of its own."""
    write, answers = os.write, iter([40, OSError(28, "No space left on device")])

    def short(descriptor: int, data: bytes) -> int:
        match next(answers, None):
            case int(length):
                return write(descriptor, data[:length])
            case OSError() as error:
                raise error
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", short)
    log = LogWriter(pipe.writer)
    log.write("first " * 20 + "\n")
    log.write("second\n")
    assert log.drain(5)
    assert os.read(pipe.reader, PIPE).splitlines() == [(b"first " * 20)[:40], b"second"]
