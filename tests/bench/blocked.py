"""The daemon with a watch on its event loop: `python -m bench.blocked FILE ARGUMENTS...`.

The arguments are those of `interhuman2mqtt`.

FILE gets the longest step of a task and the task's name, anew each second, since the file was deleted last: its seconds
of CPU, and its seconds by the clock. What is between them is the machine's: there are more processes than cores.
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
        self._began = self._used = self._said = 0.0
        self._longest = (0.0, "")
        self._latest = 0.0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:  # noqa: ARG002 - trio calls it so
        """A task has the loop now."""
        self._began, self._used = time.perf_counter(), time.thread_time()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """It has given it back."""
        now, used = time.perf_counter(), time.thread_time()
        self._longest = max(self._longest, (used - self._used, task.name))
        self._latest = max(self._latest, now - self._began)
        if now - self._said > 1:
            self._said = now
            if not self._file.exists():
                self._longest, self._latest = (0.0, ""), 0.0
            self._file.write_text(json.dumps([*self._longest, self._latest]))


if __name__ == "__main__":
    trio.run = partial(trio.run, instruments=[Longest(Path(sys.argv[1]))])  # type: ignore[assignment]
    sys.exit(main(sys.argv[2:]))
