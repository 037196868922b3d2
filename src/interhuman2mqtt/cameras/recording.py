"""Recordings of a capture process, as sessions pull them through the pipe, and how far their media came.

The resume position follows a source over all of the sessions that it was sent to. All its times are seconds on the
source's own timeline, and borders between GOPs.

Invariants:

1. No range is sent more than twice. What was sent twice and never proven delivered is given up.
2. A recording begins with the first media that is not known to be delivered, or before it (a replay); beyond it only
   where the first invariant asks for it.
3. A session that sends anything moves the position: so the same sessions never come again and again.
4. What is before `undelivered_s` was delivered or given up, and it never goes back.
"""

from collections import deque
from typing import NamedTuple, Protocol

import structlog
import trio

from interhuman2mqtt.cameras.status import StatusTracker
from interhuman2mqtt.capture import ipc
from interhuman2mqtt.errors import Outage, Reason
from interhuman2mqtt.events import MediaChunk, Recording
from interhuman2mqtt.policy.budgets import Budgets
from interhuman2mqtt.runtime.notifier import Notifier


class StartPoint(NamedTuple):
    """The point at which a recording begins."""

    from_s: float = 0.0
    """What is missing from here on is lost."""
    replay_s: float = 0.0
    """How much of what is before it is to be sent again ..."""
    not_before_s: float = 0.0
    """... and what is before this is not."""


class ResumePosition:
    """Follows one source; a source that was opened anew has another timeline, and so a position of its own.

    Args:
        replay_s: How much is sent again after a session that broke: what the cloud had received, and perhaps not seen.
    """

    # The API acknowledges nothing. All that is known is by pongs: they show that the server's WebSocket end has a
    # chunk, not that it was analysed; what it had queued is lost with the session. So a session that broke is replayed
    # by `replay_s`. Replaying always, or from the first byte that is not proven again and again, was refused: an uplink
    # that breaks every few seconds would send, and be billed for, the same seconds for ever.

    def __init__(self, replay_s: float) -> None:
        self.undelivered_s = 0.0
        self.sent_s = 0.0
        """What is before this was sent at least once, or will never be."""
        self._twice_s = 0.0
        self._replay_s = replay_s
        self._replays = False
        self._has_sent = self._has_news = False  # of the session under way

    def start_point(self) -> StartPoint:
        """Return where the next recording begins."""
        from_s = max(self.undelivered_s, self._twice_s)
        return StartPoint(from_s, self._replay_s if self._replays else 0.0, self._twice_s)

    def sent(self, start_s: float, end_s: float) -> None:
        """Note that a session was sent this range; those of a session come in order."""
        if start_s < self.sent_s:
            self._twice_s = max(self._twice_s, min(end_s, self.sent_s))
        self.sent_s = max(self.sent_s, end_s)
        self._has_sent = True

    def delivered(self, end_s: float) -> bool:
        """Note that all that the session was sent up to here arrived; return whether that is news."""
        is_news = end_s > self.undelivered_s
        if is_news:
            self.undelivered_s = end_s
            self._has_news = True
        return is_news

    def session_ended(self, *, drained: bool) -> None:
        """Note that the session ended: drained where the cloud has sent `session.ended`.

        Else it broke, and is replayed if it delivered anything new. An attempt that never sent anything changes
        nothing: the session before it is still to be replayed.
        """
        if drained:
            self._replays = False
        elif self._has_sent:
            self._replays = self._has_news
        self._has_sent = self._has_news = False


log = structlog.get_logger(__name__)


class Source(Protocol):
    """The worker, as far as a recording needs it."""

    outage: Outage | None
    gone: trio.Event
    recordings: dict[int, "WorkerRecording"]

    def send_nowait(self, command: ipc.Command) -> None:
        """Queue a command for the process."""


