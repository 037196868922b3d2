"""What holds for every test."""

import ctypes
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, settings

from interhuman2mqtt.runtime import redaction
from interhuman2mqtt.runtime.process import PR_SET_CHILD_SUBREAPER

# A machine that is busy with the other tests is slow, and that is no fault of a test.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

LONGEST = ("test_resume.py", "test_soak.py", "test_consumers.py", "test_camera_faults.py", "test_asyncapi.py")
WHOLE_RUNS = ("integration", "soak", "homeassistant", "commands", "cameras")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long comes first, so that nobody waits for it alone in the end."""
    items.sort(key=lambda item: (item.path.name not in LONGEST, item.path.parent.name not in WHOLE_RUNS))


@pytest.fixture(autouse=True)
def _log_as_before() -> Iterator[None]:
    """A command that a test calls sets the log up for its whole process; the next test must not notice."""
    config, handlers, level = structlog.get_config(), logging.root.handlers[:], logging.root.level
    yield
    structlog.configure(**config)
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


@pytest.fixture(autouse=True)
def _nothing_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """The secrets that a process has loaded are one list; a test must not see those of another."""
    monkeypatch.setattr(redaction, "_forms", set())
    monkeypatch.setattr(redaction, "_pattern", None)


@pytest.fixture(autouse=True)
def _adopts_nobody() -> Iterator[None]:
    """A camera in this process makes it the parent of orphans; those of a daemon that a later test kills are init's."""
    yield
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


@pytest.fixture
def as_nobody(tmp_path: Path) -> Callable[[], AbstractContextManager[None]]:
    """A context in which the folder `secret` of tmp_path may not be entered, also where the tests are run by root."""

    @contextmanager
    def nobody() -> Iterator[None]:
        user = os.geteuid()
        (tmp_path / "secret").mkdir(mode=0)
        if user == 0:
            os.seteuid(65534)
        try:
            yield
        finally:
            os.seteuid(user)
            (tmp_path / "secret").rmdir()

    return nobody
