"""The ends of the daemon: signals, the end of its terminal, or of the process that started it."""

import os
import signal
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager

import structlog
import trio

from interhuman2mqtt import __version__
from interhuman2mqtt.errors import ReplacedError

ORPHAN_S = 5.0
"""For the end in order of a daemon whose starter is gone: nobody looks any more at what the cameras see."""

log = structlog.get_logger(__name__)


def receiving() -> AbstractContextManager[AsyncIterator[int]]:
    """Receive the signals that end us, or have us reload."""
    return trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


# A child that must not outlive its parent usually asks for PR_SET_PDEATHSIG (prctl(2)). It was refused: the signal
# comes when the *thread* that forked ends, it is lost where the parent was gone before the child asked, and anything in
# between (`sudo`, a shell, `systemd-run`) takes it. A pipe is closed by the kernel however its holder ends.
class SignalHandler:
    """Turns signals, and the end of who started us, into a stop, or a reload.

    Args:
        lifeline: Whether stdin is a pipe whose other end is held by who started us; that end even SIGKILL closes.
    """

    def __init__(self, *, lifeline: bool) -> None:
        self.stop = trio.Event()
        """To be stopped in order."""
        self._lifeline = lifeline
        self._replaced_by: str | None = None
        self._has_terminal = _has_terminal()
        self._hangup = trio.Event()

    async def run(self, signals: AsyncIterator[int], everything: trio.CancelScope) -> None:
        """Wait for signals, for ever; a second one, and patience that ends, cancel everything."""
        async with trio.open_nursery() as nursery:
            if self._lifeline:
                nursery.start_soon(self._end_with_starter, everything)
            async for number in signals:
                self._handle(number, everything)

    async def wait_hangup(self) -> None:
        """Wait for SIGHUP where it means a reload."""
        await self._hangup.wait()
        self._hangup = trio.Event()

    def replaced(self, version: str) -> None:
        """Stop in order: the program was replaced under us, and only a new process of it understands its own parts."""
        # Re-executing ourselves would do without systemd, and would keep whatever else the old version set up: the
        # watchdog's variables, credentials, descriptors, and a unit that is no longer the one on the disk.
        if self._replaced_by is None:
            self._replaced_by = version or "an unknown version"
            log.error("stopping: the program was replaced", running=__version__, installed=self._replaced_by)
        self.stop.set()

    def check_replaced(self) -> None:
        """Raise ReplacedError where that was the reason for the stop."""
        if self._replaced_by is not None:
            raise ReplacedError(
                f"interhuman2mqtt {__version__} was replaced by {self._replaced_by} while it ran: start it again, as "
                "systemd does by itself"
            )

    def _handle(self, number: int, everything: trio.CancelScope) -> None:
        if number == signal.SIGHUP and not self._has_terminal:
            self._hangup.set()
        elif self.stop.is_set():
            log.warning("stopping at once")
            everything.cancel()
        else:
            self.stop.set()

    async def _end_with_starter(self, everything: trio.CancelScope) -> None:
        async with trio.lowlevel.FdStream(os.dup(0)) as stdin:
            async for _ in stdin:
                pass
        log.warning("stopping: who started this is gone")
        self.stop.set()
        await trio.sleep(ORPHAN_S)
        everything.cancel()


def _has_terminal() -> bool:
    """Return whether SIGHUP means that our terminal is gone: there is one, and nobody (nohup) has said to stay."""
    is_there = any(os.isatty(descriptor) for descriptor in (0, 1, 2))
    return is_there and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN
