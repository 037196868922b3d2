"""Fill a page with invented data: a fortnight of history, and 30 boxes with 80 cameras at a broker.

    python scripts/page/fill.py HISTORY.sqlite mqtt://127.0.0.1:1883

For the picture in the README, and to look at the page with. The history must not be in use; begin the page after it.
"""

import json
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
TROUBLE = {"cam29": "uplink_too_slow", "cam54": "video_stalled", "cam68": "unreachable"}
PAUSED = ("cam36", "cam37", "cam73")


def main(history: str, broker: str) -> None:
    """Write the history, and publish what is retained."""
    now, dice = time.time(), random.Random(7)
    store = History(Path(history))
    store.write([ReceivedRow(now - DAYS * 86400, now)])
    for camera in CAMERAS:
        store.write(rows(camera, now, dice))
    store.close()
    url = urlsplit(broker)
    for topic, payload in retained(now, dice):
        command = ["mosquitto_pub", "-h", url.hostname or "", "-p", str(url.port or 1883), "-r", "-t", topic, "-s"]
        subprocess.run(command, input=json.dumps(payload), text=True, check=True)


def rows(camera: CameraKey, now: float, dice: random.Random) -> Iterator[Row]:
    """Yield what a camera has seen: in working hours, and in the last two of them whatever the time is."""
    for day in range(DAYS, -1, -1):
        midnight = now - now % 86400 - day * 86400
        date = datetime.fromtimestamp(midnight, UTC)
        end = midnight
        if date.weekday() < 5:
            end = min(midnight + 17 * HOUR_S, now)
            if end > midnight + 8 * HOUR_S:
                yield GapRow(camera, midnight, midnight + 8 * HOUR_S, "out_of_schedule")
                yield from stretch(camera, midnight + 8 * HOUR_S, end, dice)
        if day:
            yield GapRow(camera, end, midnight + 86400, "out_of_schedule")
    yield from stretch(camera, now - 2 * HOUR_S, now, dice)
    if camera.name in TROUBLE or camera.name in PAUSED:
        minutes = dice.uniform(8, 25) if camera.name in TROUBLE else 70
        yield GapRow(camera, now - 60 * minutes, None, TROUBLE.get(camera.name, "paused"))


def stretch(camera: CameraKey, start: float, end: float, dice: random.Random) -> Iterator[Row]:
    """Yield a stretch of analysis."""
    at = start
    while at < end:
        yield EngagementRow(camera, at, dice.choices(LEVELS, (4, 5, 2))[0])
        at += dice.uniform(60, 600)
    at = start
    while (at := at + dice.expovariate(1 / 240)) < end:
        over = min(at + dice.uniform(6, 60), end)
        yield SignalRow(
            camera, f"s/{at:.0f}", dice.choice(SIGNALS), at, over, dice.choice(["low", "medium", "high"]), None
        )
    scores, at = [dice.uniform(45, 90) for _ in range(6)], start
    while (at := at + 90) < end:
        scores = [min(99.0, max(5.0, score + dice.gauss(0, 4))) for score in scores]
        yield QualityRow(camera, at, tuple(scores))
    if dice.random() < 0.5:
        begin = dice.uniform(start, end)
        yield GapRow(
            camera, begin, min(begin + dice.uniform(20, 900), end), dice.choice(["connection_lost", "stalled"])
        )


def retained(now: float, dice: random.Random) -> Iterator[tuple[str, object]]:
    """Yield topics and payloads."""
    for box in BOXES:
        cameras = {camera.name: {"lag_seconds": dice.uniform(1.2, 3.0)} for camera in CAMERAS if camera.box == box}
        yield f"interhuman/{box}/bridge/state", {"state": "online", "boot_id": "b", "since": iso(now - 90000)}
        yield f"interhuman/{box}/bridge/health", {"cameras": cameras}
    for camera in CAMERAS:
        top = f"interhuman/{camera.box}/{camera.name}"
        since = iso(now - dice.uniform(500, 5000))
        if camera.name in TROUBLE:
            gap = {"start_at": since, "end_at": None}
            detail = "the camera at 10.0.0.7 does not answer: is it on, and on the network?"
            yield (
                f"{top}/status",
                {"state": "offline", "reason": TROUBLE[camera.name], "detail": detail, "since": since, "gap": gap},
            )
            continue
        if camera.name in PAUSED:
            yield (
                f"{top}/status",
                {"state": "paused", "reason": "paused", "since": since, "gap": {"start_at": since, "end_at": None}},
            )
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
