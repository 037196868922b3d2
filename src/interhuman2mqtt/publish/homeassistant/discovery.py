"""Whole discovery payloads: a device for the box, and one for each camera.

They are published at the start, when something changed, and when Home Assistant has itself just started.
"""

import random
from collections.abc import Collection
from functools import partial
from typing import Protocol

import msgspec
import trio

from interhuman2mqtt import __version__
from interhuman2mqtt.config import CameraConfig, Config, urls
from interhuman2mqtt.publish.homeassistant import bridge_entities, camera_entities
from interhuman2mqtt.publish.homeassistant.entity import Json, Scope, available
from interhuman2mqtt.publish.message import Message
from interhuman2mqtt.publish.topics import Topics
from interhuman2mqtt.runtime.notifier import Notifier

BOX = "bridge"
ORIGIN: Json = {"name": "interhuman2mqtt", "sw_version": __version__}

_encode = msgspec.json.Encoder().encode


def messages(config: Config, topics: Topics) -> tuple[Message, ...]:
    """Return all discovery messages of a box, its own first; none where `mqtt.discovery` is false."""
    # One payload a device (Home Assistant 2024.11), and not the older one an entity: a camera has 33 entities, so that
    # a box of 16 cameras would retain more than 500 topics, each to be cleared by itself when a camera goes; and a
    # device that is published whole never shows up by halves.
    if not config.mqtt.discovery:
        return ()
    payloads = {BOX: of_box(config, topics)}
    payloads |= {name: of_camera(config, camera, topics) for name, camera in config.cameras.items()}
    prefix = config.mqtt.discovery_prefix
    return tuple(
        topics.discovery(prefix, Scope(config.box.id, name).id, _encode(payload)) for name, payload in payloads.items()
    )


def birth_topic(config: Config) -> str | None:
    """Return the topic on which Home Assistant announces its start; None without discovery."""
    return f"{config.mqtt.discovery_prefix}/status" if config.mqtt.discovery else None


def of_box(config: Config, topics: Topics) -> Json:
    """Return the box as a device."""
    scope = Scope(config.box.id, BOX)
    subject = bridge_entities.BoxSubject(scope, _takes_requests(config), topics.bridge)
    return {
        "device": _device(scope, f"Interhuman {config.box.id}", "interhuman2mqtt"),
        "origin": ORIGIN,
        "availability": [_online(topics)],
        "availability_mode": "all",
        "components": bridge_entities.components(subject),
    }


def of_camera(config: Config, camera: CameraConfig, topics: Topics) -> Json:
    """Return a camera as a device, connected by way of its box."""
    scope = Scope(config.box.id, camera.id)
    model = "inter-1" if urls.api_version(config.interhuman.url) == 1 else camera.model
    subject = camera_entities.CameraSubject(
        scope=scope,
        camera=camera,
        interhuman=config.interhuman,
        takes_requests=_takes_requests(config),
        topic=partial(topics.of, camera.id),
        bridge=topics.bridge,
        always={"availability": [_online(topics)]},
    )
    return {
        "device": {**_device(scope, camera.name, model), "via_device": Scope(config.box.id, BOX).id},
        "origin": ORIGIN,
        "availability": [_online(topics), available(topics.of(camera.id, "status"), "streaming")],
        "availability_mode": "all",
        "components": camera_entities.components(subject),
    }


def _takes_requests(config: Config) -> bool:
    return config.mqtt.requests == "all"


def _device(scope: Scope, name: str, model: str) -> Json:
    return {
        "identifiers": [scope.id],
        "name": name,
        "manufacturer": "Interhuman",
        "model": model,
        "sw_version": __version__,
    }


def _online(topics: Topics) -> Json:
    return available(topics.bridge("state"), "online")


# The broker retains discovery and states, so that Home Assistant mostly has both after a restart without us. Not so
# where the broker lost them, or delivered the states before their entities were there: its pages ask for both at each
# birth.
DELAY_S = 10.0
"""Seconds after its birth in which everything is published again. Each box of a fleet draws a moment of its own, so
that neither Home Assistant nor the broker is flooded."""
INTERVAL_S = 30.0
"""Seconds between two such answers, however often somebody publishes a birth."""


class RetainedSender(Protocol):
    """Publishes and repeats retained messages (`publish.service`)."""

    def publish(self, message: Message) -> None:
        """Accept a message, in order. Never waits."""

    def repeat(self, first: Collection[str]) -> None:
        """Publish all that is retained once more, what is on these topics first."""


class HomeAssistant:
    """Publishes discovery: at the start, when something changed, and when Home Assistant has itself just started."""

    def __init__(self, topics: Topics, sender: RetainedSender) -> None:
        self._topics = topics
        self._sender = sender
        self._published: dict[str, Message] = {}
        self._birth = Notifier()

    def announce(self, config: Config) -> None:
        """Publish what differs from what was published before, and clear what is gone."""
        wanted = {message.topic: message for message in messages(config, self._topics)}
        for topic in self._published.keys() - wanted.keys():
            self._sender.publish(self._topics.clear(topic))
        for topic, message in wanted.items():
            if self._published.get(topic) != message:
                self._sender.publish(message)
        self._published = wanted

    def handle_birth(self) -> None:
        """Note that Home Assistant has just started. Never waits."""
        self._birth.set()

    async def run(self) -> None:
        """Answer births until cancelled; those that come before the answer are answered by the same one."""
        while True:
            await self._birth.wait()
            await trio.sleep(random.uniform(0.0, DELAY_S))  # noqa: S311 - to spread a load, not to keep a secret
            self._birth.clear()
            self._sender.repeat(self._published.keys())
            await trio.sleep(INTERVAL_S)
