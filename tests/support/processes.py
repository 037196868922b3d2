"""Processes of the tests: started, read line by line, frozen and ended by the tests."""

import fcntl
import signal
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import trio

PATIENCE_S = 90.0
"""Nobody waits for longer for what is to happen; so long that only a fault ends it, and never a busy machine."""


class ProcessEnded(Exception):  # noqa: N818 - it names what happened
    """A process of the test is gone though the test still needs it; the text holds what it said last."""


class ChildProcess:
    """A running process whose output lines are gathered while the test does other things.

    `lines` holds all that it has printed so far, stdout and stderr alike.
    """

    def __init__(self, command: list[str], process: trio.Process) -> None:
        self.command = command
        self.process = process
        self.lines: list[str] = []
        self.ended = False
        self._more = trio.Event()
        self._may_read = trio.Event()
        self._may_read.set()

    def leave_unread(self) -> None:
        """Read nothing more of what it prints, until `read_on`; what it is written to is small and soon full."""
        assert self.process.stdout
        fcntl.fcntl(self.process.stdout.fileno(), fcntl.F_SETPIPE_SZ, 4096)  # type: ignore[attr-defined]
        self._may_read = trio.Event()

    def read_on(self) -> None:
        """Read again."""
        self._may_read.set()

    async def read_all(self) -> None:
        """Gather lines until the process closes its output."""
        assert self.process.stdout
        rest = b""
        async for data in self.process.stdout:
            *whole, rest = (rest + data).split(b"\n")
            self._add(whole)
            await self._may_read.wait()
        self.ended = True
        self._add([rest] if rest else [])

    def _add(self, lines: Iterable[bytes]) -> None:
        self.lines += [line.decode(errors="replace") for line in lines]
        self._more.set()
        self._more = trio.Event()

    async def wait_line(self, wanted: Callable[[str], bool], within: float = PATIENCE_S) -> str:
        """The first line, printed already or to come, that is wanted; raises ProcessEnded or trio.TooSlowError."""
        seen = 0
        with trio.fail_after(within):
            while True:
                for line in self.lines[seen:]:
                    if wanted(line):
                        return line
                seen = len(self.lines)
                if self.ended:
                    raise ProcessEnded("\n".join([f"{self.command} ended:", *self.lines[-20:]]))
                await self._more.wait()

    async def write_line(self, line: str) -> None:
        """Write a line to its stdin."""
        assert self.process.stdin
        await self.process.stdin.send_all(line.encode() + b"\n")

    def freeze(self) -> None:
        """Stop it where it stands: its sockets stay open, nothing moves."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self.process.send_signal(signal.SIGCONT)

    async def kill(self) -> None:
        """End it at once and wait for its end, whatever the test around is doing."""
        self.process.kill()
        with trio.move_on_after(10, shield=True):
            await self.process.wait()


async def start_process(command: list[str], env: Mapping[str, str] | None = None) -> ChildProcess:
    """Start a process whose output is gathered until it ends; the caller kills it.

    The gathering is a system task, so that no nursery stands between a test and the errors that it expects.
    """
    process = await trio.lowlevel.open_process(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env
    )
    running = ChildProcess(command, process)
    trio.lowlevel.spawn_system_task(running.read_all)
    return running


@asynccontextmanager
async def running(command: list[str], env: Mapping[str, str] | None = None) -> AsyncIterator[ChildProcess]:
    """A process that is killed at the latest when the block ends."""
    process = await start_process(command, env)
    try:
        yield process
    finally:
        with trio.move_on_after(10, shield=True):
            await process.kill()


@asynccontextmanager
async def in_background(work: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """A task that is cancelled when the block ends, without a nursery that would wrap the test's own errors."""
    scope, done = trio.CancelScope(), trio.Event()

    async def run() -> None:
        with scope:
            await work()
        done.set()

    trio.lowlevel.spawn_system_task(run)
    try:
        yield
    finally:
        scope.cancel()
        with trio.move_on_after(10, shield=True):
            await done.wait()


def children(pid: int) -> list[int]:
    """The processes that a process, whichever of its threads, has started and that are still there."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it ended meanwhile
            if int(stat.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(stat.parent.name))
    return found


def processes() -> dict[int, str]:
    """The command lines of all processes by their ids."""
    found = {}
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it ended meanwhile
            found[int(line.parent.name)] = line.read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return found


def captures(pid: int) -> dict[int, str]:
    """The command lines of the capture processes of a process by their ids, but not of what forks them."""
    ours = set(children(pid))
    return {found: line for found, line in processes().items() if found in ours and " interhuman2mqtt.capture " in line}
