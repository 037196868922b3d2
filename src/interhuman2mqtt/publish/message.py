"""What travels from the topics through the outbox to the broker."""

from enum import StrEnum

from msgspec import Struct

from interhuman2mqtt.events import ActiveSignal

ROW_COST = 700
"""Bytes of memory that a message costs beside its topic and payload, as measured with CPython 3.11."""


class Kind(StrEnum):
    """How a message waits for the broker."""

    EVENT = "event"
    """Keeps its place in the order, outlives the daemon, and is repeated until the broker has it."""
    STATE = "state"
    """Gives way to a newer one of its topic; each start publishes all of them anew."""
    ANSWER = "answer"
    """To a request: keeps its place among the events, does not outlive the daemon, and is not repeated once the
    connection that it was sent through is lost."""


class Message(Struct, frozen=True, kw_only=True):
    """One MQTT message, QoS 1, with everything that the broker is told about it."""

    topic: str
    payload: bytes
    """JSON, or a picture; empty where a retained topic is to be cleared."""
    kind: Kind
    retain: bool
    camera: str | None = None
    """Whose order it keeps; None: the bridge's own."""
    expiry: int | None = None
    """Seconds after which nobody needs it any more (MQTT 5, 3.3.2.3.3); None: never."""
    properties: tuple[tuple[str, str], ...] = ()
    """MQTT 5 user properties."""
    content_type: str = "application/json"
    """MQTT 5 content type; what is neither JSON nor other text is published as bytes of no known format."""
    correlation: bytes | None = None
    """MQTT 5 correlation data: of an answer, the request's."""
    often: bool = False
    """A state that may change many times a second; it is told less often (`calm`)."""
    active: tuple[ActiveSignal, ...] | None = None
    """The signals of its camera that are active from then on, so that a later life can end them; None: as before."""


def cost(message: Message) -> int:
    """Bytes that a message takes while it waits; about those that it takes in the store's file, too."""
    return len(message.topic) + len(message.payload) + ROW_COST
