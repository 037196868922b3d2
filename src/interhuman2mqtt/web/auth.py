"""Who may see the page, and who may act: one password, sessions by a cookie, a token against forged requests.

Nothing of it is logged, and nothing of it outlives the process: after a restart one logs in again.
"""

import hmac
import secrets
from collections.abc import Callable
from hashlib import sha256
from typing import NamedTuple

from interhuman2mqtt.web.attempts import Attempts

SESSION_S = 12 * 3600.0
"""How long a login lasts."""
SESSIONS_MAX = 1000
FREE_ATTEMPTS = 5
"""Wrong passwords before each further one has to wait."""
COOKIE = "interhuman2mqtt"


class Session(NamedTuple):
    """A browser that has logged in."""

    csrf: str
    """What each request that changes something has to carry in `X-CSRF-Token`."""
    until: float


class Logins:
    """The sessions of all browsers.

    Args:
        password: None: nobody can log in.
        clock: CLOCK_MONOTONIC, in seconds.
    """

    def __init__(self, password: str | None, clock: Callable[[], float]) -> None:
        self._digest = None if password is None else sha256(password.encode()).digest()
        self._clock = clock
        self._sessions: dict[str, Session] = {}
        self._attempts = Attempts(FREE_ATTEMPTS, clock)

    @property
    def needs_password(self) -> bool:
        """Whether there is a password."""
        return self._digest is not None

    def login(self, password: str) -> str | None:
        """Return a new session's cookie; None where the password is wrong.

        Raises:
            TooManyAttemptsError: There were too many wrong ones a moment ago.
        """
        self._attempts.check()
        # Digests have one length, so that the comparison takes as long whatever was typed.
        if self._digest is None or not hmac.compare_digest(sha256(password.encode()).digest(), self._digest):
            self._attempts.failed()
            return None
        self._attempts.succeeded()
        cookie = secrets.token_urlsafe(32)
        while len(self._sessions) >= SESSIONS_MAX:
            del self._sessions[next(iter(self._sessions))]
        self._sessions[_hashed(cookie)] = Session(secrets.token_urlsafe(32), self._clock() + SESSION_S)
        return cookie

    def session(self, cookie: str | None) -> Session | None:
        """Return the session of a cookie; None where there is none any more."""
        session = self._sessions.get(_hashed(cookie)) if cookie else None
        return session if session is not None and self._clock() < session.until else None

    def logout(self, cookie: str | None) -> None:
        """End a session."""
        if cookie:
            self._sessions.pop(_hashed(cookie), None)


def is_forged(session: Session, token: str | None) -> bool:
    """Return whether a request that changes something does not carry its session's token."""
    return token is None or not hmac.compare_digest(token.encode(), session.csrf.encode())


def _hashed(cookie: str) -> str:
    """Return what is kept of a cookie: a dump of our memory logs nobody in."""
    return sha256(cookie.encode()).hexdigest()
