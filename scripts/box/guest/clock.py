"""Say how far the own time of events, on stdin, is from when they came; the simulator speaks of the last 20 s."""

import json
import sys
from datetime import datetime

FURTHEST_S = 60


def seconds(text: str) -> float:
    """Return a time as seconds since 1970."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()  # noqa: FURB162 - Debian 12's `Z` too


events = [event for event in map(json.loads, sys.stdin) if event["start_at"] and event["session"]]
off = {seconds(event["received_at"]) - seconds(event["end_at"] or event["start_at"]): event for event in events}
worst = max(off, key=abs)
print(f"{worst:.1f} s: { ({key: off[worst][key] for key in ('type', 'start_at', 'received_at', 'clock')}) }")
sys.exit(abs(worst) > FURTHEST_S)
