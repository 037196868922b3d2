"""The same for scripts: JSON, in which nothing but ASCII stands, so that no terminal obeys what somebody published."""

import json
from typing import Any

import msgspec

from interhuman2mqtt.watch.fleet import Box, Camera, Fleet
from interhuman2mqtt.watch.places import BRIDGE, Place


def message(place: Place, payload: bytes) -> str | None:
    """A message as a line; None where it is not JSON. One that was cleared has `data: null`."""
    try:
        data = msgspec.json.decode(payload) if payload else None
    except (ValueError, RecursionError):
        return None
    camera = None if place.camera == BRIDGE else place.camera
    return json.dumps({"box": place.box, "camera": camera, "about": place.about, "data": data})


def whole(fleet: Fleet) -> str:
    """All that is known now, as one line."""
    boxes = {name: _box(box) for name, box in sorted(fleet.boxes.items())}
    return json.dumps({"files_hash": fleet.files_hash, "boxes": boxes})


def broker(word: str, detail: str) -> str:
    """How it is with the broker, as a line."""
    return json.dumps({"broker": word, "detail": detail})


def _box(box: Box) -> dict[str, Any]:
    cameras = {name: _camera(camera) for name, camera in sorted(box.cameras.items())}
    bridge = {"state": box.state, "info": box.info, "health": box.health}
    return {**_plain(bridge), "cameras": cameras}


def _camera(camera: Camera) -> dict[str, Any]:
    return _plain(vars(camera))


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(values)
    return plain
