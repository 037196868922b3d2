"""Payloads of `bridge/...` and `<camera>/state/...`; the state of a camera is folded from its events. No I/O.

Only the active signals need a memory: engagement, conversation quality and the last event are each whole in one event.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from interhuman2mqtt.events import ACTIVE_MAX, Event
from interhuman2mqtt.policy.budget_store import BudgetTable

NAMES = ("engagement", "signals", "conversation_quality", "last_event")
"""The last levels of the retained topics of a camera's state."""

VALUE_MAX = 4096
"""Bytes of JSON of a value beyond which it is left to the event: states are sent again and again."""


class BridgeStatus(StrEnum):
    """State of the daemon itself."""

    ONLINE = "online"
    OFFLINE = "offline"
    """Published by the broker, out of the will: the connection ended without DISCONNECT."""
    STOPPED = "stopped"


class BridgeState(Struct, frozen=True, kw_only=True):
    """`bridge/state`."""

    state: BridgeStatus
    boot_id: str
    """Of the life that published it: the late will of an earlier one must not be taken for this one's."""
    since: datetime | None
    """None in the will, which is written before anybody knows when it will be needed."""


class Mistake(Struct, frozen=True, kw_only=True):
    """One thing that is wrong with a configuration."""

    file: str | None
    line: int | None
    key: str
    """Dotted; empty where the whole file is meant."""
    message: str

    def __str__(self) -> str:
        """One line: `FILE:LINE: key: message`."""
        where = ":".join(str(part) for part in (self.file, self.line) if part is not None)
        return ": ".join(filter(None, (where, self.key, self.message)))


class ReloadInfo(Struct, frozen=True, kw_only=True):
    """Result of the last reload."""

    state: Literal["ok", "rejected"]
    at: datetime
    problems: tuple[Mistake, ...] = ()
    """Why it was rejected; the configuration before it goes on."""
    stopped: tuple[str, ...] = ()
    started: tuple[str, ...] = ()
    """Cameras; one that changed is among both."""
    needs_restart: tuple[str, ...] = ()
    """Sections of the files that are not in force before the daemon is started anew."""


class BridgeInfo(Struct, frozen=True, kw_only=True):
    """`bridge/info`."""

    schema: Literal[1] = 1
    version: str
    boot_id: str
    config_hash: str
    """Of the effective configuration: another one on each box."""
    files_hash: str
    """Of the files alone: the same on all boxes that were given the same files."""
    config: dict[str, Any]
    """The effective configuration, secrets masked."""
    cameras: tuple[str, ...]
    reload: ReloadInfo | None = None
    """None: there was none since the start."""
    needs_restart: tuple[str, ...] = ()
    """Sections of which the files say something else than what is in force: it waits for a restart."""


class BridgeHealth(Struct, frozen=True, kw_only=True):
    """`bridge/health`."""

    schema: Literal[1] = 1
    at: datetime
    uptime: float
    """seconds"""
    outbox_rows: int
    outbox_bytes: int
    outbox_age: float
    """Seconds that the oldest message waits."""
    outbox_parked: int = 0
    """Messages whose topic the broker refuses, or that seem to break the connection; counted in `outbox_rows` too."""
    store: str | None = None
    """Why events would not survive a restart of the daemon now, in one sentence; None: they would."""
    subscriptions: str | None = None
    """Requests or pauses that we are not subscribed to and why, in one sentence; None: to all of them."""
    dropped: Mapping[str, int]
    """Messages that were dropped, by the rule's name."""
    tasks: int
    """Of the daemon, to be seen not to grow."""
    requests: Mapping[str, int]
    """Messages that came to us, by what became of them."""
    budgets: BudgetTable
    """Seconds used and allowed today, of the box and of each camera."""
    states: Mapping[str, int]
    """Number of cameras in each state, without the states that none is in."""
    cameras: Mapping[str, Mapping[str, float]]
    """Counters of each camera, by their names."""


class Signal(Struct, frozen=True, kw_only=True):
    """A signal that is active: detected, and not ended yet."""

    since: datetime
    """Its beginning; an update does not move it."""
    updated_at: datetime
    session: str | None
    probability: Any = None
    """high, medium or low, as the cloud has it."""
    modality: Any | UnsetType = UNSET
    rationale: Any | UnsetType = UNSET
    """Only where the event still carried it after redaction."""


Active = Mapping[str, Signal]
"""The active signals of a camera by their type, oldest first."""


class _State(Struct, frozen=True, kw_only=True):
    """Origin of a state: the event `id`, which arrived `at`."""

    schema: Literal[1] = 1
    id: str
    box: str
    camera: str
    session: str | None
    at: datetime


class Engagement(_State, frozen=True, kw_only=True):
    """`state/engagement`."""

    state: Any
    """engaged, neutral or disengaged, as the cloud has it."""
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
    """Return the signals that are active after `event`; `active` itself is left as it was."""
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
    # The cloud does not say whether an update's start is the signal's or the update's: the first one is kept.
    if known is not None and known.session == event.session and event.type == "signal.updated":
        return known.since
    return event.start_at or event.received_at


def _without(active: Active, name: str, event: Event) -> Active:
    # A session ends only its own signals: the end of an older one may come after a newer one's beginning.
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
    """Return a value as it is in the event, unless it is long beyond reason."""
    return value if value is UNSET or len(msgspec.json.encode(value)) <= VALUE_MAX else None


def derive(active: Active, event: Event) -> dict[str, Struct]:
    """Return the states that `event` changes, by the last level of their topic; `active` has `event` in it already."""
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
    """Decide whether there is a score in it: an update without any must not wipe out those before it."""
    return isinstance(data.get("overall"), dict) or isinstance(data.get("timeline"), list)


def _origin(event: Event) -> dict[str, Any]:
    return {
        "id": event.id,
        "box": event.box,
        "camera": event.camera,
        "session": event.session,
        "at": event.received_at,
    }
