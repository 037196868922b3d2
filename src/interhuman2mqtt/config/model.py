"""The model: each table of the TOML file as a frozen type, with the type, the limits and the default of each key.

`Config` is the effective configuration that the daemon runs by. `File` is what may stand in a file, from which
`loader.load` makes it. Beside the type of each key stands its value type, which reads and writes it (`value_types.py`).
"""

from enum import StrEnum
from typing import Annotated, Literal

from msgspec import Struct

from interhuman2mqtt.config import urls, value_types
from interhuman2mqtt.config.problems import BadValueError

Include = Literal["conversation_quality_overall", "conversation_quality_timeline"]
GoalDimension = Literal["clarity", "authority", "energy", "rapport", "learning"]
MODELS = ("inter-2", "inter-2-audio")
"""Those that this version knows; `check` warns of others, which may well be newer."""
AUDIO_MODELS = ("inter-2-audio",)
"""Those that analyse audio alone: their cameras open no video, and send none."""
PCM_RATES = {"pcm": 16_000, "pcm-24k": 24_000}
"""Samples a second that the API takes without a container, by the value of `audio`."""

_SOURCE = value_types.checked(
    urls.check_source, f"{urls.SCHEMES}, v4l2:, alsa:, file:/, browser: or test:", urls.SOURCE
)


STANDALONE_MIN = 3.0
"""Seconds; the API has refused shorter segments that stand alone (ih5006)."""


class Framing(StrEnum):
    """The kind of a chunk: the next piece of one stream, or a file of its own."""

    CONTINUOUS = "continuous"
    STANDALONE = "standalone"


class SecretRef(Struct, frozen=True, forbid_unknown_fields=True):
    """The place of a secret; exactly one of the three, else BadValueError."""

    credential: Annotated[str, value_types.CREDENTIAL_NAME] | None = None
    """A credential of systemd's, fixed while the unit runs."""
    env: Annotated[str, value_types.ENVIRONMENT_VARIABLE] | None = None
    """An environment variable, which is easily seen."""
    file: Annotated[str, value_types.FILE] | None = None
    """A file with nothing else in it; read again on reload."""

    def __post_init__(self) -> None:
        if [self.credential, self.env, self.file].count(None) != 2:
            raise BadValueError("must name exactly one of credential, env and file")


