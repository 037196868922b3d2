"""Requests that carry the token of an invitation in place of a login."""

import time
from collections.abc import Callable
from functools import partial
from hashlib import sha256

from starlette.requests import Request

from interhuman2mqtt.runtime.blocking import Blocking
from interhuman2mqtt.web.attempts import Attempts, TooManyAttemptsError
from interhuman2mqtt.web.http import RequestError
from interhuman2mqtt.web.invites import Invites, Kind, Named

HEADER = "x-invite"
"""Of the token. In the link it stands behind the #, so that neither a proxy's log nor a Referer ever has it."""
FREE_ATTEMPTS = 5
DISK_S = 5.0
NOT_VALID = "this link is not valid: it was revoked, has expired, or was not copied whole"


class Links:
    """Looks up invitations.

    A wrong link makes the next one that was never seen wait; a link that has once held does not wait for what others
    guess, nor is it a guess once it is revoked.

    Args:
        invites: Where they are.
        clock: CLOCK_MONOTONIC, in seconds.
        now: Seconds of UTC.
    """

    def __init__(
        self, invites: Invites, clock: Callable[[], float] = time.monotonic, now: Callable[[], float] = time.time
    ) -> None:
        self._invites = invites
        self._now = now
        self._disk = Blocking(DISK_S)
        self._attempts = Attempts("links", FREE_ATTEMPTS, clock)
        self._held: set[bytes] = set()

    async def invitation(self, request: Request, kind: Kind) -> Named:
        """Return the invitation that a request has; raises RequestError where it has none of that kind."""
        return await self.find(request.headers.get(HEADER, ""), kind)

    async def find(self, token: str, kind: Kind) -> Named:
        """Return the invitation of a token; raises RequestError where it has none of that kind."""
        seen = sha256(token.encode()).digest()
        try:
            if seen not in self._held:
                self._attempts.check()
            found = await self._disk.run(partial(self._invites.find, token, self._now()))
        except TooManyAttemptsError as error:
            raise RequestError(429, str(error)) from error
        except OSError as error:
            raise RequestError(503, f"the invitations cannot be read: {error.strerror}") from error
        if found is None or found.invite.kind is not kind:
            if seen not in self._held:
                self._attempts.failed()
            raise RequestError(404, NOT_VALID)
        self._held.add(seen)
        return found

    async def holds(self, token: str, kind: Kind) -> bool:
        """Return whether a link that was let in holds still; False where it cannot be told."""
        try:
            found = await self._disk.run(partial(self._invites.find, token, self._now()))
        except OSError:
            return False
        return found is not None and found.invite.kind is kind
