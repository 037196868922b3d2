"""Bound what opening cameras costs: so many processes begin at once, and none for a camera that does not answer.

A capture process takes up to half a second of a core and some megabytes before it has connected to anything, and waits
up to 10 s for a camera that is away. So the daemon itself, which can wait for hundreds at the price of a socket each,
first has the camera answer; and a process whose start has been paid for makes room for the next, whatever it still
waits for.
"""

import errno
import heapq
import os
import socket
from itertools import count
from typing import NamedTuple
from urllib.parse import urlsplit

import trio

from interhuman2mqtt.errors import Outage, Reason
from interhuman2mqtt.runtime.dns import Resolver, addresses

# Dozens of processes at once, each of which needs half a second of a core before it connects, keep one another from
# opening in time, and the whole box looks down. One after another, a camera that does not answer would hold up all
# others for its 10 s.
AT_ONCE = max(2, os.cpu_count() or 1)
"""Processes that begin, each of which has to import all that it needs."""
FORKED_AT_ONCE = 16 * (os.cpu_count() or 1)
"""The same of processes that are forked, which takes a fiftieth of a second. With two at once 16 cameras on two cores
took 10.7 s until all streamed, with 16 at once 4.6 s, with 64 at once 3.5 s, where `ffmpeg -c copy` took 3.6 s; on a
quarter of a core 12 begin at once in 15 s."""
HOLD_S = 2.0
"""After which a process that has not opened its source counts as one that waits, and not as one that begins."""
ANSWER_S = 10.0
"""For a camera to answer, all its addresses together; as long as a capture process would wait."""
ADDRESSES = 4
"""Of a name that are asked."""
PORTS = {"rtsp": 554, "rtsps": 322}
OPTIONS = b"OPTIONS rtsp://%s:%d RTSP/1.0\r\nCSeq: 1\r\n\r\n"
"""The first thing that FFmpeg says too (RFC 2326, 10.1); it needs no password, and any answer will do."""


class _Waiting(NamedTuple):
    rank: int
    number: int
    turn: trio.Event


class StartLimiter:
    """Turns to begin: first those of cameras that open for the first time or have streamed, then of what failed."""

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._free = at_once
        self._waiting: list[_Waiting] = []
        self._numbers = count()

    async def wait_turn(self, *, failed: bool) -> "Turn":
        """Wait for a turn, which has to be given back by `Turn.end`; `failed`: the camera's last attempt did."""
        await trio.lowlevel.checkpoint()
        if self._free and not self._waiting:
            self._free -= 1
            return Turn(self)
        waiting = _Waiting(int(failed), next(self._numbers), trio.Event())
        heapq.heappush(self._waiting, waiting)
        try:
            await waiting.turn.wait()
        except trio.Cancelled:
            if waiting.turn.is_set():
                self.release()
            else:
                self._waiting.remove(waiting)
                heapq.heapify(self._waiting)
            raise
        return Turn(self)

    def release(self) -> None:
        """Let the next one begin."""
        if self._waiting:
            heapq.heappop(self._waiting).turn.set()
        else:
            self._free += 1


class Turn:
    """The right of one camera to begin."""

    def __init__(self, starts: StartLimiter) -> None:
        self._starts: StartLimiter | None = starts

    def end(self) -> None:
        """End the turn: the camera has begun, or never will. May be called more than once."""
        starts, self._starts = self._starts, None
        if starts is not None:
            starts.release()


async def wait_answer(source: str, resolver: Resolver, within: float = ANSWER_S) -> None:
    """Return once the camera at an RTSP address answers; any other source is none of our business.

    Raises:
        Outage: It does not: nobody knows its name, there is no way to it, it refuses, or says nothing.
    """
    parts = urlsplit(source)
    if parts.scheme not in PORTS or parts.hostname is None:
        return
    host, port = parts.hostname, parts.port or PORTS[parts.scheme]
    where = f"{host}:{port}"
    try:
        with trio.fail_after(within):
            await _ask_any(await _addresses(resolver, host, port), port, is_plain=parts.scheme == "rtsp")
    except trio.TooSlowError:
        raise Outage(Reason.UNREACHABLE, f"{where} does not answer") from None
    except OSError as error:
        raise Outage(Reason.UNREACHABLE, _sentence(error, where)) from error


async def _addresses(resolver: Resolver, host: str, port: int) -> list[str]:
    try:
        return list(await addresses(resolver, host, port))
    except socket.gaierror as error:
        raise Outage(
            Reason.UNREACHABLE,
            f"the name {host} cannot be found ({error.strerror}): is it spelled right, and does DNS work on this box?",
        ) from error


async def _ask_any(found: list[str], port: int, *, is_plain: bool) -> None:
    """Ask all addresses side by side, and return with the first answer; raises an OSError where none of them does."""
    errors: list[OSError] = []

    async def ask(address: str) -> None:
        try:
            await _ask(address, port, is_plain=is_plain)
        except OSError as error:
            errors.append(error)
        else:
            nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        for address in found[:ADDRESSES]:
            nursery.start_soon(ask, address)
    if not nursery.cancel_scope.cancel_called:
        raise errors[-1]


async def _ask(address: str, port: int, *, is_plain: bool) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with trio.socket.socket(family, socket.SOCK_STREAM) as asking:
        await asking.connect((address, port))
        if is_plain:  # inside of TLS it is up to the capture process, which can speak it
            await asking.send(_options(address, port))
            if not await asking.recv(64):
                raise OSError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))


def _options(address: str, port: int) -> bytes:
    return OPTIONS % ((f"[{address}]" if ":" in address else address).encode(), port)


def _sentence(error: OSError, where: str) -> str:
    match error.errno:
        case errno.ECONNREFUSED:
            return f"{where} refused the connection: is RTSP on?"
        case errno.EHOSTUNREACH:
            return f"there is no route to {where}"
        case errno.ENETUNREACH:
            return f"there is no network to reach {where}"
        case errno.ECONNRESET:
            return f"{where} ended the connection without an answer: is that an RTSP port?"
    return f"{where}: {error.strerror or error}"