class Budget(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The time that may be streamed."""

    per_day: Annotated[float, value_types.duration("1s", "1000d")]
    """Seconds of streaming per local day."""


class Shard(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which of some boxes that share one list of cameras this is: each camera runs on one of them."""

    index: Annotated[int, value_types.SHARD_INDEX]
    """From 0; in a file also where the environment has it."""
    count: Annotated[int, value_types.SHARD_COUNT]
    """How many there are."""

    def __post_init__(self) -> None:
        if self.index >= self.count:
            raise BadValueError(f"index ({self.index}) must be below count ({self.count}): the first shard is 0")


class Box(Struct, frozen=True, kw_only=True):
    """This machine."""

    id: Annotated[str, value_types.NAME]
    shard: Shard | None = None
    """None: this box runs all cameras whose `boxes` match it."""
    timezone: Annotated[str, value_types.TIMEZONE] | None = None
    """For schedules and budgets; None: the host's."""
    budget: Budget | None = None
    """Of all cameras together."""


class Interhuman(Struct, frozen=True, kw_only=True):
    """The cloud; the keys that cameras have too are their defaults."""

    url: Annotated[str, value_types.checked(urls.check_cloud, "wss://", urls.CLOUD)] = (
        "wss://api.interhuman.ai/v2/stream/analyze"
    )
    api_key: SecretRef | None = None
    include: tuple[Include, ...] = ("conversation_quality_overall", "conversation_quality_timeline")
    goal_dimensions: tuple[GoalDimension, ...] = ()
    model: Annotated[str, value_types.MODEL] = "inter-2"
    """Means something on /v2 only."""
    framing: Framing = Framing.CONTINUOUS
    chunk: Annotated[float, value_types.duration("500ms", "30s")] = 2.0
    """Seconds of media per chunk."""
    max_sessions: Annotated[int, value_types.between(value_types.whole, 0, 10_000, int)] = 0
    proxy: Annotated[str, value_types.checked(urls.check_proxy, "http://", urls.PROXY, may_be_empty=True)] | None = None
    """None: the environment's https_proxy; empty: none."""
    ca_file: Annotated[str, value_types.FILE] | None = None


class Mqtt(Struct, frozen=True, kw_only=True):
    """The broker."""

    url: Annotated[str, value_types.checked(urls.check_broker, "mqtt:// or mqtts://", urls.BROKER)] = (
        "mqtt://localhost:1883"
    )
    protocol: Literal["auto", "5", "3.1.1"] = "auto"
    client_id: Annotated[str, value_types.CLIENT_ID]
    base_topic: Annotated[str, value_types.TOPIC] = "interhuman"
    username: Annotated[str, value_types.TEXT] | None = None
    password: SecretRef | None = None
    ca_file: Annotated[str, value_types.FILE] | None = None
    cert_file: Annotated[str, value_types.FILE] | None = None
    key_file: Annotated[str, value_types.FILE] | None = None
    requests: Literal["all", "read-only", "off"] = "all"
    """What may be asked of this box by way of the broker."""
    discovery: bool = True
    discovery_prefix: Annotated[str, value_types.TOPIC] = "homeassistant"


class Outbox(Struct, frozen=True, kw_only=True):
    """The durable queue in front of the broker."""

    path: Annotated[str, value_types.FILE] | None = None
    """None: $STATE_DIRECTORY/outbox.sqlite"""
    max_size: Annotated[int, value_types.size("1MiB", "1000GiB")] = 64 << 20
    """bytes"""
    max_age: Annotated[float, value_types.duration("1m", "3650d")] = 7 * 86400.0
    """seconds"""


class Privacy(Struct, frozen=True, kw_only=True):
    """The fields that never leave the box."""

    redact: tuple[Annotated[str, value_types.TEXT], ...] = ()


class Log(Struct, frozen=True, kw_only=True):
    """The level and the format of the log."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "console", "json"] = "auto"


class Metrics(Struct, frozen=True, kw_only=True):
    """The address for Prometheus."""

    listen: Annotated[str, value_types.checked(urls.listen_address, "HOST:PORT or a port")] | None = None
    """HOST:PORT, or a port of 127.0.0.1; None: nobody listens."""


class Web(Struct, frozen=True, kw_only=True):
    """The page, which is a process of its own: `interhuman2mqtt web`."""

    listen: Annotated[str, value_types.checked(urls.listen_address, "HOST:PORT or a port")] = "127.0.0.1:8443"
    """HOST:PORT, or a port of 127.0.0.1."""
    password: SecretRef | None = None
    """Needed for any other address than this machine's own, and for acting."""
    certificate: Annotated[str, value_types.FILE] | None = None
    private_key: Annotated[str, value_types.FILE] | None = None
    behind_proxy: bool = False
    """Whether something in front of it speaks TLS."""
    hosts: tuple[Annotated[str, value_types.TEXT], ...] = ()
    """Names beside the address itself that a browser may ask for."""
    keep: Annotated[float, value_types.duration("1h", "3650d")] = 14 * 86400.0
    """seconds of history"""
    max_size: Annotated[int, value_types.size("1MiB", "1000GiB")] = 1 << 30
    """bytes of history"""
    rationale: bool = False
    """Whether the free text about people is kept and shown."""
    room_details: bool = False
    """Whether a room's page, which needs no login, shows signals and scores."""


class CameraKeys(Struct, frozen=True, kw_only=True):
    """The keys that a camera, a profile and all cameras have alike."""

    username: Annotated[str, value_types.TEXT] | None = None
    password: SecretRef | None = None
    transport: Literal["tcp", "udp"] = "tcp"
    open_timeout: Annotated[float, value_types.duration("1s", "5m")] = 20.0
    """seconds that a source may take for an answer"""
    verify: bool = True
    """Whether a camera behind TLS has to show a certificate that is trusted."""
    ca_file: Annotated[str, value_types.FILE] | None = None
    """Whom to trust for cameras, instead of the machine's authorities."""
    size: Annotated[tuple[int, int], value_types.PICTURE_SIZE] | None = None
    """width, height in pixels; None: the source's own, of V4L2 cameras 1280x720 or what comes nearest"""
    fps: Annotated[float, value_types.between(value_types.number, 1, 240, value_types.show_number)] | None = None
    format: Literal["auto", "h264", "mjpeg", "yuyv", "uyvy", "nv12", "yu12", "rgb3", "bgr3", "grey"] = "auto"
    """Of V4L2 cameras: what they send."""
    video_bitrate: Annotated[int, value_types.bitrate("50k", "100M")] | None = None
    """bits a second, where we encode; None: by size"""
    microphone: Annotated[str, value_types.checked(urls.check_microphone, "alsa:", urls.MICROPHONE)] | None = None
    video: Literal["auto", "copy", "h264"] = "auto"
    audio: Literal["auto", "copy", "aac", "opus", "pcm", "pcm-24k", "silence", "none"] = "auto"
    buffer: Annotated[float, value_types.duration("5s", "1h")] = 60.0
    """seconds"""
    buffer_max: Annotated[int, value_types.size("1MiB", "16GiB")] = 32 << 20
    """bytes"""
    replay: Annotated[float, value_types.duration("0s", "10m")] = 8.0
    """seconds"""
    backfill: Annotated[int, value_types.size("64MiB", "1000GiB")] | None = None
    """bytes that may be spooled while the cloud is away, and are uploaded afterwards; None: nothing is"""
    backfill_max_age: Annotated[float, value_types.duration("1m", "30d")] = 86400.0
    """seconds after which what is spooled is of no use"""
    backfill_rate: Annotated[int, value_types.bitrate("50k", "1000M")] = 2_000_000
    """bits a second at which it is uploaded"""
    schedule: tuple[Annotated[str, value_types.SCHEDULE], ...] = ()
    """Entries that `schedule.parse` reads; none: always."""
    budget: Budget | None = None
    priority: Annotated[int, value_types.between(value_types.whole, -1000, 1000, int)] = 0
    api_key: SecretRef | None = None
    include: tuple[Include, ...] = ()
    goal_dimensions: tuple[GoalDimension, ...] = ()
    model: Annotated[str, value_types.MODEL] = "inter-2"
    framing: Framing = Framing.CONTINUOUS


class CameraConfig(CameraKeys, frozen=True, kw_only=True):
    """One camera with all that applies to it: its own keys over its profile over `defaults` over `interhuman`."""

    id: Annotated[str, value_types.NAME]
    """The name of its table: [a-z0-9_-]+"""
    name: Annotated[str, value_types.TEXT]
    source: Annotated[str, _SOURCE]

    @property
    def is_audio_only(self) -> bool:
        """Whether its model analyses audio alone, so that its video stays on the box, and mostly in the camera."""
        return self.model in AUDIO_MODELS

    @property
    def pcm_rate(self) -> int | None:
        """Samples a second of what is sent without a container; None: fragmented MP4 is."""
        return PCM_RATES.get(self.audio)


class Config(Struct, frozen=True, kw_only=True):
    """The effective configuration of one box: its cameras only, all defaults filled in."""

    box: Box
    interhuman: Interhuman
    mqtt: Mqtt
    outbox: Outbox
    privacy: Privacy
    log: Log
    metrics: Metrics
    web: Web
    cameras: dict[str, CameraConfig]


class CameraTable(CameraKeys, frozen=True, kw_only=True):
    """The keys of `[cameras.NAME]`, `[profiles.NAME]` and `[defaults]`; loading uses up the last three."""

    name: Annotated[str, value_types.TEXT] | None = None
    source: Annotated[str, _SOURCE] | None = None
    profile: Annotated[str, value_types.TEXT] | None = None
    boxes: tuple[Annotated[str, value_types.BOX_PATTERN], ...] = ("*",)
    enabled: bool = True


class File(Struct, frozen=True, kw_only=True):
    """The tables of a file; no key is required in any one file."""

    box: Box
    interhuman: Interhuman
    mqtt: Mqtt
    outbox: Outbox
    privacy: Privacy
    log: Log
    metrics: Metrics
    web: Web
    defaults: CameraTable
    profiles: dict[str, CameraTable]
    cameras: dict[str, CameraTable]
