"""The vocabulary between the stages: what is published about a camera, whoever finds it out."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Literal, Protocol, TypedDict

from msgspec import UNSET, Meta, Struct, UnsetType

from interhuman2mqtt.errors import Reason

Moment = Annotated[datetime, Meta(tz=True)]
"""A time that comes from outside: one without its offset may be any, and cannot be compared with ours."""


class Clock(StrEnum):
    """The trust in the box's wall clock when an event is dated."""

    SYNCED = "synced"
    UNKNOWN = "unknown"


class Origin(StrEnum):
    """The way by which the cloud was sent what an event is about."""

    STREAM = "stream"
    UPLOAD = "upload"


class Range(Struct, frozen=True):
    """A half-open span of a camera's time, in UTC; `end_at` is None while it is still open."""

    start_at: datetime
    end_at: datetime | None


class Event(Struct, frozen=True, kw_only=True):
    """One event of a camera, as it is published on `<camera>/event/<type>`, or on `<camera>/late/<type>`."""

    schema: Literal[1] = 1
    id: str
    """box/camera/scope/n: the same after a crash, so that a repeat can be dropped."""
    box: str
    camera: str
    type: str
    """The API's own type, known to us or not, `coverage.gap`, or our own `coverage.degraded`, which is `synthetic`."""
    session: str | None
    """Our own UUID of the session, sent to the cloud as `X-Client-Request-Id`."""
    correlation_id: str | None
    """The cloud's id of the session."""
    timestamp: str | None
    """When the cloud says that it sent the event, word for word."""
    received_at: datetime
    start_at: datetime | None = None
    end_at: datetime | None = None
    ranges_at: tuple[Range, ...] | UnsetType = UNSET
    clock: Clock
    replayed: bool = False
    late: bool = False
    origin: Origin = Origin.STREAM
    """By `upload` comes what was recorded, and analysed later: it changes no state."""
    synthetic: bool | UnsetType = UNSET
    """True where we close what the session left open."""
    data: dict[str, Any]
    """The cloud's own, untouched but for redaction."""
    raw: dict[str, Any] | UnsetType = UNSET
    """What the cloud sent, where `data` is our translation of an older dialect."""


ACTIVE_MAX = 64
"""Signals held as active at once. The API knows about thirteen types; more than this is not a signal but a fault."""


class ActiveSignal(Struct, frozen=True):
    """A signal that was detected and has not ended, as far as a later life has to know it to publish its end."""

    type: str
    session: str | None


class GapData(TypedDict):
    """`data` of a `coverage.gap`, which is ours."""

    reason: Reason
    seconds: float | None
    """None: nobody knows, because the machine was started anew and no clock ran through it."""


class FilledData(TypedDict):
    """`data` of a `coverage.filled`, which is ours: a range of a gap was analysed after all, by upload."""

    gap: str
    """The id of its `coverage.gap`."""
    reason: Reason | None
    """The gap's."""
    seconds: float


class AudioGapData(TypedDict):
    """`data` of a `coverage.degraded` of ours: silence was sent in place of audio."""

    reason: Reason
    track: Literal["audio"]
    seconds: float | None
    """None while it lasts: one event has its begin, and another one its end."""


class State(StrEnum):
    """The states of a camera."""

    STREAMING = "streaming"
    CONNECTING = "connecting"
    WAITING = "waiting"
    PAUSED = "paused"
    OFFLINE = "offline"
    REFUSED = "refused"
    STOPPED = "stopped"


class AudioMissing(Struct, frozen=True, kw_only=True):
    """There is no audio, and silence is sent in its place."""

    reason: Reason
    detail: str
    since: datetime


class CameraStatus(Struct, frozen=True, kw_only=True):
    """The status of a camera, as it is published (retained) on `<camera>/status`."""

    camera: str
    state: State
    reason: Reason | None = None
    detail: str | None = None
    """One sentence for the person who has to act."""
    since: datetime
    """Since when `state` and `reason` hold."""
    session: str | None = None
    attempts: int = 0
    """Failed attempts since it last streamed."""
    source: str | None = None
    """What was opened: codecs, size, copied or encoded."""
    last_media_at: datetime | None = None
    """When the last byte of media left the box."""
    gap: Range | None = None
    """While it does not stream: since when nothing of it was analysed."""
    audio_missing: AudioMissing | None = None
    """While audio is due and does not come; the video is sent all the same."""


class MediaChunk(Struct, frozen=True, kw_only=True):
    """A piece of a recording on its way from the capture to the cloud: whole GOPs of fragmented MP4, or PCM."""

    payload: bytes
    """Continuous framing: the first carries the init segment. Standalone: each is a file. Empty only where `last`."""
    media_start: float
    """Seconds on the session's media clock, in which the cloud counts."""
    media_end: float
    captured_from: float
    """CLOCK_MONOTONIC at `media_start`: what makes a date of it is not known before it is used."""
    last: bool
    """The recording ends with it."""
    source_start: float = 0.0
    """Seconds on the source's own timeline, which runs on through all recordings of one capture."""
    source_end: float = 0.0
    """Where the next recording has to begin once this chunk arrived, on the same timeline."""
    holes: tuple[tuple[float, float], ...] = ()
    """Where the camera gave no video, or no audio where that alone is used, on the same timeline and in order."""
    has_video: bool = True
    captured_at: float = 0.0
    """CLOCK_MONOTONIC when its last frame was captured."""


class Recording(Protocol):
    """The source of a session's media."""

    async def next_chunk(self) -> MediaChunk:
        """Return the next chunk, as soon as it is whole; raise `Outage` when the capture ended."""

    async def idle(self, seconds: float) -> None:
        """Pull nothing for so long; a recording that is to end does not idle."""

    def finish(self) -> None:
        """End at the next boundary between GOPs: the chunk under way, or the next one, is the last."""


def utc_now() -> datetime:
    """Return the wall clock's time, for payloads only: intervals are measured on the monotonic one."""
    return datetime.now(UTC)
