"""The keys of `watch`: arrows and pages scroll, `/` filters by a part of a name, Esc shows all again, `q` quits."""

import os
import re
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager

UP, DOWN, PAGE_UP, PAGE_DOWN, ESC, ENTER, BACKSPACE = "up", "down", "page up", "page down", "esc", "enter", "backspace"
SEQUENCES = {b"\x1b[A": UP, b"\x1b[B": DOWN, b"\x1bOA": UP, b"\x1bOB": DOWN, b"\x1b[5~": PAGE_UP, b"\x1b[6~": PAGE_DOWN}
"""As xterm and what is like it send them (ECMA-48; in application mode with O)."""
STEPS = {UP: -1, DOWN: 1, PAGE_UP: -10, PAGE_DOWN: 10, "k": -1, "j": 1}
FILTER_MAX = 64

_KEY = re.compile(rb"\x1b[\[O][0-9;]*[A-Za-z~]|\x1b|[\x00-\x7f]|[\xc0-\xff][\x80-\xbf]*", re.DOTALL)
_SINGLE = {b"\x1b": ESC, b"\r": ENTER, b"\n": ENTER, b"\x7f": BACKSPACE, b"\x08": BACKSPACE}


class View:
    """The part of the fleet that somebody looks at: from which line on, and which names."""

    def __init__(self) -> None:
        self.filter = ""
        self.is_typing = False
        self.top = 0

    def press(self, key: str) -> bool:
        """Do what a key means; return whether it ends the program."""
        if self.is_typing:
            self._type(key)
        elif key == "/":
            self.is_typing = True
        elif key == ESC:
            self.filter = ""
        elif key in STEPS:
            self.top = max(0, self.top + STEPS[key])
        return key == "q" and not self.is_typing

    def _type(self, key: str) -> None:
        if key == ENTER:
            self.is_typing = False
        elif key == ESC:
            self.filter, self.is_typing = "", False
        elif key == BACKSPACE:
            self.filter = self.filter[:-1]
        elif len(key) == 1 and key.isprintable():
            self.filter = (self.filter + key)[:FILTER_MAX]


def parse_keys(typed: bytes) -> list[str]:
    """Return the keys in what a terminal sent; sequences that mean nothing here are left out."""
    keys = []
    for part in _KEY.findall(typed):
        if key := SEQUENCES.get(part) or _SINGLE.get(part):
            keys.append(key)
        elif not part.startswith(b"\x1b"):
            keys.append(part.decode(errors="replace"))
    return keys


@contextmanager
def single_keys(descriptor: int) -> Iterator[bool]:
    """Let a terminal hand over each key at once and unseen, until the block ends.

    Yields:
        Whether keys can be read: not where it is no terminal, nor in the background, where changing it would stop us
        (SIGTTOU).
    """
    if not os.isatty(descriptor) or os.tcgetpgrp(descriptor) != os.getpgrp():
        yield False
        return
    before = termios.tcgetattr(descriptor)
    tty.setcbreak(descriptor)
    try:
        yield True
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
