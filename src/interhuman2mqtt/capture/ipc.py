"""What the daemon and a capture worker say to each other: commands to its stdin, frames from its stdout (`framing`).

Times named `*_s` are seconds on the source's own timeline, which begins near zero when the worker starts and runs on
whatever the camera's timestamps do. `anchor_s` plus such a time is CLOCK_MONOTONIC of this machine, on
which the daemon and every worker agree; the daemon alone turns that into UTC.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Struct

from interhuman2mqtt.errors import Reason

SECONDS_MAX = 1e9
"""Thirty years: a time further away cannot be true, and would overflow the calendar."""
Seconds = Annotated[float, msgspec.Meta(ge=-SECONDS_MAX, le=SECONDS_MAX)]


class Open(Struct, frozen=True, kw_only=True, tag="open"):
    """The first command: what to capture, and how."""

    camera: str
    source: str
    username: str | None
    password: str | None
    transport: str
    size: tuple[int, int] | None
    fps: float | None
    format: str
    """Of V4L2 cameras: `v4l2_mode.PixelFormat.name`, or `auto`."""
    video_bitrate: int | None
    microphone: str | None
    video: str
    audio: str
    buffer_s: float
    buffer_max: int
    open_timeout_s: float = 20.0
    """The time that the source has to answer."""
    verify: bool = True
    """Whether the certificate of a source behind TLS has to be one that is trusted."""
    audio_only: bool = False
    """Whether video is not to be opened, or, where there is no other way to the audio, dropped as it is read."""
    ca_file: str | None = None
    """The authorities to trust instead of the machine's."""
    connection: int | None = None
    """Of a browser: the descriptor that the process has inherited."""
    loop: bool = True
    """Whether a file begins again at its end."""
    may_spool: bool = False
    """Whether `Spool` will be asked for."""
    segment_s: float = 30.0
    """How long a segment of the spool gets."""
    verbose: bool = False
    """Whether FFmpeg prints what it does."""


class Record(Struct, frozen=True, kw_only=True, tag="record"):
    """Begin a recording: a cursor on the ring with a muxer of its own."""

    recording: int
    framing: Literal["continuous", "standalone"]
    chunk_s: float
    from_s: float | None
    """The first GOP that starts at or after this time, and what is missing from here on is lost; None: the newest."""
    replay_s: float = 0.0
    """So much of what is before it as well, where that is still there ..."""
    floor_s: float = 0.0
    """... but nothing that is before this."""


class Limit(Struct, frozen=True, kw_only=True, tag="limit"):
    """The limits of the cloud for one chunk of a recording, by its session; None: there is none."""

    recording: int
    least_s: float | None = None
    most_s: float | None = None
    most_bytes: int | None = None


class Pull(Struct, frozen=True, kw_only=True, tag="pull"):
    """Send one chunk as soon as it is whole; answered by exactly one `Chunk`."""

    recording: int


class Finish(Struct, frozen=True, kw_only=True, tag="finish"):
    """End the recording at the next boundary between GOPs; the pull under way, or the next one, gets the last chunk."""

    recording: int


class Drop(Struct, frozen=True, kw_only=True, tag="drop"):
    """Forget the recording at once, its pull unanswered."""

    recording: int


class TakeSnapshot(Struct, frozen=True, kw_only=True, tag="take_snapshot"):
    """Send the newest frame; answered by exactly one `Snapshot`."""

    number: int
    width_max: int
    """Pixels."""


class Spool(Struct, frozen=True, kw_only=True, tag="spool"):
    """Spool what leaves the ring undelivered from now on."""

    folder: str | None
    """Where its files go; None: nothing is spooled any more. With another folder all that is not in a file yet is
    forgotten, and what the ring holds now is never spooled."""


class Delivered(Struct, frozen=True, kw_only=True, tag="delivered"):
    """The cloud has this range: it need not be spooled."""

    start_s: float
    end_s: float