class WorkerRecording:
    """A recording of a worker that one session pulls.

    Args:
        worker: Makes the chunks.
        number: By which the worker knows it.
        least_s: The shortest chunk that the cloud takes, where it names none itself.
    """

    def __init__(self, worker: Source, number: int, least_s: float | None = None) -> None:
        self._worker = worker
        self._number = number
        self._least_s = least_s
        self._chunks: deque[MediaChunk] = deque()
        self._arrivals = Notifier()
        self._finishing = trio.Event()
        self._limit: ipc.Limit | None = None

    def limit(self, least_s: float | None, most_s: float | None, most_bytes: int) -> None:
        """Limit the chunks to what the cloud takes; None: it does not say."""
        self._limit = ipc.Limit(
            recording=self._number, least_s=least_s or self._least_s, most_s=most_s, most_bytes=most_bytes
        )

    async def next_chunk(self) -> MediaChunk:
        """Return the next chunk, as soon as it is whole; raise the Outage of a worker that is gone."""
        await self.wait_chunk()
        chunk = self._chunks.popleft()
        if chunk.last:
            self.drop()
        return chunk

    async def wait_chunk(self) -> None:
        """Wait for the next chunk and leave it; raise as `next_chunk` does."""
        if self._limit is not None:
            self._worker.send_nowait(self._limit)
            self._limit = None
        if not self._chunks:
            self._worker.send_nowait(ipc.Pull(recording=self._number))
        while not self._chunks:
            if self._worker.gone.is_set():
                raise self._worker.outage or Outage(Reason.CAPTURE_CRASHED, "the capture process ended")
            await self._arrivals.wait()

    async def idle(self, seconds: float) -> None:
        """Pull nothing for so long, or until it is to end."""
        with trio.move_on_after(seconds):
            await self._finishing.wait()

    def finish(self) -> None:
        """End at the next boundary between GOPs."""
        self._finishing.set()
        self._worker.send_nowait(ipc.Finish(recording=self._number))

    def drop(self) -> None:
        """Forget the recording: nobody will pull any more."""
        if self._worker.recordings.pop(self._number, None) and not self._worker.gone.is_set():
            self._worker.send_nowait(ipc.Drop(recording=self._number))

    def add(self, chunk: ipc.Chunk, payload: bytes) -> None:
        """Add a chunk that came through the pipe."""
        if chunk.lost:
            log.debug(
                "media fell off the ring", ranges=chunk.lost
            )  # the gap is published once what follows has arrived
        self._chunks.append(
            MediaChunk(
                payload=payload,
                media_start=chunk.media_s,
                media_end=chunk.media_s + chunk.end_s - chunk.start_s,
                captured_from=chunk.start_s + chunk.anchor_s,
                last=chunk.last,
                source_start=chunk.start_s,
                source_end=chunk.end_s,
                holes=chunk.gaps,
                has_video=chunk.has_video,
                captured_at=chunk.end_s + chunk.anchor_s,
            )
        )
        self._arrivals.set()

    def wake(self) -> None:
        """Wake whoever waits: the worker is gone."""
        self._arrivals.set()


class BudgetedRecording:
    """Hands on the chunks of another recording, as long as they may leave the box."""

    # A chunk is charged before it is sent, not when it has arrived: a budget is a promise about cost and about people,
    # so what cannot be counted (a full disk, a clock that is not set) must not leave. Charging afterwards would let out
    # a chunk too many at each end, and after a crash all that was not written down yet.

    def __init__(self, recording: Recording, budgets: Budgets, status: StatusTracker) -> None:
        self._recording = recording
        self._budgets = budgets
        self._status = status

    async def next_chunk(self) -> MediaChunk:
        """Return the next chunk, charged; raise Outage also where it would be beyond a budget."""
        chunk = await self._recording.next_chunk()
        if chunk.payload:
            await self._budgets.charge(self._status.camera, chunk.media_end - chunk.media_start)
            self._status.set_sending()
        return chunk

    async def idle(self, seconds: float) -> None:
        """Pull nothing for so long."""
        await self._recording.idle(seconds)

    def finish(self) -> None:
        """End at the next boundary between GOPs."""
        self._recording.finish()
