"""What systemd hears: how it goes, and that everything moves."""

import socket
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from interhuman2mqtt.runtime.watchdog import HEALTH_S, SLACK_S, Heartbeats, Overdue, SystemdNotifier, WatchdogLoop


class Listening:
    """Systemd's end of the socket."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.settimeout(0)

    def heard(self) -> list[str]:
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
def listening(tmp_path: Path) -> Iterator[Listening]:
    systemd = Listening(tmp_path / "notify")
    yield systemd
    systemd.close()


def sentence(stuck: Sequence[Overdue]) -> str:
    return "; ".join(f"{stage} hangs" for stage, _ in stuck) or "all is well"


async def test_the_watchdog_is_fed_while_everything_moves(listening: Listening, autojump_clock: MockClock) -> None:
    """Twice within its patience the watchdog is fed; a sentence that stays the same is said once."""
    reporter = WatchdogLoop(SystemdNotifier(str(listening.path), 4.0), Heartbeats(), sentence, lambda: None)
    with trio.move_on_after(19):
        await reporter.run()
    assert listening.heard() == ["STATUS=all is well", *["WATCHDOG=1"] * 10]


async def test_the_watchdog_starves_when_a_stage_hangs(listening: Listening, autojump_clock: MockClock) -> None:
    """From the moment a promise is broken nothing feeds the watchdog, and the status names who broke it."""
    alive = Heartbeats()
    reporter = WatchdogLoop(SystemdNotifier(str(listening.path), 4.0), alive, sentence, lambda: None)
    alive.promise("outbox", 1.0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(reporter.run)
        await trio.sleep(SLACK_S)
        assert "WATCHDOG=1" in listening.heard()
        await trio.sleep(4)
        listening.heard()
        await trio.sleep(60)
        assert listening.heard() == []
        alive.promise("outbox", 1.0)
        await trio.sleep(4)
        assert listening.heard()[:2] == ["STATUS=all is well", "WATCHDOG=1"]
        nursery.cancel_scope.cancel()


async def test_health_is_published_now_and_then(autojump_clock: MockClock) -> None:
    """Health goes out at the start and every half a minute, with systemd or without."""
    published: list[float] = []
    reporter = WatchdogLoop(
        SystemdNotifier(None, None), Heartbeats(), sentence, lambda: published.append(trio.current_time())
    )
    with trio.move_on_after(HEALTH_S * 3 - 1):
        await reporter.run()
    assert len(published) == 3
