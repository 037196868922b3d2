"""The cadence of the analysis: windows, periods and coverage on the session's media clock, in each dialect. Pure.

Media up to a window's end must have been received before the window is looked at, so events come in bursts, as those
of the real service do.
"""

from typing import Any

from interhuman2mqtt.simulator.media import Report
from interhuman2mqtt.simulator.messages import Message, SessionConfig, Terms
from interhuman2mqtt.simulator.persona import Look, Signal, Subject, signal_types, with_index
from interhuman2mqtt.simulator.settings import GOAL_DIMENSIONS, INTER_2_AUDIO, Dialect, Settings, Version


class Speaker:
    """Tells what is seen in one dialect, on one version of the endpoint."""

    def __init__(self, dialect: Dialect, version: Version) -> None:
        self._dialect = dialect
        self._modality: dict[str, Any] = {"modality": ["video"]} if version is Version.V1 else {}
        """Only v1 names it."""

    def tell(self, look: Look) -> list[Message]:
        """Return the messages of one window."""
        signals = {
            Dialect.LIFE_CYCLE: self._life_cycle,
            Dialect.INTERVAL: self._interval,
            Dialect.CODEALONG: self._codealong,
        }[self._dialect]
        return [*self._engagement(look), *signals(look)]

    def farewell(self, active: tuple[str, ...], end: float) -> list[Message]:
        """Return the messages of a session's end: each active signal ends, where the dialect has such a message."""
        if self._dialect is not Dialect.LIFE_CYCLE:
            return []
        return [Message("signal.ended", {"signal_type": name, "end": end}) for name in active]

    def _engagement(self, look: Look) -> list[Message]:
        if look.engagement is None:
            return []
        data: dict[str, Any] = {"state": look.engagement, "start": look.fresh}
        if self._dialect is Dialect.INTERVAL:
            data["end"] = look.end
        return [Message("engagement.updated", data)]

    def _life_cycle(self, look: Look) -> list[Message]:
        return [
            *(Message("signal.ended", {"signal_type": name, "end": look.fresh}) for name in look.ended),
            *(Message("signal.updated", self._signal(signal)) for signal in look.updated),
            *(Message("signal.detected", self._signal(signal)) for signal in look.detected),
        ]

    def _interval(self, look: Look) -> list[Message]:
        return [Message("signal.detected", {**self._signal(signal), **_span(signal, look)}) for signal in look.active]

    def _codealong(self, look: Look) -> list[Message]:
        signals = [
            {
                "type": signal.type,
                **_span(signal, look),
                "probability": signal.probability,
                "rationale": signal.rationale,
            }
            for signal in look.active
        ]
        return [Message("signal.detected", {"signals": signals})] if signals else []

    def _signal(self, signal: Signal) -> dict[str, Any]:
        return {
            "signal_type": signal.type,
            "start": signal.start,
            "probability": signal.probability,
            "rationale": signal.rationale,
            **self._modality,
        }


def _span(signal: Signal, look: Look) -> dict[str, float]:
    """Return the part of a signal that one window saw."""
    return {"start": max(signal.start, look.start), "end": look.end}


def sprinkle(messages: list[Message], window: int) -> list[Message]:
    """Add what a newer server might send: fields nobody knows, and every third window a type nobody knows."""
    richer = [Message(kind, {**data, "x_confidence": 0.5, "x_detail": None}) for kind, data in messages]
    if window % 3 == 0:
        richer.append(Message("gaze.updated", {"target": "screen", "start": float(window), "nested": {"a": [1, None]}}))
    return richer


Span = tuple[float, float]

_ADVICE = {
    "clarity": "Restate the key point in one short sentence.",
    "authority": "Slow down and finish each sentence firmly.",
    "energy": "Vary your pace; the last minute was flat.",
    "rapport": "Ask what the other side makes of it.",
    "learning": "Pause and let them say it in their own words.",
}


