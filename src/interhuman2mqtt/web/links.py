"""Requests that carry the token of an invitation in place of a login."""

import time
from collections.abc import Callable
from functools import partial

from starlette.requests import Request

from interhuman2mqtt.runtime.blocking import Blocking
from interhuman2mqtt.web.http import RequestError
from interhuman2mqtt.web.invites import Invites, Kind, Named

HEADER = "x-invite"
"""Of the token. In the link it stands behind the #, so that neither a proxy's log nor a Referer ever has it."""
DISK_S = 5.0
NOT_VALID = "this link is not valid: it was revoked, has expired, or was not copied whole"


class Links:
    """Looks up invitations.

    Args:
        invites: Where they are.
        now: Seconds of UTC.
    """

    # No slow-down after wrong ones, as there is for passwords: nobody guesses 192 bits, and with it one who sent
    # nonsense kept every room's and browser's page out.

    def __init__(self, invites: Invites, now: Callable[[], float] = time.time) -> None:
        self._invites = invites
        self._now = now
        self._disk = Blocking(DISK_S)

    async def invitation(self, request: Request, kind: Kind) -> Named:
        """Return the invitation that a request has; raises RequestError where it has none of that kind."""
        return await self.find(request.headers.get(HEADER, ""), kind)

    async def find(self, token: str, kind: Kind) -> Named:
        """Return the invitation of a token; raises RequestError where it has none of that kind."""
        try:
            found = await self._disk.run(partial(self._invites.find, token, self._now()))
        except OSError as error:
            raise RequestError(503, f"the invitations cannot be read: {error.strerror}") from error
        if found is None or found.invite.kind is not kind:
            raise RequestError(404, NOT_VALID)
        return found

    async def holds(self, token: str, kind: Kind) -> bool:
        """Return whether a link that was let in holds still; False where it cannot be told."""
        try:
            found = await self._disk.run(partial(self._invites.find, token, self._now()))
        except OSError:
            return False
        return found is not None and found.invite.kind is kind
