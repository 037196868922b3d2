"""Topics, and the messages on them, as users read them in the contract. No I/O."""

import re
from datetime import datetime

import msgspec
from msgspec import Struct, structs

from interhuman2mqtt.events import CameraStatus, Event, Origin
from interhuman2mqtt.publish import payloads
from interhuman2mqtt.publish.message import Message, MessageKind
from interhuman2mqtt.publish.payloads import BridgeHealth, BridgeInfo, BridgeState, BridgeStatus

LEVEL_MAX = 64
"""Characters of a topic level that comes from the cloud."""

SNAPSHOT_EXPIRY_S = 300
"""Seconds for which a snapshot is worth delivering."""

LATE_S = 30.0
"""Seconds in the outbox after which an event is published as late."""

EXPIRY_MAX = 0xFFFF_FFFF
"""Seconds: MQTT 5 counts the message expiry in four bytes (3.3.2.3.3)."""

_unsafe = re.compile(r"[^0-9A-Za-z._-]")
_encode = msgspec.json.Encoder().encode


class Topics:
    """`<base>/<box>/...`: the topics of one box, and the messages on them.

    Args:
        base: `mqtt.base_topic`.
        box: The id of this box.
        expiry: Seconds for which an event is worth delivering: `outbox.max_age`.
    """

    def __init__(self, base: str, box: str, expiry: float = EXPIRY_MAX) -> None:
        self._prefix = f"{base}/{box}"
        self._expiry = min(max(1, int(expiry)), EXPIRY_MAX)

    def bridge(self, name: str) -> str:
        """Return the topic `bridge/<name>`, whole."""
        return f"{self._prefix}/bridge/{name}"

    def of(self, camera: str, name: str) -> str:
        """Return the topic `<camera>/<name>`, whole."""
        return f"{self._prefix}/{camera}/{name}"

    def event(self, event: Event) -> Message:
        """Return `<camera>/event/<type>`, of a recording `<camera>/late/<type>`: once, in order, never retained."""
        name = level(event.type)
        branch = "event" if event.origin is Origin.STREAM else "late"
        return Message(
            topic=self.of(event.camera, f"{branch}/{name}"),
            payload=_encode(event),
            kind=MessageKind.EVENT,
            retain=False,
            camera=event.camera,
            expiry=self._expiry,
            properties=_properties(name, event.id),
        )

    def status(self, status: CameraStatus) -> Message:
        """Return `<camera>/status`."""
        return self._retained(f"{status.camera}/status", _encode(status), "status", camera=status.camera)

    def state(self, camera: str, name: str, value: Struct, event_id: str) -> Message:
        """Return `<camera>/state/<name>`, which the event `event_id` has changed."""
        properties = _properties(f"state.{name}", event_id)
        topic = f"{camera}/state/{name}"
        return self._retained(topic, _encode(value), "", camera=camera, properties=properties, throttled=True)

    def clear_state(self, camera: str) -> tuple[Message, ...]:
        """Return all of `<camera>/state/...` emptied: nothing is known of it while it is paused or stopped."""
        return tuple(self._retained(f"{camera}/state/{name}", b"", "state", camera=camera) for name in payloads.NAMES)

    def clear(self, topic: str) -> Message:
        """Return a retained topic of ours, whole as it was published, emptied."""
        return Message(topic=topic, payload=b"", kind=MessageKind.STATE, retain=True, properties=_properties("state"))

    def clear_camera(self, camera: str) -> tuple[Message, ...]:
        """Return every retained topic of a camera that is no longer there, emptied."""
        return (self._retained(f"{camera}/status", b"", "status", camera=camera), *self.clear_state(camera))

    def snapshot(self, camera: str, jpeg: bytes, taken_at: datetime, *, retain: bool) -> Message:
        """Return `<camera>/snapshot`: a JPEG as it is. Not for the outbox, which may be brought to the disk."""
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
        """Return `<camera>/snapshot` emptied."""
        return self._retained(f"{camera}/snapshot", b"", "snapshot", camera=camera)

    def bridge_state(self, status: BridgeStatus, boot_id: str, since: datetime | None) -> Message:
        """Return `bridge/state`; with OFFLINE the will."""
        value = BridgeState(state=status, boot_id=boot_id, since=since)
        return self._retained("bridge/state", _encode(value), "bridge.state")

    def bridge_info(self, info: BridgeInfo) -> Message:
        """Return `bridge/info`."""
        return self._retained("bridge/info", _encode(info), "bridge.info")

    def bridge_health(self, health: BridgeHealth) -> Message:
        """Return `bridge/health`."""
        return self._retained("bridge/health", _encode(health), "bridge.health")

    def discovery(self, prefix: str, object_id: str, payload: bytes) -> Message:
        """Return `<prefix>/device/<object_id>/config`, Home Assistant's own: a device with all its entities."""
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
        throttled: bool = False,
    ) -> Message:
        return Message(
            topic=f"{self._prefix}/{topic}",
            payload=payload,
            kind=MessageKind.STATE,
            retain=True,
            camera=camera,
            properties=properties or _properties(name),
            throttled=throttled,
        )


def level(name: str) -> str:
    """Return a name of the cloud's as one level of a topic: letters, digits and `._-`, never empty, bounded."""
    return _unsafe.sub("_", name[:LEVEL_MAX]) or "_"


def aged(message: Message, age: float) -> Message:
    """Return a message as it is after `age` seconds in the outbox: an event is late, and expires sooner."""
    if message.kind is not MessageKind.EVENT:
        return message
    payload = mark_late(message.payload) if age > LATE_S else message.payload
    expiry = None if message.expiry is None else max(1, message.expiry - int(age))
    return structs.replace(message, payload=payload, expiry=expiry)


def mark_late(payload: bytes) -> bytes:
    """Return the payload of an event with `late` true."""
    # No need to decode it: in JSON only a key is a bare string before a colon, and `late` comes before `data`, which is
    # the first that could hold a key of somebody else's choosing.
    return payload.replace(b'"late":false', b'"late":true', 1)


def _properties(name: str, event_id: str | None = None) -> tuple[tuple[str, str], ...]:
    properties = (("schema", "1"), ("type", name))
    return properties if event_id is None else (*properties, ("id", event_id))
