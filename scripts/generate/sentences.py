"""Where the sentences come from: the docstrings below attributes, and the comments in the configuration file."""

import ast
import inspect
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
SHIPPED = REPOSITORY / "config" / "interhuman2mqtt.toml"

_TABLE = re.compile(r"#?\[([a-z_]+)")
_KEY = re.compile("#?([a-z_]+) = ")


def of_class(found: type) -> str:
    """Return the docstring of a class, on one line."""
    return _line(inspect.getdoc(found) or "")


@cache
def of_attributes(found: type) -> Mapping[str, str]:
    """Return the sentences below the attributes of a class, and of those that it inherits from, by their names."""
    said: dict[str, str] = {}
    for base in reversed(found.__mro__):
        if base.__module__.startswith("interhuman2mqtt"):
            said |= dict(_attributes(base))
    return said


def _attributes(found: type) -> Iterator[tuple[str, str]]:
    [node] = ast.parse(inspect.getsource(found)).body
    assert isinstance(node, ast.ClassDef)
    name = ""
    for statement in node.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                pass
            case ast.Expr(value=ast.Constant(value=str() as sentence)) if name:
                yield name, _line(sentence)
            case _:
                name = ""


@cache
def of_keys() -> Mapping[tuple[str, str], str]:
    """Return the comments above the keys of the shipped file, by table and key; an empty key is the table's own."""
    said: dict[tuple[str, str], str] = {}
    table, comment = "", ""
    for line in SHIPPED.read_text().splitlines():
        if line.startswith("# "):
            comment = f"{comment} {line[2:]}".strip()
            continue
        if opens := _TABLE.match(line):
            table = opens[1]
            said[table, ""] = comment
        elif key := _KEY.match(line):
            said.setdefault((table, key[1]), comment)
        comment = ""
    return said


def _line(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()
