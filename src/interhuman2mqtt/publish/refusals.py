"""What it means that the broker refuses a message. No I/O."""

from interhuman2mqtt.publish.broker import Ack
from interhuman2mqtt.publish.losses import Loss

TOO_LARGE = 0x95
HOPELESS = frozenset({0x90, TOO_LARGE, 0x99})
"""Topic name invalid, packet too large, payload format invalid: no later attempt will go better.

Any other code of failure in PUBACK (MQTT 5, 3.4.2.1) is about what the broker allows at the moment.
"""
QUOTA = frozenset({0x91, 0x97})
"""Packet identifier in use, quota exceeded: about all that we send, and over in a moment."""
UNCLEAR = frozenset({0x80, 0x83})
"""Unspecified error, implementation specific error: likely the same, but some brokers mean the topic."""
UNCLEAR_S = 10.0
"""Seconds between two attempts beyond which an unclear code is taken to mean the topic."""


def rule(ack: Ack) -> Loss:
    """By which rule a message goes that is hopeless."""
    return Loss.TOO_LARGE if ack.code == TOO_LARGE else Loss.BROKER_REFUSED


def refusal(ack: Ack) -> str:
    """The broker's words in a sentence."""
    return f"the broker refused it: {ack.text} (code {ack.code:#04x})"
