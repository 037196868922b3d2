"""The settings of the simulated cloud, as frozen values."""

from enum import StrEnum
from pathlib import Path

from msgspec import Struct

from interhuman2mqtt.simulator.faults import Fault

STREAM_SCOPE = "interhumanai.stream"
UPLOAD_SCOPE = "interhumanai.upload"
INTER_2 = "inter-2"
INTER_2_AUDIO = "inter-2-audio"
INTER_2_DEEP = "inter-2-deep"
"""Of uploads only, with a scope of its own."""
ALL_SCOPES = (STREAM_SCOPE, UPLOAD_SCOPE, f"{UPLOAD_SCOPE}.{INTER_2_DEEP}")
MODELS = (INTER_2, INTER_2_AUDIO)
GOAL_DIMENSIONS = ("clarity", "authority", "energy", "rapport", "learning")
INCLUDE_FLAGS = ("conversation_quality_overall", "conversation_quality_timeline")


class Version(StrEnum):
    """Which endpoint a session was opened on."""

    V1 = "v1"
    V2 = "v2"


class Dialect(StrEnum):
    """The three shapes of signals that have been seen on the wire or in the vendor's pages."""

    LIFE_CYCLE = "life-cycle"
    """`signal.detected`, `.updated`, `.ended`: today's."""
    INTERVAL = "interval"
    """`signal.detected` with `start` and `end`, nothing else."""
    CODEALONG = "codealong"
    """`signal.detected` with a list `signals[]`."""


class Decode(StrEnum):
    """The share of the media that is decoded; every packet is demuxed and its time checked in any case."""

    KEYFRAMES = "keyframes"
    ALL = "all"


class RequireAudio(StrEnum):
    """The kinds of media without audio that are answered with ih5008."""

    AUTO = "auto"
    """On v2 only, whose model wants both."""
    ALWAYS = "always"
    NEVER = "never"


class Key(Struct, frozen=True):
    """An accepted API key; `scopes` empty means that it may nothing."""

    credential: str
    scopes: tuple[str, ...] = (STREAM_SCOPE,)
    account: str = ""
    """Of a client token: the API key that it was minted from."""

    def __repr__(self) -> str:
        return f"Key(***, scopes={self.scopes!r})"


class Limits(Struct, frozen=True, kw_only=True):
    """The limits that `session.ready` names; the defaults are production's, seen in June 2026."""

    idle_timeout: int = 300
    """seconds without media"""
    max_duration: int = 3600
    """seconds since session.ready"""
    min_segment_duration: float | None = None
    """seconds; shorter ones are answered with ih5006; None: not told, as in production"""
    min_segment_size: int = 1
    """bytes"""
    max_segment_size: int = 33_554_432
    """bytes"""
    max_drain: int = 30
    """seconds; the vendor publishes no number"""


class Pace(Struct, frozen=True, kw_only=True):
    """The cadence of the analysis, in seconds of media."""

    window: float = 8.0
    stride: float = 3.0
    cadence: float = 11.0
    """Between two `conversation_quality.updated`."""


class Uploads(Struct, frozen=True, kw_only=True):
    """Limits of the upload endpoints, and times of their jobs."""

    max_size: int = 33_554_432
    """bytes of a file (ih4003)"""
    min_duration: float = 3.0
    """seconds (ih4007)"""
    max_duration: float = 1800.0
    """seconds (ih4004)"""
    wait_max: int = 120
    """seconds that a submit may wait for its job"""
    queued: float = 0.5
    """seconds before a job runs"""
    running: float = 1.0
    """seconds until it is done then; both pass before an answer of v1"""
    lifetime: float = 3600.0
    """seconds after which a job is gone (ih4021)"""
    capacity: int = 0
    """unfinished jobs that are taken (ih1002); 0: any number"""


class Tokens(Struct, frozen=True, kw_only=True):
    """Lives of client tokens, in seconds."""

    life: int = 300
    """where nothing is asked for"""
    life_min: int = 60
    life_max: int = 3600
    """What is asked for is brought between these two."""


class Settings(Struct, frozen=True, kw_only=True):
    """Everything that the command line can say."""

    host: str = "127.0.0.1"
    port: int = 8765
    """0: any free one"""
    certificate: Path | None = None
    private_key: Path | None = None
    keys: tuple[Key, ...] = ()
    """Empty: any non-empty key is accepted."""
    concurrency: int = 0
    """Open sessions per key; 0: any number."""
    linger: float = 0.0
    """Seconds for which a session whose connection was cut still counts as open."""
    rate_limit: int = 0
    """Handshakes per key and minute; 0: any number."""
    models: tuple[str, ...] = MODELS
    """The models that have a backend."""
    goal_dimensions: tuple[str, ...] | None = None
    """What a session may choose from; None: feedback is disabled, as in production."""
    limits: Limits = Limits()
    uploads: Uploads = Uploads()
    tokens: Tokens = Tokens()
    pace: Pace = Pace()
    require_audio: RequireAudio = RequireAudio.AUTO
    decode: Decode = Decode.KEYFRAMES
    dialect: Dialect = Dialect.LIFE_CYCLE
    unknown_events: bool = False
    seed: int = 0
    faults: tuple[Fault, ...] = ()
    save: Path | None = None
    """Where to keep what the sessions received."""
