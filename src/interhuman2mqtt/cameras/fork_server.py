"""Have capture processes forked by one that has imported what they need: the daemon's side of `capture.fork_server`.

It is started with the first camera, and anew where it is gone, hangs, or is of a program that was replaced since: what
it forks is as old as itself. No running camera depends on it.
"""

import os
import socket
from array import array
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import structlog
import trio

import interhuman2mqtt
from interhuman2mqtt.cameras.forked_process import ForkedProcess
from interhuman2mqtt.cameras.start_limiter import AT_ONCE, FORKED_AT_ONCE
from interhuman2mqtt.cameras.worker_log import WorkerLog
from interhuman2mqtt.cameras.worker_process import (
    WorkerProcess,
    open_fork_server,
    open_process,
    refusal,
    status_text,
)
from interhuman2mqtt.capture.fork_protocol import NUMBER, READY
from interhuman2mqtt.runtime import process

log = structlog.get_logger(__name__)

ANSWER_S = 10.0
"""For a fork, which takes some milliseconds: a server that needs longer is replaced."""
READY_S = 30.0
"""For the imports of a server, which take a fifth of a second of a core."""
END_S = 1.0
"""For a server to end with its socket, before it is killed."""
REAP_S = 3.0
"""For one that was killed; beyond that it is stuck in the kernel."""
STANDARD = (0, 1, 2)


def _is_possible() -> bool:
    """Decide whether the kernel, and a sandbox around us, let what another process forks be a child of ours."""
    try:
        os.close(os.pidfd_open(os.getpid()))  # Linux 5.3; some sandboxes have no such call
    except OSError:
        return False
    return process.adopt_orphans()


class _Server(NamedTuple):
    pid: int
    socket: trio.socket.SocketType
    scope: trio.CancelScope
    program: tuple[int, int]
    """The files that it was started from."""


class ForkServer:
    """Starts capture processes by way of a server process, where that is possible; `run` has to run meanwhile."""

    def __init__(self) -> None:
        self._is_possible = _is_possible()
        self._nursery: trio.Nursery | None = None
        self._server: _Server | None = None
        self._one_at_a_time = trio.Lock()
        self._log = WorkerLog()

    @property
    def at_once(self) -> int:
        """How many capture processes may begin at once."""
        return FORKED_AT_ONCE if self._is_possible else AT_ONCE

    @property
    def pid(self) -> int | None:
        """The server's process id."""
        return None if self._server is None else self._server.pid

    async def run(  # noqa: ASYNC114 - flake8-async knows no names of ours
        self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Read what servers print, and reap them; end them when this is cancelled."""
        async with trio.open_nursery() as self._nursery:
            task_status.started()
            await trio.sleep_forever()

    async def open_process(self, inherited: Sequence[int] = ()) -> WorkerProcess:
        """Start a capture process, with these descriptors of ours; raise Outage where there is none to be had."""
        if not self._is_possible:
            return await open_process(inherited)
        async with self._one_at_a_time:
            if self._server is not None and self._server.program != _program():
                self._end_server()
            try:
                try:
                    return await self._fork(inherited)
                except ConnectionError:  # it is gone: another one may serve
                    self._end_server()
                    return await self._fork(inherited)
            except OSError as error:
                raise refusal(error) from error

    async def _fork(self, inherited: Sequence[int]) -> ForkedProcess:
        if self._server is None:
            assert self._nursery is not None  # noqa: S101 - see above
            await self._nursery.start(self._run_server)
        if self._server is None:
            raise ConnectionResetError
        with ExitStack() as ours, ExitStack() as theirs:
            stdin, commands = _pipe(theirs, ours)
            frames, stdout = _pipe(ours, theirs)
            prints, stderr = _pipe(ours, theirs)
            pid = await _ask(self._server.socket, (stdin, stdout, stderr, *inherited), (*STANDARD, *inherited))
            forked = ForkedProcess(pid, commands, frames, prints)
            ours.pop_all()
            return forked

    def _end_server(self) -> None:
        if self._server is not None:
            self._server.scope.cancel()
            self._server = None

    async def _run_server(self, task_status: trio.TaskStatus[None]) -> None:  # noqa: ASYNC114 - as above
        """Start a server, and stay with it until it ends; raise Outage where it does not come to work."""
        structlog.contextvars.clear_contextvars()  # of the camera that happens to be the first
        program = _program()
        ours, theirs = trio.socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, trio.CancelScope() as scope:
            with theirs:
                process = await open_fork_server(theirs.fileno())
            try:
                is_ready = await _is_ready(ours, process)
                if is_ready:
                    self._server = _Server(process.pid, ours, scope, program)
                    task_status.started()
                assert process.stdout is not None  # noqa: S101 - asked for when it was started
                await self._log.read(process.stdout)
                status = status_text(await process.wait())
                if not is_ready:
                    raise refusal(f"what forks them ended {status}")
                log.warning("the process that capture processes are forked from has ended", status=status)
            finally:
                if self._server is not None and self._server.socket is ours:
                    self._server = None
                ours.close()
                with trio.CancelScope(shield=True):
                    await _end(process)


async def _is_ready(server: trio.socket.SocketType, process: trio.Process) -> bool:
    """Wait until a server has its imports done; False: it ends without."""
    with trio.move_on_after(READY_S):
        return bool(await server.recv(len(READY)))
    process.kill()
    return False


async def _ask(server: trio.socket.SocketType, descriptors: Sequence[int], numbers: Sequence[int]) -> int:
    """Return the id of a new process; raise ConnectionError where the server is gone, else the OSError that it had.

    It is not left half-way: the answer would be taken for that of the next one. But what hangs is left.
    """
    rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", descriptors))
    try:
        with trio.fail_after(ANSWER_S, shield=True):
            await server.sendmsg([b"".join(map(NUMBER.pack, numbers))], [rights])
            answer = await server.recv(NUMBER.size)
    except trio.TooSlowError:
        raise ConnectionAbortedError(f"no answer within {ANSWER_S:g} s") from None
    except (OSError, trio.ClosedResourceError) as error:
        if server.fileno() < 0:  # its end was seen first where its output is read
            raise ConnectionResetError from error
        raise
    if not answer:
        raise ConnectionResetError
    (number,) = NUMBER.unpack(answer)
    if number < 0:
        raise OSError(-number, os.strerror(-number))
    return int(number)


async def _end(process: trio.Process) -> None:
    with trio.move_on_after(END_S):
        await process.wait()
    if process.returncode is None:
        process.kill()
        with trio.move_on_after(REAP_S):
            await process.wait()


def _pipe(reader: ExitStack, writer: ExitStack) -> tuple[int, int]:
    """Return a pipe's ends, each of which is closed with its stack."""
    ends = os.pipe()
    for stack, end in zip((reader, writer), ends, strict=True):
        stack.callback(os.close, end)
    return ends


def _program() -> tuple[int, int]:
    """Return what tells the program that is installed from another one: `pip` and `dpkg` replace its files."""
    try:
        found = Path(interhuman2mqtt.__file__).stat()
    except OSError:  # it is just being replaced
        return 0, 0
    return found.st_ino, found.st_mtime_ns
