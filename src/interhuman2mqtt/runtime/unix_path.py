"""Short names for Unix sockets: a whole path may be longer than the 108 bytes of unix(7)."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def short(folder: Path, name: str) -> Iterator[str]:
    """Return the path of a socket by way of a descriptor of its folder; raises OSError where there is no folder."""
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{name}"
    finally:
        os.close(descriptor)
