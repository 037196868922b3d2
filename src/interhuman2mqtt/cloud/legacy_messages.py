"""The cloud's older ways of saying things, translated into the current one; no I/O.

==================  =====================================================  =====================================
dialect             looks like                                             becomes
==================  =====================================================  =====================================
list (May 2026)     ``signal.detected`` with ``data.signals: [...]``       detected and ended for every entry
interval            ``signal.detected`` whose ``data`` has an ``end``      detected and ended
v0                  no ``type``, but ``status`` and sections beside it     one message per entry of a section
untyped error       no ``type``, but ``error_id``                          ``error`` with ``data.code``
==================  =====================================================  =====================================

The original travels in `raw`; of a list only the entry that the message was made from, so that a list of n signals
does not grow to n copies of itself.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

ERROR_FIELDS = ("message", "link", "segment")


class Part(NamedTuple):
    """What one message is about; the envelope's time and correlation id are the same for all parts."""

    type: str
    data: dict[str, Any]
    raw: dict[str, Any] | None = None


def of_detected(data: dict[str, Any], envelope: dict[str, Any]) -> Iterator[Part]:
    """`signal.detected` in any of its three dialects."""
    if "signals" in data:
        for entry in _entries(data["signals"]):
            yield from _interval(entry, envelope | {"data": data | {"signals": [entry]}})
    elif data.get("end") is not None:
        yield from _interval(data, envelope)
    else:
        yield Part("signal.detected", data)


def of_status(status: str, envelope: dict[str, Any]) -> Iterator[Part]:
    """The v0 dialect, whose messages have a `status` and no `type`."""
    if status == "error":
        yield of_error(envelope)
    elif status == "result":
        yield from _result(envelope)
    else:
        yield Part(f"segment.{status}", _without(envelope, "status", "correlation_id", "timestamp"), envelope)


def of_error(envelope: dict[str, Any]) -> Part:
    """An error that is not an `error` envelope with a `data.code`."""
    data = envelope.get("data")
    fields = data if isinstance(data, dict) else envelope
    known = {name: fields[name] for name in ERROR_FIELDS if name in fields}
    return Part("error", {"code": fields.get("error_id", fields.get("code")), **known}, envelope)


def _result(envelope: dict[str, Any]) -> Iterator[Part]:
    around = _without(envelope, "signals", "engagement_state", "conversation_quality")
    for entry in _entries(envelope.get("signals")):
        yield from _interval(entry, around | {"signals": [entry]})
    for entry in _entries(envelope.get("engagement_state")):
        yield Part("engagement.updated", _object(entry), around | {"engagement_state": [entry]})
    quality = envelope.get("conversation_quality")
    if quality is not None:
        yield Part("conversation_quality.updated", _object(quality), around | {"conversation_quality": quality})


def _interval(entry: object, raw: dict[str, Any]) -> Iterator[Part]:
    """A signal that was told at once, as its beginning and its end."""
    fields = _object(entry)
    kind = fields.get("signal_type", fields.get("type"))
    yield Part("signal.detected", {"signal_type": kind, **_without(fields, "signal_type", "type", "end")}, raw)
    if fields.get("end") is not None:
        yield Part("signal.ended", {"signal_type": kind, "end": fields["end"]}, raw)


def _entries(section: object) -> list[object]:
    """The entries of a list; what is no list stands as one entry, and is found malformed by its fields."""
    if section is None:
        return []
    return section if isinstance(section, list) else [section]


def _object(entry: object) -> dict[str, Any]:
    return entry if isinstance(entry, dict) else {}


def _without(fields: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name not in names}
