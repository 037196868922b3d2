"""One recorder of a browser on its way to the capture of its camera, by the Unix socket of the camera's daemon.

See `cameras/browser_listener.py` for the other end. The connection carries what the recorder made, from its init
segment on, and nothing else; the daemon says first how long a broken line may be made good.
"""

import errno
import socket
from pathlib import Path
from typing import Self

import msgspec
import trio
from msgspec import Struct

from interhuman2mqtt.runtime import unix_path

HELLO_S = 10.0
"""For how long the daemon may take until it reads: it ends the recorder before, and pauses after a failure."""
HELLO_MAX = 1024
WRITE_S = 10.0
"""The capture reads at once, or hangs."""


class StreamHello(Struct, frozen=True):
    """First message of the daemon."""

    buffer: float


class NotTakenError(Exception):
    """No browser may be the camera now; the sentence says why."""


class StreamOverError(Exception):
    """The capture reads no more of this recorder."""


class BrowserStream:
    """An open connection to a capture."""

    def __init__(self, stream: trio.SocketStream, hello: StreamHello) -> None:
        self._stream = stream
        self.buffer_s = hello.buffer

    @classmethod
    async def open(cls, folder: Path, camera: str) -> Self:
        """Return a connection by which the capture of a camera reads from now on; raises NotTakenError."""
        connection = trio.socket.socket(trio.socket.AF_UNIX)
        try:
            with unix_path.short(folder, camera) as address:
                await connection.connect(address)
        except OSError as error:
            connection.close()
            raise NotTakenError(_why(folder / camera, error)) from error
        stream = trio.SocketStream(connection)
        try:
            return cls(stream, await _hello(stream))
        except BaseException:
            await trio.aclose_forcefully(stream)
            raise

    def is_over(self) -> bool:
        """Decide whether the capture has closed: it sends nothing after its first line."""
        try:
            return _peek(self._stream.socket) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True

    async def send(self, chunk: bytes) -> None:
        """Hand a chunk on, whole, or close: half of one would spoil what follows. Raises StreamOverError."""
        try:
            with trio.fail_after(WRITE_S):
                await self._stream.send_all(chunk)
        except (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError) as error:
            self.close()
            raise StreamOverError from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the recorder; may be called more than once."""
        self._stream.socket.close()


def why_closed(folder: Path, camera: str) -> str | None:
    """Return why there is no connecting to a camera's capture; None where there may be. Takes no time: a tmpfs."""
    path = folder / camera
    try:
        path.stat()
    except OSError as error:
        return _why(path, error)
    return None


def _peek(connection: trio.socket.SocketType) -> bytes:
    with socket.socket(fileno=connection.dup().detach()) as same:
        return same.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)


async def _hello(stream: trio.SocketStream) -> StreamHello:
    try:
        with trio.fail_after(HELLO_S):
            return msgspec.json.decode(await _line(stream), type=StreamHello)
    except trio.TooSlowError:
        sentence = "the service of the camera still reads what came before, or waits after a failure"
    except trio.BrokenResourceError:
        sentence = "the camera was turned off just now"
    except msgspec.MsgspecError:
        sentence = "the service of the camera speaks another version: restart both"
    raise NotTakenError(sentence)


async def _line(stream: trio.SocketStream) -> bytes:
    line = b""
    while not line.endswith(b"\n") and len(line) < HELLO_MAX:
        more = await stream.receive_some(HELLO_MAX)
        if not more:
            raise trio.BrokenResourceError
        line += more
    return line


def _why(path: Path, error: OSError) -> str:
    match error.errno:
        case errno.ENOENT:
            return "the camera is off: paused, out of its hours, or its service does not run"
        case errno.ECONNREFUSED:
            return "the service of the camera does not run"
        case errno.EAGAIN:
            return "others wait already for the service of the camera"
        case errno.EACCES:
            return f"the page may not use {path}: see the documentation of browsers as cameras"
    return f"{path}: {error.strerror or error}"
