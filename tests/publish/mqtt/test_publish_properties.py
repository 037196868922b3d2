"""The properties of PUBLISH over the wire."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from interhuman2mqtt.publish.message import Message, MessageKind
from interhuman2mqtt.publish.mqtt.paho_client import PublishProperties

WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=300)


@given(
    properties=st.lists(st.tuples(WORDS, WORDS), max_size=5),
    content_type=st.sampled_from(["application/json", "image/jpeg"]),
    expiry=st.none() | st.integers(0, 2**32 - 1),
    correlation=st.none() | st.binary(max_size=500),
)
def test_paho_reads_what_was_packed(
    properties: list[tuple[str, str]], content_type: str, expiry: int | None, correlation: bytes | None
) -> None:
    """An independent reader of MQTT finds all of it again, and nothing else."""
    message = Message(
        topic="t",
        payload=b"",
        kind=MessageKind.EVENT,
        retain=False,
        expiry=expiry,
        properties=tuple(properties),
        content_type=content_type,
        correlation=correlation,
    )
    wire = PublishProperties(message).pack()
    found: Any = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    _, length = found.unpack(wire)
    assert length == len(wire)
    assert found.PayloadFormatIndicator == int(content_type == "application/json")
    assert found.ContentType == content_type
    assert getattr(found, "MessageExpiryInterval", None) == expiry
    assert getattr(found, "CorrelationData", None) == correlation
    assert getattr(found, "UserProperty", []) == properties
