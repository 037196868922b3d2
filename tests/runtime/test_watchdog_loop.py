"""What systemd hears: how it goes, and that everything moves."""

import socket
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from interhuman2mqtt.runtime.watchdog import HEALTH_S, SLACK_S, Heartbeats, Overdue, SystemdNotifier, WatchdogLoop


class Manager:
    """Systemd's end of the socket."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.settimeout(0)

    def received(self) -> list[str]:
        """What came since the last time."""
        found = []
        while True:
            try:
                found.append(self._socket.recv(4096).decode())
            except BlockingIOError:
                return found

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    systemd = Manager(tmp_path / "notify")
    yield systemd
    systemd.close()


class Health:
    """The health of a daemon, with the times at which it was published."""

    def __init__(self) -> None:
        self.published: list[float] = []

    def sentence(self, stuck: Sequence[Overdue] = ()) -> str:
        return "; ".join(f"{stage} hangs" for stage, _ in stuck) or "all is well"

    def publish(self) -> None:
        self.published.append(trio.current_time())


async def test_the_watchdog_is_fed_while_everything_moves(manager: Manager, autojump_clock: MockClock) -> None:
    """Twice within its patience the watchdog is fed; a sentence that stays the same is sent once."""
    reporter = WatchdogLoop(SystemdNotifier(str(manager.path), 4.0), Heartbeats(), Health())
    with trio.move_on_after(19):
        await reporter.run()
    assert manager.received() == ["STATUS=all is well", *["WATCHDOG=1"] * 10]


async def test_the_watchdog_starves_when_a_stage_hangs(manager: Manager, autojump_clock: MockClock) -> None:
    """From the moment a promise is broken nothing feeds the watchdog, and the status names who broke it."""
    alive = Heartbeats()
    reporter = WatchdogLoop(SystemdNotifier(str(manager.path), 4.0), alive, Health())
    alive.promise("outbox", 1.0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(reporter.run)
        await trio.sleep(SLACK_S)
        assert "WATCHDOG=1" in manager.received()
        await trio.sleep(4)
        manager.received()
        await trio.sleep(60)
        assert manager.received() == []
        alive.promise("outbox", 1.0)
        await trio.sleep(4)
        assert manager.received()[:2] == ["STATUS=all is well", "WATCHDOG=1"]
        nursery.cancel_scope.cancel()


async def test_health_is_published_now_and_then(autojump_clock: MockClock) -> None:
    """Health goes out at the start and every half a minute, with systemd or without."""
    health = Health()
    reporter = WatchdogLoop(SystemdNotifier(None, None), Heartbeats(), health)
    with trio.move_on_after(HEALTH_S * 3 - 1):
        await reporter.run()
    assert len(health.published) == 3
