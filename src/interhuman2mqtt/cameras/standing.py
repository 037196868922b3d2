"""How a camera stands: one state out of what its capture and its session say, published when it changes."""

import logging
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

import structlog
from msgspec import structs

from interhuman2mqtt.cameras.ledger import Ledger
from interhuman2mqtt.errors import Outage, Overloaded, Reason, Refused
from interhuman2mqtt.events import AudioMissing, CameraStatus, Range, State, utc_now
from interhuman2mqtt.policy.verdict import Verdict
from interhuman2mqtt.redaction import redact

log = structlog.get_logger(__name__)


class Word(NamedTuple):
    """What one side says."""

    state: State
    reason: Reason | None = None
    detail: str | None = None
    attempts: int = 0


LEVELS = {State.OFFLINE: logging.WARNING, State.REFUSED: logging.ERROR}
STARTING = Word(State.CONNECTING, Reason.STARTING)
STOPPED = Word(State.STOPPED, Reason.STOPPED)


class Standing:
    """A camera's status; a capture that is down says more than the session that misses it.

    Args:
        publish: Told of each status that differs from the one before it.
        ledger: Told of each reason for which media is missing.
    """

    def __init__(self, camera: str, publish: Callable[[CameraStatus], None], ledger: Ledger) -> None:
        self._publish = publish
        self._ledger = ledger
        self._capture: Word | None = STARTING
        self._session = STARTING
        self._held: Word | None = None
        self._final: Word | None = None
        self._sending = False
        self._status = CameraStatus(
            camera=camera,
            state=State.CONNECTING,
            reason=Reason.STARTING,
            since=utc_now(),
            last_media_at=ledger.sent_at,
        )
        self._published = self._status
        ledger.because(Reason.STARTING, self._status.since)
        publish(self._status)

    @property
    def status(self) -> CameraStatus:
        """As it was last published, with the newest counters."""
        return self._status

    @property
    def camera(self) -> str:
        """Whose status it is."""
        return self._status.camera

    def held(self, verdict: Verdict) -> None:
        """It must not stream, and nothing of it runs any more."""
        state = State.PAUSED if verdict.reason is Reason.PAUSED else State.WAITING
        self._held = Word(state, verdict.reason, verdict.detail)
        self.session_over()
        self._say()

    def begins(self) -> None:
        """It may stream; nothing was tried yet."""
        self._held, self._capture, self._session = None, STARTING, STARTING
        self._say()

    def captures(self, source: str) -> None:
        """The source is open."""
        self._capture = None
        self._status = structs.replace(self._status, source=source)
        self._say()

    def sound(self, missing: AudioMissing | None) -> None:
        """Silence is sent in place of sound; None: sound comes."""
        if missing is not None:
            missing = structs.replace(missing, detail=redact(missing.detail))
        self._status = structs.replace(self._status, audio_missing=missing)
        self._say()

    def capture_failed(self, outage: Outage, attempts: int) -> None:
        """The source is not open, or sends nothing."""
        state = State.REFUSED if isinstance(outage, Refused) else State.OFFLINE
        self._capture = Word(state, outage.reason, outage.detail, attempts)
        self.session_over()
        self._say()

    def connects(self, session: str) -> None:
        """A session is being opened; what the last attempt failed by holds until one succeeds."""
        self._status = structs.replace(self._status, session=session)
        if self._session.state is State.WAITING and not self._session.attempts:
            self._session = Word(State.CONNECTING)
        self._say()

    def waits(self, reason: Reason, detail: str) -> None:
        """It could stream, and has to wait for others."""
        self._session = Word(State.WAITING, reason, detail)
        self._status = structs.replace(self._status, session=None)
        self._say()

    def streams(self) -> None:
        """The session is ready and takes media."""
        self._session = Word(State.STREAMING)
        self._say()

    def session_failed(self, outage: Outage, attempts: int) -> None:
        """The session did not come about, or broke."""
        state = State.CONNECTING
        if isinstance(outage, Refused):
            state = State.REFUSED
        elif isinstance(outage, Overloaded):
            state = State.WAITING
        self.session_over()
        self._session = Word(state, outage.reason, outage.detail, attempts)
        self._say()

    def session_over(self) -> None:
        """The session ended in good order and none follows it at once; said with the next change, which says why."""
        if self._session.state is State.STREAMING:
            self._session = Word(State.CONNECTING)
        if self._sending:  # cut off on its way: some of it may have left until now
            self.sent(utc_now())
        self._status = structs.replace(self._status, session=None)

    def sends(self) -> None:
        """A chunk is on its way out."""
        self._sending = True

    def sent(self, at: datetime) -> None:
        """It is out since then; said with the next change."""
        self._sending = False
        self._ledger.sent_at = at
        self._status = structs.replace(self._status, last_media_at=at)

    def stopped(self, reason: Reason = Reason.STOPPED) -> None:
        """The last word."""
        self._final = STOPPED._replace(reason=reason)
        self.session_over()
        self._say()

    def _say(self) -> None:
        word = self._final or self._held or self._capture or self._session
        before = self._status
        changed = (word.state, word.reason) != (before.state, before.reason)
        self._status = structs.replace(
            before,
            state=word.state,
            reason=word.reason,
            detail=None if word.detail is None else redact(word.detail),
            attempts=word.attempts,
            since=utc_now() if changed else before.since,
            gap=None if word.state is State.STREAMING else Range(self._ledger.until, None),
        )
        if _essence(self._status) != _essence(self._published):
            self._published = self._status
            self._publish(self._status)
        if changed:
            self._ledger.because(word.reason, self._status.since)
            log.log(
                LEVELS.get(word.state, logging.INFO), "camera", state=word.state, reason=word.reason, detail=word.detail
            )


def _essence(status: CameraStatus) -> CameraStatus:
    """Without what moves all the time, which is told with the next change."""
    return structs.replace(status, last_media_at=None, gap=None)
