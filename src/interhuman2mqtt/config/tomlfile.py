"""One TOML file from disk: parsed, with the lines of its keys; its syntax errors in words for people."""

import re
import tomllib
from pathlib import Path
from typing import NamedTuple

from interhuman2mqtt.config.problems import Place, Report
from interhuman2mqtt.config.tables import Document
from interhuman2mqtt.config.tomllines import key_lines

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


def read_document(file: Path, report: Report) -> Document | None:
    """A file's content, or None when it cannot be read or parsed, which is reported."""
    try:
        content = file.read_bytes()
    except OSError as error:
        report.error(Place(file, None), (), f"cannot be read: {error.strerror}")
        return None
    parsed = _parse(file, content)
    if isinstance(parsed, Document):
        return parsed
    report.error(Place(file, parsed.line), (), f"not TOML{parsed.message}")
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
