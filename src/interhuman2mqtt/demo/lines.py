"""What is published, as lines for people; no I/O."""

from datetime import datetime
from typing import Any, NamedTuple

import msgspec

SCORES = ("clarity", "authority", "energy", "rapport", "learning")


class Line(NamedTuple):
    """One thing that happened."""

    at: datetime
    camera: str
    kind: str
    """A word that also chooses the colour: status, signal, engagement, quality, session, coverage, error."""
    text: str


def line(topic: str, payload: bytes) -> Line | None:
    """What to say about a message; None for those that repeat what another one says."""
    levels = topic.split("/")
    if payload and levels[-1] == "status":
        return _status(msgspec.json.decode(payload))
    if payload and levels[-2] == "event":
        return _event(msgspec.json.decode(payload))
    return None


def _status(status: dict[str, Any]) -> Line:
    words = [status["state"]]
    if status["state"] == "streaming":
        words.append(f"- {status['source']}")
    elif status["reason"] and status["reason"] != status["state"]:
        words.append(f"- {status['reason']}")
    if status["detail"]:
        words.append(f"({status['detail']})")
    return Line(_time(status["since"]), status["camera"], "status", " ".join(words))


def _event(event: dict[str, Any]) -> Line:
    kind, _, change = event["type"].partition(".")
    at = _time(event["received_at"])
    say = _SAY.get(kind, _anything)
    return Line(at, event["camera"], _KINDS.get(kind, kind), say(change, event))


def _signal(change: str, event: dict[str, Any]) -> str:
    data = event["data"]
    name = data.get("signal_type", "?")
    if change == "ended":
        if not event["start_at"]:
            return f"{name} ends"
        return f"{name} ends after {(_time(event['end_at']) - _time(event['start_at'])).total_seconds():.0f} s"
    said = f": {data['rationale']}" if data.get("rationale") else ""
    return f"{name} {'begins' if change == 'detected' else 'goes on'}, probability {data.get('probability')}{said}"


def _engagement(_: str, event: dict[str, Any]) -> str:
    return str(event["data"].get("state"))


def _quality(_: str, event: dict[str, Any]) -> str:
    overall = event["data"].get("overall")
    if not overall:
        return "a new period"
    return (
        f"{overall['quality_index']:.0f} of 100 (" + ", ".join(f"{name} {overall[name]:.0f}" for name in SCORES) + ")"
    )


def _session(change: str, event: dict[str, Any]) -> str:
    return f"{change} ({event['session']})"


def _anything(change: str, event: dict[str, Any]) -> str:
    return f"{change} {msgspec.json.encode(event['data']).decode()}".strip()


_SAY = {"signal": _signal, "engagement": _engagement, "conversation_quality": _quality, "session": _session}
_KINDS = {"conversation_quality": "quality"}


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
