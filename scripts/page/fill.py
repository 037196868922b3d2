"""Fill a page with invented data: a fortnight of history, and 30 boxes with 80 cameras at a broker.

    python scripts/page/fill.py HISTORY.sqlite mqtt://127.0.0.1:1883

For the picture in the README, and to look at the page with. The history must not be in use; begin the page after it.
"""

import json
import math
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from interhuman2mqtt.web.history import History
from interhuman2mqtt.web.rows import CameraKey, EngagementRow, GapRow, QualityRow, ReceivedRow, Row, SignalRow

HOUR_S = 3600.0
STARTS_S = 20.0
"""Within which the page has to be there, or there is a hole until it is."""
DAYS = 14
LEVELS = ("engaged", "neutral", "disengaged")
SIGNALS = ("agreement", "confidence", "confusion", "hesitation", "interest", "skepticism", "stress", "uncertainty")
BOXES = [
    *(f"lobby-{n}" for n in range(1, 6)),
    *(f"hall-{n}" for n in range(1, 11)),
    *(f"clinic-{n}" for n in range(1, 11)),
]
BOXES += [f"class-{n}" for n in range(1, 6)]
CAMERAS = [CameraKey(BOXES[n % len(BOXES)], f"cam{n:02}") for n in range(80)]
TROUBLE = {
    "cam29": (23, "uplink_too_slow", "the uplink takes 410 kbit/s, and the camera needs 900: 31 s were dropped"),
    "cam54": (9, "video_stalled", "the camera at 10.0.0.7 sends no video any more: its connection is tried anew"),
    "cam68": (15, "unreachable", "the camera at 10.0.0.9 does not answer: is it on, and on the network?"),
}
"""Since how many minutes, the reason, and the sentence."""
PAUSED = {"cam36": 70, "cam37": 70, "cam73": 41}
"""Since how many minutes."""
OUTAGES = ((2, 9.2, 10.1), (3, 14.0, 15.0), (8, 8.0, 8.9), (11, 15.1, 16.0))
"""When the uplink of all was away: days ago, from and to which hour."""


def main(history: str, broker: str) -> None:
    """Write the history, and publish what is retained."""
    fill(Path(history))
    url = urlsplit(broker)
    for topic, payload in retained_by(time.time()):
        command = ["mosquitto_pub", "-h", url.hostname or "", "-p", str(url.port or 1883), "-r", "-t", topic, "-s"]
        subprocess.run(command, input=payload, text=True, check=True)


def fill(history: Path) -> None:
    """Write a history."""
    now, dice = time.time(), random.Random(7)
    history.parent.mkdir(parents=True, exist_ok=True)
    store = History(history)
    store.write([ReceivedRow(now - DAYS * 86400, now + STARTS_S)])
    for camera in CAMERAS:
        store.write(rows(camera, now, dice))
    store.close()


def retained_by(now: float) -> Iterator[tuple[str, str]]:
    """Yield topics, and what is retained on them."""
    for topic, payload in retained(now, random.Random(7)):
        yield topic, json.dumps(payload)


def rows(camera: CameraKey, now: float, dice: random.Random) -> Iterator[Row]:
    """Yield what a camera has seen: in working hours, and in the last two of them whatever the time is."""
    minutes = TROUBLE[camera.name][0] if camera.name in TROUBLE else PAUSED.get(camera.name, 0)
    until = now - 60 * minutes
    for day in range(DAYS, -1, -1):
        midnight = now - now % 86400 - day * 86400
        end = midnight + 86400 if day else now - 2 * HOUR_S
        opens, closes = midnight + 8 * HOUR_S, min(midnight + 17 * HOUR_S, end)
        if datetime.fromtimestamp(midnight, UTC).weekday() >= 5 or closes <= opens:
            closes = opens = max(midnight, min(opens, end))
        yield GapRow(camera, midnight, opens, "out_of_schedule")
        yield from stretch(camera, opens, closes, dice)
        yield GapRow(camera, closes, end, "out_of_schedule")
        for ago, start, over in OUTAGES:
            if ago == day:
                yield GapRow(camera, midnight + start * HOUR_S, midnight + over * HOUR_S, "cloud_unreachable")
    yield from stretch(camera, now - 2 * HOUR_S, until, dice)
    if minutes:
        yield GapRow(camera, until, None, TROUBLE[camera.name][1] if camera.name in TROUBLE else "paused")


def stretch(camera: CameraKey, start: float, end: float, dice: random.Random) -> Iterator[Row]:
    """Yield a stretch of analysis."""
    at = start
    while at < end:
        engaged = 4 + 3 * math.sin(at / HOUR_S * 1.3) + 2 * math.sin(at / 86400 * 2.1)
        yield EngagementRow(camera, at, dice.choices(LEVELS, (max(0.6, engaged), 5, 2))[0])
        at += dice.uniform(60, 600)
    at = start
    while (at := at + dice.expovariate(1 / 240)) < end:
        over = min(at + dice.uniform(6, 60), end)
        yield SignalRow(
            camera, f"s/{at:.0f}", dice.choice(SIGNALS), at, over, dice.choice(["low", "medium", "high"]), None
        )
    scores, at = [dice.uniform(45, 90) for _ in range(6)], start
    while (at := at + 90) < end:
        scores = [score + dice.gauss(0, 4) + (65 - score) / 12 for score in scores]
        yield QualityRow(camera, at, tuple(scores))
    if dice.random() < 0.3 and end > start:
        begin = dice.uniform(start, end)
        yield GapRow(camera, begin, min(begin + dice.uniform(20, 400), end), "connection_lost")


def retained(now: float, dice: random.Random) -> Iterator[tuple[str, object]]:
    """Yield topics and payloads."""
    for box in BOXES:
        cameras = {camera.name: {"lag_seconds": dice.uniform(1.2, 3.0)} for camera in CAMERAS if camera.box == box}
        yield f"interhuman/{box}/bridge/state", {"state": "online", "boot_id": "b", "since": iso(now - 90000)}
        yield f"interhuman/{box}/bridge/health", {"cameras": cameras}
    for camera in CAMERAS:
        top = f"interhuman/{camera.box}/{camera.name}"
        since = iso(now - dice.uniform(4000, 9000))
        if camera.name in TROUBLE or camera.name in PAUSED:
            state, reason, detail = "paused", "paused", None
            minutes = PAUSED.get(camera.name, 0)
            if camera.name in TROUBLE:
                state, (minutes, reason, detail) = "offline", TROUBLE[camera.name]
            since = iso(now - 60 * minutes)
            gap = {"start_at": since, "end_at": None}
            yield f"{top}/status", {"state": state, "reason": reason, "detail": detail, "since": since, "gap": gap}
            continue
        yield f"{top}/status", {"state": "streaming", "since": since, "last_media_at": iso(now)}
        yield f"{top}/state/engagement", {"state": dice.choices(LEVELS, (4, 5, 2))[0]}
        active = {dice.choice(SIGNALS): {}} if dice.random() < 0.3 else {}
        yield f"{top}/state/signals", {"signals": active, "at": iso(now)}
        yield f"{top}/state/conversation_quality", {"overall": {"quality_index": dice.uniform(20, 95)}}


def iso(at: float) -> str:
    """Return a moment as boxes publish it."""
    return datetime.fromtimestamp(at, UTC).isoformat()


if __name__ == "__main__":
    main(*sys.argv[1:])
