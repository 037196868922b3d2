"""systemd is told what it asks for, and nobody else can tell it in our name."""

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from interhuman2mqtt.runtime.redaction import register_secret
from interhuman2mqtt.runtime.watchdog import SystemdNotifier, pop_notifier, watchdog_interval


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """Systemd's end: a datagram socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(str(tmp_path / "notify"))
        end.settimeout(5)
        yield end


def received(manager: socket.socket) -> str:
    return manager.recv(4096).decode()


def test_each_message(manager: socket.socket) -> None:
    """Each message is the one assignment that sd_notify(3) names."""
    systemd = SystemdNotifier(manager.getsockname(), None)
    for notify, expected in [
        (systemd.ready, "READY=1"),
        (systemd.stopping, "STOPPING=1"),
        (systemd.alive, "WATCHDOG=1"),
        (lambda: systemd.status("4 cameras streaming"), "STATUS=4 cameras streaming"),
    ]:
        assert notify()
        assert expected == received(manager)


def test_reloading_is_dated(manager: socket.socket) -> None:
    """RELOADING=1 comes in one datagram with the monotonic clock in microseconds, as notify-reload asks."""
    before = time.monotonic_ns() // 1000
    assert SystemdNotifier(manager.getsockname(), None).reloading()
    first, _, second = received(manager).partition("\n")
    assert first == "RELOADING=1"
    assert before <= int(second.removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000


def test_a_status_is_one_line_without_secrets(manager: socket.socket) -> None:
    """A status cannot smuggle in another assignment, and holds no secret."""
    register_secret("status-secret")
    SystemdNotifier(manager.getsockname(), None).status("refused: status-secret\nREADY=1")
    assert received(manager) == "STATUS=refused: *** READY=1"


def test_abstract_namespace() -> None:
    """An address that begins with @ is in the abstract namespace."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        name = f"interhuman2mqtt-test-{os.getpid()}"
        manager.bind(f"\0{name}")
        assert SystemdNotifier(f"@{name}", None).ready()
        assert manager.recv(100) == b"READY=1"


def test_without_systemd(tmp_path: Path) -> None:
    """Started by hand, or with nobody at the other end, telling does nothing and says so."""
    assert not SystemdNotifier(None, None).ready()
    assert not SystemdNotifier(str(tmp_path / "nobody"), None).ready()


def test_a_full_queue_does_not_wait(manager: socket.socket) -> None:
    """When systemd does not read, telling it fails at once instead of stopping the daemon."""
    systemd = SystemdNotifier(manager.getsockname(), None)
    assert not all(systemd.alive() for _ in range(10_000))


def test_take_leaves_nothing_to_inherit() -> None:
    """What systemd left for us is gone from the environment after it was read."""
    environ = {"NOTIFY_SOCKET": "/run/notify", "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid()), "X": "1"}
    assert pop_notifier(environ) == SystemdNotifier("/run/notify", 30.0)
    assert environ == {"X": "1"}
    assert pop_notifier(environ) == SystemdNotifier(None, None)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "10000000"}, 10.0),
        ({"WATCHDOG_USEC": "10000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_watchdog_interval(environ: dict[str, str], expected: float | None) -> None:
    """The watchdog's interval is taken where it is meant for this process, and makes sense."""
    assert expected == watchdog_interval(environ)
