"""The clocks of a real process, moved by the test: the process's own, since the machine's are everybody's.

::

    wall = WallClock(tmp_path)
    async with box(tmp_path, config, wall.env):
        wall.step_to(-3600)         # REALTIME of the daemon is an hour behind the machine's from now on
        wall.suspend(600)           # and to it the machine slept for ten minutes: MONOTONIC alone knows nothing of it

`wallclock.c` is loaded into the process (LD_PRELOAD) and moves what it reads of REALTIME and BOOTTIME; MONOTONIC, by
which it waits, stays what it is. Debian's libfaketime would serve, but answers each sleep on MONOTONIC with
EINVAL (0.9.10, FAKETIME_DONT_FAKE_MONOTONIC=1).
"""

import struct
import subprocess
import time
from functools import cache
from hashlib import sha256
from pathlib import Path

SOURCE = Path(__file__).with_name("wallclock.c")
CACHE = Path(__file__).parents[2] / ".cache" / "wallclock"
NEAR_S = 1.0
"""A date that was made so shortly before a step may have been made by either clock."""


@cache
def library() -> Path:
    """Return the library, compiled where it was not yet."""
    made = CACHE / f"{sha256(SOURCE.read_bytes()).hexdigest()[:16]}.so"
    if not made.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        draft = CACHE / f"{made.name}.{time.monotonic_ns()}"
        subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", draft, SOURCE, "-ldl"], check=True)
        draft.replace(made)
    return made


class WallClock:
    """What a process takes for the time; it is right until it is stepped.

    Args:
        folder: Where the offset is kept, as the process reads it.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / "clock-offsets"
        self._file.write_bytes(bytes(16))
        self._slept = 0.0
        self._steps = [(0.0, 0.0)]
        """From when on (time.time()) it was by how many seconds ahead."""

    @property
    def env(self) -> dict[str, str]:
        """What the process is to be started with."""
        return {"LD_PRELOAD": str(library()), "CLOCK_OFFSETS_NS": str(self._file)}

    def step_to(self, seconds: float) -> None:
        """Set it so many seconds ahead of the machine's."""
        with self._file.open("r+b") as file:
            file.write(struct.pack("=qq", round(seconds * 1e9), round(self._slept * 1e9)))
        self._steps.append((time.time(), seconds))

    def suspend(self, seconds: float) -> None:
        """Let the machine have slept for so long, as far as the process can see."""
        self._slept += seconds
        self.step_to(self._steps[-1][1] + seconds)

    def time(self) -> float:
        """Return what it shows now."""
        return time.time() + self._steps[-1][1]

    def ahead(self, shown: float) -> float | None:
        """Return by how much it was ahead when it showed this; None where it never did."""
        until = [began for began, _ in self._steps[1:]] + [time.time()]
        for (began, seconds), end in zip(reversed(self._steps), reversed(until), strict=True):
            if began - NEAR_S <= shown - seconds <= end + NEAR_S:
                return seconds
        return None
