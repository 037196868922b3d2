"""How a camera stands: which word wins, and what is published when."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from msgspec import structs

from interhuman2mqtt.cameras.gaps import GapTracker
from interhuman2mqtt.cameras.status import AudioCondition, StatusTracker
from interhuman2mqtt.errors import Outage, Overloaded, Reason, Refused
from interhuman2mqtt.events import CameraStatus, Event, Range, State
from interhuman2mqtt.policy.decision import Decision
from interhuman2mqtt.runtime.redaction import register_secret
from support.clocks import NOON, Clocks

DOWN = Outage(Reason.UNREACHABLE, "the camera is down")
NO_CLOUD = Outage(Reason.CLOUD_UNREACHABLE, "the cloud is down")


class RecordedStatus:
    """A camera's status, and all that it published."""

    def __init__(self) -> None:
        self.statuses: list[CameraStatus] = []
        self.clocks = Clocks()
        clock = self.clocks.box_clock()
        self.gaps = GapTracker(clock, clock.boottime())
        self.status = StatusTracker("front", self, self.gaps, clock)

    def publish_status(self, status: CameraStatus) -> None:
        """Note a status."""
        self.statuses.append(status)

    def publish_event(self, event: Event) -> None:
        """Take no event."""
        raise AssertionError(event)

    def last(self) -> tuple[State, Reason | None]:
        return self.statuses[-1].state, self.statuses[-1].reason

    def streams(self) -> None:
        self.status.set_source("h264")
        self.status.set_connecting("s1")
        self.status.set_streaming()


def test_the_first_word() -> None:
    """A camera says at once that nothing was tried yet."""
    recorded = RecordedStatus()
    assert recorded.last() == (State.CONNECTING, Reason.STARTING)
    assert len(recorded.statuses) == 1


def test_streaming() -> None:
    """When all goes well it says what was opened, in which session, and that it streams."""
    recorded = RecordedStatus()
    recorded.streams()
    assert recorded.last() == (State.STREAMING, None)
    assert (recorded.statuses[-1].source, recorded.statuses[-1].session) == ("h264", "s1")


@pytest.mark.parametrize(
    ("outage", "state"),
    [(DOWN, State.OFFLINE), (Refused(Reason.CAMERA_PASSWORD, ""), State.REFUSED)],
    ids=["outage", "refused"],
)
def test_a_capture_that_is_down(outage: Outage, state: State) -> None:
    """A capture that fails is what is said, whatever the session says beside it."""
    recorded = RecordedStatus()
    recorded.streams()
    recorded.status.set_capture_failed(outage, 3)
    assert recorded.last() == (state, outage.reason)
    assert recorded.statuses[-1].attempts == 3
    recorded.status.set_session_failed(NO_CLOUD, 1)
    assert recorded.last() == (state, outage.reason)
    recorded.status.set_source("h264")
    assert recorded.last() == (State.CONNECTING, Reason.CLOUD_UNREACHABLE)


@pytest.mark.parametrize(
    ("outage", "state"),
    [
        (NO_CLOUD, State.CONNECTING),
        (Overloaded(Reason.RATE_LIMITED, ""), State.WAITING),
        (Refused(Reason.UNAUTHORIZED, ""), State.REFUSED),
    ],
    ids=["outage", "overloaded", "refused"],
)
def test_a_session_that_failed(outage: Outage, state: State) -> None:
    """A failed session is told by its kind, holds through the next attempt, and is over when media flows."""
    recorded = RecordedStatus()
    recorded.streams()
    recorded.status.set_session_failed(outage, 2)
    assert recorded.last() == (state, outage.reason)
    assert (recorded.statuses[-1].session, recorded.statuses[-1].attempts) == (None, 2)
    recorded.status.set_connecting("s2")
    assert recorded.last() == (state, outage.reason)
    recorded.status.set_streaming()
    assert recorded.last() == (State.STREAMING, None)
    assert (recorded.statuses[-1].session, recorded.statuses[-1].attempts) == ("s2", 0)


def test_waiting_is_over_when_it_connects() -> None:
    """Who waited for a place waits no more once a session is being opened."""
    recorded = RecordedStatus()
    recorded.status.set_source("h264")
    recorded.status.set_waiting(Reason.MAX_SESSIONS, "others have all")
    assert recorded.last() == (State.WAITING, Reason.MAX_SESSIONS)
    assert recorded.statuses[-1].detail == "others have all"
    recorded.status.set_connecting("s1")
    assert recorded.last() == (State.CONNECTING, None)


def test_a_rotation_changes_the_session_only() -> None:
    """While one session follows another the camera streams, since the same moment."""
    recorded = RecordedStatus()
    recorded.streams()
    since = recorded.statuses[-1].since
    recorded.status.set_connecting("s2")
    recorded.status.set_streaming()
    assert recorded.last() == (State.STREAMING, None)
    assert (recorded.statuses[-1].session, recorded.statuses[-1].since) == ("s2", since)


def test_a_camera_that_comes_back_does_not_stream_yet() -> None:
    """After a capture that failed, the camera streams again only once media flows in a new session."""
    recorded = RecordedStatus()
    recorded.streams()
    recorded.status.set_capture_failed(DOWN, 1)
    assert recorded.statuses[-1].session is None
    recorded.status.set_source("h264")
    assert recorded.last() == (State.CONNECTING, None)
    recorded.status.set_connecting("s2")
    recorded.status.set_streaming()
    assert recorded.last() == (State.STREAMING, None)


