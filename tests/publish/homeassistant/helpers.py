"""Configurations to announce."""

from typing import Any

from interhuman2mqtt.config import Box, CameraConfig, Config, Interhuman, Log, Metrics, Mqtt, Outbox, Privacy, Web
from interhuman2mqtt.publish.topics import Topics

TOPICS = Topics("interhuman", "lobby-1")
SCORED = ("conversation_quality_overall", "conversation_quality_timeline")


def a_camera(id_: str, **keys: Any) -> CameraConfig:
    """A camera as the configuration would have it."""
    return CameraConfig(**{"id": id_, "name": id_.title(), "source": "test:", "include": SCORED, **keys})


def a_config(*cameras: CameraConfig, interhuman: dict[str, Any] | None = None, **mqtt: Any) -> Config:
    """The configuration of the box lobby-1."""
    return Config(
        box=Box(id="lobby-1"),
        interhuman=Interhuman(**(interhuman or {})),
        mqtt=Mqtt(client_id="interhuman-lobby-1", **mqtt),
        outbox=Outbox(),
        privacy=Privacy(),
        log=Log(),
        metrics=Metrics(),
        web=Web(),
        cameras={camera.id: camera for camera in cameras},
    )
