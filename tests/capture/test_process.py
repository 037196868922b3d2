"""The worker as a process: its pipes, its signals, its environment, its end."""

import os
import signal
import struct
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import trio
import trio.testing

from capture.material import SMALL, a_command
from capture.workers import ENOUGH_S, PATIENT, is_gone, working
from interhuman2mqtt.cameras.worker import start_worker
from interhuman2mqtt.capture import __main__ as worker
from interhuman2mqtt.capture import framing, ipc


def descriptors() -> int:
    """How many this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


PRELUDE = """
import os, time
from interhuman2mqtt.capture import __main__ as worker
"""
HANGS = (
    PRELUDE
    + """
worker.Capture._run_epoch = lambda *_: time.sleep(3600)
worker.main()
"""
)
PRINTS = (
    PRELUDE
    + """
run_epoch = worker.Capture._run_epoch
def noisy(*arguments):
    print("a stray print", flush=True)
    os.write(1, b"and one of a library in C")
    run_epoch(*arguments)
worker.Capture._run_epoch = noisy
worker.main()
"""
)
BUG = (
    PRELUDE
    + """
def buggy(*_):
    raise LookupError("a bug")
worker.Capture._run_epoch = buggy
worker.main()
"""
)
BUG_WITH_A_SECRET = (
    PRELUDE
    + """
def buggy(capture, *_):
    raise LookupError(capture.command)
worker.Capture._run_epoch = buggy
worker.main()
"""
)
BUG_IN_MAIN = (
    PRELUDE
    + """
def buggy(*_):
    raise LookupError("a bug")
worker.Worker._due_frames = buggy
worker.main()
"""
)


def altered(code: str, **keys: str) -> "subprocess.Popen[bytes]":
    """A worker that is altered before it runs, its first command sent."""
    pipe = subprocess.PIPE
    process = subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe, stderr=pipe)
    assert process.stdin
    process.stdin.write(framing.pack(a_command(SMALL.path(), **keys)))
    process.stdin.flush()
    return process


def read_frame(process: "subprocess.Popen[bytes]") -> ipc.Frame:
    assert process.stdout
    header, payload = framing.unpack_prefix(process.stdout.read(framing.PREFIX.size))
    frame = framing.unpack_frame(process.stdout.read(header))
    process.stdout.read(payload)
    return read_frame(process) if isinstance(frame, ipc.Hello) else frame


def test_stray_prints_do_not_corrupt_the_frames() -> None:
    """Whatever else writes to stdout, also a library in C, writes to stderr."""
    with altered(PRINTS) as process:
        while not isinstance(read_frame(process), ipc.Opened):
            pass
        _, said = process.communicate(timeout=10)
    assert b"a stray print" in said
    assert b"and one of a library in C" in said


def test_the_end_of_stdin_ends_a_worker_that_hangs() -> None:
    """An orphan does not live on, even while its capture is stuck in a driver."""
    with altered(HANGS) as process:
        assert isinstance(read_frame(process), ipc.WorkerHeartbeat)
        process.communicate(timeout=5)
        assert process.returncode == 0


def test_sigint_is_not_for_the_worker() -> None:
    """Ctrl-C reaches the whole group; the daemon ends its workers in its own order."""
    with altered(PRELUDE + "worker.main()") as process:
        read_frame(process)
        process.send_signal(signal.SIGINT)
        for _ in range(3):
            read_frame(process)
        process.communicate(timeout=5)
        assert process.returncode == 0


@pytest.mark.parametrize("code", [BUG, BUG_IN_MAIN], ids=["capture", "main"])
def test_a_bug_in_any_thread_ends_the_process(code: str) -> None:
    """With its traceback and a status of its own, so that it is not taken for a source that stalls."""
    with altered(code) as process:
        assert process.wait(timeout=10) == os.EX_SOFTWARE
        assert process.stderr
        assert b"LookupError: a bug" in process.stderr.read()


def test_a_traceback_without_the_password() -> None:
    """Also where nobody reads it who could take the password out."""
    with altered(BUG_WITH_A_SECRET, username="viewer", password="p@ss:w0rd'") as process:
        assert process.wait(timeout=10) == os.EX_SOFTWARE
        assert process.stderr
        said = process.stderr.read()
    assert b"LookupError: Open(" in said
    assert b"p@ss:w0rd" not in said


def test_a_crash_in_native_code_says_where() -> None:
    """The lines of Python that were being run, by whichever thread, stand on stderr."""
    with altered(HANGS) as process:
        read_frame(process)
        process.send_signal(signal.SIGSEGV)
        assert process.wait(timeout=10) == -signal.SIGSEGV
        assert process.stderr
        assert b"Segmentation fault" in process.stderr.read()


async def test_the_password_is_not_kept_where_it_is_not_needed() -> None:
    """Once the process has its first command, the daemon holds it no longer."""
    command = a_command(SMALL.path(), username="viewer", password="p@ss:w0rd'")
    before = sys.getrefcount(command)
    async with working(command) as worker:
        assert worker.opened
        assert sys.getrefcount(command) == before + 1  # of the helper of these tests


def test_commands_that_are_none_end_the_process() -> None:
    """The daemon that sends them is of another version, or broken."""
    with altered(PRELUDE + "worker.main()") as process:
        assert process.stdin
        process.stdin.write(struct.pack(">II", 3, 0) + b"{{{")
        process.stdin.flush()
        assert process.wait(timeout=10) == os.EX_SOFTWARE


@pytest.mark.parametrize("first", [b"", framing.pack(ipc.Drop(recording=1))], ids=["nothing", "another"])
def test_the_first_command_must_be_open(first: bytes) -> None:
    """Started by hand it says what it wants."""
    done = subprocess.run(
        [sys.executable, "-m", "interhuman2mqtt.capture"], input=first, capture_output=True, timeout=10, check=False
    )
    assert done.returncode == 1
    assert b"the first command must be `open`" in done.stderr


def test_a_daemon_that_is_gone_ends_the_worker() -> None:
    """A pipe that nobody reads any more is no error worth a traceback."""
    with altered(PRELUDE + "worker.main()") as process:
        read_frame(process)
        assert process.stdout
        process.stdout.close()
        assert process.wait(timeout=10) == 0
        assert process.stderr
        assert process.stderr.read() == b""


async def test_the_environment_of_a_worker_carries_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the API key of the daemon nor the password of the camera stands in environment or command line."""
    monkeypatch.setenv("INTERHUMAN_API_KEY", "ih_secret")
    monkeypatch.setenv("MQTT_PASSWORD", "hunter2")
    async with working(a_command(SMALL.path(), username="u", password="s3cret-pw")) as worker:
        folder = Path(f"/proc/{worker._process.pid}")
        environment = (folder / "environ").read_bytes()
        command = (folder / "cmdline").read_bytes()
    assert b"PATH=" in environment
    for secret in (b"ih_secret", b"hunter2", b"s3cret-pw"):
        assert secret not in environment + command


