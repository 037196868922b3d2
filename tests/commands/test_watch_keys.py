"""The keys of `watch`, as a terminal sends them."""

import os
import pty
import subprocess
import sys
import termios
import time
from contextlib import suppress

import pytest

from interhuman2mqtt.commands.watch_keys import FILTER_MAX, View, parse_keys, single_keys


@pytest.mark.parametrize(
    ("typed", "keys"),
    [
        (b"q", ["q"]),
        (b"\x1b[A\x1bOB\x1b[5~\x1b[6~", ["up", "down", "page up", "page down"]),
        (b"/hall-2\r\x1b", ["/", "h", "a", "l", "l", "-", "2", "enter", "esc"]),
        (b"\x1b[1;5C\x1b[15~x", ["x"]),
        ("\u00fc\x7f".encode(), ["\u00fc", "backspace"]),
        (b"\xff\xfe", ["\ufffd", "\ufffd"]),
    ],
)
def test_sequences_are_keys(typed: bytes, keys: list[str]) -> None:
    """Arrows, pages and letters are read; what means nothing here is left out; no byte is an error."""
    assert parse_keys(typed) == keys


def test_a_letter_belongs_to_the_filter_while_it_is_typed() -> None:
    """`q` ends the program, but not within a filter, which is bounded."""
    view = View()
    assert view.press("q")
    view.press("/")
    assert not view.press("q")
    for _ in range(2 * FILTER_MAX):
        view.press("x")
    view.press("backspace")
    assert len(view.filter) == FILTER_MAX - 1
    view.press("enter")
    assert view.press("q")


def test_what_is_no_terminal_is_left_alone() -> None:
    """A pipe has no keys."""
    reading, writing = os.pipe()
    with single_keys(reading) as can_read:
        assert not can_read
    os.close(reading)
    os.close(writing)


def test_q_ends_it_and_the_terminal_is_as_it_was() -> None:
    """On a terminal `watch` ends with 0 at a `q`, without a broker too, and echo is on again."""
    mother, child = pty.openpty()
    command = [sys.executable, "-m", "interhuman2mqtt", "watch", "--broker", "mqtt://127.0.0.1:9"]
    own = (
        "import fcntl, os, sys, termios; os.setsid(); "
        "fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
    )
    process = subprocess.Popen([sys.executable, "-c", own, *command], stdin=child, stdout=child, stderr=child)
    os.close(child)
    shown = b""
    while b"not connected" not in shown:
        shown += os.read(mother, 4096)
    while termios.tcgetattr(mother)[3] & termios.ECHO:
        time.sleep(0.02)
    os.write(mother, b"q")
    with suppress(OSError):  # EIO: the other side is closed
        while os.read(mother, 4096):
            pass
    assert process.wait() == 0
    os.close(mother)
