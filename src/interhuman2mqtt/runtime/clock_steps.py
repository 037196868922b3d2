"""What is dated is published anew once the wall clock was set."""

from collections.abc import Sequence
from typing import Protocol

import structlog

from interhuman2mqtt.runtime.beats import sleep_until_beat
from interhuman2mqtt.runtime.clock import BoxClock

LOOK_S = 0.5
"""Seconds between two looks at the clocks: that is how exactly a suspension is dated."""

log = structlog.get_logger(__name__)


class Redatable(Protocol):
    """Published something that has a date."""

    def redate(self, step_s: float) -> None:
        """Publish it anew, dated by a clock that was set by `step_s` seconds."""


async def follow_clock(clock: BoxClock, published: Sequence[Redatable]) -> None:
    """Look at the clocks for ever."""
    while True:
        if step_s := clock.pop_step():
            log.warning("the clock was set", by_seconds=round(step_s, 3), clock=clock.state)
            for part in published:
                part.redate(step_s)
        await sleep_until_beat(LOOK_S)
