"""Two streams of our own below trio-websocket, which make up for what it does when things go wrong."""

from collections.abc import Callable

import trio

from interhuman2mqtt.cloud.tunnel import Answer, NotHttpError, read_answer


class _Around(trio.abc.Stream):
    """A stream that passes everything on to another."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """See trio."""
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        """See trio."""
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """See trio."""
        return await self._stream.receive_some(max_bytes)

    async def aclose(self) -> None:
        """See trio."""
        await self._stream.aclose()


class ForgivingStream(_Around):
    """A stream whose failed send is noted, not raised: what the other side had sent before is still to be read.

    A server that refuses sends its reason and closes; we may be sending at that moment. Both TLS and trio-websocket
    stop reading after a failed send, and would lose the reason and the events before it. So this one lies below TLS.
    """

    broken = False
    """Nothing that is sent from now on arrives: a send failed, or was cancelled in the middle."""

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Sends, or notes that this cannot be done any more."""
        if self.broken:
            await trio.lowlevel.checkpoint()
            return
        try:
            await self._stream.send_all(data)
        except trio.BrokenResourceError:
            self.broken = True
        except trio.Cancelled:
            self.broken = True
            raise


class UpgradeStream(_Around):
    """A stream whose first answer is read as HTTP: only one that upgrades (101) is passed on to trio-websocket.

    Anything else is kept in `answer` or `failure`, looks like the end of the stream, and `on_refusal` is called.
    """

    def __init__(self, stream: trio.abc.Stream, on_refusal: Callable[[], object]) -> None:
        super().__init__(stream)
        self.answer: Answer | None = None
        self.failure: NotHttpError | None = None
        self._on_refusal = on_refusal

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """Receives; at first the whole answer to the upgrade."""
        if self.answer is not None:
            return await self._stream.receive_some(max_bytes)
        try:
            self.answer = await read_answer(self._stream, method="GET")
        except NotHttpError as error:
            self.failure = error
        if self.answer is not None and self.answer.status == 101:
            return self.answer.received
        self._on_refusal()
        return b""
