"""The API's messages to and from JSON text, and the rules of session configuration. No I/O."""

from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from interhuman2mqtt.simulator.errors import Answer, ApiError
from interhuman2mqtt.simulator.settings import (
    INCLUDE_FLAGS,
    INTER_2,
    INTER_2_AUDIO,
    Settings,
    Version,
)
from interhuman2mqtt.simulator.tokens import ClientToken


class Message(NamedTuple):
    """A message of the server, before it gets its envelope."""

    type: str
    data: dict[str, Any]


class Terms(Struct, frozen=True, kw_only=True):
    """The terms that a credential was admitted to."""

    version: Version
    model: str | None
    """None on v1."""
    entitled: tuple[str, ...] = ()
    """The models that this session may select; empty on v1."""
    token: ClientToken | None = None
    """None: an API key."""


class SessionConfig(Struct, frozen=True, kw_only=True):
    """The configuration in force."""

    include: tuple[str, ...] = ()
    goal_dimensions: tuple[str, ...] | None = None
    """None: feedback is disabled."""
    model: str | None = None
    pcm_rate: int | None = None
    """Binary frames are PCM, signed 16-bit mono, at so many samples a second; None: a container."""


class Close(NamedTuple):
    """The client asks for the graceful end."""


def envelope(message: Message, correlation_id: str) -> str:
    """Return the JSON text of one message, its keys in the order that was seen from the real server."""
    now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    body = {"timestamp": now, "correlation_id": correlation_id, "type": message.type, "data": message.data}
    return msgspec.json.encode(body).decode()


def error(what: ApiError, message: str | None = None, segment: int | None = None) -> Message:
    """`error`, with the catalogue's words where there are no better ones."""
    text = message or what.message + "."
    return Message("error", {"code": what.code, "message": text, "link": what.link, "segment": segment})


def ready(settings: Settings, terms: Terms) -> Message:
    """`session.ready`: the limits, and what a configuration may choose from."""
    limits = settings.limits
    capped = terms.token and terms.token.caps.max_duration_seconds
    options = {
        "include": INCLUDE_FLAGS,
        "goal_dimensions": settings.goal_dimensions,
        "model": terms.entitled if terms.version is Version.V2 else None,
    }
    data: dict[str, Any] = {
        "session_idle_timeout_seconds": limits.idle_timeout,
        "session_max_duration_seconds": min(limits.max_duration, capped or limits.max_duration),
        "max_segment_duration_seconds": None,
        "min_segment_size_bytes": limits.min_segment_size,
        "max_segment_size_bytes": limits.max_segment_size,
        "supported_session_config_options": options,
    }
    if limits.min_segment_duration is not None:  # gone from today's documentation, and known to have been sent
        data["min_segment_duration_seconds"] = limits.min_segment_duration
    return Message("session.ready", data)


def updated(config: SessionConfig) -> Message:
    """`session.updated`: what is in force."""
    data = {"include": config.include, "goal_dimensions": config.goal_dimensions, "model": config.model}
    return Message("session.updated", data)


class _AudioFormat(Struct, frozen=True, forbid_unknown_fields=True):
    encoding: str
    sample_rate: int
    channels: int


class _Frame(Struct, frozen=True, forbid_unknown_fields=True):
    """A text frame of the client's: the request to close, or a session configuration."""

    type: str | None = None
    include: tuple[str, ...] | None = None
    goal_dimensions: tuple[str, ...] | None = None
    model: str | None = None
    audio_format: _AudioFormat | None = None


class ConfigRules:
    """The rules for a session's configuration, and what it leads to."""

    def __init__(self, settings: Settings, terms: Terms) -> None:
        self._settings = settings
        self._terms = terms

    def initial(self) -> SessionConfig:
        """Return what is in force before the first configuration."""
        return SessionConfig(goal_dimensions=self._dimensions(None), model=self._terms.model)

    def read(self, text: str, now: SessionConfig, *, media_sent: bool) -> SessionConfig | Close:
        """One text frame of the client's; raises Answer where it is not allowed.

        `include` and `goal_dimensions` are replaced by each configuration, the model and the audio format stay as
        long as a configuration leaves them out. (SDK 1.3.4, `StreamClient.update_config`)
        """
        frame = _decode(text)
        if frame.type == "session.close":
            return Close()
        if frame.type is not None:
            raise Answer("ih6001", f"A message of type '{frame.type}' is not understood.")
        model = self._model(frame, now, media_sent=media_sent)
        return SessionConfig(
            include=_known("include", frame.include or (), INCLUDE_FLAGS),
            goal_dimensions=self._dimensions(frame.goal_dimensions),
            model=model,
            pcm_rate=_pcm_rate(frame.audio_format, now, model, media_sent=media_sent),
        )

    def _dimensions(self, wanted: tuple[str, ...] | None) -> tuple[str, ...] | None:
        offered = self._settings.goal_dimensions
        if offered is not None:
            return _known("goal_dimensions", wanted or (), offered)
        if wanted is not None:
            raise Answer("ih6001", "goal_dimensions is not available to this account.")
        return None

    def _model(self, frame: _Frame, now: SessionConfig, *, media_sent: bool) -> str | None:
        wanted = frame.model
        if wanted is None or wanted == now.model:
            return now.model
        if self._terms.version is Version.V1:
            raise Answer("ih6001", "model cannot be selected on /v1/stream/analyze.")
        if wanted not in (INTER_2, INTER_2_AUDIO):
            raise Answer("ih6001", f"model '{wanted}' is not a streaming model.")
        if wanted not in self._terms.entitled:
            raise Answer(
                "ih2003", f"The credential may not use the model '{wanted}'; the session goes on with its own."
            )
        if media_sent:
            raise Answer("ih6001", "model may change only before the first media frame.")
        return wanted


def _decode(text: str) -> _Frame:
    try:
        return msgspec.json.decode(text, type=_Frame)
    except msgspec.MsgspecError as error:
        raise Answer("ih6001", f"The session configuration is not valid: {error}.") from error


def _known(name: str, values: tuple[str, ...], allowed: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        if value not in allowed:
            raise Answer("ih6001", f"{name}: '{value}' is not one of {', '.join(allowed)}.")
    return values


def _pcm_rate(wanted: _AudioFormat | None, now: SessionConfig, model: str | None, *, media_sent: bool) -> int | None:
    if wanted is None:
        return now.pcm_rate if model == INTER_2_AUDIO else None
    if model != INTER_2_AUDIO:
        raise Answer("ih6001", "audio_format is for the model inter-2-audio only.")
    if (wanted.encoding, wanted.channels) != ("pcm_s16le", 1) or wanted.sample_rate not in (16000, 24000):
        raise Answer("ih6001", "audio_format must be pcm_s16le, 1 channel, 16000 or 24000 samples a second.")
    if media_sent and wanted.sample_rate != now.pcm_rate:
        raise Answer("ih6001", "audio_format is fixed after the first media frame.")
    return wanted.sample_rate
