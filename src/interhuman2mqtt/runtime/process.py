"""Limits of a process: no core dump, bounded memory, a place among the first to go. No trio: the worker uses it too."""

import ctypes
import os
import resource
from contextlib import suppress
from pathlib import Path

PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER = 4, 36
"""prctl(2)"""
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""mallopt(3)"""
KEPT_BYTES = 4 << 20
"""Of a block: more than a chunk has at 10 Mbit/s ..."""
KEPT_IN_ALL = 16 << 20
"""... and of all of them: on its way to the socket a chunk is there six times, for a moment."""
FIRST_TO_GO = "500"
"""Of -1000 to 1000, proc(5); the daemon has 0 where systemd says nothing else."""


def keep_private() -> None:
    """Let no core be left when this process crashes, and no other process of its user look into it.

    The limit alone would not do: where cores go through a pipe (core(5), `core_pattern`), as to systemd-coredump, the
    kernel heeds only whether the process may be dumped. An exec allows it again, so each process asks for itself.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def adopt_orphans() -> bool:
    """Become the parent of each process whose parents below us have ended; False where a sandbox forbids it."""
    return bool(ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)


def keep_freed_memory() -> None:
    """Let the C library keep what is freed for what comes next, where it is glibc.

    Above 128 KiB it asks the kernel for each block and gives it back, page by page; each copy of a chunk is such a
    block: 130 page faults a second and camera, a fifteenth of the daemon. What is kept is 2 to 5 MB.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # musl has none
        mallopt(M_MMAP_THRESHOLD, KEPT_BYTES)
        mallopt(M_TRIM_THRESHOLD, KEPT_IN_ALL)


def bound(size: int) -> None:
    """Bound the memory of this process to so many bytes; beyond it allocations fail, here and nowhere else.

    Measured is what belongs to this process alone (RLIMIT_DATA), not the address space, of which libraries and threads
    take much and use little.
    """
    resource.setrlimit(resource.RLIMIT_DATA, (size, size))


def be_first_to_go() -> None:
    """Let the kernel end this process, where memory runs out, rather than the one that can start another."""
    with suppress(OSError):  # a sandbox may forbid it: then the kernel chooses by size, which is a good guess too
        Path("/proc/self/oom_score_adj").write_text(FIRST_TO_GO)


def of_machine() -> int:
    """Bytes that there are."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
