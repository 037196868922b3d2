"""What several tests of the configuration need."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def as_nobody(tmp_path: Path) -> Iterator[None]:
    """The folder `secret` in tmp_path may not be entered, also where the tests are run by root."""
    folder = tmp_path / "secret"
    folder.mkdir()
    folder.chmod(0)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    yield
    os.seteuid(user)
    folder.chmod(0o700)