def test_media_that_was_left_does_not_count() -> None:
    """A session that outlives its capture, until all is sent, leaves nothing behind."""
    recorded = RecordedStatus()
    recorded.streams()
    recorded.status.set_capture_failed(DOWN, 1)
    recorded.status.set_streaming()
    assert recorded.last() == (State.OFFLINE, Reason.UNREACHABLE)
    recorded.status.end_session()
    recorded.status.set_source("h264")
    assert recorded.last() == (State.CONNECTING, None)


PAUSED = Decision(allowed=False, reason=Reason.PAUSED, detail="somebody paused it")


@pytest.mark.parametrize(
    ("verdict", "state"),
    [
        (PAUSED, State.PAUSED),
        (PAUSED._replace(reason=Reason.OUT_OF_SCHEDULE), State.WAITING),
        (PAUSED._replace(reason=Reason.OVER_BUDGET), State.WAITING),
        (PAUSED._replace(reason=Reason.CLOCK_UNSET), State.WAITING),
    ],
)
def test_held_back(verdict: Decision, state: State) -> None:
    """A camera that must not stream says so and why, whatever failed before; when it may, it begins anew."""
    recorded = RecordedStatus()
    recorded.streams()
    recorded.status.set_capture_failed(DOWN, 1)
    recorded.status.set_not_allowed(verdict)
    assert recorded.last() == (state, verdict.reason)
    assert (recorded.statuses[-1].session, recorded.statuses[-1].detail) == (None, "somebody paused it")
    recorded.status.set_starting()
    assert recorded.last() == (State.CONNECTING, Reason.STARTING)
    recorded.status.set_stopped()
    assert recorded.last() == (State.STOPPED, Reason.STOPPED)


def test_a_chunk_that_was_cut_off() -> None:
    """Media that was on its way out when the session was cut left until then, and the status says when that was."""
    recorded = RecordedStatus()
    recorded.streams()
    recorded.status.set_sending()
    recorded.status.set_sent()
    recorded.clocks.run(3600)
    recorded.status.set_sending()
    recorded.status.set_not_allowed(PAUSED)
    assert recorded.statuses[-1].last_media_at == NOON + timedelta(hours=1)


def test_the_last_media_is_kept_through_a_pause() -> None:
    """A chunk that was out when the session was cut moves the time no further, nor does anything until the next one."""
    recorded = RecordedStatus()
    recorded.streams()
    recorded.status.set_sending()
    recorded.status.set_sent()
    recorded.clocks.run(3600)
    recorded.status.set_not_allowed(PAUSED)
    recorded.status.set_not_allowed(PAUSED._replace(detail="paused otherwise"))
    recorded.status.set_starting()
    assert {status.last_media_at for status in recorded.statuses[-3:]} == {NOON}


def test_stopped_is_the_last_word() -> None:
    """After it nothing else is said."""
    recorded = RecordedStatus()
    recorded.streams()
    recorded.status.set_stopped()
    assert recorded.last() == (State.STOPPED, Reason.STOPPED)
    recorded.status.set_capture_failed(DOWN, 1)
    assert recorded.last() == (State.STOPPED, Reason.STOPPED)


@pytest.mark.parametrize(
    "again",
    [
        lambda standing: standing.set_streaming(),
        lambda standing: standing.set_connecting("s1"),
        lambda standing: standing.set_source("h264"),
        lambda standing: standing.set_sent(),
    ],
    ids=["streams", "connects", "captures", "sent"],
)
def test_nothing_new_is_not_published(again: Callable[[StatusTracker], None]) -> None:
    """What was said already is not said again, and the time of the last media waits for the next change."""
    recorded = RecordedStatus()
    recorded.streams()
    published = len(recorded.statuses)
    again(recorded.status)
    assert len(recorded.statuses) == published


def test_the_last_media_goes_with_the_next_change() -> None:
    """A status tells when the last media left the box."""
    recorded = RecordedStatus()
    recorded.streams()
    recorded.status.set_sent()
    assert recorded.status.current.last_media_at == NOON
    assert recorded.statuses[-1].last_media_at is None
    recorded.status.set_stopped()
    assert recorded.statuses[-1].last_media_at == NOON


def test_a_clock_that_is_set() -> None:
    """All that the status dates is dated by the new clock, and published anew; nothing else about it changes."""
    recorded = RecordedStatus()
    recorded.streams()
    recorded.status.set_sent()
    recorded.status.set_audio_missing(AudioCondition(-5.0, Reason.NO_MEDIA, "muted"))
    recorded.status.set_capture_failed(DOWN, 1)
    before = recorded.statuses[-1]
    recorded.clocks.step(20 * 86400)
    recorded.status.redate()
    after = recorded.statuses[-1]
    later = NOON + timedelta(days=20)
    assert (after.since, after.last_media_at, after.gap) == (later, later, Range(later, None))
    assert after.audio_missing is not None
    assert after.audio_missing.since == later - timedelta(seconds=5)
    dates = {"since": later, "last_media_at": later, "gap": after.gap, "audio_missing": after.audio_missing}
    assert structs.replace(before, **dates) == after
    published = len(recorded.statuses)
    recorded.status.redate()
    assert len(recorded.statuses) == published


def test_no_secret_in_a_detail() -> None:
    """Whatever an error says, a secret in it is not published."""
    register_secret("gaga/oh lala")
    recorded = RecordedStatus()
    recorded.status.set_capture_failed(
        Outage(Reason.UNREACHABLE, "rtsp://viewer:gaga%2Foh%20lala@cam does not answer"), 1
    )
    assert recorded.statuses[-1].detail == "rtsp://viewer:***@cam does not answer"
