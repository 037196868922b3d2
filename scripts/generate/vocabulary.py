"""What the API is documented to say: `data` of each event of its own, with an example, and the words in it.

All of it is open. We publish what the cloud sends as it came, so a schema that forbade what nobody knows yet would be
untrue: of a known event `data` is as it is described here, or else something that the API did not have when this was
made. Who reads events should ignore fields and types that they do not know, and take a new word for one.
"""

from typing import Any, NamedTuple

from generate.payloads import Schema
from interhuman2mqtt.publish.homeassistant.entity import (
    ENGAGEMENT,
    SCORES,
    SIGNALS,
    SIGNALS_AUDIO,
    SIGNALS_V1,
    SIGNALS_V2,
)

PROBABILITIES = ("low", "medium", "high")
POLICY = "Open: fields may be added, and words; ignore what you do not know. No field changes its meaning."
BEYOND = "Whatever else the cloud sends of this type, as it came."


class Known(NamedTuple):
    """`data` of an event type."""

    name: str
    """Of its schema."""
    says: str
    properties: dict[str, Schema]
    required: tuple[str, ...]
    example: dict[str, Any]

    @property
    def schema(self) -> Schema:
        """The JSON Schema of it."""
        return {
            "description": f"{self.says} {POLICY}",
            "type": "object",
            "required": list(self.required),
            "properties": self.properties,
            "additionalProperties": True,
            "examples": [self.example],
        }


def _word(says: str, *known: str) -> Schema:
    """One of these words, or one that is new."""
    return {"description": f"{says} More words may come.", "anyOf": [{"enum": list(known)}, {"type": "string"}]}


def _number(says: str, least: float | None = None, most: float | None = None) -> Schema:
    bounds = {"minimum": least} | ({} if most is None else {"maximum": most}) if least is not None else {}
    return {"description": says, "type": "number", **bounds}


def _text(says: str, *, nullable: bool = False) -> Schema:
    return {"description": says, "type": ["string", "null"] if nullable else "string"}


def _object(says: str, **properties: Schema) -> Schema:
    return {"description": says, "type": "object", "properties": properties, "additionalProperties": True}


TIME = "on the session's media clock, in seconds; `start_at` or `end_at` of the event is the same in UTC"
SIGNAL = {
    "signal_type": _word("The signal; at most one of a type is active in a session.", *SIGNALS),
    "start": _number(f"When it began, {TIME}.", 0),
    "probability": _word("How likely it is, as a band.", *PROBABILITIES),
    "rationale": _text("Why, in a sentence about a person; left out where `privacy.redact` names it.", nullable=True),
    "modality": {"description": "By what it was seen or heard: `/v1` only.", "type": ["array", "string", "null"]},
}
SCORE = {name: _number(f"{label}; 50: nothing speaks for either side.", 0, 100) for name, label in SCORES.items()}
SPAN = {"start": _number(f"Begin, {TIME}.", 0), "end": _number(f"End, {TIME}.", 0)}
RANGES: Schema = {"description": "Of the media.", "type": "array", "items": _object("A span.", **SPAN)}
_detected = {"signal_type": "hesitation", "start": 24.0, "probability": "medium", "rationale": "A long pause."}
_scores = {"quality_index": 61.2, "clarity": 60, "authority": 58, "energy": 66, "rapport": 63, "learning": 59}

KNOWN: dict[str, Known] = {
    "signal.detected": Known("SignalDetectedData", "A signal begins.", SIGNAL, ("signal_type",), _detected),
    "signal.updated": Known(
        "SignalUpdatedData",
        "An active signal has another probability or rationale.",
        SIGNAL,
        ("signal_type",),
        {**_detected, "probability": "high"},
    ),
    "signal.ended": Known(
        "SignalEndedData",
        "A signal is over; where the session left that open we say so, marked `synthetic`.",
        {"signal_type": SIGNAL["signal_type"], "end": _number(f"When it ended, {TIME}.", 0)},
        ("signal_type",),
        {"signal_type": "hesitation", "end": 33.0},
    ),
    "engagement.updated": Known(
        "EngagementUpdatedData",
        "People are engaged otherwise than before.",
        {"state": _word("How.", *ENGAGEMENT), "start": _number(f"Since when, {TIME}.", 0)},
        ("state",),
        {"state": "neutral", "start": 16.0},
    ),
    "conversation_quality.updated": Known(
        "ConversationQualityUpdatedData",
        "Scores from 0 to 100; a part is there where `conversation_quality` asks for it.",
        {
            "overall": {"anyOf": [_object("Of the session so far.", **SCORE), {"type": "null"}]},
            "timeline": {
                "description": "One entry, of the period that has just ended.",
                "type": ["array", "null"],
                "items": _object("A period.", **SPAN, values=_object("Of it alone.", **SCORE)),
            },
        },
        (),
        {"overall": _scores, "timeline": [{"start": 11, "end": 22, "values": _scores}]},
    ),
    "feedback.generated": Known(
        "FeedbackGeneratedData",
        "Advice, where goals are configured and the account has it.",
        {"feedback": _text("In a sentence.")},
        ("feedback",),
        {"feedback": "Slow down and restate the key point."},
    ),
    "coverage.dropped": Known(
        "CoverageDroppedData",
        "The cloud did not analyse these ranges, nor bill them.",
        {"ranges": RANGES},
        ("ranges",),
        {"ranges": [{"start": 40.0, "end": 48.0}]},
    ),
    "coverage.degraded": Known(
        "CoverageDegradedData",
        "The cloud analysed these ranges, and billed them, with a part of the media missing.",
        {"ranges": RANGES, "reason": _word("Why.", "video_gap")},
        (),
        {"ranges": [{"start": 48.0, "end": 56.0}], "reason": "video_gap"},
    ),
    "session.ready": Known(
        "SessionReadyData",
        "The session begins, with the limits that hold for it.",
        {
            "session_idle_timeout_seconds": _number("Without media it ends after so long.", 0),
            "session_max_duration_seconds": _number("It lasts no longer.", 0),
            "min_segment_size_bytes": _number("Of one frame of media, at least.", 0),
            "max_segment_size_bytes": _number("Of one frame of media, at most.", 0),
            "supported_session_config_options": _object("What may be configured."),
        },
        (),
        {
            "session_idle_timeout_seconds": 300,
            "session_max_duration_seconds": 3600,
            "min_segment_size_bytes": 1,
            "max_segment_size_bytes": 33554432,
            "supported_session_config_options": {"include": ["conversation_quality_overall"], "model": ["inter-2"]},
        },
    ),
    "session.ended": Known(
        "SessionEndedData",
        "The session is over.",
        {"reason": _word("Why.", "client_shutdown")},
        (),
        {"reason": "client_shutdown"},
    ),
    "error": Known(
        "ErrorData",
        "The cloud could not do something.",
        {"code": _text("Its own, such as `ih6002`."), "message": _text("In its own words.")},
        (),
        {"code": "ih6002", "message": "Message too large.", "link": None},
    ),
}

MODELS = {"`inter-2`": SIGNALS_V2, "`inter-2-audio`": SIGNALS_AUDIO, "`/v1`": SIGNALS_V1}
"""Which signals are documented of what."""
