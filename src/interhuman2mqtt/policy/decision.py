"""The decision on one camera: the facts go in, whether it may stream comes out. Pure."""

from datetime import datetime, tzinfo
from typing import NamedTuple

from interhuman2mqtt import config
from interhuman2mqtt.config import schedule as hours
from interhuman2mqtt.errors import Reason
from interhuman2mqtt.policy.pauses import Paused
from interhuman2mqtt.runtime.clock import is_unset


class Decision(NamedTuple):
    """The answer to whether a camera may stream, and why not."""

    allowed: bool
    reason: Reason | None = None
    detail: str | None = None
    """A sentence that stays the same for as long as its cause does."""


ALLOWED = Decision(allowed=True)


class DecisionContext(NamedTuple):
    """The facts of an instant that a decision rests on, of all cameras alike."""

    at: datetime
    paused: Paused
    zone: tzinfo | None
    """For schedules and days; None: the host's."""


def judge(camera: config.CameraConfig, moment: DecisionContext, *, budgeted: bool, unpaid: str | None) -> Decision:
    """Decide; the first that speaks against it is the reason: a pause, the clock, the schedule, the budget.

    Args:
        camera: Its id and schedule count.
        moment: What holds for all cameras.
        budgeted: Whether the camera or the box has a budget.
        unpaid: Why none of it may be used, in a sentence; None: it may.
    """
    if pause := moment.paused.why(camera.id):
        return Decision(allowed=False, reason=Reason.PAUSED, detail=pause)
    if (budgeted or camera.schedule) and is_unset(moment.at):
        return Decision(allowed=False, reason=Reason.CLOCK_UNSET, detail=_unset(moment.at))
    if not hours.is_open(camera.schedule, moment.at, moment.zone):
        return Decision(allowed=False, reason=Reason.OUT_OF_SCHEDULE, detail=_closed(camera.schedule, moment))
    if unpaid:
        return Decision(allowed=False, reason=Reason.OVER_BUDGET, detail=unpaid)
    return ALLOWED


def _unset(at: datetime) -> str:
    return (
        f"the clock says {at:%Y-%m-%d}, before this program was made: it waits until the clock is set, "
        "because it has a schedule or a budget"
    )


def _closed(schedule: tuple[str, ...], moment: DecisionContext) -> str:
    following = hours.next_open(schedule, moment.at, moment.zone)
    when = f"streams again {hours.show_time(following)}" if following else "does not stream within the next eight days"
    return f"outside its schedule ({'; '.join(schedule)}); it {when} local time"
