"""Admission to a session: credentials, scopes, models, and how many at once. No I/O."""

from collections import Counter, deque
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

import msgspec
import trio

from interhuman2mqtt.simulator.errors import Answer, ApiError, lookup
from interhuman2mqtt.simulator.messages import Terms
from interhuman2mqtt.simulator.settings import ALL_SCOPES, INTER_2, MODELS, STREAM_SCOPE, Key, Settings, Version
from interhuman2mqtt.simulator.tokens import ClientToken, TokenStore

_PATHS = {"/v1/stream/analyze": Version.V1, "/v2/stream/analyze": Version.V2}
_MINUTE = 60.0
_LEGACY = {f"{STREAM_SCOPE}.{model}": model for model in MODELS}
"""Older scopes, each of which is good for one model. (SDK 1.3.4, `types.Scope`)"""


class TurnedAway(Exception):  # noqa: N818 - the server's answer, not a fault of ours
    """A client does not get its session."""

    def __init__(self, code: str, message: str, *, upgrade: bool) -> None:
        super().__init__(message)
        self.error: ApiError = lookup(code)
        self.message = message
        self.upgrade = upgrade
        """True: an HTTP status instead of 101. False: 101, an error envelope, a close code."""


class Applicant(NamedTuple):
    """An upgrade request, as far as it decides on the session."""

    version: Version
    model: str | None
    """From the query."""
    credential: str | None
    subprotocol: str | None
    """`access_token` where the credential came as a subprotocol pair."""
    request_id: str | None
    """The client's own id, from X-Client-Request-Id."""


def read_request(target: str, headers: list[tuple[bytes, bytes]], subprotocols: tuple[str, ...]) -> Applicant | None:
    """Parse an upgrade request; None where there is no such endpoint."""
    url = urlsplit(target)
    version = _PATHS.get(url.path)
    if version is None:
        return None
    fields = {name.lower(): value.decode("latin-1") for name, value in headers}
    scheme, _, bearer = fields.get(b"authorization", "").partition(" ")
    pair = len(subprotocols) == 2 and subprotocols[0] == "access_token"
    credential = bearer.strip() if scheme.lower() == "bearer" else None
    return Applicant(
        version=version,
        model=parse_qs(url.query).get("model", [None])[0],
        credential=credential or (subprotocols[1] if pair else None),
        subprotocol="access_token" if pair and not credential else None,
        request_id=fields.get(b"x-client-request-id"),
    )


class Admission:
    """The door: it knows the keys, who is inside, and who knocked lately."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = trio.current_time) -> None:
        self._settings = settings
        self.tokens = TokenStore(settings.tokens, clock)
        self._accounts: dict[str, str] = {}
        """API keys by the client tokens that were used."""
        self._open: Counter[str] = Counter()
        self._knocks: dict[str, deque[float]] = {}
        self._cut: dict[str, deque[float]] = {}

    def admit(self, applicant: Applicant, now: float) -> Terms:
        """Return the terms of the session, its slot held until `leave`; raises TurnedAway.

        Args:
            applicant: Who comes, and what for.
            now: Seconds on a clock that does not jump.
        """
        key = self.authenticate(applicant.credential)
        self._limit_rate(key, now)
        terms = msgspec.structs.replace(self._terms(applicant, key), token=self.tokens.find(key.credential))
        account = key.account or key.credential
        limit = self._settings.concurrency
        if limit and self._open[account] + self._lingering(account, now) >= limit:
            raise TurnedAway("ih3002", f"The account has {limit} concurrent session(s) open already.", upgrade=False)
        if terms.token is not None:
            self._limit_token(key.credential, terms.token)
            self._accounts[key.credential] = account
            self._open[key.credential] += 1
        self._open[account] += 1
        return terms

    def leave(self, applicant: Applicant, now: float, *, cut: bool) -> None:
        """Give back the place that `admit` took; where the connection was cut, the session may linger on."""
        credential = applicant.credential or ""
        account = self._accounts.get(credential, credential)
        for name in {credential, account}:
            self._open[name] -= 1
        if cut:
            self._cut.setdefault(account, deque()).append(now + self._settings.linger)

    def authenticate(self, credential: str | None) -> Key:
        """Return whose credential it is, with its scopes; raise TurnedAway."""
        if not credential:
            raise TurnedAway("ih2002", "Send the credential as Authorization: Bearer.", upgrade=True)
        try:
            token = self.tokens.find(credential)
            return self.key_of(credential) if token is None else token.key
        except Answer as answer:
            raise TurnedAway(answer.error.code, answer.message, upgrade=True) from answer

    def key_of(self, credential: str) -> Key:
        """Return the API key that a credential is; raise Answer."""
        if credential and not self._settings.keys:
            return Key(credential, ALL_SCOPES)
        for key in self._settings.keys:
            if key.credential == credential:
                return key
        raise Answer("ih2001", "The credential is not valid.")

    def _limit_token(self, credential: str, token: ClientToken) -> None:
        most = token.caps.max_concurrent
        if most is not None and self._open[credential] >= most:
            raise TurnedAway("ih3002", f"The client token has {most} session(s) open already.", upgrade=False)
        try:
            token.check()
        except Answer as answer:
            raise TurnedAway(answer.error.code, answer.message, upgrade=False) from answer

    def _lingering(self, credential: str, now: float) -> int:
        """Return how many sessions still count whose connections were cut."""
        cut = self._cut.setdefault(credential, deque())
        while cut and cut[0] <= now:
            cut.popleft()
        return len(cut)

    def _limit_rate(self, key: Key, now: float) -> None:
        if not self._settings.rate_limit:
            return
        knocks = self._knocks.setdefault(key.credential, deque())
        while knocks and knocks[0] <= now - _MINUTE:
            knocks.popleft()
        if len(knocks) >= self._settings.rate_limit:
            raise TurnedAway("ih3001", f"More than {self._settings.rate_limit} handshakes in a minute.", upgrade=True)
        knocks.append(now)

    def _terms(self, applicant: Applicant, key: Key) -> Terms:
        allowed = _allowed(key)
        if not allowed:
            raise TurnedAway("ih2003", f"The credential lacks the scope {STREAM_SCOPE}.", upgrade=False)
        if applicant.version is Version.V1:
            if applicant.model is not None:
                raise self._turned("ih4005", "model cannot be selected on /v1/stream/analyze.", applicant)
            return Terms(version=Version.V1, model=None)
        model = applicant.model or INTER_2
        if model not in MODELS:
            raise self._turned("ih4005", f"model: '{model}' is not one of {', '.join(MODELS)}.", applicant)
        if model not in allowed:
            raise TurnedAway("ih2003", f"The credential may not use the model '{model}'.", upgrade=False)
        if model not in self._settings.models:
            raise self._turned("ih1003", f"No backend serves the model '{model}' now.", applicant)
        entitled = tuple(name for name in self._settings.models if name in allowed)
        return Terms(version=Version.V2, model=model, entitled=entitled)

    @staticmethod
    def _turned(code: str, message: str, applicant: Applicant) -> TurnedAway:
        """Clients that authenticate by subprotocol see a plain failed upgrade, a quirk of the real server."""
        return TurnedAway(code, message, upgrade=applicant.subprotocol is not None)


def _allowed(key: Key) -> tuple[str, ...]:
    if STREAM_SCOPE in key.scopes:
        return MODELS
    return tuple(_LEGACY[scope] for scope in key.scopes if scope in _LEGACY)
