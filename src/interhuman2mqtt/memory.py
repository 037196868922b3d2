"""Keeps what a process has in its memory, secrets among it, out of core files and out of its neighbours' reach."""

import ctypes
import os
import resource

PR_SET_DUMPABLE = 4
"""prctl(2)"""


def keep_private() -> None:
    """No core is left when this process crashes, and no other process of its user may look into it.

    The limit alone would not do: where cores go through a pipe (core(5), `core_pattern`), as to systemd-coredump, the
    kernel heeds only whether the process may be dumped. An exec allows it again, so each process asks for itself.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
