"""`restart`, `reload` and `health`: the running daemon is asked without a broker, and says what came of it."""

import json
import os
import socket
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import trio

from integration.helpers import Box, box, configuration
from interhuman2mqtt import cli
from interhuman2mqtt.commands import restart
from interhuman2mqtt.control import unix_socket
from interhuman2mqtt.control.dispatcher import CommandError
from interhuman2mqtt.control.requests import ReloadRequest, Request, RestartRequest
from interhuman2mqtt.control.unix_socket import UnixSocketServer
from interhuman2mqtt.runtime import unix_path
from interhuman2mqtt.runtime.watchdog import Heartbeats
from support.clips import Clip
from support.mosquitto import free_port
from support.processes import PATIENCE_S

FILE = {"source": f"file:{Clip().path()}"}


async def command(daemon: Box, *words: str) -> tuple[int, str]:
    """What a command says to who types it, and its exit status."""
    env = {**os.environ, "STATE_DIRECTORY": str(daemon.folder)}
    line = [sys.executable, "-m", "interhuman2mqtt", *words]
    done = await trio.run_process(line, env=env, capture_stdout=True, capture_stderr=True, check=False)
    return done.returncode, (done.stdout + done.stderr).decode().strip()


async def test_with_neither_broker_nor_requests(tmp_path: Path) -> None:
    """A daemon without a broker that takes no requests by MQTT restarts and reloads, and says why it does not."""

    def config(**cameras: object) -> dict[str, object]:
        url = f"mqtt://localhost:{free_port()}"
        return configuration("ws://localhost:1/v2/stream/analyze", url, cameras, mqtt={"requests": "off"})  # type: ignore[arg-type]

    async with box(tmp_path, config(front=FILE, desk=FILE)) as daemon:
        await daemon.wait_log("source opened", camera="front")
        assert await command(daemon, "restart", "front") == (0, "restarted: front")
        await daemon.wait_log("request", request="restart", camera="front")
        assert await command(daemon, "restart", "frnt") == (
            69,
            'there is no camera "frnt" on this box; did you mean "front"?',
        )
        daemon.configure(config(front=FILE, new=FILE))
        status, said = await command(daemon, "reload", "--json")
        changed = {"stopped": ["desk"], "started": ["new"], "needs_restart": ["mqtt"]}  # whose port is another
        assert (status, json.loads(said)["data"]) == (0, changed)
        assert (await command(daemon, "reload"))[1] == (
            "reload applied, but for [mqtt]: what changed there waits for a restart of the service; no camera was "
            "changed by it"
        )
        daemon.configure(config(front={"sauce": "test:"}))
        status, said = await command(daemon, "reload")
        assert status == 69
        assert "cameras.front.sauce" in said
        assert (tmp_path / unix_socket.NAME).stat().st_mode & 0o777 == 0o660
        assert await command(daemon, "health") == (0, "every part of the daemon moves")
        assert await daemon.stop() == 0
        assert (await command(daemon, "health"))[0] == 69
        status, said = await command(daemon, "restart")
    assert status == 69
    assert said.startswith("no daemon is running here (nobody listens at ")
    assert "systemctl start interhuman2mqtt" in said


async def listens(folder: Path) -> None:
    """Wait until the socket is there, which a thread makes."""
    with trio.fail_after(PATIENCE_S):
        while not (folder / unix_socket.NAME).is_socket():  # noqa: ASYNC110 - a thread that makes a file wakes nobody
            await trio.sleep(0.01)


async def answered(folder: Path, line: bytes) -> dict[str, object]:
    """What the socket answers to a line."""

    def ask() -> bytes:
        with unix_path.short(folder, unix_socket.NAME) as address, socket.socket(socket.AF_UNIX) as asking_:
            asking_.connect(address)
            asking_.sendall(line)
            asking_.shutdown(socket.SHUT_WR)
            return asking_.makefile("rb").readline()

    said = await trio.to_thread.run_sync(ask)
    return dict(json.loads(said)) if said else {}


