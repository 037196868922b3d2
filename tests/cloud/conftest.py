"""Fixtures of the cloud's tests."""

from pathlib import Path

import pytest

from cloud.listening import CA


@pytest.fixture
def ca_file(tmp_path: Path) -> str:
    path = tmp_path / "ca.pem"
    CA.cert_pem.write_to_path(str(path))
    return str(path)
