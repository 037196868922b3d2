"""An event as a row of the store's file, and back. No I/O.

Each row carries a checksum: SQLite notices damage to its own structure, and none to what stands in it.
"""

import zlib
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from interhuman2mqtt.events import ActiveSignal
from interhuman2mqtt.publish.message import Message, MessageKind
from interhuman2mqtt.runtime.clock import Instant


class Stored(NamedTuple):
    """An event as it stands in the file."""

    key: int
    accepted: Instant
    message: Message


class Envelope(Struct, frozen=True):
    """What a row holds beside topic and payload."""

    accepted: Instant
    camera: str | None
    expiry: int | None
    properties: tuple[tuple[str, str], ...]


def encoded(row: Stored) -> tuple[int, str, bytes, str, int]:
    """Key, topic, payload, envelope, checksum."""
    message = row.message
    envelope = msgspec.json.encode(Envelope(row.accepted, message.camera, message.expiry, message.properties))
    checksum = _checksum(row.key, message.topic.encode(), message.payload, envelope)
    return row.key, message.topic, message.payload, envelope.decode(), checksum


def decoded(row: Any) -> Stored | None:
    """What `encoded` made, with bytes for text; None where it is not as it was written."""
    key, topic, payload, envelope, checksum = row
    if not all(isinstance(value, bytes) for value in (topic, payload, envelope)):
        return None
    if _checksum(key, topic, payload, envelope) != checksum:
        return None
    try:
        about = msgspec.json.decode(envelope, type=Envelope)
    except msgspec.MsgspecError:  # of another format
        return None
    message = Message(
        topic=topic.decode(),
        payload=payload,
        kind=MessageKind.EVENT,
        retain=False,
        camera=about.camera,
        expiry=about.expiry,
        properties=about.properties,
    )
    return Stored(key, about.accepted, message)


def encoded_topic(topic: str) -> tuple[str, int]:
    """Topic, checksum."""
    return topic, zlib.crc32(topic.encode())


def decoded_topics(rows: Iterable[Any]) -> frozenset[str]:
    """Those that are as they were written: another one might be somebody else's, and would be cleared."""
    return frozenset(
        topic.decode() for topic, checksum in rows if isinstance(topic, bytes) and zlib.crc32(topic) == checksum
    )


def encoded_active(camera: str, signals: tuple[ActiveSignal, ...]) -> tuple[str, str, int]:
    """Camera, its active signals, checksum."""
    said = msgspec.json.encode(signals)
    return camera, said.decode(), zlib.crc32(said, zlib.crc32(camera.encode()))


def decoded_active(rows: Iterable[Any]) -> dict[str, tuple[ActiveSignal, ...]]:
    """Those that are as they were written: nobody waits for the end of another one."""
    found = {}
    for camera, said, checksum in rows:
        if isinstance(camera, bytes) and isinstance(said, bytes) and zlib.crc32(said, zlib.crc32(camera)) == checksum:
            with suppress(msgspec.MsgspecError):  # of another format
                found[camera.decode()] = msgspec.json.decode(said, type=tuple[ActiveSignal, ...])
    return found


def _checksum(key: int, topic: bytes, payload: bytes, envelope: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(envelope, zlib.crc32(topic, zlib.crc32(b"%d" % key))))
