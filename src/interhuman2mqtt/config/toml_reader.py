"""One TOML file from disk: parsed, with the lines of its keys; its syntax errors in words for people.

tomllib does not say on which line a key stands, nor does any other TOML library for Python. It has accepted the text
before the lines are looked for, so the scanner needs no grammar, only the borders between tokens.
"""

import re
import tomllib
from bisect import bisect_right
from pathlib import Path
from typing import NamedTuple

from interhuman2mqtt.config.parser import Document
from interhuman2mqtt.config.problems import KeyPath, Location, ProblemReport, unreadable

# Errors that name FILE:LINE need the lines of keys. tomlkit keeps the layout of a document for writing it back, without
# positions; a parser of our own would be a second opinion on what TOML is. So tomllib decides what the file says, and
# this scanner only finds where, which is 100 lines because it may assume that the text is valid.
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
    """Return the line, from 1, of each table, key and list item of a valid TOML text, by its path.

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
        """Return the table that a name in a header means: of an array of tables the last."""
        self._lines.setdefault(path, line)
        if path not in self._lengths:
            return path
        item = (*path, self._lengths[path] - 1)
        self._lines.setdefault(item, line)
        return item

    def _pair(self, table: KeyPath) -> None:
        """Read `a.b = value`."""
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
    """Return a key without its quotes and escapes."""
    if token[0] not in "\"'":
        return token
    (name,) = tomllib.loads(f"{token} = 0")
    return name


_POSITION = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")

_IN_WORDS = {
    "Cannot declare": "this table was opened before; put its keys together in one place",
    "Cannot overwrite a value": "this key was given before",
    "Duplicate inline table key": "this key was given before",
    "Cannot mutate immutable namespace": "this table was closed before, by its brace; write all of it there",
    "Expected '=' after a key": 'expected = after the key, as in: name = "value"',
    "Expected newline or end of document": "this is too much: text such as 5s needs quotes, each key its own line",
    "Expected ']' at the end of a table": "the name of this table needs its closing ]",
    "Illegal character '\\n'": "a string ends on its line; a quote is missing",
    "Invalid initial character for a key part": "a name was expected here; a table in braces stands on one line",
    "Invalid statement": "neither a key nor a [table] begins like this",
    "Invalid value": "the value cannot be read: text needs straight quotes, true and false are lower case",
    "Unclosed array": "the list needs a comma between its items, and its closing ]",
    "Unclosed inline table": "the table needs a comma between its keys, and its closing }",
    "Unescaped '\\' in a string": "a backslash in a string is written twice, or use single quotes",
    "Unterminated string": "a string, which may begin far above, has no closing quotes",
}
"""What Python's parser says, by its beginning, and what it means to a person."""


class _Syntax(NamedTuple):
    """A syntax error, and its line where it is known."""

    message: str
    line: int | None


def read_document(file: Path, report: ProblemReport) -> Document | None:
    """Return a file's content, or None when it cannot be read or parsed, which is reported."""
    try:
        content = file.read_bytes()
    except OSError as error:
        report.error(Location(file, None), (), unreadable(error))
        return None
    parsed = _parse(file, content)
    if isinstance(parsed, Document):
        return parsed
    report.error(Location(file, parsed.line), (), f"not TOML{parsed.message}")
    return None


def _parse(file: Path, content: bytes) -> Document | _Syntax:
    try:
        text = content.decode().removeprefix("\ufeff")  # which some editors of Windows write
    except UnicodeDecodeError as error:
        return _Syntax(": a file must be UTF-8 text", content[: error.start].count(b"\n") + 1)
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        return _in_words(str(error), content)
    except ValueError:
        return _Syntax(": a number has thousands of digits", None)  # which Python's int() refuses
    except RecursionError:
        return _Syntax(": lists or tables stand too deep in one another", None)
    return Document(file, table, key_lines(text))


def _in_words(message: str, content: bytes) -> _Syntax:
    position = _POSITION.search(message)
    line = int(position[1]) if position and position[1] else content.rstrip().count(b"\n") + 1
    column = f" at column {position[2]}" if position and position[2] else ""
    bare = _POSITION.sub("", message)
    words = next((words for begin, words in _IN_WORDS.items() if bare.startswith(begin)), bare)
    return _Syntax(f"{column}: {words}", line)
