"""What travels from the topics through the outbox to the broker."""

from enum import StrEnum

from msgspec import Struct


class Kind(StrEnum):
    """How a message waits.

    An event keeps its place in the order, a state gives way to a newer one of its topic, an answer keeps its place,
    and is not worth repeating once its connection is over.
    """

    EVENT = "event"
    STATE = "state"
    ANSWER = "answer"


class Message(Struct, frozen=True, kw_only=True):
    """One MQTT message, QoS 1, with everything that the broker is told about it."""

    topic: str
    payload: bytes
    """JSON; empty where a retained topic is to be cleared."""
    kind: Kind
    retain: bool
    camera: str | None = None
    """Whose order it keeps; None: the bridge's own."""
    expiry: int | None = None
    """Seconds after which nobody needs it any more (MQTT 5, 3.3.2.3.3); None: never."""
    properties: tuple[tuple[str, str], ...] = ()
    """MQTT 5 user properties."""
    correlation: bytes | None = None
    """MQTT 5 correlation data: of an answer, the request's."""
