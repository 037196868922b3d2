"""What the daemon published and what the broker acknowledged, row by row, as it passed through the relay."""

import hashlib
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from soak.mqttwire import Publish
from soak.spans import Span

GAP = "coverage.gap"
EVIDENCE = 20
"""Sentences about one sort of violation that are kept."""


class Event(msgspec.Struct, frozen=True):
    """The fields of a published event that matter here."""

    id: str
    camera: str
    type: str
    session: str | None
    start_at: datetime | None
    data: dict[str, Any]
    received_at: datetime = datetime.fromtimestamp(0, UTC)
    late: bool = False
    synthetic: bool = False
    ranges_at: list[dict[str, datetime | None]] = []


class Gap(NamedTuple):
    """A range of a camera's time that was reported as not analysed."""

    camera: str
    span: Span
    reason: str
    published_at: float = 0.0
    """When it was first published, in time.time()."""


class Row:
    """One event, however often it was published."""

    __slots__ = ("acked_at", "connection", "content", "copies", "digest", "first_at", "ours", "rank")

    def __init__(self, at: float, rank: int, connection: int, event: Event) -> None:
        self.first_at = at
        self.rank = rank
        """Its rank among all events, by when it was first published."""
        self.connection = connection
        """The connection of its newest copy."""
        self.copies = 1
        self.acked_at: float | None = None
        self.ours = event.synthetic or event.type == GAP
        """Made by the daemon itself: the cloud sent nothing of the kind."""
        self.content = digest([event.type, event.data])
        self.digest = digest([event.type, event.data, event.session, event.camera, event.synthetic])


class Scope:
    """All events of one scope: a session, or what the daemon published beside its sessions."""

    def __init__(self, camera: str) -> None:
        self.camera = camera
        self.rows: dict[int, Row] = {}
        self.zero_at: float | None = None
        """time.time() of the beginning of the session's media, as the daemon dates it by a clock that is right."""


class Status(NamedTuple):
    """The newest acknowledged status of a camera."""

    at: float
    state: str
    reason: str | None


NOWHERE = 0
"""No connection has this number."""


