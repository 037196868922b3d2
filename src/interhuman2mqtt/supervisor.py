"""The one place that restarts things: a source, a session, a connection is a function that runs until it fails."""

import random
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, NamedTuple

import structlog
import trio

from interhuman2mqtt.errors import Lingering, Outage, Overloaded, Reason, Refused
from interhuman2mqtt.runtime.watchdog import Heartbeat

log = structlog.get_logger(__name__)

HEALTHY_S = 30.0
"""What ran for so long was well: after it the back-off begins anew."""


RUN_S = 60.0
"""What runs says itself how long it waits; at its start it may take so long to say it."""


class BackoffPolicy(NamedTuple):
    """How long to wait before the next attempt, in seconds."""

    first: float = 1.0
    longest: float = 60.0
    lingering_longest: float = 5.0
    overloaded: float = 30.0
    overloaded_longest: float = 300.0
    refused: float = 300.0


def backoff(first: float, longest: float, chance: Callable[[], float] = random.random) -> Iterator[float]:
    """Full jitter: a random part of 1, 2, 4, 8 ... times `first`, which is never more than `longest`."""
    most = first
    while True:
        yield most * chance()
        most = min(most * 2, longest)


class Health:
    """What a running function tells about itself: back-off begins anew after it was well for `HEALTHY_S`."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._has_gained = False

    def well(self) -> None:
        """It really works now: data flows, the session is ready; a finished handshake is not enough."""
        self._since = self._since or trio.current_time()

    def gained(self) -> None:
        """Short as it was, it brought things on: trying again soon is worth it."""
        self._has_gained = True

    @property
    def lasted(self) -> bool:
        """Whether it was well for long enough."""
        has_stood = self._since is not None and trio.current_time() - self._since >= HEALTHY_S
        return has_stood or self._has_gained


class RetryNow:
    """Ends pauses early: somebody has mended something, and need not wait to see whether it helped."""

    def __init__(self) -> None:
        self._now = trio.Event()

    def now(self) -> None:
        """Wake whoever sleeps."""
        self._now.set()
        self._now = trio.Event()

    async def sleep(self, seconds: float) -> None:
        """Sleep for so long, or until it is time to hurry."""
        with trio.move_on_after(seconds):
            await self._now.wait()


class BugBudget:
    """So many bugs in so much time are survived, each logged with its traceback; one more ends the process."""

    def __init__(self, bugs: int = 3, window_s: float = 3600.0) -> None:
        self.bugs = bugs
        self.window_s = window_s
        self._at: deque[float] = deque()

    def allows(self) -> bool:
        """Count one bug, now."""
        now = trio.current_time()
        self._at.append(now)
        while now - self._at[0] > self.window_s:
            self._at.popleft()
        return len(self._at) <= self.bugs

    def exceeded(self, error: Exception) -> Outage:
        """Return what one bug too many means for the part that had it, or raise it: then the process ends."""
        raise error


class Quarantine(BugBudget):
    """The budget of a part that all the others do without: one bug too many sets it alone aside, for `window_s`.

    With a budget of 0 nothing is survived at all, as tests want it.
    """

    def exceeded(self, error: Exception) -> Outage:
        """Return the refusal, whose pause is as long as the budget's window: then it is tried anew."""
        if self.bugs == 0:
            raise error
        kind = type(leaves(error)[0]).__name__
        sentence = f"{self.bugs + 1} bugs within an hour, see the log, the last a {kind}: tried again in an hour"
        return Refused(Reason.BUG, sentence, self.window_s)


class RetryInfo(NamedTuple):
    """Between two attempts: why, how many failed in a row, and for how long."""

    outage: Outage
    failures: int
    seconds: float


async def keep_running(  # noqa: PLR0913 - all that can be said about restarting something
    run: Callable[[Health], Awaitable[bool]],
    tell: Callable[[RetryInfo], None],
    bugs: BugBudget,
    pauses: BackoffPolicy = BackoffPolicy(),  # noqa: B008 - a frozen value
    *,
    promise: Heartbeat = lambda _seconds: None,
    hurry: "RetryNow | None" = None,
) -> None:
    """Run it until it returns False: again at once where it returns True, after a pause where it raises an Outage.

    `tell` hears of each pause when it begins. Any other exception is a bug: within the budget it is treated as an
    outage, beyond it `bugs` decides whether it is raised. `promise` hears how long each wait may last, and `hurry`
    ends a pause early.
    """
    retries = _Retries(pauses)
    hurry = hurry or RetryNow()
    while True:
        health = Health()
        promise(RUN_S)
        outcome = await _outcome(run, health, bugs)
        if outcome is False:
            return
        if outcome is True or health.lasted:
            retries = _Retries(pauses)
        if outcome is True:
            await trio.lowlevel.checkpoint()
            continue
        seconds = retries.pause(outcome)
        tell(RetryInfo(outcome, retries.failures, seconds))
        promise(seconds)
        await hurry.sleep(seconds)


async def _outcome(run: Callable[[Health], Awaitable[bool]], health: Health, bugs: BugBudget) -> Outage | bool:
    try:
        return await run(health)
    except BaseExceptionGroup as group:
        failures, beyond = group.split(Exception)
        outage = True if failures is None else _judged(failures, bugs)
        if beyond is not None:
            raise beyond from None  # a cancellation, which is not ours to keep
        return outage
    except Exception as error:  # noqa: BLE001 - the border where everything unforeseen becomes a counted bug
        return _judged(error, bugs)


def _judged(error: Exception, bugs: BugBudget) -> Outage:
    """The outage that an exception is; a bug counts as one while the budget lasts, and is raised beyond it."""
    foreseen, unforeseen = ExceptionGroup("", [error]).split(Outage)
    if unforeseen is None:
        gravest: Outage = max(leaves(foreseen), key=_gravity)
        return gravest
    allowed = bugs.allows()
    outage = None if allowed else bugs.exceeded(error)
    log.error("bug", exc_info=error, advice="please report this; it is restarted")
    return outage or Outage(Reason.BUG, f"a bug, see the log: {type(leaves(unforeseen)[0]).__name__}")


def leaves(error: BaseException | None) -> list[Any]:
    """The exceptions that a group holds, without the groups."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in leaves(inner)]
    return [error]


def _gravity(outage: Outage) -> int:
    return isinstance(outage, Overloaded) + 2 * isinstance(outage, Refused)


class _Retries:
    """The pauses of one run of failures."""

    def __init__(self, pauses: BackoffPolicy) -> None:
        self.failures = 0
        self._refused = pauses.refused
        self._outage = backoff(pauses.first, pauses.longest)
        self._lingering = backoff(pauses.first, pauses.lingering_longest)
        self._overloaded = backoff(pauses.overloaded, pauses.overloaded_longest)

    def pause(self, outage: Outage) -> float:
        """How long to wait after one more failure."""
        self.failures += 1
        if isinstance(outage, Refused):
            seconds = self._refused * (1 + random.random()) / 2  # noqa: S311 - spreads a fleet, hides nothing
        elif isinstance(outage, Overloaded):
            seconds = next(self._overloaded)
        elif isinstance(outage, Lingering):
            seconds = next(self._lingering)
        else:
            seconds = next(self._outage)
        return seconds + (outage.retry_after or 0.0)  # not the larger of the two: a fleet would come back as one