class Hello(Struct, frozen=True, kw_only=True, tag="hello"):
    """The first frame, before any command is read. It never changes: every version has to understand any other's."""

    version: str
    """Of the program that the worker is of, which `pip` may have replaced under the daemon."""


class Opened(Struct, frozen=True, kw_only=True, tag="opened"):
    """The source is open, or changed while it ran."""

    description: str
    """For people: `h264 1920x1080 30 fps (copied), aac 48000 Hz (copied)`."""
    video: str | None
    """Its codec; None: no video is used."""
    audio: str | None
    video_copied: bool
    audio_copied: bool
    is_same: bool = False
    """Only the description of its microphone changed since: nothing was opened anew."""


class Failed(Struct, frozen=True, kw_only=True, tag="failed"):
    """The source is over, and why; what the ring still holds can be pulled nevertheless."""

    reason: Reason
    detail: str
    refused: bool
    """Whether a person must act before it can get better."""
    encode: bool = False
    """Whether it cannot be copied, and cannot be opened again to be encoded: a browser's recorder."""


class AudioFault(Struct, frozen=True, kw_only=True):
    """The reason why there is no audio, and silence is sent in its place."""

    reason: Reason
    detail: str


class WorkerHeartbeat(Struct, frozen=True, kw_only=True, tag="heartbeat"):
    """The state of the capture, every half second, so that the daemon can detect a stall of each track."""

    video_packets: int
    audio_packets: int
    audio_expected: bool
    """Whether the source has an audio track of its own (a synthesized silence cannot stall)."""
    ring_s: float
    ring_bytes: int
    repairs: dict[str, int]
    """How often each rule about bad input was applied, by its name."""
    video_expected: bool = True
    """Whether video is used."""
    audio_fault: AudioFault | None = None
    """The fault of a microphone."""


class Chunk(Struct, frozen=True, kw_only=True, tag="chunk"):
    """A piece of a recording, whole GOPs long; its payload is fMP4, or PCM."""

    recording: int
    index: int
    start_s: Seconds
    end_s: Seconds
    anchor_s: Seconds
    """Added to a time of this recording it gives CLOCK_MONOTONIC; one value for the whole recording."""
    media_s: Seconds
    """Where the chunk begins on the recording's own clock, which is what the server counts in."""
    lost: tuple[tuple[Seconds, Seconds], ...] = ()
    """Ranges from `from_s` on that fell off the ring before this chunk."""
    gaps: tuple[tuple[Seconds, Seconds], ...] = ()
    """Ranges from `from_s` to `end_s` in which the source sent nothing, in order."""
    has_video: bool = True
    last: bool = False
    """The recording ends with this chunk (whose payload may be empty)."""

    def __post_init__(self) -> None:
        """Refuse what runs backwards; where it was read, msgspec makes a ValidationError of it."""
        if any(end < start for start, end in (*self.lost, *self.gaps, (self.start_s, self.end_s))):
            raise ValueError("time runs backwards")


class Snapshot(Struct, frozen=True, kw_only=True, tag="snapshot"):
    """The newest frame of the camera; its payload is a JPEG, empty where there is none."""

    number: int
    size: tuple[int, int] = (0, 0)
    """Width and height in pixels."""
    taken_s: Seconds = 0.0
    anchor_s: Seconds = 0.0
    """Added to `taken_s` it gives CLOCK_MONOTONIC."""
    error: str | None = None
    """Why there is none."""


class Spooled(Struct, frozen=True, kw_only=True, tag="spooled"):
    """A segment of the spool is on the disk."""

    seconds: Seconds


class SpoolLost(Struct, frozen=True, kw_only=True, tag="spool_lost"):
    """A segment is not on the disk, and will not be."""

    seconds: Seconds
    detail: str


Command = Open | Record | Limit | Pull | Finish | Drop | TakeSnapshot | Spool | Delivered
Frame = Hello | Opened | Failed | WorkerHeartbeat | Chunk | Snapshot | Spooled | SpoolLost
