"""Whole discovery payloads: a device for the box, and one for each camera."""

from functools import partial

import msgspec

from interhuman2mqtt import __version__
from interhuman2mqtt.config import Camera, Config, urls
from interhuman2mqtt.publish.homeassistant import box, camera
from interhuman2mqtt.publish.homeassistant.parts import Json, Scope, available
from interhuman2mqtt.publish.message import Message
from interhuman2mqtt.publish.requests import obeyed
from interhuman2mqtt.publish.topics import Topics

BOX = "bridge"
ORIGIN: Json = {"name": "interhuman2mqtt", "sw_version": __version__}

_encode = msgspec.json.Encoder().encode


def messages(config: Config, topics: Topics) -> tuple[Message, ...]:
    """All discovery messages of a box, its own first; none where `mqtt.discovery` is false."""
    if not config.mqtt.discovery:
        return ()
    payloads = {BOX: of_box(config, topics)}
    payloads |= {name: of_camera(config, each, topics) for name, each in config.cameras.items()}
    prefix = config.mqtt.discovery_prefix
    return tuple(
        topics.discovery(prefix, Scope(config.box.id, name).id, _encode(payload)) for name, payload in payloads.items()
    )


def birth_topic(config: Config) -> str | None:
    """Where Home Assistant says that it has started; None where nobody wants to know."""
    return f"{config.mqtt.discovery_prefix}/status" if config.mqtt.discovery else None


def of_box(config: Config, topics: Topics) -> Json:
    """The box as a device."""
    scope = Scope(config.box.id, BOX)
    subject = box.Subject(scope, obeyed(config.mqtt.requests), topics.bridge)
    return {
        "device": _device(scope, f"Interhuman {config.box.id}", "interhuman2mqtt"),
        "origin": ORIGIN,
        "availability": [_online(topics)],
        "availability_mode": "all",
        "components": box.components(subject),
    }


def of_camera(config: Config, each: Camera, topics: Topics) -> Json:
    """A camera as a device, connected by way of its box."""
    scope = Scope(config.box.id, each.id)
    model = "inter-1" if urls.api_version(config.interhuman.url) == 1 else each.model
    subject = camera.Subject(
        scope=scope,
        camera=each,
        interhuman=config.interhuman,
        obeys=obeyed(config.mqtt.requests),
        topic=partial(topics.of, each.id),
        bridge=topics.bridge,
        always={"availability": [_online(topics)]},
    )
    return {
        "device": {**_device(scope, each.name, model), "via_device": Scope(config.box.id, BOX).id},
        "origin": ORIGIN,
        "availability": [_online(topics), available(topics.of(each.id, "status"), "streaming")],
        "availability_mode": "all",
        "components": camera.components(subject),
    }


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
