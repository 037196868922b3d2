"""Messages as lines for people, or as JSON for scripts; no I/O.

The JSON is pure ASCII, so that no terminal obeys what somebody published.
"""

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from interhuman2mqtt.commands.watch_model import BRIDGE, Box, BridgeState, Camera, Event, Fleet, Place, Status, read
from interhuman2mqtt.runtime.sanitize import clean

NUMBER_MAX = 1e12
"""JSON has whole numbers that cannot be printed as others are."""
SCORES = ("clarity", "authority", "energy", "rapport", "learning")


class Line(NamedTuple):
    """One thing that happened; its texts are clean."""

    at: datetime
    box: str
    camera: str
    kind: str
    """A word that also chooses the colour: status, signal, engagement, quality, session, coverage, error."""
    text: str


def line(place: Place, payload: bytes) -> Line | None:
    """Return a message as a line; None for those that repeat what another one says, and for nonsense."""
    if place.camera == BRIDGE and place.about == "state":
        return _bridge(place, read(payload, BridgeState))
    if place.about == "status":
        return _status(place, read(payload, Status))
    if place.about.startswith(("event/", "late/")):
        return _event(place, read(payload, Event))
    return None


def _bridge(place: Place, state: BridgeState | None) -> Line | None:
    if state is None:
        return None
    return _line(place, state.since or datetime.now().astimezone(), "status", f"box {state.state}")


def _status(place: Place, status: Status | None) -> Line | None:
    if status is None:
        return None
    words = [status.state]
    if status.state == "streaming":
        words += [f"- {status.source}"] if status.source else []
    elif status.reason and status.reason != status.state:
        words.append(f"- {status.reason}")
    if status.detail:
        words.append(f"({status.detail})")
    return _line(place, status.since, "status", " ".join(words))


def _event(place: Place, event: Event | None) -> Line | None:
    if event is None:
        return None
    kind, _, change = event.type.partition(".")
    text = _SAY.get(kind, _anything)(change, event)
    if place.about.startswith("late/"):  # what it is about is over, and may be of another day
        text = f"late, of {_local(event.start_at)}: {text}"
    return _line(place, event.received_at, _KINDS.get(kind, kind), text)


def _local(at: datetime | None) -> str:
    return f"{at.astimezone():%Y-%m-%d %H:%M:%S}" if at is not None else "an unknown time"


def _line(place: Place, at: datetime, kind: str, text: str) -> Line:
    return Line(at, clean(place.box, 64), clean(place.camera, 64), clean(kind, 11), clean(text))


def _signal(change: str, event: Event) -> str:
    data = event.data
    name = data.get("signal_type", "?")
    if change == "ended":
        if not event.start_at or not event.end_at:
            return f"{name} ends"
        return f"{name} ends after {(event.end_at - event.start_at).total_seconds():.0f} s"
    rationale = f": {data['rationale']}" if data.get("rationale") else ""
    return f"{name} {'begins' if change == 'detected' else 'goes on'}, probability {data.get('probability')}{rationale}"


def _engagement(_: str, event: Event) -> str:
    return str(event.data.get("state"))


def _quality(_: str, event: Event) -> str:
    overall = event.data.get("overall")
    if not isinstance(overall, dict):
        return "a new period"
    scores = ", ".join(f"{name} {_score(overall.get(name))}" for name in SCORES)
    return f"{_score(overall.get('quality_index'))} of 100 ({scores})"


def _score(value: object) -> str:
    return f"{value:.0f}" if isinstance(value, int | float) and abs(value) < NUMBER_MAX else "?"


def _session(change: str, event: Event) -> str:
    return f"{change} ({event.session})"


def _coverage(change: str, event: Event) -> str:
    seconds, reason = event.data.get("seconds"), event.data.get("reason")
    if change == "gap" and isinstance(seconds, int | float) and abs(seconds) < NUMBER_MAX:
        return f"gap of {seconds:.1f} s: {reason}"
    if change == "gap" and seconds is None:
        return f"gap of unknown length: {reason}"
    if change == "filled" and isinstance(seconds, int | float):
        return f"{seconds:.1f} s of a gap were analysed after all: {reason}"
    return _anything(change, event)


def _anything(change: str, event: Event) -> str:
    return f"{change} {msgspec.json.encode(event.data).decode()}".strip()


_SAY: dict[str, Callable[[str, Event], str]] = {
    "signal": _signal,
    "engagement": _engagement,
    "conversation_quality": _quality,
    "session": _session,
    "coverage": _coverage,
}
_KINDS: dict[Any, str] = {"conversation_quality": "quality"}


def message(place: Place, payload: bytes) -> str | None:
    """Return a message as a line of JSON; None where it is not JSON. One that was cleared has `data: null`."""
    try:
        data = msgspec.json.decode(payload) if payload else None
    except (ValueError, RecursionError):
        return None
    camera = None if place.camera == BRIDGE else place.camera
    return json.dumps({"box": place.box, "camera": camera, "about": place.about, "data": data})


def snapshot(fleet: Fleet) -> str:
    """Return all that is known now, as one line."""
    boxes = {name: _box(box) for name, box in sorted(fleet.boxes.items())}
    return json.dumps({"files_hash": fleet.files_hash, "boxes": boxes})


def broker(word: str, detail: str) -> str:
    """Return the state of the connection to the broker, as a line."""
    return json.dumps({"broker": word, "detail": detail})


def _box(box: Box) -> dict[str, Any]:
    cameras = {name: _camera(camera) for name, camera in sorted(box.cameras.items())}
    bridge = {"state": box.state, "info": box.info, "health": box.health}
    return {**_plain(bridge), "cameras": cameras}


def _camera(camera: Camera) -> dict[str, Any]:
    return _plain(vars(camera))


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(values)
    return plain
