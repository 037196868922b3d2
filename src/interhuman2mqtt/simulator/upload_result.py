"""The analysis of a whole file, in the shapes of v1 and v2. Pure and repeatable."""

import math
from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from interhuman2mqtt.simulator.messages import Terms
from interhuman2mqtt.simulator.persona import PROBABILITIES, Subject, signal_types, with_index
from interhuman2mqtt.simulator.settings import GOAL_DIMENSIONS, Version

WINDOW = 5.0
"""Seconds."""


class UploadOptions(Struct, frozen=True):
    """Options of a submit."""

    version: Version
    model: str | None
    """None on v1."""
    include: tuple[str, ...] = ()
    goal_dimensions: tuple[str, ...] = ()
    conversation_context: str | None = None


class Window(Struct, frozen=True):
    """Content of one window."""

    start: float
    end: float
    engagement: str
    signals: tuple[dict[str, Any], ...]
    scores: dict[str, float]


def windows(duration: float, options: UploadOptions, seed: str) -> list[Window]:
    """Return what is seen in a file of so many seconds."""
    subject = Subject(seed)
    types = signal_types(Terms(version=options.version, model=options.model), options.model)
    seen: list[Window] = []
    for number in range(math.ceil(duration / WINDOW)):
        start, end = number * WINDOW, min((number + 1) * WINDOW, round(duration, 3))
        look = subject.look(number, start, end, start, types)
        engagement = look.engagement or seen[-1].engagement
        signals = tuple(
            {"type": one.type, "start": start, "end": end, "probability": one.probability, "rationale": one.rationale}
            for one in look.active
        )
        seen.append(Window(start, end, engagement, signals, subject.scores(number)))
    return seen


def v2(duration: float, options: UploadOptions, seed: str) -> dict[str, Any]:
    """Return `result` of a completed job."""
    seen = windows(duration, options, seed)
    result: dict[str, Any] = {
        "duration_seconds": round(duration, 3),
        "window_seconds": WINDOW,
        "windows": [
            {
                "index": number,
                "start_seconds": window.start,
                "end_seconds": window.end,
                "engagement_status": window.engagement,
                "signals": window.signals,
            }
            for number, window in enumerate(seen)
        ],
    }
    if "signals" in options.include:
        result["signals"] = merged(seen)
    quality: dict[str, Any] = {}
    if "conversation_quality_overall" in options.include:
        quality["overall"] = _overall(seen)
    if "conversation_quality_timeline" in options.include:
        quality["timeline"] = _timeline(seen)
    return {**result, "conversation_quality": quality} if quality else result


def v1(duration: float, options: UploadOptions, seed: str) -> dict[str, Any]:
    """Return the whole answer of `/v1/upload/analyze`."""
    seen = windows(duration, options, seed)
    answer: dict[str, Any] = {
        "signals": [{**signal, "modality": ["audio", "visual"]} for signal in merged(seen)],
        "engagement_state": [{"state": window.engagement, "start": window.start, "end": window.end} for window in seen],
    }
    if options.include:
        timeline = _timeline(seen) if "conversation_quality_timeline" in options.include else []
        answer["conversation_quality"] = {"overall": _overall(seen), "timeline": timeline}
    if options.goal_dimensions or options.conversation_context is not None:
        answer["feedback"] = {
            "type": "feedback",
            "message": "Restate the key point in one short sentence.",
            "active_dimensions": options.goal_dimensions,
            "primary_signal": next((signal["type"] for signal in answer["signals"]), None),
        }
    return answer


def merged(seen: Sequence[Window]) -> list[dict[str, Any]]:
    """Return each signal as one span over adjacent windows, with its highest probability and that one's rationale."""
    spans: list[dict[str, Any]] = []
    for window in seen:
        for signal in window.signals:
            going_on = (span for span in spans if span["type"] == signal["type"] and span["end"] == signal["start"])
            span = next(going_on, None)
            if span is None:
                spans.append(dict(signal))
                continue
            span["end"] = signal["end"]
            if PROBABILITIES.index(signal["probability"]) > PROBABILITIES.index(span["probability"]):
                span |= {"probability": signal["probability"], "rationale": signal["rationale"]}
    return spans


def _overall(seen: Sequence[Window]) -> dict[str, float]:
    return with_index({name: sum(one.scores[name] for one in seen) / len(seen) for name in GOAL_DIMENSIONS})


def _timeline(seen: Sequence[Window]) -> list[dict[str, Any]]:
    return [{"start": window.start, "end": window.end, "values": window.scores} for window in seen]
