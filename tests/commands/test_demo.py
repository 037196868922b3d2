"""The whole demo, as a user starts it."""

import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from interhuman2mqtt.commands.demo_processes import free_port
from support.mosquitto import mosquitto, subscribed
from support.processes import PATIENCE_S, children, running

DEMO = [sys.executable, "-m", "interhuman2mqtt", "demo"]


@contextmanager
def on_a_terminal(command: list[str]) -> Iterator[tuple[int, int]]:
    """A process on a pseudo-terminal of its own: its id and our end."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(command[0], command)  # pragma: no cover - it is another program from here on
    try:
        yield pid, terminal
    finally:
        os.close(terminal)


def read_until(terminal: int, wanted: bytes, within: float) -> bytes:
    """What the terminal shows, up to the wanted words."""
    seen, until = b"", time.monotonic() + within
    while wanted not in seen and time.monotonic() < until:
        seen += os.read(terminal, 1 << 16)
    assert wanted in seen
    return seen


def test_ctrl_c_ends_everything() -> None:
    """A demo that streams is gone after Ctrl-C, with status 0 and without a process left behind."""
    with on_a_terminal(DEMO) as (pid, terminal):
        read_until(terminal, b"the page: http://127.0.0.1:", 60)
        parts = children(pid)
        os.write(terminal, b"\x03")
        try:
            while os.read(terminal, 1 << 16):
                pass
        except OSError:
            pass  # the terminal closes with its last process
        _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert len(parts) == 3  # broker, daemon, page
    assert not any(Path(f"/proc/{part}").exists() for part in parts)


def gone(processes: Sequence[int], within: float = PATIENCE_S) -> bool:
    """Whether all of them end in time."""
    until = time.monotonic() + within
    while any(Path(f"/proc/{process}").exists() for process in processes) and time.monotonic() < until:
        time.sleep(0.05)
    return not any(Path(f"/proc/{process}").exists() for process in processes)


def offspring(pid: int) -> list[int]:
    """Its children, theirs, and so on."""
    return [other for child in children(pid) for other in (child, *offspring(child))]


@pytest.mark.parametrize("end", ["closing the terminal", "kill -9"])
def test_nothing_outlives_the_demo(end: str) -> None:
    """Closing its terminal, or killing it, ends the broker, the daemon and the capture process too."""
    with on_a_terminal(DEMO) as (pid, terminal):
        read_until(terminal, b"the page: http://127.0.0.1:", 60)
        parts = offspring(pid)
        if end == "kill -9":
            os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert len(parts) >= 4  # broker, daemon, page, and at least what captures are forked from
    assert gone(parts)


async def test_with_a_broker_of_the_users(tmp_path: Path) -> None:
    """With --broker the events go there."""
    async with (
        mosquitto(tmp_path) as broker,
        subscribed(broker) as seen,
        running([*DEMO, "--broker", f"mqtt://127.0.0.1:{broker.port}"]) as demo,
    ):
        await seen.wait_topic("/event/session.ready")
        demo.process.send_signal(signal.SIGINT)
        assert await demo.process.wait() == 0


async def test_an_end_of_its_own() -> None:
    """The demo ends by itself after --seconds."""
    async with running([*DEMO, "--seconds", "1"]) as demo:
        assert await demo.process.wait() == 0


def test_broker_that_is_not_there() -> None:
    """Without an answer from --broker the demo says so and ends with 69."""
    ended = subprocess.run(
        [*DEMO, "--broker", f"mqtt://127.0.0.1:{free_port()}"], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 69
    assert "nothing listens at 127.0.0.1:" in ended.stdout


def test_live_without_a_key() -> None:
    """--live without a key is refused at once."""
    environment = {name: value for name, value in os.environ.items() if name != "INTERHUMAN_API_KEY"}
    ended = subprocess.run([*DEMO, "--live"], env=environment, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (69, "--live needs an API key in INTERHUMAN_API_KEY\n")


def test_daemon_that_ends(tmp_path: Path) -> None:
    """When the daemon cannot run, the demo shows what it said and ends with 69."""
    ended = subprocess.run([*DEMO, "--source", "nonsense"], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert ended.returncode == 69
    assert "the daemon ended with status 78" in ended.stdout
    assert "cameras.camera.source" in ended.stdout


def test_missing_extra() -> None:
    """Without the extra, the command says how to get it."""
    without = "import sys; sys.modules['rich'] = None; from interhuman2mqtt import cli; sys.exit(cli.main(['demo']))"
    ended = subprocess.run([sys.executable, "-c", without], capture_output=True, text=True, check=False)
    assert ended.returncode == 78
    assert "pip install 'interhuman2mqtt[demo]'" in ended.stderr


def test_sigterm_is_ctrl_c() -> None:
    """A supervisor's SIGTERM ends the demo in the same order."""
    with subprocess.Popen([*DEMO], stdout=subprocess.PIPE, text=True) as demo:
        assert demo.stdout is not None
        while "streaming" not in demo.stdout.readline():
            pass
        demo.send_signal(signal.SIGTERM)
        assert "stopped" in demo.stdout.read()
        assert demo.wait() == 0
