"""Tells systemd how it goes and feeds its watchdog; and every now and then asks for `bridge/health`."""

from collections.abc import Callable, Sequence

import trio

from interhuman2mqtt.alive import Alive, Stuck
from interhuman2mqtt.systemd import Systemd

STATUS_S = 2.0
HEALTH_S = 30.0


class Reporter:
    """Looks at everything a few times within the watchdog's patience.

    Args:
        sentence: The whole daemon in one line, the stages that hang first.
        publish_health: Publishes `bridge/health`.
    """

    def __init__(
        self,
        notify: Systemd,
        alive: Alive,
        sentence: Callable[[Sequence[Stuck]], str],
        publish_health: Callable[[], None],
    ) -> None:
        self._notify = notify
        self._alive = alive
        self._sentence = sentence
        self._publish_health = publish_health
        self._said: str | None = None

    async def run(self) -> None:
        """For ever; that it runs shows that the loop turns."""
        every = min(STATUS_S, (self._notify.watchdog or STATUS_S * 2) / 2)
        health_at = trio.current_time()
        while True:
            if trio.current_time() >= health_at:
                health_at = trio.current_time() + HEALTH_S
                self._publish_health()
            self._tell()
            await trio.sleep(every)

    def _tell(self) -> None:
        """The watchdog hears nothing from a daemon of which a part hangs: systemd then starts it anew."""
        stuck = self._alive.stuck()
        sentence = self._sentence(stuck)
        if sentence != self._said:
            self._said = sentence
            self._notify.status(sentence)
        if not stuck:
            self._notify.alive()
