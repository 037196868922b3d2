"""Calls that may hang in the kernel, such as those to a disk that is failing: waited for only so long."""

import errno
from collections.abc import Callable
from typing import TypeVar

import trio

Result = TypeVar("Result")


class Blocking:
    """One thread at a time, in which calls keep their order; one that hangs holds up those after it, and nobody else.

    Args:
        seconds: For how long a call is waited for.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._one = trio.CapacityLimiter(1)

    async def run(self, call: Callable[[], Result]) -> Result:
        """What the call returns; raises what it raises, and OSError where it takes too long, which it then goes on to.

        Who is cancelled leaves the call to itself, too.
        """
        try:
            with trio.fail_after(self._seconds):
                return await trio.to_thread.run_sync(call, abandon_on_cancel=True, limiter=self._one)
        except trio.TooSlowError as error:
            raise OSError(errno.ETIMEDOUT, f"no answer within {self._seconds:g} s") from error
