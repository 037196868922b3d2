"""The lanes of one camera, out of the history."""

from collections.abc import Sequence
from typing import NamedTuple

from interhuman2mqtt.web import timeline
from interhuman2mqtt.web.history import History
from interhuman2mqtt.web.rows import CameraKey
from interhuman2mqtt.web.timeline import Span, Stretch


class Lanes(NamedTuple):
    """Analysed parts of a range, and how engaged people were."""

    analysed: list[Stretch]
    engagement: list[Stretch]


def read_lanes(history: History, camera: CameraKey, span: Span, live: Sequence[Span] = ()) -> Lanes:
    """Return the lanes of a camera within a range. Blocks.

    Args:
        history: Where they are.
        camera: Which one.
        span: The range.
        live: Stretches that were received and are not in the history yet.
    """
    changes = history.points("engagement", camera, *span)
    # The level before the range holds in it only where nothing has come between, so the lane begins where that began.
    whole = (min([span[0], *(at for at, _ in changes[:1])]), span[1])
    holes = ((low, high) for low, high in history.spans("hole", camera, *whole))
    gaps = ((low, high, reason) for low, high, reason in history.spans("gap", camera, *whole))
    filled = ((low, high) for low, high in history.spans("filled", camera, *whole))
    lane = timeline.analysed(whole, [*history.received(*whole), *live], holes, gaps, filled)
    return Lanes(timeline.clip(lane, span), timeline.clip(timeline.engagement(lane, changes), span))
