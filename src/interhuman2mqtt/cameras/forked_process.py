"""A capture process that another process has forked for us, and that is our child nevertheless."""

import os
import signal
from contextlib import suppress

import trio


class ForkedProcess:
    """As much of a `trio.Process` as a capture process needs."""

    def __init__(self, pid: int, stdin: int, stdout: int, stderr: int) -> None:
        self.pid = pid
        self.stdin = trio.lowlevel.FdStream(stdin)
        self.stdout = trio.lowlevel.FdStream(stdout)
        self.stderr = trio.lowlevel.FdStream(stderr)
        self._pidfd: int | None = os.pidfd_open(pid)
        self._status: int | None = None
        self._waits = trio.Lock()

    @property
    def returncode(self) -> int | None:
        """Its exit status, or the signal that ended it below zero; None while it runs."""
        if self._status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._status = os.waitstatus_to_exitcode(status)
                self._close()
        return self._status

    def poll(self) -> int | None:
        """Return its `returncode`."""
        return self.returncode

    async def wait(self) -> int:
        """Return its `returncode` as soon as it has ended."""
        async with self._waits:
            while (status := self.returncode) is None:
                assert self._pidfd is not None  # noqa: S101 - it is closed together with what that knows
                with suppress(trio.ClosedResourceError):  # by whoever asked for its status first
                    await trio.lowlevel.wait_readable(self._pidfd)
            return status

    def kill(self) -> None:
        """End it at once."""
        if self.returncode is None:  # as long as it is not reaped, no other process gets its id
            os.kill(self.pid, signal.SIGKILL)

    def _close(self) -> None:
        if self._pidfd is not None:
            trio.lowlevel.notify_closing(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = None
