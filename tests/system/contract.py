"""Whether what is on the broker is what the contract promises; written from the contract, not from the code."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID

import msgspec
from msgspec import UNSET, Struct, UnsetType

from home import rules
from rig.mosquitto import Received

TOPIC = re.compile(r"interhuman/(?P<box>[a-z0-9_-]+)/(?P<rest>[A-Za-z0-9_./-]+)")


class Range(Struct, forbid_unknown_fields=True):
    """A range of `coverage.*`."""

    start_at: datetime
    end_at: datetime | None


class Event(Struct, forbid_unknown_fields=True, kw_only=True):
    """`<camera>/event/<type>`."""

    schema: Literal[1]
    id: str
    box: str
    camera: str
    type: str
    session: UUID | None
    correlation_id: str | None
    timestamp: str | None
    received_at: datetime
    start_at: datetime | None
    end_at: datetime | None
    ranges_at: list[Range] | UnsetType = UNSET
    clock: Literal["synced", "unknown"]
    replayed: bool
    late: bool
    synthetic: Literal[True] | UnsetType = UNSET
    data: dict[str, Any]
    raw: dict[str, Any] | UnsetType = UNSET


class Status(Struct, kw_only=True):
    """`<camera>/status`."""

    state: Literal["streaming", "connecting", "waiting", "paused", "offline", "refused", "stopped"]
    reason: str | None
    detail: str | None
    since: datetime
    session: UUID | None


class BridgeState(Struct, kw_only=True):
    """`bridge/state`."""

    state: Literal["online", "offline", "stopped"]
    boot_id: UUID
    since: datetime | None


class BridgeInfo(Struct, kw_only=True):
    """`bridge/info`."""

    version: str
    config_hash: str
    config: dict[str, Any]
    cameras: list[str]


class BridgeHealth(Struct, kw_only=True):
    """`bridge/health`."""

    uptime: float
    outbox_rows: int
    outbox_age: float
    outbox_parked: int
    store: str | None
    states: dict[str, int]
    cameras: dict[str, dict[str, float]]


class Engagement(Struct, kw_only=True):
    """`<camera>/state/engagement`."""

    state: str


class Signals(Struct, kw_only=True):
    """`<camera>/state/signals`."""

    signals: dict[str, dict[str, Any]]


class ConversationQuality(Struct, kw_only=True):
    """`<camera>/state/conversation_quality`."""

    overall: dict[str, float] | None
    timeline: list[dict[str, Any]] | None


RETAINED: dict[str, type[Struct]] = {
    "bridge/state": BridgeState,
    "bridge/info": BridgeInfo,
    "bridge/health": BridgeHealth,
    "status": Status,
    "state/engagement": Engagement,
    "state/signals": Signals,
    "state/conversation_quality": ConversationQuality,
    "state/last_event": Event,
}
"""The last levels of a topic, and what stands on it."""


def assert_keeps(messages: Iterable[Received], box: str) -> None:
    """Every message is on a topic that the contract knows, with the payload that it promises."""
    ids: set[str] = set()
    for message in messages:
        assert message.qos == 1
        if message.topic.startswith("homeassistant/"):
            assert rules.problems(message.topic, message.payload) == []
            continue
        found = TOPIC.fullmatch(message.topic)
        assert found, message.topic
        assert found["box"] == box
        levels = found["rest"].split("/")
        if levels[1] == "event":
            _keeps_event(message, box, levels, ids)
        else:
            _keeps_state(message, levels)


def _keeps_event(message: Received, box: str, levels: list[str], ids: set[str]) -> None:
    event = msgspec.json.decode(message.payload, type=Event)
    camera, _, type_ = levels
    assert not message.retained
    assert (event.box, event.camera, event.type) == (box, camera, type_)
    scope = event.id.removeprefix(f"{box}/{camera}/").partition("/")[0]
    assert UUID(scope) == event.session or event.synthetic is True or type_ == "coverage.gap"
    assert event.id not in ids
    ids.add(event.id)
    for instant in (event.received_at, event.start_at, event.end_at):
        assert instant is None or instant.tzinfo is UTC
    assert properties(message) == {"schema": "1", "type": type_, "id": event.id}
    assert message.properties["ContentType"] == "application/json"
    assert message.properties["PayloadFormatIndicator"] == 1
    assert message.properties["MessageExpiryInterval"] > 0


def _keeps_state(message: Received, levels: list[str]) -> None:
    name = "/".join(levels if levels[0] == "bridge" else levels[1:])
    assert name in RETAINED, message.topic
    if message.payload:  # else it is being cleared
        msgspec.json.decode(message.payload, type=RETAINED[name])
    assert properties(message)["schema"] == "1"


def properties(message: Received) -> dict[str, str]:
    """The MQTT 5 user properties."""
    return dict(message.properties["UserProperty"])
