"""The operating system's side of a capture process: started with little, ended for certain, its last status read.

Who ends it: its stdin, whose end it reads in a thread of its own, so that also an orphan goes (the daemon may be
killed); the daemon, by SIGKILL, where that does not help within `LEAVE_S`; nobody, where it is stuck in a driver in the
kernel (state D) and even SIGKILL waits: then no second process is started for the camera.
"""

# A camera has a process of its own because FFmpeg and drivers fail in ways that no thread survives: they crash, they
# hang in the kernel without a time limit (`av.open` may, whatever its `timeout` says), they leak. A process is killed,
# and takes nothing with it but one camera's ring. A pool of processes for several cameras each was the alternative: one
# hanging driver would then take its neighbours' video with it.
#
# The daemon has them forked (`fork_server`); one alone, as for `probe`, is started here, and imports all that it needs.

import os
import signal
import subprocess
import sys
from collections.abc import Sequence

import trio

from interhuman2mqtt.cameras.forked_process import ForkedProcess
from interhuman2mqtt.capture import bundled_libraries
from interhuman2mqtt.errors import Outage, Reason

WorkerProcess = trio.Process | ForkedProcess

LEAVE_S = 0.7
"""What a process needs to leave (`capture.__main__.LEAVE_S`), and a little."""
INHERITED = (
    *("PATH", "LANG", "LC_ALL", "TZ", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR"),
    *("XDG_CONFIG_HOME", "XDG_RUNTIME_DIR", "PULSE_SERVER"),  # where sound servers are, and what a user says of ALSA
)
INHERITED_PREFIXES = ("PYTHON", "COV", "COVERAGE", "ALSA_", "PIPEWIRE_")
MEMORY = {"MALLOC_ARENA_MAX": "1", "MALLOC_TRIM_THRESHOLD_": "131072"}
"""Of glibc: an arena per thread, and what the opening of a source once needed, would cost megabytes for nothing."""


async def open_process(inherited: Sequence[int] = ()) -> trio.Process:
    """Start a capture process, with these descriptors of ours; raise Outage where there is none to be had."""
    pipe = subprocess.PIPE
    return await _open("interhuman2mqtt.capture", stdin=pipe, stderr=pipe, pass_fds=inherited)


async def open_fork_server(stdin: int) -> trio.Process:
    """Start a process that capture processes can be forked from; all that it prints is in its stdout."""
    return await _open("interhuman2mqtt.capture.fork_server", stdin=stdin, stderr=subprocess.STDOUT)


async def _open(module: str, stdin: int, stderr: int, pass_fds: Sequence[int] = ()) -> trio.Process:
    environment = {name: value for name, value in os.environ.items() if _inherits(name)}
    environment |= bundled_libraries.environment(os.environ) | MEMORY
    command = [sys.executable, "-m", module]
    try:
        return await trio.lowlevel.open_process(
            command, stdin=stdin, stdout=subprocess.PIPE, stderr=stderr, env=environment, pass_fds=pass_fds
        )
    except OSError as error:
        raise refusal(error) from error


def refusal(cause: object) -> Outage:
    """Return the outage of a camera for which no process could be started."""
    return Outage(Reason.CAPTURE_CRASHED, f"no capture process could be started: {cause}")


def _inherits(name: str) -> bool:
    """Decide whether a worker needs a variable of our environment, in which an API key may stand, to run."""
    return name in INHERITED or name.startswith(INHERITED_PREFIXES)


async def end_process(process: WorkerProcess) -> None:
    """Ask the process to leave by closing its stdin, and kill one that hangs; either way it is reaped."""
    assert process.stdin is not None  # noqa: S101 - asked for when it was started
    await process.stdin.aclose()
    with trio.move_on_after(LEAVE_S):
        await process.wait()
    if process.returncode is None:
        process.kill()
        await process.wait()


async def close_pipes(process: WorkerProcess) -> None:
    """Close them at once, and not when the last traceback that knows them is gone."""
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            await pipe.aclose()


def status_text(status: int) -> str:
    """Return an exit status for people."""
    if status >= 0:
        return f"with status {status}"
    return f"by {next((known.name for known in signal.Signals if known == -status), f'signal {-status}')}"
