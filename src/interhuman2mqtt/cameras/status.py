"""How a camera stands: one state out of what its capture and its session say, published when it changes."""

import logging
from typing import NamedTuple

import structlog
from msgspec import structs

from interhuman2mqtt.cameras.context import CameraPublisher
from interhuman2mqtt.cameras.gaps import GapTracker
from interhuman2mqtt.errors import Lingering, Outage, Overloaded, Reason, Refused
from interhuman2mqtt.events import AudioMissing, CameraStatus, Range, State
from interhuman2mqtt.policy.decision import Decision
from interhuman2mqtt.runtime.clock import BoxClock
from interhuman2mqtt.runtime.redaction import redact

log = structlog.get_logger(__name__)


class Condition(NamedTuple):
    """What one side says."""

    state: State
    reason: Reason | None = None
    detail: str | None = None
    attempts: int = 0


class AudioCondition(NamedTuple):
    """There is no audio, and silence is sent in its place."""

    since: float
    """BOOTTIME, in seconds."""
    reason: Reason
    detail: str


LEVELS = {State.OFFLINE: logging.WARNING, State.REFUSED: logging.ERROR}
STARTING = Condition(State.CONNECTING, Reason.STARTING)
STOPPED = Condition(State.STOPPED, Reason.STOPPED)


class StatusTracker:
    """A camera's status; a capture that is down says more than the session that misses it.

    Args:
        publisher: Publishes each status that differs from the one before it.
        ledger: Told of each reason for which media is missing.
        clock: Dates what is published.
    """

    def __init__(self, camera: str, publisher: CameraPublisher, ledger: GapTracker, clock: BoxClock) -> None:
        self._publisher = publisher
        self._ledger = ledger
        self._capture: Condition | None = STARTING
        self._session = STARTING
        self._held: Condition | None = None
        self._final: Condition | None = None
        self._sending = False
        self._clock = clock
        self._since = clock.boottime()
        self._silence: AudioCondition | None = None
        self._complaint: Condition | None = None
        self._status = CameraStatus(
            camera=camera,
            state=State.CONNECTING,
            reason=Reason.STARTING,
            since=clock.utc(self._since),
        )
        self._status = self._published = self._dated()
        ledger.because(Reason.STARTING, self._since)
        publisher.publish_status(self._status)

    @property
    def status(self) -> CameraStatus:
        """As it was last published, with the newest counters."""
        return self._status

    @property
    def camera(self) -> str:
        """Whose status it is."""
        return self._status.camera

    def held(self, verdict: Decision) -> None:
        """It must not stream, and nothing of it runs any more."""
        state = State.PAUSED if verdict.reason is Reason.PAUSED else State.WAITING
        self._held = Condition(state, verdict.reason, verdict.detail)
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

    def sound(self, silence: AudioCondition | None) -> None:
        """Silence is sent in place of sound; None: sound comes."""
        self._silence = silence
        self._say()

    def capture_failed(self, outage: Outage, attempts: int) -> None:
        """The source is not open, or sends nothing."""
        state = State.REFUSED if isinstance(outage, Refused) else State.OFFLINE
        self._capture = Condition(state, outage.reason, outage.detail, attempts)
        self.session_over()
        self._say()

    def connects(self, session: str) -> None:
        """A session is being opened; what the last attempt failed by holds until one succeeds."""
        self._status = structs.replace(self._status, session=session)
        self._complaint = None
        if self._session.state is State.WAITING and not self._session.attempts:
            self._session = Condition(State.CONNECTING)
        self._say()

    def waits(self, reason: Reason, detail: str) -> None:
        """It could stream, and has to wait for others."""
        self._session = Condition(State.WAITING, reason, detail)
        self._status = structs.replace(self._status, session=None)
        self._say()

    def streams(self) -> None:
        """The session is ready and takes media."""
        self._session = self._complaint or Condition(State.STREAMING)
        self._say()

    def complained(self, outage: Outage | None) -> None:
        """The cloud reports errors while the session goes on; None: it analyses again."""
        self._complaint = None if outage is None else Condition(State.STREAMING, outage.reason, outage.detail)
        if self._session.state is State.STREAMING:
            self.streams()

    def session_failed(self, outage: Outage, attempts: int) -> None:
        """The session did not come about, or broke."""
        state = State.CONNECTING
        if isinstance(outage, Refused):
            state = State.REFUSED
        elif isinstance(outage, Overloaded | Lingering):
            state = State.WAITING
        self.session_over()
        self._session = Condition(state, outage.reason, outage.detail, attempts)
        self._say()

    def session_over(self) -> None:
        """The session ended in good order and none follows it at once; said with the next change, which says why."""
        if self._session.state is State.STREAMING:
            self._session = Condition(State.CONNECTING)
        if self._sending:  # cut off on its way: some of it may have left until now
            self.sent()
        self._status = structs.replace(self._status, session=None)

    def sends(self) -> None:
        """A chunk is on its way out."""
        self._sending = True

    def sent(self) -> None:
        """It is out; said with the next change."""
        self._sending = False
        self._ledger.sent = self._clock.boottime()
        self._status = self._dated()

    def redate(self) -> None:
        """Publish the status anew, if the wall clock was set: all that it dates is dated by the new one."""
        self._say()

    def stopped(self, reason: Reason = Reason.STOPPED) -> None:
        """The last word."""
        self._final = STOPPED._replace(reason=reason)
        self.session_over()
        self._say()

    def _say(self) -> None:
        word = self._final or self._held or self._capture or self._session
        changed = (word.state, word.reason) != (self._status.state, self._status.reason)
        if changed:
            self._since = self._clock.boottime()
        self._status = structs.replace(
            self._dated(),
            state=word.state,
            reason=word.reason,
            detail=None if word.detail is None else redact(word.detail),
            attempts=word.attempts,
            gap=None if word.state is State.STREAMING else Range(self._clock.utc(self._ledger.until), None),
        )
        if _essence(self._status) != _essence(self._published):
            self._published = self._status
            self._publisher.publish_status(self._status)
        if changed:
            self._ledger.because(None if word.state is State.STREAMING else word.reason, self._since)
            log.log(
                LEVELS.get(word.state, logging.INFO), "camera", state=word.state, reason=word.reason, detail=word.detail
            )

    def _dated(self) -> CameraStatus:
        """The status with its times as the wall clock has them now."""
        sent = self._ledger.sent_before if self._ledger.sent is None else self._clock.utc(self._ledger.sent)
        return structs.replace(
            self._status, since=self._clock.utc(self._since), last_media_at=sent, audio_missing=self._audio_missing()
        )

    def _audio_missing(self) -> AudioMissing | None:
        if (silence := self._silence) is None:
            return None
        return AudioMissing(reason=silence.reason, detail=redact(silence.detail), since=self._clock.utc(silence.since))


def _essence(status: CameraStatus) -> CameraStatus:
    """Without what moves all the time, which is told with the next change."""
    return structs.replace(status, last_media_at=None, gap=None)
