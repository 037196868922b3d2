"""The daemon with a watch on its event loop: `python -m bench.blocked FILE ARGUMENTS...`.

The arguments are those of `interhuman2mqtt`.

FILE gets the longest step of a task in seconds and the task's name, anew each second, since the file was deleted last.
"""

import json
import sys
import time
from functools import partial
from pathlib import Path

import trio

from interhuman2mqtt.cli import main


class Longest(trio.abc.Instrument):
    """The longest time for which one task had the loop."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._began = self._said = 0.0
        self._longest = (0.0, "")

    def before_task_step(self, task: trio.lowlevel.Task) -> None:  # noqa: ARG002 - trio calls it so
        """A task has the loop now."""
        self._began = time.perf_counter()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """It has given it back."""
        now = time.perf_counter()
        self._longest = max(self._longest, (now - self._began, task.name))
        if now - self._said > 1:
            self._said = now
            if not self._file.exists():
                self._longest = (0.0, "")
            self._file.write_text(json.dumps(self._longest))


if __name__ == "__main__":
    trio.run = partial(trio.run, instruments=[Longest(Path(sys.argv[1]))])  # type: ignore[assignment]
    sys.exit(main(sys.argv[2:]))
