"""Heartbeats, sd_notify, and the loop that feeds the watchdog of systemd only while every heartbeat comes in time.

Everything in this program that waits does so for a bounded time, and says how long before it waits. Who is overdue
hangs: by a bug, or in a call into the system that does not return.

sd_notify(3) is a datagram on a socket, so it is written here: the libraries for it want libsystemd, or block. The
socket's address is taken out of the environment at the start, so that no worker inherits it: only the main process may
speak for the unit. Without systemd, or when it does not listen just then, nothing is sent, and the answer is False.
"""

import os
import socket
import time
from collections.abc import MutableMapping, Sequence
from functools import partial
from typing import NamedTuple, Protocol

import trio

from interhuman2mqtt.runtime.beats import sleep_until_beat
from interhuman2mqtt.runtime.redaction import redact

SLACK_S = 30.0
"""What a busy machine may add to any wait."""


class Heartbeat(Protocol):
    """Of one stage: it moves again within so many seconds."""

    def __call__(self, seconds: float, /) -> None:
        """Expect the wait that begins now to last no longer."""


class Overdue(NamedTuple):
    """A broken promise."""

    stage: str
    seconds: float
    """Since it was due."""


class Heartbeats:
    """The promises of all stages."""

    def __init__(self) -> None:
        self._due: dict[str, float] = {}

    def promise(self, stage: str, seconds: float) -> None:
        """Expect a stage to move again within so many seconds, give or take what a busy machine adds."""
        self._due[stage] = trio.current_time() + seconds + SLACK_S

    def of(self, stage: str) -> Heartbeat:
        """Return the heartbeat of one stage, for who knows only that."""
        return partial(self.promise, stage)

    def withdraw(self, stage: str) -> None:
        """Expect no more of a stage: it is over, or waits for something that may never come."""
        self._due.pop(stage, None)

    def stuck(self) -> tuple[Overdue, ...]:
        """Return the stages that should have moved by now, the one that is due longest first."""
        now = trio.current_time()
        late = (Overdue(stage, now - due) for stage, due in self._due.items() if due < now)
        return tuple(sorted(late, key=lambda stuck: -stuck.seconds))


class SystemdNotifier(NamedTuple):
    """The way to systemd; both None where it did not start us."""

    address: str | None
    """Path of a datagram socket; `@` begins one in the abstract namespace."""
    watchdog: float | None
    """Seconds within which systemd wants to hear `alive`, or it kills us; half of it is a good interval."""

    def ready(self) -> bool:
        """Notify that the configuration is loaded and the tasks run; also after `reloading`, however it went."""
        return self.notify("READY=1")

    def status(self, sentence: str) -> bool:
        """One line about how it goes, for `systemctl status`."""
        return self.notify(f"STATUS={' '.join(redact(sentence).split())}")

    def reloading(self) -> bool:
        """Notify that a reload begins; `ready` must follow in any case."""
        return self.notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> bool:
        """Notify that the stop has begun."""
        return self.notify("STOPPING=1")

    def alive(self) -> bool:
        """Feed the watchdog; only for who has just seen everything move."""
        return self.notify("WATCHDOG=1")

    def notify(self, *assignments: str) -> bool:
        """Send one datagram, never waiting; whether systemd took it."""
        if self.address is None:
            return False
        path = "\0" + self.address[1:] if self.address.startswith("@") else self.address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as channel:
            try:
                channel.sendto("\n".join(assignments).encode(), path)
            except OSError:  # systemd is being replaced, or busy: it gets the next one
                return False
        return True


def pop_notifier(environ: MutableMapping[str, str] = os.environ) -> SystemdNotifier:
    """Read what systemd left in the environment, and remove it, so that no child can speak in our name."""
    watchdog = watchdog_interval(environ)
    for name in ("WATCHDOG_USEC", "WATCHDOG_PID"):
        environ.pop(name, None)
    return SystemdNotifier(environ.pop("NOTIFY_SOCKET", None), watchdog)


def watchdog_interval(environ: MutableMapping[str, str] = os.environ) -> float | None:
    """Seconds within which systemd wants to hear from this process (sd_watchdog_enabled(3)); None: it does not ask."""
    microseconds = environ.get("WATCHDOG_USEC", "")
    for_us = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    return int(microseconds) / 1e6 if for_us and microseconds.isdecimal() and int(microseconds) else None


STATUS_S = 2.0
HEALTH_S = 30.0


class HealthSource(Protocol):
    """Knows how the daemon is."""

    def sentence(self, stuck: Sequence[Overdue] = ()) -> str:
        """Return the whole daemon in one line, the stages that hang first."""

    def publish(self) -> None:
        """Publish `bridge/health`."""


class WatchdogLoop:
    """Looks at everything a few times within the watchdog's patience."""

    def __init__(self, notify: SystemdNotifier, heartbeats: Heartbeats, health: HealthSource) -> None:
        self._notify = notify
        self._heartbeats = heartbeats
        self._health = health
        self._status: str | None = None

    async def run(self) -> None:
        """Feed the watchdog for ever; that it runs shows that the loop turns."""
        every = min(STATUS_S, (self._notify.watchdog or STATUS_S * 2) / 2)
        health_at = trio.current_time()
        while True:
            if trio.current_time() >= health_at:
                health_at = trio.current_time() + HEALTH_S
                self._health.publish()
            self._feed()
            await sleep_until_beat(every)

    def _feed(self) -> None:
        """Feed the watchdog unless a part of the daemon hangs: systemd then starts it anew."""
        stuck = self._heartbeats.stuck()
        sentence = self._health.sentence(stuck)
        if sentence != self._status:
            self._status = sentence
            self._notify.status(sentence)
        if not stuck:
            self._notify.alive()
