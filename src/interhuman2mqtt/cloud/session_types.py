"""The types around a session: its options and limits, what is sent for them, what it reports, how it ends; no I/O."""

from enum import StrEnum
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from interhuman2mqtt.errors import Outage
from interhuman2mqtt.events import Event, MediaChunk

CLOSE_FRAME = '{"type":"session.close"}'
"""Asks for a graceful end: the server sends what is left, then `session.ended`, then closes."""

OPTIONS = ("include", "goal_dimensions", "model")
AUDIO_FORMAT = "audio_format"
"""The answer does not repeat it."""


IDLE_MIN = 2.0
"""Seconds: a session that is given back sooner for want of media would be opened anew with each chunk."""


class SessionLimits(Struct, frozen=True, kw_only=True):
    """The limits that `session.ready` sets; seconds and bytes.

    The defaults are what the documentation prints and what production sent in June 2026; they stand in for values that
    are absent, null, or make no sense.
    """

    idle_timeout: float = 300.0
    max_duration: float = 3600.0
    min_segment_duration: float | None = None
    """None: the cloud names none."""
    max_segment_duration: float | None = None
    min_segment_size: int = 1
    max_segment_size: int = 32 << 20
    options: dict[str, tuple[str, ...]] = {}
    """The values that each session option may take; an option that is missing is not offered."""

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> "SessionLimits":
        """Read the data of `session.ready`."""
        default = cls()
        return cls(
            idle_timeout=max(IDLE_MIN, _positive(data.get("session_idle_timeout_seconds")) or default.idle_timeout),
            max_duration=_positive(data.get("session_max_duration_seconds")) or default.max_duration,
            min_segment_duration=_positive(data.get("min_segment_duration_seconds")),
            max_segment_duration=_positive(data.get("max_segment_duration_seconds")),
            min_segment_size=max(1, int(_positive(data.get("min_segment_size_bytes")) or default.min_segment_size)),
            max_segment_size=int(_positive(data.get("max_segment_size_bytes")) or default.max_segment_size),
            options=_options(data.get("supported_session_config_options")),
        )


class SessionOptions(Struct, frozen=True, kw_only=True):
    """The analysis that the configuration asks for."""

    include: tuple[str, ...] = ()
    goal_dimensions: tuple[str, ...] = ()
    model: str | None = None
    """None: the server's own. It is asked for on v2 only."""
    audio_only: bool = False
    """What is sent has no video, so no other model will do."""
    pcm_rate: int | None = None
    """What is sent is PCM, mono, of so many samples a second; None: a container."""


def _positive(value: object) -> float | None:
    """Return a number of JSON above zero that can be reckoned with, else None."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and 0 < value < 1e12 else None  # type: ignore[operator, arg-type]


def _options(value: object) -> dict[str, tuple[str, ...]]:
    offered = value if isinstance(value, dict) else {}
    lists = {name: offered[name] for name in OPTIONS if isinstance(offered.get(name), list)}
    return {name: tuple(item for item in items if isinstance(item, str)) for name, items in lists.items()}


def negotiate(wanted: SessionOptions, limits: SessionLimits) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the session config to send, and which of the options it leaves out because the cloud does not offer them.

    Only offered values are sent, since the cloud may refuse a config with an unknown one as a whole (ih6001). An
    endpoint that offers no choice of model (v1) is not asked for one, and that is not reported; but where only one
    model can use what will be sent, it is asked for, and the answer decides.
    """
    config: dict[str, Any] = {}
    left_out: list[str] = []
    for option in ("include", "goal_dimensions"):
        wished: tuple[str, ...] = getattr(wanted, option)
        offered = limits.options.get(option, ())
        if granted := [value for value in wished if value in offered]:
            config[option] = granted
        left_out += [f"{option}: {value}" for value in wished if value not in offered]
    models = limits.options.get("model")
    if wanted.model is not None and (models is not None or wanted.audio_only):
        if models is None or wanted.model in models:
            config["model"] = wanted.model
        else:
            left_out.append(f"model: {wanted.model}")
    if wanted.pcm_rate is not None:  # no option that is offered, but part of the model
        config[AUDIO_FORMAT] = {"encoding": "pcm_s16le", "sample_rate": wanted.pcm_rate, "channels": 1}
    return config, tuple(left_out)


def config_frame(config: dict[str, Any]) -> str:
    """Return the text frame that sets the session's config; it replaces the whole config that was in force."""
    return msgspec.json.encode(config).decode()


def differences(config: dict[str, Any], answer: dict[str, Any]) -> tuple[str, ...]:
    """Return where `session.updated` differs from the config that was sent, a phrase for each."""
    return tuple(
        f"{option}: asked for {_phrase(wanted)}, got {_phrase(answer.get(option))}"
        for option, wanted in config.items()
        if option != AUDIO_FORMAT and _comparable(answer.get(option)) != _comparable(wanted)
    )


def _comparable(value: object) -> object:
    return set(map(str, value)) if isinstance(value, list) else value


def _phrase(value: object) -> str:
    return (", ".join(map(str, value)) if isinstance(value, list) else str(value or "")) or "nothing"


class EndCause(StrEnum):
    """The causes of an end that is no failure."""

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
    """The end of a session that did not fail."""

    cause: EndCause
    drained: bool
    """Whether the cloud has sent `session.ended`."""
    capture: Outage | None = None
    """What ended the capture, where that is the cause."""


class Anomaly(StrEnum):
    """Anomalies that are worth a line in the log and a count, and no reason to end the session."""

    LEFT_OUT = "left_out"
    """An option that the cloud does not offer."""
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
    """Observes a session while it runs. Every call happens in its tasks and must not block or raise."""

    def ready(self, limits: SessionLimits, correlation_id: str | None) -> None:
        """Note that the session is open: from now on it may be called healthy."""

    def event(self, event: Event) -> None:
        """Take an event of the cloud, or our end of what it left open."""

    def sent(self, chunk: MediaChunk) -> None:
        """Note that the chunk left this process."""

    def delivered(self, chunk: MediaChunk, round_trip: float | None) -> None:
        """Note that the chunk reached the cloud: once for each, in order, without its payload.

        A pong shows it, so many seconds after it was out; or the cloud ended the session as it was asked to (None).
        """

    def rejected(self, chunk: MediaChunk) -> None:
        """Note that the cloud could not use a chunk that has been delivered: once for each, without its payload."""

    def complained(self, outage: Outage | None) -> None:
        """Note an error that the cloud reports and the session outlives so far; None: it analyses again."""

    def too_short(self) -> None:
        """Note that the cloud complains of chunks that are too short."""

    def on_anomaly(self, anomaly: Anomaly, detail: str) -> None:
        """Receive an anomaly, with a phrase about it."""
