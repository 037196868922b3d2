"""What the tests of the capture stage share: commands, whole files captured at once, outages caught."""

import hashlib
import inspect
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interhuman2mqtt.capture import ipc
from interhuman2mqtt.capture.clock_anchor import ClockAnchor
from interhuman2mqtt.capture.device import open_source
from interhuman2mqtt.capture.reader import CaptureState, PacketCounts, SourceReader
from interhuman2mqtt.capture.recorder import Recorder
from interhuman2mqtt.capture.ring import Ring
from interhuman2mqtt.capture.track_selection import SourceHints, select_tracks
from interhuman2mqtt.errors import Outage, leaves
from support.clips import Clip, frame_numbers, made

if TYPE_CHECKING:
    from interhuman2mqtt.capture.tracks import Tracks

SMALL = Clip(size=(192, 108), seconds=8, fps=15, gop=15)
"""120 frames with AAC, in eight GOPs."""
WHOLE = 1 << 30
LEGIBLE = 300_000
"""Bits a second: so small a picture would get so few by default that a number is unreadable now and then."""

PulledChunk = tuple[ipc.Chunk, bytes]


def a_command(source: str | Path = "test:", **changes: Any) -> ipc.Open:
    """The first command to a worker; a path is a file."""
    values: dict[str, Any] = {
        "camera": "front",
        "source": f"file:{source}" if isinstance(source, Path) else source,
        "username": None,
        "password": None,
        "transport": "tcp",
        "size": None,
        "fps": None,
        "format": "auto",
        "video_bitrate": LEGIBLE,
        "microphone": None,
        "video": "auto",
        "audio": "auto",
        "buffer_s": 600.0,
        "buffer_max": WHOLE,
    }
    return ipc.Open(**values | changes)


def crafted(make: Callable[[Path], None], suffix: str) -> Path:
    """A film that a test makes for itself; made anew when the making changes."""
    key = hashlib.sha256(Path(inspect.getfile(make)).read_bytes()).hexdigest()[:16]
    return made(f"{make.__name__}-{key}{suffix}", make)


class Captured:
    """A ring and what has been read into it, as fast as it could be."""

    def __init__(self, limit_s: float = 600.0, limit_bytes: int = WHOLE) -> None:
        self.ring = Ring(limit_s, limit_bytes)
        self.tracks: dict[int, Tracks] = {}
        self.anchor = ClockAnchor()
        self.counts = PacketCounts()
        self.opened: ipc.Opened | None = None
        self._numbers = 0

    def read(self, path: Path, hints: SourceHints = SourceHints(), **changes: Any) -> None:  # noqa: B008 - frozen
        """Capture a whole file as the next epoch."""
        command = a_command(path, **changes)
        feed = open_source(command)._replace(paced=False)
        tracks, self.opened, _ = select_tracks(command, feed, hints)
        self.ring.begin_epoch(has_audio=tracks.audio is not None, has_video=tracks.video is not None)
        self.tracks[self.ring.epoch] = tracks
        shared = CaptureState(self.ring, threading.Condition(), self.anchor, self.counts)
        reader = SourceReader(shared, tracks, hints, may_encode=command.video == "auto")
        try:
            reader.read(feed)
        finally:
            feed.close()
        # the whole file came at once, but the anchor is settled only some time after the last surprise
        self.anchor.observe(time.monotonic() - self.anchor.seconds, time.monotonic() + 1)

    def record(
        self, framing: str = "continuous", chunk_s: float = 2.0, from_s: float | None = 0.0, **more: float
    ) -> Recorder:
        """A recording of it."""
        self._numbers += 1
        command = ipc.Record(
            recording=self._numbers,
            framing="standalone" if framing == "standalone" else "continuous",
            chunk_s=chunk_s,
            from_s=from_s,
            **more,
        )
        return Recorder(command, self.ring, self.anchor)

    def pull(self, recording: Recorder, *, source_ended: bool = False) -> PulledChunk | None:
        """What one pull gets."""
        return pull(recording, self.tracks, source_ended=source_ended)

    def next(self, recording: Recorder, *, source_ended: bool = False) -> PulledChunk:
        """What one pull gets that must get something."""
        cut = self.pull(recording, source_ended=source_ended)
        assert cut is not None
        return cut

    def chunks(self, recording: Recorder, *, source_ended: bool = False) -> Iterator[PulledChunk]:
        """Every chunk that pulling gives, as long as it gives one."""
        while not recording.is_ended and (cut := self.pull(recording, source_ended=source_ended)):
            yield cut


def pull(recording: Recorder, tracks: "Mapping[int, Tracks]", *, source_ended: bool) -> PulledChunk | None:
    """What one pull gets, a copy of its media: that is overwritten by the next chunk's."""
    recording.is_pulled = True
    cut = recording.next_chunk(tracks, source_ended=source_ended)
    return (cut[0], bytes(cut[1])) if cut else None


def captured(clip: Clip | Path, **changes: Any) -> Captured:
    """A file captured from its beginning to its end, the source having ended."""
    whole = Captured()
    whole.read(clip.path() if isinstance(clip, Clip) else clip, **changes)
    whole.ring.close()
    return whole


def media(cuts: list[PulledChunk]) -> bytes:
    """The payloads one after the other."""
    return b"".join(payload for _, payload in cuts)


def numbers(payload: bytes) -> list[int | None]:
    """The numbers of the frames of a file, in the order in which they are shown."""
    return [number for _, number in frame_numbers(payload)]


class Failing:
    """Gathers the outages by which the block must fail."""

    def __init__(self) -> None:
        self._found: list[Outage] = []

    async def __aenter__(self) -> list[Outage]:
        return self._found

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        assert error is not None, "nothing failed"
        group = error if isinstance(error, BaseExceptionGroup) else BaseExceptionGroup("", [error])
        outages, others = group.split(Outage)
        self._found += leaves(outages) if outages else []
        return others is None
