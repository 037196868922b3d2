"""The words of the cloud that entities are made of; words that are not among them still reach their topics."""

SIGNALS_V2 = (
    "agreement",
    "confidence",
    "confusion",
    "disagreement",
    "frustration",
    "hesitation",
    "interest",
    "skepticism",
    "stress",
    "uncertainty",
)
"""What Inter-2 is documented to tell."""
SIGNALS_AUDIO = ("agreement", "confidence", "frustration", "hesitation", "interest", "uncertainty")
"""What it tells when it only hears."""
SIGNALS_V1 = (*SIGNALS_V2, "engagement", "disengagement")
SIGNALS = (*SIGNALS_V1, "tension")
"""Every type that the vendor's own client knows."""

ENGAGEMENT = ("engaged", "neutral", "disengaged")

SCORES = {
    "quality_index": "Conversation quality",
    "clarity": "Clarity",
    "authority": "Authority",
    "energy": "Energy",
    "rapport": "Rapport",
    "learning": "Learning",
}
"""The scores of `conversation_quality.updated`, 0 to 100, and what people call them."""

EVENTS = (
    "signal.detected",
    "signal.updated",
    "signal.ended",
    "engagement.updated",
    "feedback.generated",
    "coverage.dropped",
    "coverage.degraded",
    "coverage.gap",
    "error",
)
"""The types of the event entity: what an automation may wait for.

Without `conversation_quality.updated`, which comes every few seconds and would push all else out of sight, and without
`session.*`: the scores and the state of the camera are entities of their own.
"""


def expected(api_version: int, model: str) -> tuple[str, ...]:
    """The signals that a model is documented to tell."""
    if api_version == 1:
        return SIGNALS_V1
    return SIGNALS_AUDIO if model == "inter-2-audio" else SIGNALS_V2
