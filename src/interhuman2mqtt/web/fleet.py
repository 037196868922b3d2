"""The fleet at a glance, as JSON: one line of sums, and each camera with its last hour as a ribbon. Pure."""

from collections.abc import Mapping
from typing import Any

from interhuman2mqtt.commands.watch_model import Box, Camera, Fleet
from interhuman2mqtt.config.model import AUDIO_MODELS
from interhuman2mqtt.web.recent import RecentHours
from interhuman2mqtt.web.rows import CameraKey
from interhuman2mqtt.web.timeline import GAP, NOT_KNOWN, Stretch, share

HOUR_S = 3600.0
SOON_S = 60.0
"""A camera that connects needs nobody for so long."""
PLANNED = ("paused", "out_of_schedule", "over_budget", "stopped")
"""Reasons and states in which a camera does not stream because somebody wants it so."""

CALM = ("no_browser",)
"""Reasons that need nobody though anybody may end them: who has the link of a browser begins when they like."""


def camera_json(fleet: Fleet, key: CameraKey, recent: RecentHours, now: float) -> dict[str, Any]:
    """Return one camera of the fleet; an empty object where there is none of that name."""
    box = fleet.boxes.get(key.box)
    camera = box.cameras.get(key.name) if box is not None else None
    if box is None or camera is None:
        return {}
    status = camera.status
    state = "offline" if not box.is_online else status.state if status is not None else "unknown"
    reason = "box_offline" if not box.is_online else status.reason if status is not None else None
    is_seen = box.is_online and state == "streaming"
    return {
        "box": key.box,
        "name": key.name,
        "state": state,
        "reason": reason,
        "detail": status.detail if status is not None and box.is_online else None,
        "since": _since(box, camera),
        "engagement": _level(camera) if is_seen else None,
        "signals": sorted(camera.signals.signals)[:16] if camera.signals is not None and is_seen else [],
        "score": camera.quality.index if camera.quality is not None and is_seen else None,
        "behind": _counters(box, key.name).get("lag_seconds") if is_seen else None,
        "last_media_at": status.last_media_at.timestamp() if status is not None and status.last_media_at else None,
        "needs_somebody": _needs_somebody(box, camera, now),
        "audio_only": box.info is not None and box.info.model_of(key.name) in AUDIO_MODELS,
        "ribbon": [ribbon_part(one) for one in recent.ribbon(key, (now - HOUR_S, now))],
    }


def ribbon_part(stretch: Stretch) -> list[Any]:
    """Return a stretch as [from, to, kind], with whole tenths of a second; a gap has its reason as a fourth."""
    part = [round(stretch.start, 1), round(stretch.end, 1), stretch.kind]
    return [*part, stretch.reason] if stretch.reason else part


def summary(cameras: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the sums of the first line: cameras are dicts of `camera_json`."""
    ribbons = [[Stretch(*part) for part in camera["ribbon"]] for camera in cameras]
    total = sum(one.end - one.start for ribbon in ribbons for one in ribbon)
    missing = sum(share(ribbon, (0.0, float("inf")), (GAP, NOT_KNOWN)) for ribbon in ribbons)
    levels = [camera["engagement"] for camera in cameras if camera["engagement"] is not None]
    return {
        "cameras": len(cameras),
        "see": sum(camera["state"] == "streaming" for camera in cameras),
        "need_somebody": sum(camera["needs_somebody"] for camera in cameras),
        "paused": sum(camera["state"] == "paused" for camera in cameras),
        "analysed_now": len(levels),
        "engaged": sum(level == "engaged" for level in levels),
        "signals": sum(len(camera["signals"]) for camera in cameras),
        "not_analysed_share": missing / total if total else None,
        "behind": max((camera["behind"] for camera in cameras if camera["behind"] is not None), default=None),
    }


def _needs_somebody(box: Box, camera: Camera, now: float) -> bool:
    if not box.is_online:
        return box.state is None or box.state.state != "stopped"
    status = camera.status
    if status is None or status.state in {"streaming", *PLANNED} or status.reason in (*PLANNED, *CALM):
        return False
    return status.state in {"offline", "refused"} or now - status.since.timestamp() > SOON_S


def _since(box: Box, camera: Camera) -> float | None:
    moments = [camera.status.since] if camera.status is not None else []
    if not box.is_online and box.state is not None and box.state.since is not None:
        moments = [box.state.since]
    return moments[0].timestamp() if moments else None


def _level(camera: Camera) -> str | None:
    level = camera.engagement.state if camera.engagement is not None else None
    return level[:64] if isinstance(level, str) else None


def _counters(box: Box, name: str) -> Mapping[str, float]:
    return box.health.cameras.get(name, {}) if box.health is not None else {}
