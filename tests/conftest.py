"""What holds for every test."""

import pytest

from interhuman2mqtt import redaction


@pytest.fixture(autouse=True)
def _nothing_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """The secrets that a process has loaded are one list; a test must not see those of another."""
    monkeypatch.setattr(redaction, "_forms", set())
    monkeypatch.setattr(redaction, "_pattern", None)
