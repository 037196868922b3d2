"""On which line a TOML file says what: the standard library's parser does not tell, and a person wants to know.

The parser has accepted the text before it comes here, so that this needs no grammar, only the borders between tokens.
"""

import re
import tomllib
from bisect import bisect_right

from interhuman2mqtt.config.problems import KeyPath

_BLANK = re.compile(r"(?:[ \t\n]|#[^\n]*)*")
_KEY = re.compile(r"""[ \t]*([A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*')[ \t]*""")
_DOTTED_KEY = re.compile(rf"{_KEY.pattern}(?:\.{_KEY.pattern})*")
_STRING = re.compile(
    r'''"""(?:[^\\]|\\.)*?"{3,5}'''  # up to two quotes may stand before the three that close
    r"""|'''.*?'{3,5}"""
    r"""|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'""",
    re.DOTALL,
)
_PLAIN = re.compile(r"[^,\]}#\n]*")


def key_lines(text: str) -> dict[KeyPath, int]:
    """The line, from 1, of each table, key and list item of a valid TOML text, by its path.

    A table that is opened more than once, by `[a.b]` and `[a.c]`, stands where it is opened first.
    """
    return _Scanner(text.replace("\r\n", "\n")).scan()


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._line_ends = [match.start() for match in re.finditer("\n", text)]
        self._lines: dict[KeyPath, int] = {}
        self._lengths: dict[KeyPath, int] = {}
        """How many tables an array of tables has so far."""

    def scan(self) -> dict[KeyPath, int]:
        table: KeyPath = ()
        while self._skip(_BLANK) < len(self._text):
            if self._take("["):
                table = self._header()
            else:
                self._pair(table)
        return self._lines

    def _header(self) -> KeyPath:
        line, is_array = self._line(), self._take("[")
        *parents, name = self._key()
        path: KeyPath = ()
        for parent in parents:
            path = self._newest((*path, parent), line)
        path = (*path, name)
        if is_array:
            self._lengths[path] = self._lengths.get(path, 0) + 1
        self._at += 2 if is_array else 1
        return self._newest(path, line)

    def _newest(self, path: KeyPath, line: int) -> KeyPath:
        """The table that a name in a header means: of an array of tables the last."""
        self._lines.setdefault(path, line)
        if path not in self._lengths:
            return path
        item = (*path, self._lengths[path] - 1)
        self._lines.setdefault(item, line)
        return item

    def _pair(self, table: KeyPath) -> None:
        """Reads `a.b = value`."""
        line, key = self._line(), self._key()
        for depth in range(1, len(key) + 1):
            self._lines.setdefault((*table, *key[:depth]), line)
        self._take("=")
        self._skip(_BLANK)
        self._value((*table, *key))

    def _value(self, path: KeyPath) -> None:
        if self._take("["):
            self._list(path)
        elif self._take("{"):
            self._inline_table(path)
        elif self._text[self._at] in "\"'":
            self._skip(_STRING)
        else:
            self._skip(_PLAIN)

    def _list(self, path: KeyPath) -> None:
        index = 0
        while self._skip(_BLANK) and not self._take("]"):
            self._lines[*path, index] = self._line()
            self._value((*path, index))
            self._skip(_BLANK)
            self._take(",")
            index += 1

    def _inline_table(self, path: KeyPath) -> None:
        while self._skip(_BLANK) and not self._take("}"):
            self._pair(path)
            self._skip(_BLANK)
            self._take(",")

    def _key(self) -> KeyPath:
        start = self._at
        return tuple(_name(match[1]) for match in _KEY.finditer(self._text, start, self._skip(_DOTTED_KEY)))

    def _line(self) -> int:
        return bisect_right(self._line_ends, self._at - 1) + 1

    def _take(self, character: str) -> bool:
        found = self._text.startswith(character, self._at)
        self._at += found
        return found

    def _skip(self, pattern: re.Pattern[str]) -> int:
        match = pattern.match(self._text, self._at)
        self._at = match.end() if match else self._at
        return self._at


def _name(token: str) -> str:
    """A key without its quotes and escapes."""
    if token[0] not in "\"'":
        return token
    (name,) = tomllib.loads(f"{token} = 0")
    return name
