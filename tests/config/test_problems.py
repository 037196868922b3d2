"""How problems are said."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interhuman2mqtt.config.problems import Location, Problem, ProblemReport, Severity, dotted, shown

FILE = Path("/etc/x.toml")


@pytest.mark.parametrize(
    ("problem", "line"),
    [
        (Problem(FILE, 7, "a.b", "wrong"), "/etc/x.toml:7: a.b: wrong"),
        (Problem(FILE, 7, "a.b", "odd", Severity.WARNING), "/etc/x.toml:7: a.b: warning: odd"),
        (Problem(FILE, None, "", "cannot be read"), "/etc/x.toml: cannot be read"),
        (Problem(None, None, "--box", "wrong"), "--box: wrong"),
    ],
)
def test_a_problem_is_one_line(problem: Problem, line: str) -> None:
    """File, line, key and message stand in the order that editors understand; what is not known is left out."""
    assert line == str(problem)


def test_problems_are_said_once_and_in_the_order_of_the_files() -> None:
    """The same problem twice is one; files come as they were read, lines from top to bottom."""
    other = Path("/etc/a.toml")
    report = ProblemReport([FILE, other])
    for place in (Location(None, None), Location(other, 1), Location(FILE, 9), Location(FILE, 2), Location(FILE, 9)):
        report.error(place, ("a",), "wrong")
    report.warning(Location(FILE, 3), ("b",), "odd")
    assert [(problem.file, problem.line) for problem in report.problems] == [
        (FILE, 2),
        (FILE, 3),
        (FILE, 9),
        (other, 1),
        (None, None),
    ]
    assert len(report.errors) == 4


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("tpc", '"tpc"'),
        ("a\nb", '"a\\nb"'),
        ("x" * 50, f'"{"x" * 37}..."'),
        ("rtsp://viewer:hunter2@host/", '"***"'),
        ("password=hunter2", '"***"'),
        ("ih_live_hunter2", '"***"'),
    ],
)
def test_texts_are_quoted_short_and_without_credentials(text: str, quoted: str) -> None:
    """A quotation stays on its line and is not long; what may hold credentials, put in a wrong place, is hidden."""
    assert quoted == shown(text)


@given(st.text())
def test_a_quotation_is_printable(text: str) -> None:
    """No control character of a file reaches the terminal."""
    assert shown(text).isprintable()


def test_keys_are_written_as_in_toml() -> None:
    """Names that are not bare are quoted, and the numbers of items are left out."""
    assert dotted(("cameras", "Front desk", "schedule", 2)) == 'cameras."Front desk".schedule'
