"""Which browser is which camera now: one at a time, for as long as it sends and its link holds."""

from pathlib import Path
from typing import NamedTuple

import structlog
import trio

from interhuman2mqtt.web.browser_stream import BrowserStream, NotTakenError, StreamOverError, why_closed
from interhuman2mqtt.web.invites import Kind
from interhuman2mqtt.web.links import Links

SWEEP_S = 1.0
"""How soon a revoked link, or a browser that is gone, is noticed."""
GRACE_S = 5.0
"""So much longer than `buffer` a browser may send nothing: within `buffer` it sends again what was lost."""

log = structlog.get_logger(__name__)


class ChunkId(NamedTuple):
    """Of which browser and recorder a chunk is, and which one of it."""

    browser: str
    """A number that the page in the browser has drawn."""
    recorder: int
    """Counted by the browser."""
    chunk: int
    """From 0, the one with the init segment."""


class Taken(NamedTuple):
    """Chunks that were taken of a recorder."""

    next: int
    """The chunk that is due."""
    buffer_s: float


class BeginError(Exception):
    """Nothing more of this recorder can be used: the browser has to begin another one."""


class WrongChunkError(Exception):
    """Another chunk is due.

    Args:
        due: Which one.
    """

    def __init__(self, due: int) -> None:
        super().__init__(f"chunk {due} is due")
        self.due = due


class _Recording:
    """A recorder that is read."""

    def __init__(self, made: ChunkId, token: str, stream: BrowserStream) -> None:
        self.browser = made.browser
        self.recorder = made.recorder
        self.token = token
        self.stream = stream
        self.next = 0
        self.seen_at = trio.current_time()

    def is_left(self) -> bool:
        """Decide whether its browser has sent nothing for longer than can be made good."""
        return trio.current_time() - self.seen_at > self.stream.buffer_s + GRACE_S


class Browsers:
    """The browsers that are cameras.

    Args:
        folder: In which the daemon of this machine has a socket for each camera that may be a browser now.
        links: By which they are let in, for as long as those hold.
    """

    def __init__(self, folder: Path, links: Links) -> None:
        self._folder = folder
        self._links = links
        self._recordings: dict[str, _Recording] = {}
        self._locks: dict[str, trio.Lock] = {}

    async def run(self) -> None:
        """End what has no browser, or no link, any more; all of it when this ends."""
        try:
            while True:
                await trio.sleep(SWEEP_S)
                for camera, recording in list(self._recordings.items()):
                    if why := await self._why_over(recording):
                        self._end(camera, recording, why)
        finally:
            for camera, recording in list(self._recordings.items()):
                self._end(camera, recording, "the page was stopped")

    async def _why_over(self, recording: _Recording) -> str | None:
        if recording.stream.is_over():
            return "the box ended it"
        if recording.is_left():
            return "it sends nothing any more"
        return None if await self._links.holds(recording.token, Kind.BROWSER) else "its link does not hold any more"

    def why_not(self, camera: str, browser: str) -> str | None:
        """Return why this browser may not begin to be the camera now; None where it may."""
        recording = self._recordings.get(camera)
        if recording is not None and recording.browser != browser:
            return "another browser is this camera now"
        return why_closed(self._folder, camera)

    async def take(self, camera: str, sent: ChunkId, token: str, content: bytes) -> Taken:
        """Hand a chunk on, if it is the one that is due; one that was taken before is no error.

        Raises:
            WrongChunkError: It is another one.
            BeginError: The recorder is not read, or no more.
            NotTakenError: This browser may not be the camera now.
        """
        async with self._locks.setdefault(camera, trio.Lock()):
            recording = self._current(camera, sent)
            if recording is None:
                recording = await self._begin(camera, sent, token)
            recording.seen_at = trio.current_time()
            if sent.chunk > recording.next:
                raise WrongChunkError(recording.next)
            if sent.chunk == recording.next:
                await self._hand_on(camera, recording, content)
            return Taken(recording.next, recording.stream.buffer_s)

    def end(self, camera: str, browser: str) -> None:
        """End what a browser sends: it says that it is over."""
        recording = self._recordings.get(camera)
        if recording is not None and recording.browser == browser:
            self._end(camera, recording, "it was stopped")

    def _current(self, camera: str, sent: ChunkId) -> _Recording | None:
        """Return the recording of a chunk; None where one has to begin."""
        recording = self._recordings.get(camera)
        if recording is not None and recording.stream.is_over():
            self._end(camera, recording, "the box ended it")
            recording = None
        if recording is not None and recording.browser != sent.browser:
            raise NotTakenError("another browser is this camera now")
        if recording is not None and recording.recorder == sent.recorder:
            return recording
        if recording is not None and recording.recorder > sent.recorder:
            raise BeginError("a later recorder has begun")
        if sent.chunk:
            if why := self.why_not(camera, sent.browser):
                raise NotTakenError(why)
            raise BeginError("nothing of this recorder is read any more")
        if recording is not None:
            self._end(camera, recording, "another recorder follows")
        return None

    async def _begin(self, camera: str, sent: ChunkId, token: str) -> _Recording:
        stream = await BrowserStream.open(self._folder, camera)
        recording = self._recordings[camera] = _Recording(sent, token, stream)
        log.info("a browser is the camera", camera=camera, recorder=sent.recorder, buffer=stream.buffer_s)
        return recording

    async def _hand_on(self, camera: str, recording: _Recording, content: bytes) -> None:
        try:
            await recording.stream.send(content)
        except StreamOverError as error:
            self._end(camera, recording, "the box ended it")
            raise BeginError("the box reads no more of this recorder") from error
        recording.next += 1

    def _end(self, camera: str, recording: _Recording, why: str) -> None:
        recording.stream.close()
        if self._recordings.get(camera) is recording:
            del self._recordings[camera]
            log.info("the browser is the camera no more", camera=camera, chunks=recording.next, why=why)
