"""What the cloud says that it got and sent: `sessions.jsonl` of the simulator, read as it grows, and the media."""

import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import av
import msgspec

from soak.published_log import digest
from soak.spans import Span, union
from support.clips import frame_numbers


class Scene(NamedTuple):
    """What a camera of the testbed looks at: frames numbered from 0, which begin again after the last."""

    fps: int
    frames: int
    live: bool
    """At time.time() == t it shows frame t * fps modulo `frames`."""

    @property
    def length(self) -> float:
        """Seconds until it begins again."""
        return self.frames / self.fps

    def captured_at(self, number: int, before: float) -> float:
        """The last time, before a given one, at which it showed this frame."""
        return before - (before - number / self.fps) % self.length


class Sent(NamedTuple):
    """An event that the cloud sent."""

    at: float
    type: str
    content: int
    """Digest of type and data."""


class Chunk:
    """A binary frame that the cloud got."""

    __slots__ = ("arrived_at", "end", "start")

    def __init__(self, arrived_at: float) -> None:
        self.arrived_at = arrived_at
        self.start: float | None = None
        """Seconds of the session's media clock; None: no media was found in it."""
        self.end: float | None = None


class Media(NamedTuple):
    """What was decoded of a session."""

    seen: list[Span]
    """The times of its frames, without the holes between them."""
    zero_at: float | None
    """When the session's media began."""
    frames: int
    troubles: list[str]
    doubtful: Sequence[str] = ()
    """Pictures that are out of order or cannot be read, as those after lost ones until the next key frame."""
    film_s: float | None = None
    """Of a film: the place in it at which the session's media began, in seconds."""


NO_MEDIA = Media([], None, 0, [])


class CloudSession:
    """A session as the cloud saw it."""

    def __init__(self, name: str, at: float) -> None:
        self.name = name
        """The client's own id of it."""
        self.opened_at = at
        self.closed_at: float | None = None
        self.how = ""
        """How it ended: the close code and by whom, or what else happened."""
        self.correlation_id: str | None = None
        self.camera: str | None = None
        self.sent: list[Sent] = []
        self.chunks: dict[int, Chunk] = {}
        self.media: Media | None = None
        """None until it was read."""


class Archive:
    """The folder that the simulator writes, through all of its lives."""

    def __init__(self, folder: Path) -> None:
        self.sessions: dict[str, CloudSession] = {}
        """By the client's own id of it, in the order of their opening."""
        self.refused = 0
        self._folder = folder
        self._offset = 0

    def read(self) -> None:
        """Take what was written since the last time."""
        file = self._folder / "sessions.jsonl"
        if not file.exists():
            return
        with file.open("rb") as opened:
            opened.seek(self._offset)
            whole = opened.read().rpartition(b"\n")[0]
        self._offset += len(whole) + bool(whole)
        for line in whole.splitlines():
            self._read_record(msgspec.json.decode(line))

    def on_killed(self) -> None:
        """The simulator was killed: what was open is over."""
        self.read()
        for session in self.sessions.values():
            if session.closed_at is None:
                session.closed_at, session.how = time.time(), "the cloud was killed"

    def files(self, session: CloudSession) -> list[Path]:
        """What it received, as files that can be played."""
        return sorted(self._folder.glob(f"*-{session.name}*.mp4"), key=lambda file: (len(file.name), file.name))

    def forget(self, session: CloudSession) -> None:
        """Delete what it received."""
        for file in self._folder.glob(f"*-{session.name}*"):
            file.unlink()

    def _read_record(self, line: dict[str, Any]) -> None:
        name = line["request_id"] or "nobody"
        at = datetime.fromisoformat(line["at"]).timestamp()
        if line["what"] == "refused":
            self.refused += 1
            return
        session = self.sessions.setdefault(name, CloudSession(name, at))
        match line["what"]:
            case "opened":
                session.opened_at, session.correlation_id = at, line["correlation_id"]
            case "event":
                session.sent.append(Sent(at, line["type"], digest([line["type"], line["data"]])))
            case "chunk":
                session.chunks[line["index"]] = Chunk(at)
            case "decoded" if line["index"] in session.chunks:
                chunk = session.chunks[line["index"]]
                chunk.start, chunk.end = line["start"], line["end"]
            case "closed":
                session.closed_at, session.how = at, f"{line['code']} by the {line['by']}"


def read_media(files: Iterable[Path], scene: Scene, before: float) -> Media:
    """Decode every frame of a session, all of which were taken before a given time. Takes a while."""
    troubles: list[str] = []
    doubtful: list[str] = []
    times: list[float] = []
    zero_at = None
    try:
        for seconds, number in _frames(files, doubtful):
            times.append(scene.captured_at(number, before) if scene.live else number / scene.fps)
            zero_at = times[0] - seconds if zero_at is None else zero_at
    except av.FFmpegError as error:
        troubles.append(f"what it received cannot be decoded: {error}")
    if not scene.live:
        return Media([], None, len(times), troubles[:3], doubtful[:3], zero_at)
    doubtful += [
        f"the frame of {later:.2f} came after that of {at:.2f}"
        for at, later in pairwise(times)
        if later < at + 0.5 / scene.fps
    ]
    seen = union(Span(at, at + 1.02 / scene.fps) for at in times)
    return Media(seen, zero_at, len(times), troubles[:3], doubtful[:3])


def _frames(files: Iterable[Path], doubtful: list[str]) -> Iterator[tuple[float, int]]:
    for file in files:
        for seconds, number in frame_numbers(file):
            if number is None:
                doubtful.append(f"a frame without a number at {seconds:.2f} s")
            else:
                yield seconds, number
