"""Calls in a thread with a time limit, for what may hang in the kernel, such as a disk that is failing."""

import errno
from collections.abc import Callable
from typing import TypeVar

import trio

Result = TypeVar("Result")


# trio.to_thread.run_sync alone waits for as long as the call does: fsync on a disk that is dying takes minutes, and the
# task that waits for it neither stops nor reports. A thread cannot be ended, so a call that hangs is left to itself;
# the limiter of one then lets no second one start, else a dying disk would gather a thread for each attempt.
class Blocking:
    """One thread at a time, in which calls keep their order; one that hangs holds up those after it, and nobody else.

    Args:
        seconds: For how long a call is waited for.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._one = trio.CapacityLimiter(1)

    async def run(self, call: Callable[[], Result]) -> Result:
        """Return what the call returns; raise what it raises, or OSError where it takes too long.

        Who is cancelled leaves the call to itself, too.
        """
        try:
            with trio.fail_after(self._seconds):
                return await trio.to_thread.run_sync(call, abandon_on_cancel=True, limiter=self._one)
        except trio.TooSlowError as error:
            raise OSError(errno.ETIMEDOUT, f"no answer within {self._seconds:g} s") from error
