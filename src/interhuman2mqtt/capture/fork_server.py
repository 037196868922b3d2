"""The process that the daemon's capture processes are forked from: it has imported what they need, and does no more.

Its stdin is a socket to the daemon (SOCK_SEQPACKET). A request is the numbers under which a new process is to have the
descriptors that come with it (SCM_RIGHTS); the answer is that process's id, or an error number below zero. The daemon's
side is `cameras.fork_server`. It ends with the socket.
"""

# Forked, a camera shares what a process that is started by itself has alone: Python's objects, and the pages of PyAV's
# libraries that the loader writes to. Of eight cameras at 1080p30, each of these processes has 13.2 MB alone instead of
# 24.9, its ring of 4 MB included; a box with one camera pays 7 MB for that. Two megabytes are written to by the fork
# itself and the first lines (reference counts), five as a source is opened. Forty cameras take 5 s of CPU to start, and
# not 20, and all stream after 5.3 s instead of 28, about as soon as forty FFmpegs (`start_limiter`).
#
# A fork is safe because nothing runs here but this loop: no thread (a test looks), no device, no stream of libav, no
# log, no secret. All of that begins in the new process, with its first command.
#
# Why two forks for a process: the one in between ends at once, and the kernel gives its child to the daemon, which is
# the subreaper (prctl(2)). So the daemon waits for it, kills it and reads its status as of any child of its own, and
# the death of this process costs no camera. To report the ends of children by this socket lost: then it would.
# CLONE_PARENT would spare the second fork, and go past glibc, which has to know of each.
#
# What is lost: all these processes have their libraries at the same addresses, until this one is started anew.

import ctypes
import errno
import fcntl
import gc
import os
import signal
import socket
import time
from pathlib import Path
from typing import NamedTuple

from interhuman2mqtt.capture import __main__ as worker
from interhuman2mqtt.capture.fork_protocol import DESCRIPTORS_MAX, NUMBER, READY
from interhuman2mqtt.runtime import process

ARG_START, ARG_END = 48 - 3, 49 - 3
"""Of `stat` in proc(5), behind the name: where this process's command line is."""


class ForkRequest(NamedTuple):
    """What a new process shall have open."""

    received: tuple[int, ...]
    numbers: tuple[int, ...]
    """Which each of them is to have there."""


def main() -> None:
    """Fork a process for each request, until the daemon is gone."""
    process.be_first_to_go()
    process.keep_private()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    server = socket.socket(fileno=0)
    server.settimeout(None)  # the daemon's end is one of trio
    gc.collect()
    gc.freeze()  # the collector writes to each object that it looks at, and would make its page one of this process
    server.send(READY)
    while request := receive(server):
        if is_new_process(server, request):
            del server  # its number is taken by stdin
            return worker.main()
    return None


def receive(server: socket.socket) -> ForkRequest | None:
    """Return the next request; None: the daemon is gone."""
    data, received, _flags, _address = socket.recv_fds(server, DESCRIPTORS_MAX * NUMBER.size, DESCRIPTORS_MAX)
    return ForkRequest(tuple(received), tuple(number for (number,) in NUMBER.iter_unpack(data))) if data else None


def is_new_process(server: socket.socket, request: ForkRequest) -> bool:
    """Fork a process, which returns True; here it is False."""
    try:
        between = os.fork()
    except OSError as error:
        answer(server, -(error.errno or errno.EAGAIN))
    else:
        if between == 0:
            begin(server, request)
            return True
        _, status = os.waitpid(between, 0)
        if status:
            answer(server, -(max(os.waitstatus_to_exitcode(status), 0) or errno.ECHILD))
    for received in request.received:
        os.close(received)
    return False


def begin(server: socket.socket, request: ForkRequest) -> None:
    """Return in a new process that is the daemon's child; the one that forks it ends here."""
    between = os.getpid()
    try:
        if os.fork() != 0:
            os._exit(0)
    except OSError as error:
        os._exit(error.errno or errno.EAGAIN)
    while os.getppid() == between:
        time.sleep(0.0005)
    rename()
    answer(server, os.getpid())
    server.detach()
    place(request)


def answer(server: socket.socket, number: int) -> None:
    """Tell the daemon an id, or an error."""
    server.send(NUMBER.pack(number))


def place(request: ForkRequest) -> None:
    """Give the descriptors the numbers that they are to have; this process keeps no other of them."""
    above = max(request.numbers) + 1
    moved = [fcntl.fcntl(received, fcntl.F_DUPFD, max(above, 3)) for received in request.received]
    for received in request.received:
        os.close(received)
    for now, wanted in zip(moved, request.numbers, strict=True):
        os.dup2(now, wanted)
        os.close(now)


def rename() -> None:
    """Have ps(1) show the command line of a capture process, which is shorter than ours and takes its place."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    start, size = int(fields[ARG_START]), int(fields[ARG_END]) - int(fields[ARG_START])
    line = Path("/proc/self/cmdline").read_bytes().replace(b".fork_server", b"")
    if start and len(line) <= size:
        ctypes.memmove(start, line.ljust(size, b"\0"), size)


if __name__ == "__main__":
    main()
