"""What a window shows, told in each of the dialects that clients have met. Pure."""

from typing import Any

from interhuman2mqtt.simulator.messages import Message
from interhuman2mqtt.simulator.settings import Dialect, Version
from interhuman2mqtt.simulator.subject import Look, Signal


class Speaker:
    """Tells what is seen in one dialect, on one version of the endpoint."""

    def __init__(self, dialect: Dialect, version: Version) -> None:
        self._dialect = dialect
        self._modality: dict[str, Any] = {"modality": ["video"]} if version is Version.V1 else {}
        """Only v1 names it."""

    def tell(self, look: Look) -> list[Message]:
        """All that one window has to say."""
        signals = {
            Dialect.LIFE_CYCLE: self._life_cycle,
            Dialect.INTERVAL: self._interval,
            Dialect.CODEALONG: self._codealong,
        }[self._dialect]
        return [*self._engagement(look), *signals(look)]

    def farewell(self, active: tuple[str, ...], end: float) -> list[Message]:
        """The session ends: every signal that is still active ends with it, where the dialect has such a message."""
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
    """The part of a signal that one window saw."""
    return {"start": max(signal.start, look.start), "end": look.end}


def sprinkle(messages: list[Message], window: int) -> list[Message]:
    """The same with what a newer server might add: fields nobody knows, and every third window types nobody knows."""
    richer = [Message(kind, {**data, "x_confidence": 0.5, "x_detail": None}) for kind, data in messages]
    if window % 3 == 0:
        richer.append(Message("gaze.updated", {"target": "screen", "start": float(window), "nested": {"a": [1, None]}}))
    return richer
