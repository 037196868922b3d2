"""What is made out of the code says what the code says."""

import subprocess
import sys
from pathlib import Path

import pytest

from generate import tables
from generate.files import FILES, README, SCHEMA, with_tables
from interhuman2mqtt import errors
from interhuman2mqtt.errors import Reason


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_file_is_as_the_code_makes_it(path: Path) -> None:
    """A file that differs from the code is out of date: `make generate` mends it."""
    assert path.read_text() == FILES[path]()


def test_the_tables_in_the_readme_are_as_the_code_makes_them() -> None:
    """What stands between the marks in the README is what the code says."""
    assert README.read_text() == with_tables(README.read_text())


def test_a_marked_table_is_made_anew() -> None:
    """What stood between the marks goes, what stands around them stays."""
    old = "a\n<!-- generated: signals -->\nold\n<!-- end -->\nb\n"
    assert with_tables(old) == f"a\n<!-- generated: signals -->\n{tables.signal_list()}<!-- end -->\nb\n"


@pytest.mark.parametrize("name", ["config", "events", "asyncapi"])
def test_the_command_prints_the_file(name: str) -> None:
    """`schema` prints the file that is shipped, and exits with 0."""
    command = [sys.executable, "-m", "interhuman2mqtt", "schema", name]
    printed = subprocess.run(command, capture_output=True, text=True, check=True)
    assert printed.stdout == (SCHEMA / f"{name}.json").read_text()


def test_every_reason_is_documented() -> None:
    """Each reason has a sentence."""
    text = tables.reasons()
    assert [reason for reason in Reason if f"| `{reason}` | " not in text] == []


def test_every_reason_is_used() -> None:
    """No word stands in the list that nothing ever says."""
    package = Path(errors.__file__).parent
    code = "".join(file.read_text() for file in package.rglob("*.py") if file.name != "errors.py")
    assert [reason.name for reason in Reason if f"Reason.{reason.name}" not in code] == []
