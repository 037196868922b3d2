"""What holds for every test."""

import pytest
from hypothesis import HealthCheck, settings

from interhuman2mqtt import redaction

# A machine that is busy with the other tests is slow, and that is no fault of a test.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


@pytest.fixture(autouse=True)
def _nothing_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """The secrets that a process has loaded are one list; a test must not see those of another."""
    monkeypatch.setattr(redaction, "_forms", set())
    monkeypatch.setattr(redaction, "_pattern", None)
