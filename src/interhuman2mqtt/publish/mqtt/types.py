"""What passes between the connection to the broker and the rest of the daemon: values only, nothing of paho's."""

from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from msgspec import Struct

from interhuman2mqtt.errors import Reason

PACKET_MAX = 268_435_455
"""Bytes after a packet's fixed header, where the broker sets no smaller limit (MQTT 5, 1.5.5)."""

INCOMING_PACKET_MAX = 256 << 10
"""Bytes of a packet that we let the broker send us (MQTT 5, 3.1.2.11.4): a request with all that may come with it."""

INCOMING_MAX = 64
"""Messages that the broker may send us before we have acknowledged one (MQTT 5, 3.1.2.11.3)."""

PAYLOAD_MAX = 64 << 10
"""Bytes of an incoming payload; no request of ours is nearly as large."""


class Ack(NamedTuple):
    """The broker's answer to a message or a subscription: a reason code (MQTT 5, 2.4), and its words for people."""

    code: int
    text: str

    @property
    def refused(self) -> bool:
        """True where the broker did not take it."""
        return self.code >= 0x80


class BrokerLimits(NamedTuple):
    """Limits of the broker (MQTT 5, 3.2.2.3); the defaults are those of a broker that names none."""

    receive_maximum: int = 0xFFFF
    """Messages on their way at once."""
    packet_size: int | None = None
    """Bytes of a whole packet; None: what the protocol can express."""
    qos: int = 1
    retain: bool = True

    @classmethod
    def of(cls, connack: object) -> "BrokerLimits":
        """Return the limits in CONNACK's properties, of which those that the broker omits are not even attributes."""
        return cls(
            receive_maximum=getattr(connack, "ReceiveMaximum", cls().receive_maximum),
            packet_size=getattr(connack, "MaximumPacketSize", None),
            qos=min(1, getattr(connack, "MaximumQoS", 1)),
            retain=bool(getattr(connack, "RetainAvailable", True)),
        )

    @property
    def remaining_max(self) -> int:
        """Bytes that a packet may have after its fixed header: a byte, and one to four for the length (MQTT 5, 1.5.5).

        Reckoned once a connection, where each message would have to count the bytes of its own length.
        """
        if self.packet_size is None:
            return PACKET_MAX
        return max(min(self.packet_size - 1 - digits, (1 << 7 * digits) - 1) for digits in (1, 2, 3, 4))


class IncomingMessage(NamedTuple):
    """A message as the broker delivered it."""

    topic: str
    """Empty where it, or anything else of the message, cannot be read."""
    payload: bytes | None
    """None: there were more than `PAYLOAD_MAX` bytes, which are not kept."""
    retained: bool = False
    """Out of the broker's store, not published just now."""
    response_topic: str | None = None
    """MQTT 5: where the answer is to go."""
    correlation: bytes | None = None
    """MQTT 5: what the answer is to carry."""

    @property
    def is_level(self) -> bool:
        """True where the newest one on its topic is all that matters."""
        return self.topic.endswith("/pause/set")


class BrokerPhase(StrEnum):
    """Phases of the connection to the broker."""

    CONNECTING = "connecting"
    """Not tried to its end yet."""
    ONLINE = "online"
    OFFLINE = "offline"
    """It failed in a way that passes by itself; it is tried again."""
    REFUSED = "refused"
    """A person must act; it is tried again, rarely."""
    STOPPED = "stopped"


class BrokerState(Struct, frozen=True, kw_only=True):
    """State of the connection to the broker, for the log, health and the service's status."""

    phase: BrokerPhase
    reason: Reason | None = None
    detail: str | None = None
    """One sentence for the person who has to act; when online, where and how."""
    since: datetime
