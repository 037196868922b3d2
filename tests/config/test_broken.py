"""What `check` says about files that are broken in the ways of real life.

Each case is a file, or a folder with a `main.toml` and its `conf.d`, and begins with the lines that it must give.
"""

import io
from pathlib import Path

import pytest

from interhuman2mqtt.commands.check import check_command
from interhuman2mqtt.config import loader as configfile
from interhuman2mqtt.errors import ConfigError

BROKEN = Path(__file__).parent / "broken"
CASES = sorted([*BROKEN.glob("*.toml"), *BROKEN.glob("*/main.toml")])


@pytest.fixture(autouse=True)
def no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """`check` is run by hand, outside the service."""
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)


def name(case: Path) -> str:
    """What a case is called: its file, or its folder."""
    return case.parent.name if case.name == "main.toml" else case.stem


def expected(case: Path) -> list[str]:
    """The lines that the head of a case announces, as they are with the whole path."""
    heads = [line.removeprefix("# expect: ") for line in case.read_text().splitlines() if line.startswith("# expect: ")]
    if case.name == "main.toml":
        return [f"{case.parent}/{head}" for head in heads]
    return [f"{case}:{head}" if head[0].isdigit() else head for head in heads]


@pytest.mark.parametrize("case", CASES, ids=name)
def test_each_mistake_gets_its_sentences_at_its_line_and_no_others(case: Path) -> None:
    """`check` prints exactly the announced lines, and exits with 78 unless all of them are warnings."""
    out = io.StringIO()
    code = check_command([case], None, out)
    lines = [line for line in out.getvalue().splitlines() if not line.startswith("good: ")]
    assert expected(case) == lines
    assert code == (0 if all(": warning: " in line for line in lines) else 78)


@pytest.mark.parametrize("case", CASES, ids=name)
def test_loading_says_the_same_as_check(case: Path) -> None:
    """The daemon refuses what `check` calls an error with the same lines, but for files that may appear until later."""
    errors = [line for line in expected(case) if ": warning: " not in line and "No such file" not in line]
    said: list[str] = []
    try:
        configfile.load(configfile.find([case]))
    except ConfigError as error:
        said = str(error).splitlines()
    assert errors == said


def test_there_are_many() -> None:
    """The folder is found, and holds what was promised."""
    assert len(CASES) >= 80
    assert all(expected(case) for case in CASES)


@pytest.mark.parametrize("case", CASES, ids=name)
def test_no_password_is_echoed(case: Path) -> None:
    """Whatever is wrong, the password in the file stays there."""
    out = io.StringIO()
    check_command([case], None, out)
    assert "ter2" not in out.getvalue()
