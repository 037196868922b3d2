"""What is read of the contract's payloads: no more than is shown, and of the types that it must have to be shown."""

from datetime import datetime
from typing import Any, TypeVar

import msgspec
from msgspec import Struct


class BridgeState(Struct, frozen=True):
    """`bridge/state`."""

    state: str
    boot_id: str = ""
    since: datetime | None = None


class Info(Struct, frozen=True):
    """`bridge/info`."""

    version: str
    config_hash: str = "?"
    files_hash: str = "?"
    boot_id: str = ""


class Health(Struct, frozen=True):
    """`bridge/health`."""

    outbox_rows: int = 0
    outbox_age: float = 0.0
    dropped: dict[str, int] = {}
    cameras: dict[str, dict[str, float]] = {}


class Gap(Struct, frozen=True):
    """Since when nothing of a camera was analysed."""

    start_at: datetime


class Status(Struct, frozen=True):
    """`<camera>/status`."""

    state: str
    since: datetime
    reason: str | None = None
    detail: str | None = None
    source: str | None = None
    gap: Gap | None = None


class Engagement(Struct, frozen=True):
    """`<camera>/state/engagement`."""

    state: Any


class Signals(Struct, frozen=True):
    """`<camera>/state/signals`."""

    signals: dict[str, Any]


class Quality(Struct, frozen=True):
    """`<camera>/state/conversation_quality`."""

    overall: Any = None

    @property
    def index(self) -> float | None:
        """The score of all, 0 to 100; None where there is none."""
        index = self.overall.get("quality_index") if isinstance(self.overall, dict) else None
        return index if isinstance(index, int | float) and abs(index) < 1000 else None


class Event(Struct, frozen=True):
    """`<camera>/event/<type>`."""

    type: str
    received_at: datetime
    data: dict[str, Any]
    session: str | None = None
    start_at: datetime | None = None
    end_at: datetime | None = None


Payload = TypeVar("Payload", bound=Struct)


def read(payload: bytes, type_: type[Payload]) -> Payload | None:
    """A payload; None where it is not what the contract says, or empty."""
    try:
        return msgspec.json.decode(payload, type=type_)
    except (ValueError, RecursionError):  # which msgspec's own errors are, too
        return None
