"""Events and states to topics and payloads, as users read them in the contract. No I/O."""

import re
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

import msgspec
from msgspec import Struct, structs

from interhuman2mqtt.events import ActiveSignal, CameraStatus, Event
from interhuman2mqtt.policy.budget_store import BudgetTable
from interhuman2mqtt.publish import payloads
from interhuman2mqtt.publish.message import Message, MessageKind

LEVEL_MAX = 64
"""Characters of a topic level that comes from the cloud."""

SNAPSHOT_EXPIRY_S = 300
"""Seconds for which a picture is worth delivering."""

EXPIRY_MAX = 0xFFFF_FFFF
"""Seconds: MQTT 5 counts the message expiry in four bytes (3.3.2.3.3)."""

_unsafe = re.compile(r"[^0-9A-Za-z._-]")
_encode = msgspec.json.Encoder().encode


class BridgeWord(StrEnum):
    """How the daemon itself is."""

    ONLINE = "online"
    OFFLINE = "offline"
    """The broker's word, out of the will: the connection ended without a farewell."""
    STOPPED = "stopped"


class BridgeState(Struct, frozen=True, kw_only=True):
    """`bridge/state`."""

    state: BridgeWord
    boot_id: str
    """Whose word it is: the late will of an earlier life must not be taken for this one's."""
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
    """How the last reload ended."""

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
    """Of what the files say: the same on all boxes that were given the same files."""
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
    """What requests or pauses we are not subscribed to at the broker and why, in one sentence; None: to all of them."""
    dropped: Mapping[str, int]
    """Messages that were lost by a stated rule, by the rule's name."""
    tasks: int
    """Of the daemon, to be seen not to grow."""
    requests: Mapping[str, int]
    """Messages that came to us, by what became of them."""
    budgets: BudgetTable
    """Seconds used and allowed today, of the box and of each camera."""
    states: Mapping[str, int]
    """How many cameras are in each state, without those that none is in."""
    cameras: Mapping[str, Mapping[str, float]]
    """Counters of each camera, by their names."""


