"""What must be true of a run, whatever happened in it; no I/O.

Times are time.time(). A judgment returns sentences about what is wrong; none means that it holds.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from statistics import median
from typing import NamedTuple

from soak.archive import Sent
from soak.fault_plan import COMEBACK_S
from soak.published_log import Row
from soak.spans import Span

TAIL_S = 2.0
"""What the cloud sent so shortly before the end of a connection may not have been read any more."""
COMMIT_S = 1.0
"""What was published so shortly before the daemon was killed need not have been accepted yet."""
HELD_S = 15.0
"""A session that ends so soon after its cable was mended may have been given up while it was cut."""


class Check(NamedTuple):
    """One line of the judgment."""

    name: str
    ok: bool | None
    """None: it was not judged."""
    says: str
    evidence: tuple[str, ...] = ()


class Ending(NamedTuple):
    """When a session ended, by all that is known."""

    opened_at: float
    closed_at: float
    """By the cloud."""
    left_at: float | None
    """When the daemon's end of the connection was gone."""


class Session(NamedTuple):
    """What is to be judged of a session."""

    name: str
    sent: Sequence[Sent]
    """What the cloud sent, in its order."""
    rows: Mapping[int, Row]
    """What the daemon published, by its number."""
    safe_until: float
    """What was sent before has reached the daemon."""


class Accidents(NamedTuple):
    """What may cost events."""

    kills: Sequence[float] = ()
    """When the daemon was killed."""
    damages: Sequence[float] = ()
    """When its store was damaged: what waited in it is gone."""


def safe_until(ending: Ending, cuts: Iterable[Span], resets: Iterable[float]) -> float:
    """Until when the cloud's events have reached the daemon, given when its cable was cut and when it was reset."""
    end = min(ending.closed_at, ending.closed_at if ending.left_at is None else ending.left_at)
    for cut in cuts:
        if ending.opened_at < cut.end and cut.start < end <= cut.end + HELD_S:
            end = cut.start
    for reset in resets:
        if ending.opened_at < reset < end:
            end = reset
    return end - TAIL_S


def conservation(session: Session, accidents: Accidents = Accidents()) -> list[str]:  # noqa: B008 - frozen
    """Every event of a session that reached the daemon was acknowledged by the broker, as the cloud sent it."""
    acked = {n: row for n, row in session.rows.items() if row.acked_at is not None}
    published = [acked[n].content for n in sorted(acked) if not acked[n].ours]
    began = min([row.first_at for row in session.rows.values()] + [event.at for event in session.sent], default=0.0)
    if any(damage >= began for damage in accidents.damages):
        return [] if _is_part(published, session.sent) else [f"{session.name}: the cloud sent something else"]
    wrong = _unacknowledged(session, accidents) + _holes(session.name, acked)
    if not wrong and published != [event.content for event in session.sent[: len(published)]]:
        wrong.append(f"{session.name}: {_difference(published, session.sent)}")
    return wrong + _missing(session, len(published))


def unended(signals: Mapping[tuple[str | None, str], float], accidents: Accidents) -> list[str]:
    """Return the signals whose end was never published, neither for the cloud nor by a later life.

    Args:
        signals: When the broker got each, by session and type.
        accidents: What excuses it: a kill at once, before it was written down, or a store that was damaged since.
    """
    return [
        f"{session}: {kind} never ended"
        for (session, kind), at in signals.items()
        if not any(0 <= kill - at < COMMIT_S for kill in accidents.kills)
        and not any(damage >= at for damage in accidents.damages)
    ]


def _unacknowledged(session: Session, accidents: Accidents) -> list[str]:
    return [
        f"{session.name}/{n} was published, and never acknowledged by the broker"
        for n, row in session.rows.items()
        if row.acked_at is None and not any(0 <= kill - row.first_at < COMMIT_S for kill in accidents.kills)
    ]


def _holes(name: str, acked: Mapping[int, Row]) -> list[str]:
    """Numbers that are missing below one that was acknowledged."""
    missing = [n for n in range(1, max(acked, default=0)) if n not in acked]
    return [f"{name}: no event {missing[:5]} though there is {max(acked)}"] if missing else []


def _missing(session: Session, published: int) -> list[str]:
    """What reached the daemon, beyond the so many events that were published."""
    due = sum(event.at < session.safe_until for event in session.sent)
    if published >= due:
        return []
    first = session.sent[published]
    before = session.safe_until + TAIL_S - first.at
    missing = f"of {due} events that reached the daemon {due - published} were never acknowledged"
    return [f"{session.name}: {missing}, the first is {first.type}, sent {before:.1f} s before the end"]


