"""The status of a camera: one state out of those of its capture and its session, published when it changes."""

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
    """The state of one half."""

    state: State
    reason: Reason | None = None
    detail: str | None = None
    attempts: int = 0


class AudioCondition(NamedTuple):
    """No audio comes, and silence is sent in its place."""

    since: float
    """BOOTTIME, in seconds."""
    reason: Reason
    detail: str


LEVELS = {State.OFFLINE: logging.WARNING, State.REFUSED: logging.ERROR}
STARTING = Condition(State.CONNECTING, Reason.STARTING)
STOPPED = Condition(State.STOPPED, Reason.STOPPED)


class StatusTracker:
    """Follows a camera's status; a capture that is down says more than the session that misses it.

    Args:
        publisher: Publishes each status that differs from the one before it.
        gaps: Is set the reason for which media is missing.
        clock: Dates what is published.
    """

    def __init__(self, camera: str, publisher: CameraPublisher, gaps: GapTracker, clock: BoxClock) -> None:
        self._publisher = publisher
        self._gaps = gaps
        self._capture: Condition | None = STARTING
        self._session = STARTING
        self._not_allowed: Condition | None = None
        self._final: Condition | None = None
        self._sending = False
        self._clock = clock
        self._since = clock.boottime()
        self._missing_audio: AudioCondition | None = None
        self._complaint: Condition | None = None
        self._status = CameraStatus(
            camera=camera,
            state=State.CONNECTING,
            reason=Reason.STARTING,
            since=clock.utc(self._since),
        )
        self._status = self._published = self._dated()
        gaps.set_reason(Reason.STARTING, self._since)
        publisher.publish_status(self._status)

    @property
    def current(self) -> CameraStatus:
        """The status as it was last published, with the newest times."""
        return self._status

    @property
    def camera(self) -> str:
        """The id of the camera."""
        return self._status.camera

    def set_not_allowed(self, decision: Decision) -> None:
        """Show that it must not stream, and that nothing of it runs any more."""
        state = State.PAUSED if decision.reason is Reason.PAUSED else State.WAITING
        self._not_allowed = Condition(state, decision.reason, decision.detail)
        self.end_session()
        self._update()

    def set_starting(self) -> None:
        """Show that it may stream, and that nothing was tried yet."""
        self._not_allowed, self._capture, self._session = None, STARTING, STARTING
        self._update()

    def set_source(self, source: str) -> None:
        """Show that the source is open, and what it is."""
        self._capture = None
        self._status = structs.replace(self._status, source=source)
        self._update()

    def set_audio_missing(self, missing: AudioCondition | None) -> None:
        """Show why silence is sent in place of audio; None: audio comes."""
        self._missing_audio = missing
        self._update()

    def set_capture_failed(self, outage: Outage, attempts: int) -> None:
        """Show why the source is not open, or sends nothing."""
        state = State.REFUSED if isinstance(outage, Refused) else State.OFFLINE
        self._capture = Condition(state, outage.reason, outage.detail, attempts)
        self.end_session()
        self._update()

    def set_capture_waiting(self, outage: Outage) -> None:
        """Show that somebody has to begin, as it is meant to be: a browser that is no camera yet, or no more."""
        self._capture = Condition(State.WAITING, outage.reason, outage.detail)
        self.end_session()
        self._update()

    def set_connecting(self, session: str) -> None:
        """Show the session that is being opened; what the last attempt failed by holds until one succeeds."""
        self._status = structs.replace(self._status, session=session)
        self._complaint = None
        if self._session.state is State.WAITING and not self._session.attempts:
            self._session = Condition(State.CONNECTING)
        self._update()

    def set_waiting(self, reason: Reason, detail: str) -> None:
        """Show that it could stream, and has to wait for others."""
        self._session = Condition(State.WAITING, reason, detail)
        self._status = structs.replace(self._status, session=None)
        self._update()

    def set_streaming(self) -> None:
        """Show that the session is ready and takes media."""
        self._session = self._complaint or Condition(State.STREAMING)
        self._update()

    def set_complaint(self, outage: Outage | None) -> None:
        """Show an error that the cloud reports while the session goes on; None: it analyses again."""
        self._complaint = None if outage is None else Condition(State.STREAMING, outage.reason, outage.detail)
        if self._session.state is State.STREAMING:
            self.set_streaming()

    def set_session_failed(self, outage: Outage, attempts: int) -> None:
        """Show why the session did not come about, or broke."""
        state = State.CONNECTING
        if isinstance(outage, Refused):
            state = State.REFUSED
        elif isinstance(outage, Overloaded | Lingering):
            state = State.WAITING
        self.end_session()
        self._session = Condition(state, outage.reason, outage.detail, attempts)
        self._update()

    def end_session(self) -> None:
        """Note that the session ended and none follows it at once; published with the next change, which says why."""
        if self._session.state is State.STREAMING:
            self._session = Condition(State.CONNECTING)
        if self._sending:  # cut off on its way: some of it may have left until now
            self.set_sent()
        self._status = structs.replace(self._status, session=None)

    def set_sending(self) -> None:
        """Note that a chunk is on its way out."""
        self._sending = True

    def set_sent(self) -> None:
        """Note that it is out; published with the next change."""
        self._sending = False
        self._gaps.sent = self._clock.boottime()
        self._status = self._dated()

    def redate(self) -> None:
        """Publish the status anew, if the wall clock was set: all that it dates is dated by the new one."""
        self._update()

    def set_stopped(self, reason: Reason = Reason.STOPPED) -> None:
        """Show that it was stopped: the last status."""
        self._final = STOPPED._replace(reason=reason)
        self.end_session()
        self._update()

    def _update(self) -> None:
        condition = self._final or self._not_allowed or self._capture or self._session
        changed = (condition.state, condition.reason) != (self._status.state, self._status.reason)
        if changed:
            self._since = self._clock.boottime()
        self._status = structs.replace(
            self._dated(),
            state=condition.state,
            reason=condition.reason,
            detail=None if condition.detail is None else redact(condition.detail),
            attempts=condition.attempts,
            gap=None if condition.state is State.STREAMING else Range(self._clock.utc(self._gaps.until), None),
        )
        if _essence(self._status) != _essence(self._published):
            self._published = self._status
            self._publisher.publish_status(self._status)
        if changed:
            self._gaps.set_reason(None if condition.state is State.STREAMING else condition.reason, self._since)
            log.log(
                LEVELS.get(condition.state, logging.INFO),
                "camera",
                state=condition.state,
                reason=condition.reason,
                detail=condition.detail,
            )

    def _dated(self) -> CameraStatus:
        """Return the status with its times as the wall clock has them now."""
        sent = self._gaps.sent_before if self._gaps.sent is None else self._clock.utc(self._gaps.sent)
        return structs.replace(
            self._status, since=self._clock.utc(self._since), last_media_at=sent, audio_missing=self._audio_missing()
        )

    def _audio_missing(self) -> AudioMissing | None:
        if (missing := self._missing_audio) is None:
            return None
        return AudioMissing(reason=missing.reason, detail=redact(missing.detail), since=self._clock.utc(missing.since))


def _essence(status: CameraStatus) -> CameraStatus:
    """Return a status without what moves all the time, which is published with the next change."""
    return structs.replace(status, last_media_at=None, gap=None)
