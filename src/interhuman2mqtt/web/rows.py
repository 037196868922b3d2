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


class LastEvent(NamedTuple):
    """The last event of a scope: its number, and when its box had it."""

    number: int
    at: float


class ContinuityRow(NamedTuple):
    """Up to where the events of a camera were received, for the next process."""

    camera: CameraKey
    last: dict[str, LastEvent]
    """By scope; none: nothing that is known of before will be proven any more."""
    unproven: HoleRow | None
    """A hole that is none should the next number follow on the last one."""


Row = SignalRow | EngagementRow | QualityRow | GapRow | FilledRow | StatusRow | ReceivedRow | HoleRow | ContinuityRow
TABLES: dict[type[Row], str] = {
    SignalRow: "signal",
    EngagementRow: "engagement",
    GapRow: "gap",
    FilledRow: "filled",
    StatusRow: "status",
    HoleRow: "hole",
}
"""The tables of the history in which rows stand as they are, after the camera."""
