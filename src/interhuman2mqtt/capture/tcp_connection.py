"""The TCP connection beneath an open source, by a second descriptor, so that the camera receives TEARDOWN."""

# A camera that serves one client keeps a session that nobody ended until its time-out, often a minute, in which we are
# locked out. FFmpeg sends TEARDOWN when its container is closed, but two things keep that from arriving: a reader that
# is blocked in `read` closes nothing, and a socket that is closed with media still unread is reset by the kernel, which
# may throw away what the other side has not read yet (RFC 1122, 4.2.2.13). With a second descriptor of the same socket
# we shut down its reading half, and linger until the camera has closed. A relay of our own between FFmpeg and the
# camera could do both as well; it would copy every packet once more, and have to speak TLS in FFmpeg's place.
# Sending TEARDOWN ourselves on that descriptor lost, too: it needs the session's id and CSeq, and TLS' state, which
# only FFmpeg has.

import contextlib
import fcntl
import os
import socket
import sys
import termios
import time
from pathlib import Path

LINGER_S = 0.3
"""The time that the camera has to close its side."""
ROOM = 512 << 10
"""Bytes of media that the kernel shall keep for us: a third of them surely, 0.35 s at 4 Mbit/s."""


def tcp_connections() -> set[str]:
    """Return the TCP connections of this process, by the kernel's names of them."""
    return {name for name, _ in _sockets()}


def duplicate_newest(before: set[str]) -> socket.socket | None:
    """Return a descriptor of our own of the TCP connection that was not there before; None where there is none."""
    return next((_duplicate(fd) for name, fd in _sockets() if name not in before), None)


# libav has no call that returns its descriptor: the connection is the one that appeared while the source was opened
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


def make_room(connection: socket.socket) -> int:
    """Let the kernel keep more of what was not read yet; return the bytes that it surely keeps, key frames and all."""
    # Asking for `ROOM` bytes at once (SO_RCVLOWAT) enlarges the buffer (Linux 4.18), and it stays large when that is
    # taken back. SO_RCVBUF would set its size for good: it could not grow any more, as a camera far away needs.
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, ROOM)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
    return connection.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 3  # half of it is the kernel's own


def unread_bytes(connection: socket.socket) -> int:
    """Return the bytes that the kernel keeps for us."""
    return int.from_bytes(fcntl.ioctl(connection, termios.FIONREAD, bytes(4)), sys.byteorder)


def shut_down_reading(connection: socket.socket) -> None:
    """Let a thread that is blocked in reading the connection come back; writing goes on."""
    with contextlib.suppress(OSError):  # the camera was faster
        connection.shutdown(socket.SHUT_RD)


def close_lingering(connection: socket.socket) -> None:
    """Close the connection once the camera has read all that we sent, and give it `LINGER_S` for that."""
    deadline = time.monotonic() + LINGER_S
    with connection, contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_WR)
        while (left := deadline - time.monotonic()) > 0:
            connection.settimeout(left)
            if not connection.recv(65536):
                return
