"""The one place that restarts things: a source, a session, a connection is a function that runs until it fails."""

# None of them retries anything itself, nor does a library beneath them: two loops of retries, one in the other,
# multiply their attempts, and only one of them knows the error's policy (`errors`).

import random
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from typing import NamedTuple

import structlog
import trio

from interhuman2mqtt.errors import Lingering, Outage, Overloaded, Reason, Refused, leaves
from interhuman2mqtt.runtime.notifier import Notifier
from interhuman2mqtt.runtime.watchdog import Heartbeat

log = structlog.get_logger(__name__)

HEALTHY_S = 30.0
"""What ran for so long was healthy: after it the backoff begins anew."""
RUN_S = 60.0
"""What runs sets its own heartbeat; at its start it may take so long until it does."""


class BackoffPolicy(NamedTuple):
    """Seconds to wait before the next attempt, by the kind of failure."""

    first: float = 1.0
    longest: float = 60.0
    lingering_longest: float = 5.0
    overloaded: float = 30.0
    overloaded_longest: float = 300.0
    refused: float = 300.0


def backoff(first: float, longest: float, chance: Callable[[], float] = random.random) -> Iterator[float]:
    """Yield pauses with full jitter: a random part of 1, 2, 4, 8 ... times `first`, and of `longest` at most."""
    # Pauses without a random part, or with a small one added, keep a fleet together: all boxes that an outage cut off
    # at one moment come back at one moment, attempt after attempt. A part between nothing and all of it spreads them at
    # once (Brooker, "Exponential Backoff and Jitter"), and the mean pause is shorter, not longer.
    most = first
    while True:
        yield most * chance()
        most = min(most * 2, longest)


class Health:
    """The health of a running function, by its own account: the backoff begins anew after `HEALTHY_S` of health."""

    # Not after each success: a camera that opens, and fails a second later, would otherwise be opened every second.

    def __init__(self) -> None:
        self._since: float | None = None
        self._has_progressed = False

    def healthy(self) -> None:
        """Note that it really works now: data flows, the session is ready; a finished handshake is not enough."""
        self._since = self._since or trio.current_time()

    def made_progress(self) -> None:
        """Note that, short as it was, it brought things on: trying again soon is worth it."""
        self._has_progressed = True

    @property
    def lasted(self) -> bool:
        """Whether it was healthy for long enough, or made progress."""
        has_stood = self._since is not None and trio.current_time() - self._since >= HEALTHY_S
        return has_stood or self._has_progressed


class RetryNow:
    """Ends pauses early: somebody has mended something, and need not wait to see whether it helped."""

    def __init__(self) -> None:
        self._notifier = Notifier()

    def trigger(self) -> None:
        """End the pause under way, if there is one."""
        self._notifier.set()

    async def sleep(self, seconds: float) -> None:
        """Sleep for so long, or until it is triggered."""
        self._notifier.clear()
        with trio.move_on_after(seconds):
            await self._notifier.wait()


class BugBudget:
    """So many bugs in so much time are survived, each logged with its traceback; one more ends the process."""

    # To survive every bug hides a daemon that does nothing but fail; to survive none lets one odd packet of one camera
    # end all the others. Within the budget a bug is an outage with a pause; beyond it systemd starts a clean process,
    # and counts its failures in turn. Tests run with a budget of 0.

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
    """The budget of a part that all the others do without: one bug too many stops it alone, for `window_s`.

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
    """The pause between two attempts: why, after how many failures in a row, and for how long."""

    outage: Outage
    failures: int
    seconds: float


async def keep_running(  # noqa: PLR0913 - all that there is to restarting something
    run: Callable[[Health], Awaitable[bool]],
    on_retry: Callable[[RetryInfo], None],
    bugs: BugBudget,
    backoff_policy: BackoffPolicy = BackoffPolicy(),  # noqa: B008 - a frozen value
    *,
    heartbeat: Heartbeat = lambda _seconds: None,
    retry_now: RetryNow | None = None,
) -> None:
    """Run it until it returns False: again at once where it returns True, after a pause where it raises an Outage.

    `on_retry` is called at the beginning of each pause. Any other exception is a bug: within the budget it is treated
    as an outage, beyond it `bugs` decides whether it is raised. `heartbeat` is set to how long each wait may last, and
    `retry_now` ends a pause early.
    """
    retries = _Retries(backoff_policy)
    retry_now = retry_now or RetryNow()
    while True:
        health = Health()
        heartbeat(RUN_S)
        outcome = await _outcome(run, health, bugs)
        if outcome is False:
            return
        if outcome is True or health.lasted:
            retries = _Retries(backoff_policy)
        if outcome is True:
            await trio.lowlevel.checkpoint()
            continue
        seconds = retries.pause(outcome)
        on_retry(RetryInfo(outcome, retries.failures, seconds))
        heartbeat(seconds)
        await retry_now.sleep(seconds)


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
    """Return the outage that an exception is; a bug counts as one within the budget, and is raised beyond it."""
    foreseen, unforeseen = ExceptionGroup("", [error]).split(Outage)
    if unforeseen is None:
        gravest: Outage = max(leaves(foreseen), key=_gravity)
        return gravest
    allowed = bugs.allows()
    outage = None if allowed else bugs.exceeded(error)
    log.error("bug", exc_info=error, advice="please report this; it is restarted")
    return outage or Outage(Reason.BUG, f"a bug, see the log: {type(leaves(unforeseen)[0]).__name__}")


def _gravity(outage: Outage) -> int:
    return isinstance(outage, Overloaded) + 2 * isinstance(outage, Refused)


class _Retries:
    """The pauses of one run of failures."""

    def __init__(self, policy: BackoffPolicy) -> None:
        self.failures = 0
        self._refused = policy.refused
        self._outage = backoff(policy.first, policy.longest)
        self._lingering = backoff(policy.first, policy.lingering_longest)
        self._overloaded = backoff(policy.overloaded, policy.overloaded_longest)

    def pause(self, outage: Outage) -> float:
        """Return how long to wait after one more failure."""
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
