"""What is true of a camera now, folded from its events: the payloads of `<camera>/state/...`. No I/O.

Only the active signals need a memory: engagement, conversation quality and the last event are each told whole by one
event.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from interhuman2mqtt.events import ACTIVE_MAX, Event

NAMES = ("engagement", "signals", "conversation_quality", "last_event")
"""The last levels of the retained topics of a camera's state."""

WORD_MAX = 4096
"""Bytes of JSON of what is said of a signal beyond which it is left to the event: states are sent again and again."""


class Signal(Struct, frozen=True, kw_only=True):
    """A signal that is active: detected, and not ended yet."""

    since: datetime
    """When it began; an update does not move it."""
    updated_at: datetime
    session: str | None
    probability: Any = None
    """high, medium or low; the cloud's own word."""
    modality: Any | UnsetType = UNSET
    rationale: Any | UnsetType = UNSET
    """Only where the event still carried it after redaction."""


Active = Mapping[str, Signal]
"""The active signals of a camera by their type, oldest first."""


class _State(Struct, frozen=True, kw_only=True):
    """What each state says of its origin: the event `id`, which arrived `at`."""

    schema: Literal[1] = 1
    id: str
    box: str
    camera: str
    session: str | None
    at: datetime


class Engagement(_State, frozen=True, kw_only=True):
    """`state/engagement`."""

    state: Any
    """engaged, neutral or disengaged; the cloud's own word."""
    since: datetime


class Signals(_State, frozen=True, kw_only=True):
    """`state/signals`."""

    count: int
    signals: Active


class ConversationQuality(_State, frozen=True, kw_only=True):
    """`state/conversation_quality`: each part as the newest event has it, None where the session did not ask for it."""

    start_at: datetime | None
    end_at: datetime | None
    overall: Any
    timeline: Any


def fold_signals(active: Active, event: Event) -> Active:
    """The signals that are active after `event`; `active` itself is left as it was."""
    name = event.data.get("signal_type")
    if not isinstance(name, str):
        return active
    match event.type:
        case "signal.detected" | "signal.updated":
            # REF1's dialect gives a detected signal its end at once: it is over, and was never active.
            ended = event.data.get("end") is not None
            return _without(active, name, event) if ended else _with(active, name, event)
        case "signal.ended":
            return _without(active, name, event)
    return active


def _with(active: Active, name: str, event: Event) -> Active:
    known = active.get(name)
    others = active if known else dict(list(active.items())[-(ACTIVE_MAX - 1) :])
    return {**others, name: _signal(event, _since(known, event))}


def _since(known: Signal | None, event: Event) -> datetime:
    """The cloud does not say whether an update's start is the signal's or the update's: the first one is kept."""
    if known is not None and known.session == event.session and event.type == "signal.updated":
        return known.since
    return event.start_at or event.received_at


def _without(active: Active, name: str, event: Event) -> Active:
    """A session ends only its own signals: the end of an older one may come after a newer one's beginning."""
    known = active.get(name)
    if known is None or known.session != event.session:
        return active
    return {key: value for key, value in active.items() if key != name}


def _signal(event: Event, since: datetime) -> Signal:
    return Signal(
        since=since,
        updated_at=event.received_at,
        session=event.session,
        probability=_brief(event.data.get("probability")),
        modality=_brief(event.data.get("modality", UNSET)),
        rationale=_brief(event.data.get("rationale", UNSET)),
    )


def _brief(value: Any) -> Any:
    """What stands in a state as it does in the event, unless it is long beyond reason."""
    return value if value is UNSET or len(msgspec.json.encode(value)) <= WORD_MAX else None


def derive(active: Active, event: Event) -> dict[str, Struct]:
    """The states that `event` changes, by the last level of their topic; `active` is the fold with `event` in it."""
    changed: dict[str, Struct] = {}
    match event.type:
        case "engagement.updated" if isinstance(event.data.get("state"), str):
            changed["engagement"] = Engagement(
                **_origin(event), state=event.data.get("state"), since=event.start_at or event.received_at
            )
        case "session.ready" | "signal.detected" | "signal.updated" | "signal.ended":
            changed["signals"] = Signals(**_origin(event), count=len(active), signals=active)
        case "conversation_quality.updated" if _has_quality(event.data):
            changed["conversation_quality"] = ConversationQuality(
                **_origin(event),
                start_at=event.start_at,
                end_at=event.end_at,
                overall=event.data.get("overall"),
                timeline=event.data.get("timeline"),
            )
    changed["last_event"] = event
    return changed


def _has_quality(data: dict[str, Any]) -> bool:
    """Whether there is a score in it: an update without any must not wipe out those before it."""
    return isinstance(data.get("overall"), dict) or isinstance(data.get("timeline"), list)


def _origin(event: Event) -> dict[str, Any]:
    return {
        "id": event.id,
        "box": event.box,
        "camera": event.camera,
        "session": event.session,
        "at": event.received_at,
    }
