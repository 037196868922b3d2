"""Capture processes that are forked: by whom, with what, and what is left when one of them dies."""

import errno
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import trio
import trio.testing

from capture.material import SMALL, a_command
from capture.workers import ENOUGH_S, HELLO, PATIENT, is_gone
from interhuman2mqtt.cameras import fork_server, worker_process
from interhuman2mqtt.cameras.fork_server import ForkServer
from interhuman2mqtt.cameras.forked_process import ForkedProcess
from interhuman2mqtt.cameras.worker import CaptureProcess, start_worker
from interhuman2mqtt.cameras.worker_process import close_pipes, end_process
from interhuman2mqtt.errors import Outage
from support.processes import children


@asynccontextmanager
async def serving() -> AsyncIterator[ForkServer]:
    """A server that starts with the first process."""
    server = ForkServer()
    with trio.fail_after(ENOUGH_S):
        async with trio.open_nursery() as nursery:
            await nursery.start(server.run)
            yield server
            nursery.cancel_scope.cancel()


@asynccontextmanager
async def forked(server: ForkServer, *inherited: int) -> AsyncIterator[ForkedProcess]:
    """A process that has said hello, and got no command."""
    process = await server.open_process(inherited)
    assert isinstance(process, ForkedProcess)
    try:
        assert await process.stdout.receive_some() == HELLO
        yield process
    finally:
        with trio.CancelScope(shield=True):
            await end_process(process)
            await close_pipes(process)


@asynccontextmanager
async def working(server: ForkServer, **keys: str) -> AsyncIterator[CaptureProcess]:
    """A worker whose source is open."""
    async with start_worker(a_command(SMALL.path(), **keys), PATIENT, fork_server=server) as worker:
        await worker.wait_open()
        yield worker


async def chunk(worker: CaptureProcess) -> int:
    """The bytes of one."""
    return len((await worker.record("continuous", 1.0, None).next_chunk()).payload)


def open_files(pid: int | None) -> dict[int, str]:
    """What a process has open, by its numbers."""
    found = {}
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # the one by which this is looked at
            found[int(entry.name)] = str(entry.readlink())
    return found


def of(pid: int | None, name: str) -> bytes:
    return Path(f"/proc/{pid}/{name}").read_bytes()


def held() -> tuple[int, int, int]:
    """Descriptors, children and tasks of this process."""
    tasks = trio.lowlevel.current_statistics().tasks_living
    return len(open_files(os.getpid())), len(children(os.getpid())), tasks


async def test_a_process_has_nothing_open_of_the_others() -> None:
    """Neither a pipe of another camera, which would hide that the daemon is gone, nor the server's socket."""
    async with serving() as server, working(server) as one, working(server) as another:
        first, second, serves = map(open_files, (one.pid, another.pid, server.pid))
        assert set(first.values()) & set(second.values()) == {str(SMALL.path())}
        assert not set(serves.values()) & {*first.values(), *second.values()}
        assert sorted(serves) == [0, 1, 2]
        assert sorted(first)[:3] == [0, 1, 2]
        assert len(first) == 5  # the file, and the pipe for frames twice


async def test_a_connection_has_the_number_that_its_command_says() -> None:
    """A descriptor of the daemon comes under its own number, whatever the server would have there."""
    ours, theirs = socket.socketpair()
    async with serving() as server, forked(server):
        with ours, theirs:
            taken = open_files(os.getpid())
            for number in [n for n in range(3, 60) if n not in taken][:4]:
                os.dup2(theirs.fileno(), number)
                try:
                    async with forked(server, number) as process:
                        assert open_files(process.pid)[number] == open_files(os.getpid())[number]
                finally:
                    os.close(number)


ENDS: dict[str, tuple[Callable[[ForkedProcess], None], int]] = {
    "stdin ends": (lambda process: process.stdin.close(), 1),
    "a crash": (lambda process: os.kill(process.pid, signal.SIGSEGV), -signal.SIGSEGV),
    "killed": (lambda process: process.kill(), -signal.SIGKILL),
}


@pytest.mark.parametrize("how", ENDS)
async def test_the_status_of_a_process(how: str) -> None:
    """Status and signal of a forked process are read as of any child, and nothing is left of it."""
    end, status = ENDS[how]
    async with serving() as server, forked(server) as process:
        assert process.returncode is None
        end(process)
        assert await process.wait() == status == process.poll()
        process.kill()  # which does nothing now
        assert is_gone(process.pid)


async def test_a_crash_is_one_cameras() -> None:
    """A worker that crashes says by which signal, and where; another one and the server go on."""
    async with serving() as server, working(server) as other:
        with pytest.RaisesGroup(pytest.RaisesExc(Outage, match="SIGSEGV")):
            async with working(server) as worker:
                os.kill(worker.pid, signal.SIGSEGV)
                await trio.sleep_forever()
        serves = server.pid
        assert await chunk(other)
        async with working(server):
            assert server.pid == serves


async def test_the_servers_death_costs_no_camera() -> None:
    """A camera that runs is a child of ours before and after it; the next one is forked by another server."""
    async with serving() as server, working(server) as worker:
        assert server.pid
        assert {server.pid, worker.pid} <= set(children(os.getpid()))
        first = server.pid
        os.kill(first, signal.SIGKILL)
        async with working(server) as another:
            assert server.pid not in {None, first}
            assert {worker.pid, another.pid} <= set(children(os.getpid()))
            assert await chunk(worker)
            assert await chunk(another)
        assert is_gone(another.pid)


