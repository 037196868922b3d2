"""One recording of a capture process, as a session pulls it through the pipe."""

from collections import deque
from typing import Protocol

import structlog
import trio

from interhuman2mqtt.capture import wire
from interhuman2mqtt.errors import Outage, Reason
from interhuman2mqtt.events import MediaChunk

log = structlog.get_logger(__name__)


class Source(Protocol):
    """What a recording needs of its worker."""

    outage: Outage | None
    gone: trio.Event
    recordings: dict[int, "WorkerRecording"]

    def send_nowait(self, command: wire.Command) -> None:
        """Queue a command for the process."""


class WorkerRecording:
    """A recording of a worker, as a session pulls it.

    Args:
        worker: Whose.
        number: By which the worker knows it.
        least_s: The shortest chunk that the cloud takes, where it does not tell one itself.
    """

    def __init__(self, worker: Source, number: int, least_s: float | None = None) -> None:
        self._worker = worker
        self._number = number
        self._least_s = least_s
        self._chunks: deque[MediaChunk] = deque()
        self._news = trio.Event()
        self._finishing = trio.Event()
        self._limit: wire.Limit | None = None

    def limit(self, least_s: float | None, most_s: float | None, most_bytes: int) -> None:
        """Give no chunk that the cloud would not take; None: it does not say."""
        self._limit = wire.Limit(
            recording=self._number, least_s=least_s or self._least_s, most_s=most_s, most_bytes=most_bytes
        )

    async def next_chunk(self) -> MediaChunk:
        """The next chunk, as soon as it is whole; raises the Outage of a worker that is gone."""
        await self.wait_chunk()
        chunk = self._chunks.popleft()
        if chunk.last:
            self.drop()
        return chunk

    async def wait_chunk(self) -> None:
        """Wait for the next chunk and leave it; raises as `next_chunk` does."""
        if self._limit is not None:
            self._worker.send_nowait(self._limit)
            self._limit = None
        if not self._chunks:
            self._worker.send_nowait(wire.Pull(recording=self._number))
        while not self._chunks:
            if self._worker.gone.is_set():
                raise self._worker.outage or Outage(Reason.CAPTURE_CRASHED, "the capture process ended")
            self._news = trio.Event()
            await self._news.wait()

    async def rest(self, seconds: float) -> None:
        """Pull nothing for so long, or until it is to end."""
        with trio.move_on_after(seconds):
            await self._finishing.wait()

    def finish(self) -> None:
        """End at the next boundary between GOPs."""
        self._finishing.set()
        self._worker.send_nowait(wire.Finish(recording=self._number))

    def drop(self) -> None:
        """Nobody will pull any more."""
        if self._worker.recordings.pop(self._number, None) and not self._worker.gone.is_set():
            self._worker.send_nowait(wire.Drop(recording=self._number))

    def arrived(self, chunk: wire.Chunk, payload: bytes) -> None:
        """A chunk came through the pipe."""
        if chunk.lost:
            log.debug("media fell off the ring", ranges=chunk.lost)  # the gap is told once what follows has arrived
        self._chunks.append(
            MediaChunk(
                payload=payload,
                media_start=chunk.media_s,
                media_end=chunk.media_s + chunk.end_s - chunk.start_s,
                captured_from=chunk.start_s + chunk.anchor_s,
                last=chunk.last,
                source_start=chunk.start_s,
                source_end=chunk.end_s,
                holes=chunk.holes,
                captured_at=chunk.end_s + chunk.anchor_s,
            )
        )
        self._news.set()

    def wake(self) -> None:
        """The worker is gone: whoever waits must hear of it."""
        self._news.set()
