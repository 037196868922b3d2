"""What holds for all tests of the capture stage."""

import pytest

from interhuman2mqtt.cameras import worker


@pytest.fixture(autouse=True)
def _watched_closely(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short timeouts want to be looked at more often."""
    monkeypatch.setattr(worker, "WATCH_S", 0.1)
