"""The rows of the history: what is kept of the events and states of cameras. Times are seconds of UTC. Values only."""

from typing import NamedTuple

SCORES = ("quality_index", "clarity", "authority", "energy", "rapport", "learning")
"""The order of the scores of a `QualityRow`, as the API names them."""


LATE = "late/"


class CameraKey(NamedTuple):
    """A camera of a fleet."""

    box: str
    name: str


class SignalRow(NamedTuple):
    """A signal; one that was updated or ended replaces the row of its key."""

    camera: CameraKey
    key: str
    """The session and the type: a session has one signal of a type at a time. Of a recording it begins with LATE."""
    type: str
    start: float
    end: float | None
    """None while it is active."""
    probability: str | None
    rationale: str | None


class EngagementRow(NamedTuple):
    """A change of engagement, which holds until the next one."""

    camera: CameraKey
    start: float
    state: str


class QualityRow(NamedTuple):
    """The scores of a period, by its end; None where a score is missing."""

    camera: CameraKey
    at: float
    scores: tuple[float | None, ...]


class GapRow(NamedTuple):
    """Time that was not analysed."""

    camera: CameraKey
    start: float
    end: float | None
    """None while it lasts."""
    reason: str


class FilledRow(NamedTuple):
    """A part of a gap that was analysed after all, from a recording."""

    camera: CameraKey
    start: float
    end: float


class StatusRow(NamedTuple):
    """A camera's status when it changed."""

    camera: CameraKey
    at: float
    state: str
    reason: str | None
    detail: str | None


class ReceivedRow(NamedTuple):
    """A stretch in which this process was subscribed, with no message lost on the way as far as the ids tell."""

    start: float
    end: float


class HoleRow(NamedTuple):
    """A stretch of one camera within a received one of which messages are missing, or may be."""

    camera: CameraKey
    start: float
    end: float


Row = SignalRow | EngagementRow | QualityRow | GapRow | FilledRow | StatusRow | ReceivedRow | HoleRow
