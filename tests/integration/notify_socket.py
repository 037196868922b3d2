"""systemd's end of sd_notify(3): a datagram socket that records what it is sent."""

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from support.processes import PATIENCE_S, in_background


class NotifySocket:
    """The datagrams received, oldest first."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.datagrams: list[str] = []
        self._more = trio.Event()

    async def listen(self, channel: trio.socket.SocketType) -> None:
        """Gather, until cancelled."""
        while True:
            self.datagrams.append((await channel.recv(4096)).decode())
            self._more.set()
            self._more = trio.Event()

    async def wait(self, wanted: Callable[[str], bool], after: int = 0, within: float = PATIENCE_S) -> int:
        """The place of the first datagram, at `after` or later, that is wanted."""
        with trio.fail_after(within):
            while True:
                for place, datagram in enumerate(self.datagrams[after:], after):
                    if wanted(datagram):
                        return place
                await self._more.wait()


@asynccontextmanager
async def notify_socket(folder: Path) -> AsyncIterator[NotifySocket]:
    """A socket for $NOTIFY_SOCKET, which is read until the block ends."""
    received = NotifySocket(folder / "notify")
    with trio.socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        await channel.bind(str(received.path))

        async def listen() -> None:
            await received.listen(channel)

        async with in_background(listen):
            yield received