def _difference(published: Sequence[int], sent: Sequence[Sent]) -> str:
    if len(published) > len(sent):
        return f"{len(published)} events were published, and the cloud sent {len(sent)}"
    index = next(n for n, event in enumerate(sent) if published[n] != event.content)
    return f"event {index + 1} is not what the cloud sent, which is {sent[index].type}"


def _is_part(published: Sequence[int], sent: Sequence[Sent]) -> bool:
    """Decide whether what was published is what was sent, some of it left out."""
    rest = iter(event.content for event in sent)
    return all(one in rest for one in published)


def order(name: str, rows: Mapping[int, Row], after: int) -> list[str]:
    """First arrivals of a session come in the order of its events, and after those of the camera's session before.

    Args:
        name: Of the session.
        rows: What was published of it, by number.
        after: The highest rank of the session before.
    """
    ranks = [rows[n].rank for n in sorted(rows)]
    wrong = []
    if any(later < before for before, later in pairwise(ranks)):
        wrong.append(f"{name}: its events did not come in their order: {ranks[:20]}")
    if ranks and min(ranks) < after:
        wrong.append(f"{name}: its first event came before the last of the session before it")
    return wrong


class Disturbance(NamedTuple):
    """What happened to a camera."""

    fault: str
    began: float
    ended: float
    new_since: float | None
    """Only a session that was opened since then shows that it is over; None: any does."""
    at_source: bool
    """Only media that was captured after it ended shows that it is over."""


class Piece(NamedTuple):
    """Media of a camera that the cloud got."""

    arrived_at: float
    span: Span
    """When it was captured."""
    opened_at: float
    """When its session was."""


class Comeback(NamedTuple):
    """How long a camera took to stream again; `seconds` is None where something else came between."""

    fault: str
    seconds: float | None
    late: bool


def shows(piece: Piece, disturbance: Disturbance) -> bool:
    """Whether this piece shows that a disturbance is over."""
    if piece.arrived_at < disturbance.ended:
        return False
    if disturbance.at_source:
        return piece.span.end >= disturbance.ended
    return disturbance.new_since is None or piece.opened_at >= disturbance.new_since


def comebacks(disturbances: Sequence[Disturbance], pieces: Sequence[Piece], until: float) -> list[Comeback]:
    """How long one camera took after each disturbance; pieces in the order of their arrival, to the end of the run.

    The next disturbance ends the wait; a wait that is longer than `COMEBACK_S` undisturbed is late.
    """
    ordered = sorted(disturbances, key=lambda one: one.ended)
    found = []
    for disturbance in ordered:
        over = min(
            (other.began for other in ordered if other is not disturbance and other.ended > disturbance.ended),
            default=until,
        )
        back = next((piece.arrived_at for piece in pieces if shows(piece, disturbance)), None)
        waited = (over if back is None else back) - disturbance.ended
        undisturbed = back is not None and back <= over
        late = waited > COMEBACK_S and over > disturbance.ended + COMEBACK_S
        found.append(Comeback(disturbance.fault, waited if undisturbed else None, late))
    return found


class Sample(NamedTuple):
    """What a process held at one time."""

    at: float
    pid: int
    role: str
    """daemon or worker"""
    memory: int
    """bytes, proportional set size"""
    descriptors: int
    threads: int


class Allowance(NamedTuple):
    """By how much a figure may be larger late than early."""

    factor: float
    more: float


GROWTH = {
    "memory": Allowance(1.15, 6e6),
    "descriptors": Allowance(1.0, 4),
    "threads": Allowance(1.0, 3),
    "tasks": Allowance(1.0, 6),
}
SAMPLED = ("memory", "descriptors", "threads")


class Growth(NamedTuple):
    """A figure, early and late."""

    role: str
    figure: str
    """A key of `GROWTH`."""
    early: float
    late: float

    @property
    def ok(self) -> bool:
        """Whether it stayed within its allowance."""
        allowance = GROWTH[self.figure]
        return self.late <= self.early * allowance.factor + allowance.more


def growth(samples: Sequence[Sample], apart: float) -> list[Growth]:
    """Compare the first quarter of the samples with the last; return nothing where they are not far enough apart."""
    ordered = sorted(samples)
    quarter = max(1, len(ordered) // 4)
    early, late = ordered[:quarter], ordered[-quarter:]
    if len(ordered) < 4 or late[0].at - early[-1].at < apart:
        return []
    return [
        Growth(
            ordered[0].role, figure, median(getattr(s, figure) for s in early), median(getattr(s, figure) for s in late)
        )
        for figure in SAMPLED
    ]
