"""Who has promised to move again, and by when: the watchdog of systemd is fed only while every promise is kept.

Everything in this program that waits does so for a bounded time, and says how long before it waits. Who breaks such a
promise hangs: by a bug, or in a call into the system that does not return.
"""

from functools import partial
from typing import NamedTuple, Protocol

import trio

SLACK_S = 30.0
"""What a busy machine may add to any wait."""


class Promise(Protocol):
    """Of one stage: it moves again within so many seconds."""

    def __call__(self, seconds: float, /) -> None:
        """The wait that begins now lasts no longer."""


class Stuck(NamedTuple):
    """A broken promise."""

    stage: str
    seconds: float
    """Since it was due."""


class Alive:
    """The promises of all stages."""

    def __init__(self) -> None:
        self._due: dict[str, float] = {}

    def promise(self, stage: str, seconds: float) -> None:
        """A stage moves again within so many seconds, give or take what a busy machine adds."""
        self._due[stage] = trio.current_time() + seconds + SLACK_S

    def of(self, stage: str) -> Promise:
        """The same, for who knows only one stage."""
        return partial(self.promise, stage)

    def withdraw(self, stage: str) -> None:
        """A stage is over, or waits for something that may never come."""
        self._due.pop(stage, None)

    def stuck(self) -> tuple[Stuck, ...]:
        """The stages that should have moved by now, the one that is due longest first."""
        now = trio.current_time()
        late = (Stuck(stage, now - due) for stage, due in self._due.items() if due < now)
        return tuple(sorted(late, key=lambda stuck: -stuck.seconds))
