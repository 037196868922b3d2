"""Translate the cloud's older dialects into the current one; no I/O.

==================  =====================================================  =====================================
dialect             looks like                                             becomes
==================  =====================================================  =====================================
list (May 2026)     ``signal.detected`` with ``data.signals: [...]``       detected and ended for every entry
interval            ``signal.detected`` whose ``data`` has an ``end``      detected and ended
untyped error       no ``type``, but ``error_id``                          ``error`` with ``data.code``
==================  =====================================================  =====================================

The original travels in `raw`; of a list only the entry that the message was made from, so that a list of n signals
does not grow to n copies of itself.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

ERROR_FIELDS = ("message", "link", "segment")


class Part(NamedTuple):
    """The content of one message; the envelope's time and correlation id are the same for all parts."""

    type: str
    data: dict[str, Any]
    raw: dict[str, Any] | None = None


def of_detected(data: dict[str, Any], envelope: dict[str, Any]) -> Iterator[Part]:
    """Yield what `signal.detected` says in the list dialect, or in the interval dialect."""
    if "signals" in data:
        for entry in _entries(data["signals"]):
            yield from _interval(entry, envelope | {"data": data | {"signals": [entry]}})
    else:
        yield from _interval(data, envelope)


def of_error(envelope: dict[str, Any]) -> Part:
    """Return the `error` that an error in any other form than an envelope with a `data.code` stands for."""
    data = envelope.get("data")
    fields = data if isinstance(data, dict) else envelope
    known = {name: fields[name] for name in ERROR_FIELDS if name in fields}
    return Part("error", {"code": fields.get("error_id", fields.get("code")), **known}, envelope)


def _interval(entry: object, raw: dict[str, Any]) -> Iterator[Part]:
    """Yield a signal that came whole, as its beginning and its end."""
    fields = _object(entry)
    kind = fields.get("signal_type", fields.get("type"))
    yield Part("signal.detected", {"signal_type": kind, **_without(fields, "signal_type", "type", "end")}, raw)
    if fields.get("end") is not None:
        yield Part("signal.ended", {"signal_type": kind, "end": fields["end"]}, raw)


def _entries(section: object) -> list[object]:
    """Return the entries of a list; what is no list stands as one entry, and is found malformed by its fields."""
    if section is None:
        return []
    return section if isinstance(section, list) else [section]


def _object(entry: object) -> dict[str, Any]:
    return entry if isinstance(entry, dict) else {}


def _without(fields: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name not in names}
