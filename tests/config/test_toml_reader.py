"""The lines of keys, against what the standard library's parser makes of the same text."""

import tomllib
from collections.abc import Iterator
from typing import Any

import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st

from interhuman2mqtt.config.problems import KeyPath
from interhuman2mqtt.config.toml_reader import key_lines

TRICKY = '''\
# [not.a.table]
top = 2
"quoted key" . 'with.dot' . "\\u00e9" = 3

[ a . "b c" ]   # comment ] with = in it
x = """ not = a key
[nor.a.table] \\""" still
two quotes at its end"""""
after = 9
y = \'\'\'
\'\' nor = this
\'\'\'\'\'
list = [ # [
  14, "]",
  # , 99
  15.5, [ 16,
   [ "#" ] ],
]
inline = { p = 1, q.r = [ 2,
  3 ], "s" = "}" }
empty = ""
date = 1979-05-27 07:32:00
[[a.many]]
n = 24
[a.many.sub]
m = 26
[[a.many]]
n = 28
[a.many.sub]
m = 30
'''


def paths(value: Any, path: KeyPath = ()) -> Iterator[KeyPath]:
    """The paths of all tables, keys and items under a value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in items:
        yield (*path, name)
        yield from paths(inner, (*path, name))


def test_each_construct_of_toml_is_found_on_its_line() -> None:
    """Comments, strings, lists, inline tables, dotted and quoted keys, and arrays of tables are understood."""
    lines = key_lines(TRICKY)
    expected = {
        ("top",): 2,
        ("quoted key", "with.dot", "é"): 3,
        ("a",): 5,
        ("a", "b c"): 5,
        ("a", "b c", "x"): 6,
        ("a", "b c", "after"): 9,
        ("a", "b c", "y"): 10,
        ("a", "b c", "list", 0): 14,
        ("a", "b c", "list", 2): 16,
        ("a", "b c", "list", 3, 1, 0): 17,
        ("a", "b c", "inline", "q", "r", 1): 20,
        ("a", "b c", "inline", "s"): 20,
        ("a", "b c", "date"): 22,
        ("a", "many"): 23,
        ("a", "many", 0, "n"): 24,
        ("a", "many", 1): 27,
        ("a", "many", 1, "sub", "m"): 30,
    }
    assert expected == {path: lines.get(path) for path in expected}
    assert set(paths(tomllib.loads(TRICKY))) == set(lines)


def test_line_ends_of_windows_count_once() -> None:
    """CRLF ends a line like LF."""
    assert key_lines("a = 1\r\n\r\nb = 3\r\n") == {("a",): 1, ("b",): 3}


def test_an_empty_file_has_no_keys() -> None:
    """Nothing, blanks and comments give nothing."""
    assert key_lines("") == key_lines("\n  # a = 1") == {}


NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=5)
SCALARS = st.none() | st.booleans() | st.integers(-9, 9) | st.text(st.sampled_from("\"'\\\n#[]{}=,. a"), max_size=9)
VALUES = st.recursive(
    SCALARS.filter(lambda value: value is not None),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=12,
)


@settings(deadline=None)
@given(st.dictionaries(NAMES, VALUES, max_size=4), st.booleans())
def test_every_key_that_the_parser_finds_has_a_line(table: dict[str, Any], multiline: bool) -> None:  # noqa: FBT001
    """For any content the paths are exactly the parser's, no more and no fewer."""
    text = tomli_w.dumps(table, multiline_strings=multiline)
    assert set(paths(tomllib.loads(text))) == set(key_lines(text))


FILLERS = st.sampled_from(
    [
        "",
        "# x = 1",
        "\n",
        '{k} = """\n[x]\ny = 1\n"""',
        "{k} = '''\n'\n'''",
        "{k} = [\n 'a', # ]\n ['''\n'''] ]",
        "[{k}]",
        "[[l]]",
    ]
)


@settings(deadline=None)
@given(st.lists(FILLERS, max_size=12))
def test_keys_keep_their_lines_among_all_that_spans_lines(fillers: list[str]) -> None:
    """A key that holds the number of its own line is found on that line, whatever stands above it."""
    text = ""
    for index, filler in enumerate(fillers):
        text += filler.replace("{k}", f"k{index}") + "\n"
        text += f"line{index} = {text.count(chr(10)) + 1}\n"
    lines = key_lines(text)
    for path in paths(tomllib.loads(text)):
        value: Any = tomllib.loads(text)
        for part in path:
            value = value[part]
        if str(path[-1]).startswith("line"):
            assert value == lines[path]
