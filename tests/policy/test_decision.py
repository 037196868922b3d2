"""The verdict, out of what is known."""

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interhuman2mqtt import config
from interhuman2mqtt.errors import Reason
from interhuman2mqtt.events import utc_now
from interhuman2mqtt.policy.decision import ALLOWED, Decision, DecisionContext, judge
from interhuman2mqtt.policy.pauses import Pause, Paused
from interhuman2mqtt.runtime import clock
from policy.helpers import NOON

OPEN, CLOSED = ("Tue 08:00-18:00",), ("Mon 08:00-18:00", "Wed 08:30-09:00")
UNSET = datetime(2020, 1, 1, 12, tzinfo=UTC)
SPENT = "it is spent"


def verdict(at: datetime = NOON, **known: Any) -> Decision:
    """On a camera called front."""
    camera = config.CameraConfig(id="front", name="front", source="test:", schedule=known.get("schedule", ()))
    moment = DecisionContext(at, known.get("paused", Paused()), known.get("zone", UTC))
    unpaid = known.get("unpaid")
    return judge(camera, moment, budgeted=known.get("budgeted", unpaid is not None), unpaid=unpaid)


def test_nothing_speaks_against_it() -> None:
    """A camera may stream that nobody has paused, within its hours and its budget."""
    assert verdict() == verdict(schedule=OPEN, budgeted=True) == ALLOWED


PAUSED = Paused({"front": Pause()})
AGAINST: dict[Reason, dict[str, Any]] = {
    Reason.PAUSED: {"paused": PAUSED},
    Reason.CLOCK_UNSET: {"at": UNSET, "budgeted": True},
    Reason.OUT_OF_SCHEDULE: {"schedule": CLOSED},
    Reason.OVER_BUDGET: {"unpaid": SPENT},
}


@given(st.sets(st.sampled_from(list(AGAINST)), min_size=1))
def test_the_gravest_is_told(reasons: set[Reason]) -> None:
    """Of all that speaks against it the first is reported: the pause, the clock, the schedule, the budget."""
    known: dict[str, Any] = {}
    for reason in reasons:
        known |= AGAINST[reason]
    found = verdict(**known)
    assert (found.allowed, found.reason) == (False, next(reason for reason in AGAINST if reason in reasons))
    assert found.detail


def test_another_cameras_pause() -> None:
    """It concerns nobody else, that of the box everybody, and a doubt too."""
    assert verdict(paused=Paused({"back": Pause()})).allowed
    assert verdict(paused=Paused({"all": Pause()})).reason is Reason.PAUSED
    assert verdict(paused=Paused(doubt="the folder is gone")).detail == "the folder is gone"


def test_a_clock_that_is_unset() -> None:
    """It holds back who needs it, and nobody else; the sentence says what it shows."""
    assert verdict(UNSET).allowed
    for known in ({"schedule": ("00:00-24:00",)}, {"budgeted": True}):
        held = verdict(UNSET, **known)
        assert held.reason is Reason.CLOCK_UNSET
        assert "the clock says 2020-01-01" in (held.detail or "")


def test_the_program_was_made_in_the_past() -> None:
    """A right clock is never called unset."""
    assert not clock.is_unset(utc_now())
    assert clock.is_unset(datetime(1970, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("schedule", "sentence"),
    [
        (CLOSED, "outside its schedule (Mon 08:00-18:00; Wed 08:30-09:00); it streams again Wed 2026-11-25 08:30"),
        (("Tue 14:00-15:00",), "outside its schedule (Tue 14:00-15:00); it streams again Tue 2026-11-24 14:00"),
    ],
)
def test_when_it_streams_again(schedule: tuple[str, ...], sentence: str) -> None:
    """The sentence of a schedule says when it comes next, on the clock of the wall."""
    assert verdict(schedule=schedule, zone=ZoneInfo("Europe/Copenhagen")).detail == f"{sentence} local time"


def test_when_it_does_not_stream_again_soon() -> None:
    """Hours that fall into the night of the clock are reported as what they are."""
    before = datetime(2027, 3, 22, 12, tzinfo=UTC)
    held = verdict(before, schedule=("Sun 02:15-02:45",), zone=ZoneInfo("Europe/Copenhagen"))
    assert "it does not stream within the next eight days" in (held.detail or "")


def test_the_zone_counts() -> None:
    """The same instant is within the hours of one zone and outside those of another."""
    hours = ("Tue 13:00-14:00",)
    assert not verdict(schedule=hours).allowed
    assert verdict(schedule=hours, zone=ZoneInfo("Europe/Copenhagen")).allowed


@given(st.integers(1, 3000))
def test_a_sentence_holds_as_long_as_its_cause(seconds: int) -> None:
    """Judged again while nothing changed, the verdict is the same to the letter: nothing is published anew."""
    later = NOON.replace(minute=seconds // 60, second=seconds % 60)
    assert verdict(later, schedule=CLOSED) == verdict(schedule=CLOSED)
