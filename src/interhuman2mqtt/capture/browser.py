"""A browser's recorder as a source: a connection by which its MP4 or WebM comes, from its init segment on.

What comes is foreign input: whoever has the link may send anything. So FFmpeg may see these two containers and nothing
else, opens nothing that they name, and reads through here, where nothing can be sought; the process has a limit of
memory, and ends with the connection.
"""

import socket

from interhuman2mqtt.capture import ipc
from interhuman2mqtt.errors import Reason, Refused

FORMATS = "matroska,webm,mov,mp4"
OPTIONS = {
    "format_whitelist": FORMATS,
    "protocol_whitelist": "none",  # for what a container might name: there is no such protocol
    "probesize": str(1 << 20),
}
ONLY_SERVICE = (
    "a browser is a camera of the running service alone, once somebody has opened its link: there is nothing to probe"
)
PATIENCE_S = 15.0
"""So much longer than `buffer` nothing may come, before the connection counts as over; the page closes it sooner."""


class BrowserInput:
    """The file that FFmpeg reads: what the connection brings, and its end where it brings nothing any more."""

    name = "browser"

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def read(self, most: int) -> bytes:
        """Return what has come, or wait for it; empty: it is over."""
        try:
            return self._connection.recv(most)
        except OSError:  # silent for too long, or reset: either way nothing follows
            return b""


def connection_of(command: ipc.Open) -> socket.socket:
    """Return the connection that the daemon has accepted for this process.

    Raises:
        Refused: There is none: a browser can be opened by the service alone.
    """
    if command.connection is None:
        raise Refused(Reason.NO_BROWSER, ONLY_SERVICE)
    connection = socket.socket(fileno=command.connection)
    connection.settimeout(command.buffer_s + PATIENCE_S)
    return connection
