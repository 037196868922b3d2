"""A browser as a camera, the daemon's side: a Unix socket by which the page hands on what the browser records.

::

    $RUNTIME_DIRECTORY/browser/CAMERA     exists while the camera may stream, and no longer

So the page knows by the socket alone whether a browser may record. A connection is one recorder of the browser, from
its init segment to its end: what comes in the middle of one cannot be read. The daemon accepts, says by a line of JSON
how many seconds a broken line may be made good later (`buffer`), and hands the connection to a capture process; it
reads nothing of it.
"""

import socket
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec
import trio

from interhuman2mqtt import config
from interhuman2mqtt.errors import Outage, Reason, Refused
from interhuman2mqtt.runtime import unix_path

BACKLOG = 1
"""One that is read, and one that follows it."""
ACCESS = 0o660
"""The daemon's user, and the group of the folder: that of the page."""


class BrowserListener:
    """Accepts the connections of one camera, as a context that has the socket.

    Args:
        folder: For the sockets of all cameras; None: there is no folder that is surely this daemon's.
        camera: Its id, and how long a broken line may be made good.
    """

    def __init__(self, folder: Path | None, camera: config.CameraConfig) -> None:
        self._folder = folder
        self._name = camera.id
        self._hello = msgspec.json.encode({"buffer": camera.buffer}) + b"\n"
        self._listener: socket.socket | None = None
        self._fault: OSError | None = None

    def __enter__(self) -> Self:
        """Listen; why that cannot be is raised by `accept`, as the camera's outage."""
        # The folder is on a tmpfs, which takes no time: a thread would be one more thing that a pause waits for.
        try:
            if self._folder is not None:
                self._listener = _listen(self._folder, self._name)
        except OSError as error:
            self._fault = error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def close(self) -> None:
        """Remove the socket, at once; may be called more than once."""
        if self._listener is not None and self._folder is not None:
            with suppress(OSError):
                (self._folder / self._name).unlink()
            self._listener.close()
            self._listener = None

    async def accept(self) -> socket.socket:
        """Return the next connection that is still alive; raises Refused where there can be none."""
        if self._listener is None:
            raise self._refusal()
        listener = trio.socket.from_stdlib_socket(self._listener.dup())
        with listener:
            while True:
                accepted, _ = await listener.accept()
                connection = socket.socket(fileno=accepted.detach())
                try:
                    connection.settimeout(0)
                    if _is_alive(connection):
                        connection.send(self._hello)
                        connection.settimeout(None)
                        return connection
                except OSError:
                    pass
                connection.close()

    def _refusal(self) -> Refused:
        if self._fault is None:
            return Refused(
                Reason.NO_PERMISSION,
                "a browser cannot be a camera here: there is no folder for its socket; set RUNTIME_DIRECTORY",
            )
        return Refused(
            Reason.NO_PERMISSION,
            f"a browser cannot be a camera here: {self._folder}: {self._fault.strerror or self._fault}",
        )


def nobody(camera: str, last: Outage | None) -> Outage:
    """Return the outage of a camera that no browser is now; `last` is how the last one ended, if there was one."""
    waits = f"waits for a browser: open a link of `interhuman2mqtt invite {camera}`"
    return Outage(Reason.NO_BROWSER, waits) if last is None else Outage(last.reason, f"{last.detail}; {waits}")


def _listen(folder: Path, name: str) -> socket.socket:
    folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        with unix_path.short(folder, name) as address:
            with suppress(FileNotFoundError):
                Path(address).unlink()  # of an earlier life: the lock of the state keeps a second daemon out
            listener.bind(address)
            Path(address).chmod(ACCESS)
        listener.listen(BACKLOG)
        listener.settimeout(0)
    except BaseException:
        listener.close()
        raise
    return listener


def _is_alive(connection: socket.socket) -> bool:
    """Decide whether the page still waits; one that gave up while the last recorder was read has closed."""
    try:
        return connection.recv(1, socket.MSG_PEEK) != b""
    except BlockingIOError:
        return True