def limits(pid: int) -> dict[str, str]:
    """The soft limits of a process by their names."""
    lines = Path(f"/proc/{pid}/limits").read_text().splitlines()[1:]
    return {line[:26].strip(): line[26:47].strip() for line in lines}


def eagerness(pid: int | str) -> int:
    """How willingly the kernel ends a process where memory runs out."""
    return int(Path(f"/proc/{pid}/oom_score_adj").read_text())


async def test_what_a_worker_asks_of_the_kernel() -> None:
    """No core, a bounded memory, and to be ended before the daemon is where memory runs out."""
    async with working(a_command(SMALL.path(), buffer_max=32 << 20)) as worker:
        pid = worker._process.pid
        found = limits(pid)
        eager = eagerness(pid)
    assert found["Max core file size"] == "0"
    assert 32 << 20 < int(found["Max data size"]) < 1 << 40
    assert eager > eagerness("self")


async def test_nothing_is_left_of_twenty_workers() -> None:
    """No zombie, no descriptor, no task."""

    async def start_and_leave(number: int) -> int:
        async with start_worker(a_command(SMALL.path()), PATIENT) as worker:
            if number % 2:
                await worker.wait_open()
            return worker._process.pid

    with trio.fail_after(ENOUGH_S):
        await start_and_leave(1)
        before, tasks = descriptors(), trio.lowlevel.current_statistics().tasks_living
        processes = [await start_and_leave(number) for number in range(20)]
    assert descriptors() == before
    assert trio.lowlevel.current_statistics().tasks_living == tasks
    assert all(map(is_gone, processes))


def test_frames_are_written_whole_through_signals() -> None:
    """Frames arrive whole and in order where signals interrupt the writing, as they do when a process is thawed."""
    parts = [bytes([n]) * size for n, size in enumerate((9, 1 << 20, 0, 300, 1 << 19))]
    ours, theirs = os.pipe()
    received = bytearray()

    def read() -> None:
        while data := os.read(ours, 4096):
            received.extend(data)
        os.close(ours)

    reader = threading.Thread(target=read)
    before = signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    try:
        reader.start()
        worker.write_all(theirs, parts)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        os.close(theirs)
        reader.join()
    assert received == b"".join(parts)
