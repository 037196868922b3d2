"""What the daemon tells systemd: sd_notify(3), without a library.

The socket's address is taken out of the environment at the start, so that no worker inherits it: only the main
process may speak for the unit. Without systemd, or when it does not listen just then, nothing is told, and the answer
is False.
"""

import os
import socket
import time
from collections.abc import MutableMapping
from typing import NamedTuple

from interhuman2mqtt.redaction import redact


class Systemd(NamedTuple):
    """The way to systemd; both None where it did not start us."""

    address: str | None
    """Path of a datagram socket; `@` begins one in the abstract namespace."""
    watchdog: float | None
    """Seconds within which systemd wants to hear `alive`, or it kills us; half of it is a good interval."""

    def ready(self) -> bool:
        """The configuration is loaded and the tasks run; also the end of `reloading`, for better or worse."""
        return self.tell("READY=1")

    def status(self, sentence: str) -> bool:
        """One line about how it goes, for `systemctl status`."""
        return self.tell(f"STATUS={' '.join(redact(sentence).split())}")

    def reloading(self) -> bool:
        """A reload begins; `ready` must follow in any case."""
        return self.tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> bool:
        """The stop has begun."""
        return self.tell("STOPPING=1")

    def alive(self) -> bool:
        """All is moving; to be said only by who has just seen it."""
        return self.tell("WATCHDOG=1")

    def tell(self, *assignments: str) -> bool:
        """Send one datagram, never waiting; whether systemd took it."""
        if self.address is None:
            return False
        path = "\0" + self.address[1:] if self.address.startswith("@") else self.address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as channel:
            try:
                channel.sendto("\n".join(assignments).encode(), path)
            except OSError:  # systemd is being replaced, or busy: it hears the next one
                return False
        return True


def take(environ: MutableMapping[str, str] = os.environ) -> Systemd:
    """Read what systemd left in the environment, and remove it, so that no child can speak in our name."""
    watchdog = watchdog_interval(environ)
    for name in ("WATCHDOG_USEC", "WATCHDOG_PID"):
        environ.pop(name, None)
    return Systemd(environ.pop("NOTIFY_SOCKET", None), watchdog)


def watchdog_interval(environ: MutableMapping[str, str] = os.environ) -> float | None:
    """Seconds within which systemd wants to hear from this process (sd_watchdog_enabled(3)); None: it does not ask."""
    microseconds = environ.get("WATCHDOG_USEC", "")
    for_us = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    return int(microseconds) / 1e6 if for_us and microseconds.isdecimal() and int(microseconds) else None
