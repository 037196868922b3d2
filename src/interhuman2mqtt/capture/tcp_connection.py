"""The TCP connection beneath an open source, kept in hand so that the camera hears the end of it.

A camera that serves one client keeps a session that nobody ended until its time-out, often a minute. FFmpeg sends
TEARDOWN when its container is closed, but two things keep that from arriving: a reader that is blocked in `read` closes
nothing, and a socket that is closed with media still unread is reset by the kernel, which may throw away what the other
side has not read yet (RFC 1122, 4.2.2.13). So we keep a second descriptor of the connection.
"""

import contextlib
import os
import socket
import time
from pathlib import Path

LINGER_S = 0.3
"""How long the camera may take to close its side."""


def tcp_connections() -> set[str]:
    """Return the TCP connections of this process, as the kernel numbers them."""
    return {name for name, _ in _sockets()}


def opened_since(before: set[str]) -> socket.socket | None:
    """Return a descriptor of our own of the TCP connection that was not there before; None where there is none."""
    return next((_duplicate(fd) for name, fd in _sockets() if name not in before), None)


def _sockets() -> list[tuple[str, int]]:
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # closed in the meantime
            name = str(entry.readlink())
            if name.startswith("socket:") and _is_tcp(int(entry.name)):
                found.append((name, int(entry.name)))
    return found


def _is_tcp(fd: int) -> bool:
    with _duplicate(fd) as copy:
        return copy.type == socket.SOCK_STREAM and copy.family in {socket.AF_INET, socket.AF_INET6}


def _duplicate(fd: int) -> socket.socket:
    return socket.socket(fileno=os.dup(fd))


def interrupt(connection: socket.socket) -> None:
    """Let a thread that is blocked in reading the connection come back; writing goes on."""
    with contextlib.suppress(OSError):  # the camera was faster
        connection.shutdown(socket.SHUT_RD)


def linger(connection: socket.socket) -> None:
    """Close the connection once the camera has read all that we sent, and give it `LINGER_S` for that."""
    deadline = time.monotonic() + LINGER_S
    with connection, contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_WR)
        while (left := deadline - time.monotonic()) > 0:
            connection.settimeout(left)
            if not connection.recv(65536):
                return