class Analysis:
    """One session's analysis, from report to report."""

    def __init__(self, settings: Settings, terms: Terms, session: int) -> None:
        self._terms = terms
        self._pace = settings.pace
        self._unknown = settings.unknown_events
        self._subject = Subject(f"{settings.seed}/{session}")
        self._speaker = Speaker(settings.dialect, terms.version)
        self._window = 0
        self._period = 0
        self._seen_until = 0.0
        self._clock = 0.0
        self._keyframes: list[float] = []
        self._skipped: list[Span] = []
        self._totals = dict.fromkeys(GOAL_DIMENSIONS, 0.0)
        self._scored = 0

    def advance(self, report: Report, config: SessionConfig) -> list[Message]:
        """Return what follows from the media of one report, under the configuration in force when it was sent."""
        self._clock = report.clock
        self._keyframes += report.keyframes
        self._skipped += report.skipped
        messages = [_dropped(report.skipped)] if report.skipped else []
        while (message_time := min(self._window_end, self._period_end)) <= self._clock:
            step = self._look if message_time == self._window_end else self._score
            messages += step(config)
        return messages

    def finish(self) -> list[Message]:
        """Return what follows from the end of the media: what was active ends."""
        return self._speaker.farewell(self._subject.leave(), _seconds(self._clock))

    @property
    def _window_end(self) -> float:
        return self._window * self._pace.stride + self._pace.window

    @property
    def _period_end(self) -> float:
        return (self._period + 1) * self._pace.cadence

    def _look(self, config: SessionConfig) -> list[Message]:
        """One window of the analysis."""
        number, end = self._window, self._window_end
        start = end - self._pace.window
        self._window += 1
        hole = self._hole(start, end)
        if hole is not None:
            self._window = max(self._window, int((hole[1] - self._pace.window) // self._pace.stride) + 1)
            return []
        look = self._subject.look(number, start, end, self._fresh(start), signal_types(self._terms, config.model))
        self._seen_until = end
        messages = self._speaker.tell(look)
        if self._unknown:
            messages = sprinkle(messages, number)
        return [*self._degraded(start, end, config), *messages]

    def _score(self, config: SessionConfig) -> list[Message]:
        """One cadence period: the conversation quality as far as it was asked for, and feedback."""
        number, end = self._period, self._period_end
        start = end - self._pace.cadence
        self._period += 1
        hole = self._hole(start, end)
        if hole is not None:
            self._period = max(self._period, int(hole[1] // self._pace.cadence))
            return []
        scores = self._subject.scores(number)
        self._scored += 1
        self._totals = {name: total + scores[name] for name, total in self._totals.items()}
        return [*self._quality(start, end, scores, config), *_feedback(number, config)]

    def _quality(self, start: float, end: float, scores: dict[str, float], config: SessionConfig) -> list[Message]:
        data: dict[str, Any] = {}
        if "conversation_quality_overall" in config.include:
            data["overall"] = with_index({name: total / self._scored for name, total in self._totals.items()})
        if "conversation_quality_timeline" in config.include:
            data["timeline"] = [{"start": start, "end": end, "values": scores}]
        return [Message("conversation_quality.updated", data)] if data else []

    def _degraded(self, start: float, end: float, config: SessionConfig) -> list[Message]:
        """Said of a window that shows no key frame, unless the model only listens or a part was dropped anyway."""
        seen = any(start <= at < end for at in self._keyframes)
        seen = seen or any(begin < end and start < until for begin, until in self._skipped)
        self._keyframes = [at for at in self._keyframes if at >= start]
        if seen or config.model == INTER_2_AUDIO:
            return []
        ranges = [{"start": _seconds(start), "end": _seconds(end)}]
        return [Message("coverage.degraded", {"ranges": ranges, "reason": "video_gap"})]

    def _fresh(self, start: float) -> float:
        """Return the first moment of a window that no window before it saw and that was received."""
        fresh = max(self._seen_until, start)
        for begin, end in self._skipped:
            if begin <= fresh < end:
                fresh = end
        return _seconds(fresh)

    def _hole(self, start: float, end: float) -> Span | None:
        """Return the skipped range that swallows a whole span."""
        self._skipped = [span for span in self._skipped if span[1] > min(start, self._seen_until)]
        return next((span for span in self._skipped if span[0] <= start and end <= span[1]), None)


def _dropped(ranges: tuple[Span, ...]) -> Message:
    spans = [{"start": _seconds(start), "end": _seconds(end)} for start, end in ranges]
    return Message("coverage.dropped", {"ranges": spans})


def _feedback(number: int, config: SessionConfig) -> list[Message]:
    if not config.goal_dimensions:
        return []
    dimension = config.goal_dimensions[number % len(config.goal_dimensions)]
    return [Message("feedback.generated", {"feedback": _ADVICE[dimension]})]


def _seconds(value: float) -> float:
    return round(value, 3)