class Topics:
    """`<base>/<box>/...`: where everything of one box is published.

    Args:
        base: `mqtt.base_topic`.
        box: The id of this box.
        expiry: Seconds for which an event is worth delivering: `outbox.max_age`.
    """

    def __init__(self, base: str, box: str, expiry: float = EXPIRY_MAX) -> None:
        self._prefix = f"{base}/{box}"
        self._expiry = min(max(1, int(expiry)), EXPIRY_MAX)

    def bridge(self, name: str) -> str:
        """The topic `bridge/<name>`, whole."""
        return f"{self._prefix}/bridge/{name}"

    def of(self, camera: str, name: str) -> str:
        """The topic `<camera>/<name>`, whole."""
        return f"{self._prefix}/{camera}/{name}"

    def event(self, event: Event) -> Message:
        """`<camera>/event/<type>`: once, in order, never retained."""
        name = level(event.type)
        return Message(
            topic=self.of(event.camera, f"event/{name}"),
            payload=_encode(event),
            kind=MessageKind.EVENT,
            retain=False,
            camera=event.camera,
            expiry=self._expiry,
            properties=_properties(name, event.id),
        )

    def status(self, status: CameraStatus) -> Message:
        """`<camera>/status`."""
        return self._retained(f"{status.camera}/status", _encode(status), "status", camera=status.camera)

    def state(self, camera: str, name: str, value: Struct, event_id: str) -> Message:
        """`<camera>/state/<name>`, which the event `event_id` has changed."""
        properties = _properties(f"state.{name}", event_id)
        topic = f"{camera}/state/{name}"
        return self._retained(topic, _encode(value), "", camera=camera, properties=properties, often=True)

    def clear_state(self, camera: str) -> tuple[Message, ...]:
        """All of `<camera>/state/...` emptied: nothing is known of it while it is paused or stopped."""
        return tuple(self._retained(f"{camera}/state/{name}", b"", "state", camera=camera) for name in payloads.NAMES)

    def clear(self, topic: str) -> Message:
        """A retained topic of ours, whole as it was published, emptied."""
        return Message(topic=topic, payload=b"", kind=MessageKind.STATE, retain=True, properties=_properties("state"))

    def clear_camera(self, camera: str) -> tuple[Message, ...]:
        """Every retained topic of a camera that is no longer there, emptied."""
        return (self._retained(f"{camera}/status", b"", "status", camera=camera), *self.clear_state(camera))

    def snapshot(self, camera: str, jpeg: bytes, taken_at: datetime, *, retain: bool) -> Message:
        """`<camera>/snapshot`: a JPEG as it is. Not for the outbox, which may be brought to the disk."""
        return Message(
            topic=f"{self._prefix}/{camera}/snapshot",
            payload=jpeg,
            kind=MessageKind.ANSWER,
            retain=retain,
            camera=camera,
            expiry=None if retain else SNAPSHOT_EXPIRY_S,
            properties=(*_properties("snapshot"), ("taken_at", taken_at.isoformat())),
            content_type="image/jpeg",
        )

    def clear_snapshot(self, camera: str) -> Message:
        """`<camera>/snapshot` emptied."""
        return self._retained(f"{camera}/snapshot", b"", "snapshot", camera=camera)

    def bridge_state(self, word: BridgeWord, boot_id: str, since: datetime | None) -> Message:
        """`bridge/state`; with OFFLINE the will."""
        value = BridgeState(state=word, boot_id=boot_id, since=since)
        return self._retained("bridge/state", _encode(value), "bridge.state")

    def bridge_info(self, info: BridgeInfo) -> Message:
        """`bridge/info`."""
        return self._retained("bridge/info", _encode(info), "bridge.info")

    def bridge_health(self, health: BridgeHealth) -> Message:
        """`bridge/health`."""
        return self._retained("bridge/health", _encode(health), "bridge.health")

    def discovery(self, prefix: str, object_id: str, payload: bytes) -> Message:
        """`<prefix>/device/<object_id>/config`, Home Assistant's own: a device with all its entities."""
        return Message(
            topic=f"{prefix}/device/{object_id}/config",
            payload=payload,
            kind=MessageKind.STATE,
            retain=True,
            properties=_properties("discovery"),
        )

    def _retained(  # noqa: PLR0913 - the parts of a message
        self,
        topic: str,
        payload: bytes,
        name: str,
        *,
        camera: str | None = None,
        properties: tuple[tuple[str, str], ...] = (),
        often: bool = False,
    ) -> Message:
        return Message(
            topic=f"{self._prefix}/{topic}",
            payload=payload,
            kind=MessageKind.STATE,
            retain=True,
            camera=camera,
            properties=properties or _properties(name),
            often=often,
        )


class CameraTopics:
    """One camera's events, each with the states that it changes; remembers which signals are active."""

    def __init__(self, topics: Topics, camera: str) -> None:
        self._topics = topics
        self._camera = camera
        self._active: payloads.Active = {}

    def messages(self, event: Event) -> tuple[Message, ...]:
        """The event itself, then what it changes, in the order in which they are to be published."""
        self._active = payloads.fold_signals(self._active, event)
        changed = payloads.derive(self._active, event)
        states = (self._topics.state(self._camera, name, value, event.id) for name, value in changed.items())
        message = self._topics.event(event)
        if event.type.startswith("signal."):
            signals = tuple(ActiveSignal(kind, signal.session) for kind, signal in self._active.items())
            message = structs.replace(message, active=signals)
        return (message, *states)

    def clear(self) -> tuple[Message, ...]:
        """Nothing is known of the camera any more: its retained states go."""
        cleared = self._topics.clear_state(self._camera)
        if self._active:
            self._active = {}
            cleared = (structs.replace(cleared[0], active=()), *cleared[1:])
        return cleared


def level(name: str) -> str:
    """A word of the cloud's as one level of a topic: letters, digits and `._-` only, never empty, bounded."""
    return _unsafe.sub("_", name[:LEVEL_MAX]) or "_"


def mark_late(payload: bytes) -> bytes:
    """The payload of an event with `late` true.

    No need to decode it: in JSON only a key is a bare string before a colon, and `late` comes before `data`, which
    is the first that could hold a key of somebody else's choosing.
    """
    return payload.replace(b'"late":false', b'"late":true', 1)


def _properties(name: str, event_id: str | None = None) -> tuple[tuple[str, str], ...]:
    properties = (("schema", "1"), ("type", name))
    return properties if event_id is None else (*properties, ("id", event_id))