class OneCamera:
    """One camera, and a dispatcher as far as these tests need it."""

    cameras = ("front",)

    async def do(self, command: str, request: Request, *, by_command: bool = False) -> object:
        await trio.lowlevel.checkpoint()
        assert by_command
        if isinstance(request, ReloadRequest):
            raise CommandError("the configuration is rejected")
        return {"did": command, "camera": request.camera if isinstance(request, RestartRequest) else None}


@pytest.mark.parametrize(
    ("line", "status", "said"),
    [
        (b'{"command": "restart", "camera": "front"}\n', "ok", None),
        (b'{"command": "reload"}', "error", "rejected"),
        (b'{"command": "restart", "camera": 7}\n', "error", "camera must be a string"),
        (b'{"camera": "front"}\n', "error", "there is no request"),
        (b"restart\n", "error", "that is no request"),
        (b"\xff\n", "error", "that is no request"),
    ],
)
async def test_whatever_is_said_is_answered(tmp_path: Path, line: bytes, status: str, said: str | None) -> None:
    """One line of JSON, or a sentence why it is none; the path may be longer than a socket's can be."""
    folder = tmp_path / ("deep" * 30)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(UnixSocketServer([folder], "lobby-1", OneCamera(), OneCamera(), Heartbeats()).run)
        await listens(folder)
        answer = await answered(folder, line)
        assert answer["status"] == status
        assert said is None or said in str(answer["error"])
        assert await answered(folder, b"x" * 100_000) == {}
        nursery.cancel_scope.cancel()
    assert not (folder / unix_socket.NAME).exists()


async def test_health_is_that_of_every_part(tmp_path: Path) -> None:
    """A part that moves too late is named by `health`, until it moves again; no request of others stands before it."""
    heartbeats = Heartbeats()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(UnixSocketServer([tmp_path], "lobby-1", OneCamera(), OneCamera(), heartbeats).run)
        await listens(tmp_path)
        heartbeats.promise("outbox", -100)
        said = await answered(tmp_path, b'{"command": "health"}\n')
        assert (said["status"], str(said["error"])[:19]) == ("error", "outbox has hung for")
        heartbeats.promise("outbox", 100)
        assert (await answered(tmp_path, b'{"command": "health"}\n'))["status"] == "ok"
        nursery.cancel_scope.cancel()


def test_two_daemons_do_not_take_each_others_place(tmp_path: Path) -> None:
    """A socket that an earlier life left is replaced; one on which somebody listens is not."""
    unix_socket.listen(tmp_path).close()
    with unix_socket.listen(tmp_path), pytest.raises(OSError, match="another daemon listens there"):
        unix_socket.listen(tmp_path)


def test_a_daemon_that_does_not_answer(tmp_path: Path) -> None:
    """Neither silence nor an end without an answer leaves who asked waiting."""
    with unix_socket.listen(tmp_path), pytest.raises(restart.NotAsked, match="did not answer within"):
        restart.ask(tmp_path, {"command": "reload"}, within=0.1)


@pytest.mark.parametrize("words", [["restart", "front"], ["reload"], ["health"], ["pause", "front"], ["resume"]])
def test_who_may_not_look_into_the_state(
    words: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    as_nobody: Callable[[], AbstractContextManager[None]],
) -> None:
    """Somebody else than the service's user and root is told to use sudo, and with a status of its own."""
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "secret"))
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "secret"))
    (tmp_path / "box.toml").write_text("[cameras.front]\nsource = 'test:'\n")
    config = ["--config", str(tmp_path / "box.toml")] if words[0] in {"pause", "resume"} else []
    with as_nobody():
        status = cli.main([*words, *config])
    said = capsys.readouterr()
    assert status in {69, 77}
    assert "with sudo" in said.err
    assert "Traceback" not in said.err + said.out
