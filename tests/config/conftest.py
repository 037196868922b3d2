"""What several tests of the configuration need."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

Nobody = Callable[[], AbstractContextManager[None]]


@pytest.fixture
def as_nobody(tmp_path: Path) -> Nobody:
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
