"""What is said between `analyze` and the process that cuts a recording into parts: a command, then lines of JSON."""

from datetime import datetime

import msgspec
from msgspec import Struct

from interhuman2mqtt.errors import Reason

INTER_1, INTER_2, INTER_2_AUDIO = "inter-1", "inter-2", "inter-2-audio"
"""The models; the first is v1's."""


class Split(Struct, frozen=True, kw_only=True):
    """The command: cut this file into parts, each of which the cloud takes."""

    source: str
    folder: str
    """Where the parts are written; it is whose command this is that removes it."""
    model: str | None
    """None: by what the file holds; `inter-1` is v1's."""
    size_max: int
    """Bytes of a part."""
    duration_max: float
    """Seconds of a part."""
    duration_min: float


class Progress(Struct, frozen=True, tag=True):
    """Progress of the work."""

    doing: str
    share: float
    """0 to 1"""


class Note(Struct, frozen=True, tag=True):
    """Sentence about the recording that a person should know."""

    text: str


class SourceInfo(Struct, frozen=True, tag=True, kw_only=True):
    """Properties of the recording; they come before its parts."""

    model: str
    """By which it can be analysed."""
    recorded_at: datetime | None
    """By the file itself."""
    duration: float
    """Seconds."""


class SplitPart(Struct, frozen=True, tag=True):
    """A part that was written."""

    path: str
    start: float
    """Seconds from the begin of the recording."""
    end: float


class SplitFailed(Struct, frozen=True, tag=True):
    """Why there are no parts; it is the last line."""

    reason: Reason
    detail: str


Line = Progress | Note | SourceInfo | SplitPart | SplitFailed

encode_line = msgspec.json.Encoder().encode
decode_line = msgspec.json.Decoder(Line).decode
decode_command = msgspec.json.Decoder(Split).decode
