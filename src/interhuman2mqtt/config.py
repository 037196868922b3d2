"""The TOML file as frozen types: what a key is called, what it holds, and what it is when it is left out."""

from enum import StrEnum

from msgspec import Struct


class Framing(StrEnum):
    CONTINUOUS = "continuous"
    STANDALONE = "standalone"


class SecretRef(Struct, frozen=True, forbid_unknown_fields=True):
    """Where a secret is to be found; exactly one of the three."""

    credential: str | None = None
    env: str | None = None
    file: str | None = None


class Budget(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    per_day: float
    """Seconds of streaming per local day."""


class Box(Struct, frozen=True, kw_only=True):
    id: str
    timezone: str | None = None
    budget: Budget | None = None


class Interhuman(Struct, frozen=True, kw_only=True):
    url: str = "wss://api.interhuman.ai/v2/stream/analyze"
    api_key: SecretRef | None = None
    include: tuple[str, ...] = ("conversation_quality_overall", "conversation_quality_timeline")
    goal_dimensions: tuple[str, ...] = ()
    model: str = "inter-2"
    framing: Framing = Framing.CONTINUOUS
    chunk: float = 2.0
    """Seconds of media per chunk."""
    max_sessions: int = 0
    proxy: str | None = None
    """None: the environment's https_proxy; empty: none."""
    ca_file: str | None = None


class Mqtt(Struct, frozen=True, kw_only=True):
    url: str = "mqtt://localhost:1883"
    protocol: str = "auto"
    """auto, 5 or 3.1.1"""
    client_id: str
    base_topic: str = "interhuman"
    username: str | None = None
    password: SecretRef | None = None
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    discovery: bool = True
    discovery_prefix: str = "homeassistant"


class Outbox(Struct, frozen=True, kw_only=True):
    path: str | None = None
    """None: $STATE_DIRECTORY/outbox.sqlite"""
    max_size: int = 64 << 20
    """bytes"""
    max_age: float = 7 * 86400.0
    """seconds"""


class Privacy(Struct, frozen=True, kw_only=True):
    redact: tuple[str, ...] = ()


class Log(Struct, frozen=True, kw_only=True):
    level: str = "info"
    format: str = "auto"


class Camera(Struct, frozen=True, kw_only=True):
    """One camera with everything that applies to it: its own keys over its profile over `defaults` over `interhuman`."""

    id: str
    """The name of its table: [a-z0-9_-]+"""
    name: str
    source: str
    username: str | None = None
    password: SecretRef | None = None
    transport: str = "tcp"
    size: tuple[int, int] | None = None
    """width, height in pixels; None: the source's own"""
    fps: float | None = None
    video_bitrate: int | None = None
    """bits a second, where we encode; None: by size"""
    microphone: str | None = None
    video: str = "auto"
    """auto, copy or h264"""
    audio: str = "auto"
    """auto, copy, aac, opus, silence or none"""
    buffer: float = 60.0
    buffer_max: int = 32 << 20
    replay: float = 8.0
    schedule: tuple[str, ...] = ()
    budget: Budget | None = None
    priority: int = 0
    api_key: SecretRef | None = None
    include: tuple[str, ...] = ()
    goal_dimensions: tuple[str, ...] = ()
    model: str = "inter-2"
    framing: Framing = Framing.CONTINUOUS


class Config(Struct, frozen=True, kw_only=True):
    """The effective configuration of one box: its cameras only, all defaults filled in."""

    box: Box
    interhuman: Interhuman
    mqtt: Mqtt
    outbox: Outbox
    privacy: Privacy
    log: Log
    cameras: dict[str, Camera]
