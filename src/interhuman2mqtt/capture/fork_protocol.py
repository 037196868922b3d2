"""What the daemon and the process that it has capture processes forked from say to each other, by `fork_server`."""

import struct
from typing import Final

READY: Final = b"ready"
"""The server's first message: its imports are done."""
NUMBER: Final = struct.Struct("!i")
"""A request is one for each descriptor that comes with it: the number that it is to have in the new process.

The answer is one: the id of that process; below zero an error of errno(3).
"""
DESCRIPTORS_MAX: Final = 4
"""stdin, stdout and stderr of the new process, and the connection of a browser."""
