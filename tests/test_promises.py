"""The table of promises names tests that exist, and counts without a gap."""

import ast
import re
from itertools import groupby
from pathlib import Path

TESTS = Path(__file__).parent
ROW = re.compile(r"\| (\d+)\.(\d+) \| (.+) \| `([\w/]+\.py)::(\w+)` \|")


def rows() -> list[tuple[int, int, str, str, str]]:
    """Item, number, promise, file and test of each row."""
    lines = [line for line in (TESTS / "PROMISES.md").read_text().splitlines() if line.startswith("| ") and "." in line]
    found = [ROW.fullmatch(line) for line in lines]
    assert None not in found, [line for line, match in zip(lines, found, strict=True) if match is None]
    return [(int(m[1]), int(m[2]), m[3], m[4], m[5]) for m in found if m]


def defined_in(file: Path) -> set[str]:
    """The names of the tests that a file defines."""
    names: set[str] = set()
    for node in ast.parse(file.read_text()).body:
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                names.add(name)
            case ast.Assign(targets=[ast.Name(id=name)]):
                names.add(name)
    return {name for name in names if name.lower().startswith("test")}


def test_every_promise_names_its_test() -> None:
    """Each promise has a test of that name in that file."""
    missing = [f"{file}::{test}" for *_, file, test in rows() if test not in defined_in(TESTS / file)]
    assert missing == []


def test_promises_are_numbered() -> None:
    """Items and the promises of each are counted from one, and no promise is made twice."""
    found = rows()
    numbers = {item: [number for _, number, *_ in group] for item, group in groupby(found, key=lambda row: row[0])}
    assert list(numbers) == list(range(1, len(numbers) + 1))
    assert all(counted == list(range(1, len(counted) + 1)) for counted in numbers.values())
    assert len({promise for _, _, promise, *_ in found}) == len(found)
