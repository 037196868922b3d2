"""The invented person in front of the camera, as each window of the analysis shows them. Pure and repeatable."""

from random import Random

from msgspec import Struct, structs

from interhuman2mqtt.simulator.messages import Terms
from interhuman2mqtt.simulator.settings import GOAL_DIMENSIONS, INTER_2_AUDIO, Version

PROBABILITIES = ("low", "medium", "high")
LEVELS = ("engaged", "neutral", "disengaged")
MAX_ACTIVE = 3
"""Signals at the same time, never two of one type."""
_LONGEST_QUIET = 2
"""Windows in a row without any signal."""

_RATIONALES: dict[str, str] = {
    "agreement": "Nods while the other side is speaking.",
    "confidence": "Steady gaze and an even pace of speech.",
    "confusion": "Brows drawn together after the explanation.",
    "disagreement": "Shakes the head and turns away from the screen.",
    "frustration": "A sharp breath out and pressed lips.",
    "hesitation": "A long pause before answering.",
    "interest": "Leans in and looks towards the speaker.",
    "skepticism": "One brow raised, head tilted back.",
    "stress": "Shoulders raised, hands in constant motion.",
    "uncertainty": "Rising intonation at the end of statements.",
    "engagement": "Answers promptly and keeps eye contact.",
    "disengagement": "Looks away and no longer answers.",
}
_V2_TYPES = tuple(_RATIONALES)[:10]
_AUDIO_TYPES = ("agreement", "confidence", "frustration", "hesitation", "interest", "uncertainty")


class Signal(Struct, frozen=True):
    """A signal that is active."""

    type: str
    start: float
    """Seconds of media."""
    probability: str
    rationale: str
    windows_left: int


class Look(Struct, frozen=True, kw_only=True):
    """One window of the analysis, against the one before."""

    start: float
    end: float
    fresh: float
    """From where on no earlier window saw it: what is new begins here, what is gone ended here."""
    engagement: str | None = None
    """The level, where it changed."""
    detected: tuple[Signal, ...] = ()
    updated: tuple[Signal, ...] = ()
    ended: tuple[str, ...] = ()
    active: tuple[Signal, ...] = ()
    """All signals of this window, new ones too."""


def signal_types(terms: Terms, model: str | None) -> tuple[str, ...]:
    """Return the types that a model reports, from the vendor's stream skill (v2) and reference page (v1)."""
    if terms.version is Version.V1:
        return tuple(_RATIONALES)
    return _AUDIO_TYPES if model == INTER_2_AUDIO else _V2_TYPES


class Subject:
    """Somebody whose behaviour depends on the seed and the windows looked at, and on nothing else."""

    def __init__(self, seed: str) -> None:
        self._seed = seed
        self._engagement: str | None = None
        self._active: tuple[Signal, ...] = ()
        self._quiet = _LONGEST_QUIET

    def look(self, number: int, start: float, end: float, fresh: float, types: tuple[str, ...]) -> Look:
        """Return what a window shows.

        Args:
            number: Of the window, from 0.
            start: Of the window, in seconds of media.
            end: Of the window.
            fresh: As in `Look`.
            types: The signals that the model can report.
        """
        random = Random(f"{self._seed}/window/{number}")  # noqa: S311 - repeatable on purpose
        level = self._level(random)
        going_on = tuple(signal for signal in self._active if signal.windows_left > 0)
        updated = tuple(_changed(random, signal) for signal in going_on if random.random() < 0.3)
        ended = _types(tuple(signal for signal in self._active if signal.windows_left == 0))
        changed = {signal.type: signal for signal in updated}
        kept = tuple(_older(changed.get(signal.type, signal)) for signal in going_on)
        detected = self._new(random, fresh, [name for name in types if name not in _types(self._active)])
        self._active = (*kept, *detected)
        return Look(
            start=start,
            end=end,
            fresh=fresh,
            engagement=level,
            detected=detected,
            updated=updated,
            ended=ended,
            active=self._active,
        )

    def leave(self) -> tuple[str, ...]:
        """End the session; return the types that were still active."""
        ended, self._active = _types(self._active), ()
        return ended

    def scores(self, period: int) -> dict[str, float]:
        """Return the conversation quality of one cadence period, 0 to 100; the index is the mean of the five."""
        random = Random(f"{self._seed}/quality/{period}")  # noqa: S311 - repeatable on purpose
        return with_index({name: float(random.randint(35, 85)) for name in GOAL_DIMENSIONS})

    def _level(self, random: Random) -> str | None:
        """Return the engagement's new level; None where it stays."""
        if self._engagement is None:
            self._engagement = random.choice(LEVELS[:2])
        elif random.random() < 0.3:
            self._engagement = random.choice([level for level in LEVELS if level != self._engagement])
        else:
            return None
        return self._engagement

    def _new(self, random: Random, start: float, types: list[str]) -> tuple[Signal, ...]:
        """Return a signal that begins: in the first window, and at the latest after two windows without any."""
        self._quiet = 0 if self._active else self._quiet + 1
        due = self._quiet > _LONGEST_QUIET
        if len(self._active) >= MAX_ACTIVE or (not due and random.random() > 0.35):
            return ()
        name = random.choice(types)
        probability = random.choice(PROBABILITIES)
        return (Signal(name, start, probability, _RATIONALES[name], random.randint(1, 5)),)


def _types(signals: tuple[Signal, ...]) -> tuple[str, ...]:
    return tuple(signal.type for signal in signals)


def _older(signal: Signal) -> Signal:
    return structs.replace(signal, windows_left=signal.windows_left - 1)


def _changed(random: Random, signal: Signal) -> Signal:
    """Return the same signal with another probability."""
    return structs.replace(signal, probability=random.choice([p for p in PROBABILITIES if p != signal.probability]))


def with_index(values: dict[str, float]) -> dict[str, float]:
    """Scores with their mean as `quality_index`, all to one decimal."""
    rounded = {name: round(value, 1) for name, value in values.items()}
    return {"quality_index": round(sum(rounded.values()) / len(rounded), 1), **rounded}
