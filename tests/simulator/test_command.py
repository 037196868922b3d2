"""The command: its options, and the process that it starts."""

import argparse
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

from interhuman2mqtt.errors import ConfigError
from interhuman2mqtt.simulator import __main__ as command
from interhuman2mqtt.simulator.__main__ import add_arguments, settings_from
from interhuman2mqtt.simulator.faults import parse_fault
from interhuman2mqtt.simulator.server import Address
from interhuman2mqtt.simulator.settings import (
    GOAL_DIMENSIONS,
    Decode,
    Dialect,
    Key,
    Limits,
    Pace,
    RequireAudio,
    Settings,
)
from simulator.helpers import session


def settings(*arguments: str) -> Settings:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return settings_from(parser.parse_args(arguments))


@contextmanager
def running(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], Address]]:
    """The command in a process of its own, and where it says that it listens."""
    line = [sys.executable, "-m", "interhuman2mqtt.simulator", "--listen", "127.0.0.1:0", *arguments]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = re.search(r"ws://127\.0\.0\.1:(\d+)", process.stdout.readline())
        assert found is not None
        yield process, Address("127.0.0.1", int(found[1]), tls=False)
        process.kill()


def test_defaults() -> None:
    """Without options it listens on loopback only and behaves as production did."""
    assert settings() == Settings()
    assert Settings().host == "127.0.0.1"


def test_options() -> None:
    """Each option arrives where it belongs."""
    read = settings(
        *("--listen", "[::1]:0", "--cert", "c.pem", "--cert-key", "k.pem"),
        *("--key", "a", "--key", "b=interhumanai.stream,interhumanai.upload", "--key", "c="),
        *("--concurrency", "2", "--rate-limit", "9", "--no-backend", "inter-2-audio", "--goal-dimensions"),
        *("--idle-timeout", "10", "--max-duration", "60", "--max-drain", "5"),
        *("--min-segment-size", "100", "--max-segment-size", "2000"),
        *("--window", "2", "--stride", "1", "--cadence", "3.5", "--seed", "7", "--decode", "all"),
        *("--require-audio", "never", "--dialect", "codealong", "--unknown-events"),
        *("--fault", "no-end", "--fault", "close=1011@3s", "--save", "out"),
    )
    assert read == Settings(
        host="::1",
        port=0,
        certificate=Path("c.pem"),
        private_key=Path("k.pem"),
        keys=(Key("a"), Key("b", ("interhumanai.stream", "interhumanai.upload")), Key("c", ())),
        concurrency=2,
        rate_limit=9,
        models=("inter-2",),
        goal_dimensions=GOAL_DIMENSIONS,
        limits=Limits(idle_timeout=10, max_duration=60, min_segment_size=100, max_segment_size=2000, max_drain=5),
        pace=Pace(window=2, stride=1, cadence=3.5),
        require_audio=RequireAudio.NEVER,
        decode=Decode.ALL,
        dialect=Dialect.CODEALONG,
        unknown_events=True,
        seed=7,
        faults=(parse_fault("no-end"), parse_fault("close=1011@3s")),
        save=Path("out"),
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--listen", "8080"], "not HOST:PORT"),
        (["--listen", "localhost:99999"], "not HOST:PORT"),
        (["--key", "=scope"], "empty key"),
        (["--idle-timeout", "-1"], "not a number"),
        (["--window", "0"], "number of seconds"),
        (["--window", "soon"], "number of seconds"),
        (["--fault", "explode"], "not a fault"),
        (["--dialect", "klingon"], "life-cycle"),
    ],
)
def test_wrong_options(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong option ends with status 2 and says what it should be."""
    with pytest.raises(SystemExit) as caught:
        settings(*arguments)
    assert caught.value.code == 2
    assert said in capsys.readouterr().err


def test_certificate_needs_its_key() -> None:
    """A certificate without its key is an error before anything listens."""
    with pytest.raises(ConfigError, match="belong together"):
        settings("--cert", "c.pem")


def test_help_is_complete(capsys: pytest.CaptureFixture[str]) -> None:
    """The help lists the faults, with their notation."""
    with pytest.raises(SystemExit):
        settings("--help")
    said = capsys.readouterr().out
    assert "disconnect               reset the TCP connection" in said
    assert "KIND[=ARG][@WHEN]" in said


def test_status_of_a_wrong_configuration(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """What cannot be listened on is one sentence and status 78."""
    monkeypatch.setattr(sys, "argv", ["simulator", "--listen", "no-such-host.invalid:0"])
    assert command.main() == 78
    assert "cannot listen on no-such-host.invalid:0" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_process(number: signal.Signals) -> None:
    """The process prints where it listens, serves, and ends with status 0 on a signal, sessions open or not."""
    with running() as (process, address):
        async with session(address) as client:
            assert (await client.next())["type"] == "session.ready"
            process.send_signal(number)
            await client.closed()
        assert await trio.to_thread.run_sync(process.wait, 5) == 0