class PublishedLog:
    """Fed by the relay.

    Args:
        on_first_ack: Told of the id of each event when the broker acknowledges it for the first time.
        ahead: By how many seconds the wall clock of the daemon was ahead when it showed a time; None: it never did.
    """

    def __init__(
        self, on_first_ack: Callable[[str], None], ahead: Callable[[float], float | None] = lambda _: 0.0
    ) -> None:
        self.scopes: dict[str, Scope] = {}
        self.gaps: list[Gap] = []
        self.statuses: dict[str, Status] = {}
        self.health: list[tuple[float, dict[str, Any]]] = []
        self.counts: Counter[str] = Counter()
        self.signals: dict[tuple[str | None, str], float] = {}
        """When the broker got each signal, by session and type, whose end it has not got."""
        self.violations: list[str] = []
        """What is wrong whatever else happens."""
        self.settled: set[str] = set()
        """Scopes that were judged, and forgotten."""
        self._ranks = 0
        self._on_first_ack = on_first_ack
        self._ahead = ahead

    def on_publish(self, at: float, connection: int, message: Publish) -> None:
        """The daemon sends a message."""
        if "/event/" in message.topic and (event := self._event(message)) is not None:
            self._published(at, connection, event)

    def on_puback(self, at: float, message: Publish) -> None:
        """The broker has taken it."""
        if "/event/" in message.topic:
            if (event := self._event(message)) is not None:
                self._acknowledged(at, event)
        elif message.topic.endswith("/status"):
            self._status(at, message)
        elif message.topic.endswith("bridge/health"):
            self.health.append((at, msgspec.json.decode(message.payload)))

    def on_quota_exceeded(self, message: Publish) -> None:
        """The broker says that it has no room for it now: it may come again on the same connection, and has to."""
        self.counts["refused"] += 1
        if "/event/" in message.topic and (event := self._event(message)) is not None:
            name, number = scope_and_number(event)
            known = self.scopes.get(name)
            if known is not None and number in known.rows:
                known.rows[number].connection = NOWHERE

    def _status(self, at: float, message: Publish) -> None:
        """An empty one says that there is no such camera any more."""
        if message.payload:
            status = msgspec.json.decode(message.payload)
            self.statuses[status["camera"]] = Status(at, status["state"], status["reason"])
        else:
            self.statuses.pop(message.topic.split("/")[-2], None)

    def camera_of(self, session: str) -> str | None:
        """Whose session it is, once any of its events was published."""
        scope = self.scopes.get(session)
        return None if scope is None else scope.camera

    def violation(self, sentence: str) -> None:
        """Note what must not be; only so many of them."""
        self.counts["violations"] += 1
        if len(self.violations) < EVIDENCE:
            self.violations.append(sentence)

    def _event(self, message: Publish) -> Event | None:
        try:
            return msgspec.json.decode(message.payload, type=Event)
        except msgspec.MsgspecError as error:
            self.violation(f"{message.topic}: no event: {error}")
            return None

    def _published(self, at: float, connection: int, event: Event) -> None:
        self.counts["published"] += 1
        name, number = scope_and_number(event)
        if name in self.settled:
            self.violation(f"{event.id} was published again long after its session was over")
            return
        scope = self.scopes.setdefault(name, Scope(event.camera))
        start = event.data.get("start")
        if scope.zero_at is None and event.start_at and isinstance(start, int | float):
            scope.zero_at = event.start_at.timestamp() - start - self._ahead_of(event)
        row = scope.rows.get(number)
        if row is None:
            self._ranks += 1
            scope.rows[number] = Row(at, self._ranks, connection, event)
        else:
            self._repeated(row, connection, event)

    def _repeated(self, row: Row, connection: int, event: Event) -> None:
        self.counts["repeats"] += 1
        row.copies += 1
        if row.connection == connection:
            self.violation(f"{event.id} was published twice on one connection to the broker")
        if row.digest != Row(0.0, 0, 0, event).digest:
            self.violation(f"{event.id} was published again with another content")
        row.connection = connection

    def _acknowledged(self, at: float, event: Event) -> None:
        self.counts["acknowledgements"] += 1
        name, number = scope_and_number(event)
        scope = self.scopes.get(name)
        row = None if scope is None else scope.rows.get(number)
        if row is None or row.acked_at is not None:
            return
        row.acked_at = at
        self._on_first_ack(event.id)
        self.counts["events"] += 1
        self.counts["late"] += event.late
        self.counts[f"type {event.type}"] += 1
        if event.type == GAP:
            self._gap(event, row.first_at)
        signal = event.session, str(event.data.get("signal_type"))
        if event.type == "signal.detected":
            self.signals[signal] = at
        elif event.type == "signal.ended":
            self.signals.pop(signal, None)

    def _gap(self, event: Event, published_at: float) -> None:
        reason = str(event.data.get("reason"))
        for range_at in event.ranges_at:
            start, end = range_at.get("start_at"), range_at.get("end_at")
            if start is None or end is None or end < start:
                self.violation(f"{event.id}: a gap without a whole range: {range_at}")
            else:
                ahead = self._ahead_of(event)
                span = Span(start.timestamp() - ahead, end.timestamp() - ahead)
                self.gaps.append(Gap(event.camera, span, reason, published_at))

    def _ahead_of(self, event: Event) -> float:
        """By how much the wall clock was ahead that an event is dated by: all of its dates are by the same one."""
        ahead = self._ahead(event.received_at.timestamp())
        if ahead is None:
            self.violation(f"{event.id} was received at {event.received_at}, which its clock never showed")
        return ahead or 0.0


def digest(value: Any) -> int:
    """A number that stands for a JSON value, whatever the order of its keys."""
    encoded = msgspec.json.encode(value, order="sorted")
    return int.from_bytes(hashlib.blake2b(encoded, digest_size=8).digest(), "big")


def scope_and_number(event: Event) -> tuple[str, int]:
    """What numbers an event, a session or one camera in a life of the daemon, and its number."""
    _, camera, scope, number = event.id.split("/")
    return scope if scope == event.session else f"{camera}/{scope}", int(number)
