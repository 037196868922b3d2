"""An event as a row of the store's file, and back. No I/O.

Each row has a checksum: SQLite notices damage to its own structure, and none to what stands in it. Its own checksums
(cksumvfs) are an extension that Python's module does not bring.
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
    """Fields of a row beside topic and payload."""

    accepted: Instant
    camera: str | None
    expiry: int | None
    properties: tuple[tuple[str, str], ...]


def encode(row: Stored) -> tuple[int, str, bytes, str, int]:
    """Return key, topic, payload, envelope and checksum."""
    message = row.message
    envelope = msgspec.json.encode(Envelope(row.accepted, message.camera, message.expiry, message.properties))
    checksum = _checksum(row.key, message.topic.encode(), message.payload, envelope)
    return row.key, message.topic, message.payload, envelope.decode(), checksum


def decode(row: Any) -> Stored | None:
    """Return the row that `encode` wrote, read with bytes for text; None where it is not as it was written."""
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


def encode_topic(topic: str) -> tuple[str, int]:
    """Return topic and checksum."""
    return topic, zlib.crc32(topic.encode())


def decode_topics(rows: Iterable[Any]) -> frozenset[str]:
    """Return the topics that are as they were written: another one might be somebody else's, and would be cleared."""
    return frozenset(
        topic.decode() for topic, checksum in rows if isinstance(topic, bytes) and zlib.crc32(topic) == checksum
    )


def encode_active(camera: str, signals: tuple[ActiveSignal, ...]) -> tuple[str, str, int]:
    """Return camera, its active signals, and checksum."""
    text = msgspec.json.encode(signals)
    return camera, text.decode(), zlib.crc32(text, zlib.crc32(camera.encode()))


def decode_active(rows: Iterable[Any]) -> dict[str, tuple[ActiveSignal, ...]]:
    """Return the signals that are as they were written: nobody waits for the end of another one."""
    found = {}
    for camera, text, checksum in rows:
        if isinstance(camera, bytes) and isinstance(text, bytes) and zlib.crc32(text, zlib.crc32(camera)) == checksum:
            with suppress(msgspec.MsgspecError):  # of another format
                found[camera.decode()] = msgspec.json.decode(text, type=tuple[ActiveSignal, ...])
    return found


def _checksum(key: int, topic: bytes, payload: bytes, envelope: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(envelope, zlib.crc32(topic, zlib.crc32(b"%d" % key))))