async def test_a_server_that_is_killed_while_a_camera_starts() -> None:
    """What it did not come to is done by the next one."""
    async with serving() as server:
        async with forked(server):
            pass
        first = server.pid
        assert first
        os.kill(first, signal.SIGSTOP)
        async with trio.open_nursery() as nursery:

            async def start() -> None:
                async with working(server) as worker:
                    assert await chunk(worker)

            nursery.start_soon(start)
            await trio.testing.wait_all_tasks_blocked()
            os.kill(first, signal.SIGKILL)
        assert server.pid != first


async def test_a_server_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is killed, and another one does what it was asked for."""

    async def open_another(stdin: int) -> trio.Process:
        monkeypatch.setattr(fork_server, "ANSWER_S", ENOUGH_S)
        return await worker_process.open_fork_server(stdin)

    async with serving() as server:
        async with forked(server):
            first = server.pid
        assert first
        os.kill(first, signal.SIGSTOP)
        monkeypatch.setattr(fork_server, "ANSWER_S", 0.05)
        monkeypatch.setattr(fork_server, "open_fork_server", open_another)
        monkeypatch.setattr(fork_server, "END_S", 0.05)
        async with forked(server):
            assert server.pid != first
    assert is_gone(first)


async def test_a_replaced_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that was started from other files forks no more: its processes would be of the version that is gone."""
    async with serving() as server:
        async with forked(server):
            first = server.pid
        async with forked(server):
            assert server.pid == first
        monkeypatch.setattr(fork_server, "_program", lambda: (1, 1))
        async with forked(server):
            assert server.pid != first


async def test_a_start_that_is_cancelled() -> None:
    """While the server imports, or before it has answered: nothing is left of it, and the next start gets its own."""
    async with serving() as server:
        async with forked(server):
            first = server.pid
        before = held()
        assert first
        for stops in (True, False):
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:
                    os.kill(first, signal.SIGSTOP if stops else signal.SIGKILL)
                    nursery.start_soon(working(server).__aenter__)
                    await trio.testing.wait_all_tasks_blocked()
                    scope.cancel()
                    if stops:
                        os.kill(first, signal.SIGCONT)
        async with working(server) as worker:
            assert await chunk(worker)
        assert held() == before


@pytest.mark.parametrize("ready_s", [ENOUGH_S, 0.0], ids=["ends", "hangs"])
async def test_a_server_that_does_not_come_up(ready_s: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That is the camera's outage, which says how it ended; what it printed is in the log."""
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\necho 'no module named av' >&2\n" + ("exit 3\n" if ready_s else "exec sleep 60\n"))
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    monkeypatch.setattr(fork_server, "READY_S", ready_s)
    async with serving() as server:
        before = held()
        with pytest.raises(
            Outage, match="could be started: .* ended " + ("with status 3" if ready_s else "by SIGKILL")
        ):
            await server.open_process()
        assert held() == before


async def test_nothing_is_left() -> None:
    """No zombie, no descriptor, no task of twenty processes; and nothing of the server once it is not needed."""
    before = held()
    async with serving() as server:
        async with forked(server):
            pass
        with_server = held()
        for number in range(20):
            async with forked(server) as process:
                if number % 2:
                    process.kill()
        assert held() == with_server
    assert held() == before


async def test_what_the_kernel_knows_of_it() -> None:
    """Limits, name and place among the first to go are those of a process of its own; no secret is to be seen."""
    async with serving() as server, working(server, username="viewer", password="s3cret-pw") as worker:
        assert of(worker.pid, "cmdline").rstrip(b"\0").split(b"\0")[1:] == [b"-m", b"interhuman2mqtt.capture"]
        for pid in (worker.pid, server.pid):
            assert int(of(pid, "oom_score_adj")) > int(of(os.getpid(), "oom_score_adj"))
            assert b"s3cret-pw" not in of(pid, "cmdline") + of(pid, "environ")
        limits = [line.split() for line in of(worker.pid, "limits").decode().splitlines()]
        assert ["Max", "core", "file", "size", "0"] in [words[:5] for words in limits]
        assert ["Max", "data", "size", "unlimited"] not in [words[:4] for words in limits]


async def test_no_key_reaches_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is in the daemon's environment, and not for capture processes, is not in the server's."""
    monkeypatch.setenv("INTERHUMAN_API_KEY", "ih_secret")
    async with serving() as server, forked(server) as process:
        for pid in (server.pid, process.pid):
            assert b"PATH=" in of(pid, "environ")
            assert b"ih_secret" not in of(pid, "environ")


async def test_nothing_else_runs_where_is_forked() -> None:
    """A thread that is not in the fork could hold a lock there for ever: the server has none but its own."""
    async with serving() as server, forked(server):
        assert b"\nThreads:\t1\n" in of(server.pid, "status")


async def test_an_old_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a process cannot be adopted each one is started by itself, and fewer at once."""

    def refuse(_pid: int) -> int:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    forks = ForkServer().at_once
    monkeypatch.setattr(os, "pidfd_open", refuse)
    async with serving() as server:
        assert server.at_once < forks
        async with working(server) as worker:
            assert server.pid is None
            assert await chunk(worker)
