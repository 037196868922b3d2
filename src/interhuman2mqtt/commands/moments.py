"""Moments as people type them."""

from datetime import UTC, datetime

from interhuman2mqtt.config import units
from interhuman2mqtt.config.problems import BadValueError

A_MOMENT = '"2026-11-28", "2026-11-28T09:30" (local time), "2026-11-28T08:30Z", or "2h" for so long ago'


def parse_moment(text: str, now: float) -> float:
    """Return a moment in seconds of UTC.

    Args:
        text: A date or a date and time (ISO 8601), local unless it names its offset; or a duration before now.
        now: Seconds of UTC.

    Raises:
        BadValueError: It is none of them.
    """
    try:
        return datetime.fromisoformat(text).astimezone(UTC).timestamp()
    except (ValueError, OverflowError, OSError):
        pass
    try:
        ago = units.parse_duration(text)
    except BadValueError as error:
        raise BadValueError(f"must be {A_MOMENT}, not {text!r}") from error
    if ago > now:
        raise BadValueError(f"must be {A_MOMENT}, not {text!r}")
    return now - ago
