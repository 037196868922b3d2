"""DNS lookups in threads of their own: a silent DNS server must not use up those of the disk.

Trio looks names up in its one pool of threads, where each silent lookup (10 s and more, resolv.conf(5)) keeps one of 40
from pauses, commits and process starts. The cameras' names have a limit of their own, so that a box full of cameras
whose names nobody knows still finds the cloud and the broker.
"""

import socket
from collections.abc import Sequence
from functools import partial
from typing import Any

import trio

THREADS = 8
"""For the names of cameras, and as many for all others."""

Found = list[tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[Any, ...]]]


class Resolver(trio.abc.HostnameResolver):
    """Looks names up, so many at a time."""

    def __init__(self, threads: int = THREADS) -> None:
        self._limiter = trio.CapacityLimiter(threads)

    async def getaddrinfo(  # noqa: PLR0913, PLR0917 - trio's own signature
        self,
        host: bytes | None,
        port: bytes | str | int | None,
        family: int = 0,
        type: int = 0,  # noqa: A002 - trio's own name
        proto: int = 0,
        flags: int = 0,
    ) -> Any:
        """Look a name up, as socket.getaddrinfo does; who is cancelled leaves the lookup to its thread."""
        look_up = partial(socket.getaddrinfo, host, port, family, type, proto, flags)
        return await trio.to_thread.run_sync(look_up, abandon_on_cancel=True, limiter=self._limiter)

    async def getnameinfo(self, sockaddr: tuple[str, int] | tuple[str, int, int, int], flags: int) -> tuple[str, str]:
        """Look an address up, as socket.getnameinfo does."""
        look_up = partial(socket.getnameinfo, sockaddr, flags)
        return await trio.to_thread.run_sync(look_up, abandon_on_cancel=True, limiter=self._limiter)


async def addresses(resolver: Resolver, host: str, port: int) -> Sequence[str]:
    """Return the addresses of a host, each once; raises socket.gaierror where nobody knows it."""
    try:
        found = await resolver.getaddrinfo(host.encode("idna"), port, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        raise socket.gaierror(socket.EAI_NONAME, "that can be no name of a host") from error
    return list(dict.fromkeys(str(address[0]) for *_, address in found))
