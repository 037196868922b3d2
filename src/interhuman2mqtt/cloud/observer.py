"""What a session tells: while it runs, and when it has ended."""

from enum import StrEnum
from typing import Protocol

from msgspec import Struct

from interhuman2mqtt.cloud.terms import Limits
from interhuman2mqtt.errors import Outage
from interhuman2mqtt.events import Event, MediaChunk


class Cause(StrEnum):
    """Why a session ended that did not fail."""

    ROTATED = "rotated"
    """Its maximum duration was near; the recording ended where the next one begins."""
    FINISHED = "finished"
    """Somebody else finished the recording."""
    CAPTURE_ENDED = "capture_ended"
    """There is no more media, because the capture failed."""
    NO_MEDIA = "no_media"
    """The recording is open, and nothing comes."""
    SERVER_ENDED = "server_ended"
    """The cloud ended it in good order: idle, at its maximum, or for reasons of its own."""


class SessionEnd(Struct, frozen=True):
    """How a session ended that did not fail."""

    cause: Cause
    drained: bool
    """Whether the cloud said that it has sent everything."""
    capture: Outage | None = None
    """What ended the capture, where that is the cause."""


class Oddity(StrEnum):
    """What is worth a word in the log and a count, and no reason to end the session."""

    LEFT_OUT = "left_out"
    """A wish that the cloud does not offer."""
    CONFIG_DIFFERS = "config_differs"
    """The cloud does something else than it was asked to."""
    CONFIG_UNANSWERED = "config_unanswered"
    """The cloud did not say whether it took the config."""
    MALFORMED = "malformed"
    """The cloud sent something that is not a message."""
    OVERLAP = "overlap"
    """A signal was detected while one of its type was active."""
    NOT_DRAINED = "not_drained"
    """The cloud did not finish in the time that it was given."""


class Observer(Protocol):
    """Who wants to know of a session while it runs. Every call happens in its tasks and must not block or raise."""

    def ready(self, limits: Limits, correlation_id: str | None) -> None:
        """The session is open: from now on it may be called healthy."""

    def event(self, event: Event) -> None:
        """The cloud said something, or we close what it left open."""

    def sent(self, chunk: MediaChunk) -> None:
        """The chunk left this process."""

    def delivered(self, chunk: MediaChunk, round_trip: float | None) -> None:
        """The chunk reached the cloud: told once for each, in order, without its payload.

        A pong shows it, so many seconds after it was out; or the cloud ended the session as it was asked to (None).
        """

    def rejected(self, chunk: MediaChunk) -> None:
        """The cloud could not use a chunk that has been delivered; told once for each, without its payload."""

    def complained(self, outage: Outage | None) -> None:
        """The cloud reports an error that the session outlives so far; None: it analyses again."""

    def too_short(self) -> None:
        """The cloud complains that chunks are too short for it."""

    def noticed(self, oddity: Oddity, detail: str) -> None:
        """Something is odd."""
