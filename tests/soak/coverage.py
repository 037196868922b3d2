"""The accounting of gaps: media that the cloud got and gaps that were published make up a camera's time; no I/O."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from soak.published_log import Gap
from soak.spans import Span, collisions, common, total, without

SEAM_S = 3.0
"""A chunk, a GOP, and what the dating of both may be wrong by."""
STALE_S = 15.0
"""How old the frontier may be that a killed daemon had written down."""
NOTED_S = 2.0
"""What was published so shortly before the daemon was killed may be published again by its next life."""
RESTARTED_S = 10.0
"""So soon after a kill the next life publishes what it has read of the one before, whatever its reason."""
TOUCH_S = 0.05
SUDDEN = frozenset({"crashed", "power_cut"})


class Account(NamedTuple):
    """One camera's time."""

    camera: str
    live: Sequence[Span]
    """When it was configured, and the run was on."""
    delivered: Sequence[Span]
    """What the cloud got."""
    proven: Sequence[Span]
    """What the daemon can know that the cloud got."""
    gaps: Sequence[Gap]
    forgotten: Sequence[Span] = ()
    """What the daemon cannot be asked about any more, because its store was damaged."""
    kills: Sequence[float] = ()
    """When the daemon was killed."""


def unexplained(account: Account) -> list[Span]:
    """Return the time of the camera that the cloud did not get, and that no gap covers."""
    explained = [*account.delivered, *(gap.span for gap in account.gaps), *account.forgotten]
    return [hole for hole in without(account.live, explained) if hole.seconds > SEAM_S]


def contradicted(account: Account) -> list[tuple[Gap, float]]:
    """Gaps that hold more media than they may which the cloud is known to have got, with the seconds of it."""
    found = []
    for gap in account.gaps:
        seconds = total(common([gap.span], account.proven))
        if seconds > SEAM_S + (STALE_S if _is_stale(gap, account.kills) else 0.0):
            found.append((gap, seconds))
    return found


def _is_stale(gap: Gap, kills: Sequence[float]) -> bool:
    """Decide whether the gap was published by a life that knew only what the one before it had written down."""
    return gap.reason in SUDDEN or any(0 <= gap.published_at - kill < RESTARTED_S for kill in kills)


def overlapping(account: Account) -> list[tuple[Span, Span]]:
    """Gaps of the camera that overlap each other, but for those that a kill left no time to write down."""
    kept = [
        gap.span for gap in account.gaps if not any(0 <= kill - gap.published_at < NOTED_S for kill in account.kills)
    ]
    return collisions(kept, TOUCH_S)


def check(accounts: Iterable[Account], zero: float = 0.0) -> list[str]:
    """What is wrong, in sentences that count their seconds from `zero`."""
    return [f"{account.camera}: {sentence}" for account in accounts for sentence in _wrong(account, zero)]


def _wrong(account: Account, zero: float) -> Iterator[str]:
    for hole in unexplained(account):
        yield f"no gap covers {_seconds(hole, zero)}"
    for gap, seconds in contradicted(account):
        yield f"{gap.reason} from {_seconds(gap.span, zero)} holds {seconds:.1f} s that the cloud got"
    for one, other in overlapping(account):
        yield f"the gaps {_seconds(one, zero)} and {_seconds(other, zero)} overlap"


def _seconds(span: Span, zero: float) -> str:
    return f"{span.start - zero:.2f} to {span.end - zero:.2f} ({span.seconds:.1f} s)"
