"""Requests from this machine itself, by a socket in the state directory: without a broker, without a network.

One line of JSON in, `{"command": "restart", "camera": "front"}`, one line out, as `bridge/response/<command>` has it.
It asks for what `bridge/request/<command>` offers, whatever `mqtt.requests` says: who may open the socket is a matter
of this machine's users. Unlike SIGHUP it names a camera, and answers when all is done, with what came of it.
"""

import socket
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn, Protocol

import msgspec
import structlog
import trio

from interhuman2mqtt.control.dispatcher import CommandError
from interhuman2mqtt.control.parser import CameraIds, RequestParser
from interhuman2mqtt.control.requests import Accepted, Rejected, Request
from interhuman2mqtt.publish.mqtt.types import IncomingMessage
from interhuman2mqtt.runtime import unix_path
from interhuman2mqtt.runtime.redaction import redact, redact_deep
from interhuman2mqtt.runtime.watchdog import Heartbeats

NAME = "control"
"""Of the socket, within the folder of the state."""
HEALTH = "health"
"""The one request that is for this socket only, and never queued: whether every part of the daemon moves."""
LINE_MAX = 64 << 10
"""Bytes."""
ASK_S = 5.0
"""Seconds for who connects to say what it wants."""
AT_ONCE = 8
"""Connections; more wait for these."""
ACCESS = 0o660
"""The service's user and its group."""

log = structlog.get_logger(__name__)


class Dispatcher(Protocol):
    """Handles requests."""

    async def do(self, command: str, request: Request, *, by_command: bool = False) -> Any:
        """Return the data of the answer; raise CommandError."""


class UnixSocketServer:
    """Answers the requests that come by the socket.

    Args:
        folders: Of the daemon's state, and of its runtime: the first that can be written has the socket.
        box: The id of this box.
        running: The cameras that there are.
        dispatcher: Handles the requests.
        heartbeats: What `health` is answered by.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        box: str,
        running: CameraIds,
        dispatcher: Dispatcher,
        heartbeats: Heartbeats,
    ) -> None:
        self._folders = folders
        self._tree = f"control/{box}/bridge/request"
        self._parser = RequestParser("control", box)
        self._running = running
        self._dispatcher = dispatcher
        self._heartbeats = heartbeats
        self._places = trio.CapacityLimiter(AT_ONCE)
        self._threads = trio.CapacityLimiter(1)

    async def run(self) -> None:
        """Serve for ever; where there can be no socket, the log says why, and all else goes on."""
        complaints = []
        for folder in self._folders:
            try:
                listener = await trio.to_thread.run_sync(listen, folder, limiter=self._threads)
            except OSError as error:
                complaints.append(f"{folder / NAME}: {error.strerror}")
            else:
                await self._listen(listener, folder)
        log.warning("commands of this machine are not received", detail="; ".join(complaints))

    async def _listen(self, listener: socket.socket, folder: Path) -> NoReturn:
        try:
            sockets = trio.SocketListener(trio.socket.from_stdlib_socket(listener))
            await trio.serve_listeners(self._serve, [sockets])
        finally:
            listener.close()
            with suppress(OSError):
                (folder / NAME).unlink()

    async def _serve(self, stream: trio.SocketStream) -> None:
        """One connection; who asked may not wait for the answer."""
        async with stream, self._places:
            with suppress(trio.BrokenResourceError):
                await self._converse(stream)

    async def _converse(self, stream: trio.SocketStream) -> None:
        line = None
        with trio.move_on_after(ASK_S):
            line = await _read_line(stream)
        if line is not None:
            await stream.send_all(msgspec.json.encode(await self._answer(line)) + b"\n")

    async def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            data = await self._do(line)
        except CommandError as error:
            return {"status": "error", "error": redact(str(error)), "data": redact_deep(error.data)}
        return {"status": "ok", "error": None, "data": redact_deep(data)}

    async def _do(self, line: bytes) -> Any:
        command, payload = _parts(line)
        if command == HEALTH:
            return self._health()
        match self._parser.read(IncomingMessage(f"{self._tree}/{command}", payload), self._running.cameras):
            case Accepted(request):
                return await self._dispatcher.do(command, request, by_command=True)
            case Rejected(_, detail):
                raise CommandError(detail)
        raise CommandError("that is no request")

    def _health(self) -> None:
        if overdue := self._heartbeats.stuck():
            raise CommandError("; ".join(f"{stage} has hung for {seconds:.0f} s" for stage, seconds in overdue))


def _parts(line: bytes) -> tuple[str, bytes]:
    """Return the command, and the fields of the request as they would come by MQTT."""
    try:
        fields = msgspec.json.decode(line, type=dict[str, Any])
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise CommandError(f"that is no request: {error}") from error
    return str(fields.pop("command", "")), msgspec.json.encode(fields)


async def _read_line(stream: trio.SocketStream) -> bytes | None:
    """Up to a newline or the end; None where it is too long."""
    line = b""
    while not line.endswith(b"\n") and len(line) <= LINE_MAX:
        data = await stream.receive_some(LINE_MAX)
        if not data:
            break
        line += data
    return line if len(line) <= LINE_MAX else None


def listen(folder: Path) -> socket.socket:
    """Open the socket, where no other daemon listens. Blocks; raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        with unix_path.short(folder, NAME) as address:
            _make_room(address)
            listener.bind(address)
            Path(address).chmod(ACCESS)
        listener.listen(AT_ONCE)
    except BaseException:
        listener.close()
        raise
    return listener


def _make_room(address: str) -> None:
    """Remove what an earlier life left; raises OSError where somebody listens there."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as there:
        try:
            there.connect(address)
        except FileNotFoundError:
            return
        except ConnectionRefusedError:
            Path(address).unlink()
            return
    raise OSError(0, "another daemon listens there: two must not share a folder of state")
